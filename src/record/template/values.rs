//! The values of a record, which become the holes of its template.

use std::ops::Range;

use crate::json::escape;
use crate::json::{Shape, Visitor};

/// An integer with at most 15 digits is exact as a double.
const MAX_DIGITS: usize = 15;

/// The top-level members that a check or a search needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberName {
    EventId,
    IdempotencyKey,
    PrevEventId,
    Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// A string, without its quotes.
    Text,
    /// Digits that are their own canonical form.
    Integer,
    /// `true`, `false` or `null`.
    Word,
}

impl Value {
    /// The length of the quote on either side.
    #[inline]
    pub(super) fn quote(self) -> usize {
        usize::from(self == Value::Text)
    }
}

/// The length of an integer in its canonical form.
#[inline]
pub(super) fn digits(text: &[u8]) -> Option<usize> {
    let count = match text.first()? {
        b'0' => 1,
        _ => text.iter().take(MAX_DIGITS).take_while(|byte| byte.is_ascii_digit()).count(),
    };
    (count > 0).then_some(count)
}

#[inline]
pub(super) fn word(text: &[u8]) -> Option<usize> {
    let word: &[u8] = match text.first()? {
        b't' => b"true",
        b'f' => b"false",
        _ => b"null",
    };
    text.starts_with(word).then_some(word.len())
}

/// Collects the values of a record, except objects and arrays.
#[derive(Default)]
pub(super) struct ValueFinder<'a> {
    text: &'a [u8],
    depth: usize,
    pub(super) values: Vec<(Range<usize>, Value)>,
    /// A number has a sign, a fraction, an exponent or too many digits.
    pub(super) has_other_number: bool,
    /// The name of the value that comes next, if it is one of the names.
    member: Option<MemberName>,
    pub(super) named: [Option<usize>; 4],
}

impl<'a> ValueFinder<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        ValueFinder { text, ..ValueFinder::default() }
    }

    fn add(&mut self, value: Range<usize>, kind: Value) {
        if self.depth == 1
            && let Some(hole) = self.member.and_then(|name| self.named.get_mut(name as usize))
        {
            *hole = Some(self.values.len());
        }
        self.values.push((value, kind));
    }
}

impl Visitor for ValueFinder<'_> {
    fn value(&mut self, from: usize) {
        if let Some(length) = self.text.get(from..).and_then(word) {
            self.add(from..from + length, Value::Word);
        }
    }

    fn string(&mut self, from: usize, to: usize, _plain: bool) {
        self.add(from + 1..to - 1, Value::Text);
    }

    fn number(&mut self, from: usize, to: usize, _integer: bool) {
        let text = self.text.get(from..to).unwrap_or_default();
        self.has_other_number |= digits(text) != Some(text.len());
        self.add(from..to, Value::Integer);
    }

    fn open(&mut self, _at: usize, _shape: Shape) {
        self.depth += 1;
    }

    fn key(&mut self, from: usize, to: usize, _plain: bool) {
        if self.depth == 1 {
            let key = escape::unescape(self.text.get(from + 1..to - 1).unwrap_or_default());
            self.member = match &*key {
                b"eventId" => Some(MemberName::EventId),
                b"idempotencyKey" => Some(MemberName::IdempotencyKey),
                b"prevEventId" => Some(MemberName::PrevEventId),
                b"timestamp" => Some(MemberName::Timestamp),
                _ => None,
            };
            // Of equal keys the last counts.
            if let Some(hole) = self.member.and_then(|name| self.named.get_mut(name as usize)) {
                *hole = None;
            }
        }
    }

    fn close(&mut self, _at: usize, _shape: Shape) {
        self.depth -= 1;
    }
}
