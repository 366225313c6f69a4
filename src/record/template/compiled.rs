//! One template: how a record is compiled into it, and how a line is matched with it.

use std::ops::Range;

use super::values::{MemberName, Value, ValueFinder, digits, word};
use crate::json::canonical::{Form, canonicalize};
use crate::json::{self, Objects, Shape};

pub(super) const MAX_HOLES: usize = 64;
/// Numbers of as many digits as are exact in a double replace the values, to find them again.
const FIRST_NUMBER: u64 = 100_000_000_000_000;

#[derive(Clone, Default)]
pub(super) struct Template {
    holes: Vec<Hole>,
    /// The words of all literals; the last word of each is filled up with zeros.
    words: Vec<MaskedWord>,
    /// The bytes behind the last value, with the newline.
    end: Literal,
    /// For each [`MemberName`] the index of its hole.
    named: [Option<usize>; 4],
    /// The canonical form without the `eventId`.
    canonical: Vec<CopyRun>,
    /// Bytes of the canonical form that are elsewhere in the line, or not in it.
    bytes: Vec<u8>,
}

/// A part of the canonical form: some bytes, and then a copy from the line.
///
/// The members of a nested object are mostly in canonical order, so one copy can include several
/// values with the bytes between them.
#[derive(Clone)]
struct CopyRun {
    bytes: Range<usize>,
    /// The holes copied, from the first to the last one; the last copy has none.
    values: Range<usize>,
    /// Bytes of the line that are copied before the first and behind the last value.
    before: usize,
    behind: usize,
}

#[derive(Clone)]
struct Hole {
    before: Literal,
    kind: Value,
}

/// Bytes that are the same in every line.
#[derive(Clone, Default)]
struct Literal {
    words: Range<usize>,
    length: usize,
}

/// Eight bytes, and a mask of those to compare.
#[derive(Clone, Copy)]
struct MaskedWord {
    bytes: u64,
    mask: u64,
}

/// The line that was matched last, seen through its template.
pub(crate) struct LastMatch<'a, 't> {
    pub(super) text: &'t [u8],
    pub(super) template: &'a Template,
    pub(super) values: &'a [Range<usize>],
}

impl<'t> LastMatch<'_, 't> {
    /// The raw value of a member, unless it is an object or an array.
    #[inline]
    pub(crate) fn member(&self, name: MemberName) -> Option<&'t [u8]> {
        let number = (*self.template.named.get(name as usize)?)?;
        let quote = self.template.holes.get(number)?.kind.quote();
        let value = self.values.get(number)?;
        self.text.get(value.start - quote..value.end + quote)
    }

    /// Appends the canonical form of the line, without its `eventId`.
    pub(crate) fn write_canonical(&self, out: &mut Vec<u8>) {
        for copy in &self.template.canonical {
            out.extend_from_slice(self.template.bytes.get(copy.bytes.clone()).unwrap_or_default());
            let [first, last] = [copy.values.start, copy.values.end].map(|at| self.values.get(at));
            if let (Some(first), Some(last)) = (first, last) {
                let source = self.text.get(first.start - copy.before..last.end + copy.behind);
                out.extend_from_slice(source.unwrap_or_default());
            }
        }
    }
}

impl Template {
    /// Compiles a record. `None` if it has a number that is not its own canonical form.
    pub(super) fn compile(line: &[u8]) -> Option<Template> {
        let mut found = ValueFinder::new(line);
        let shape = json::parse(line, &mut found).ok()?;
        if shape != Shape::Object || found.has_other_number || found.values.len() > MAX_HOLES {
            return None;
        }
        let mut template = Template { named: found.named, ..Template::default() };
        let mut at = 0;
        for (value, kind) in &found.values {
            let before = template.literal(line.get(at..value.start)?);
            template.holes.push(Hole { before, kind: *kind });
            at = value.end;
        }
        template.end = template.literal(&[line.get(at..)?, b"\n"].concat());
        for (bytes, hole) in canonical(line, &found.values)? {
            template.add_copy(line, &found.values, &bytes, hole);
        }
        Some(template)
    }

    /// Adds bytes of the canonical form and the value behind them, if there is one.
    fn add_copy(
        &mut self,
        line: &[u8],
        values: &[(Range<usize>, Value)],
        mut bytes: &[u8],
        hole: Option<usize>,
    ) {
        let literal = |hole: usize| {
            let from = hole.checked_sub(1).and_then(|at| values.get(at)).map_or(0, |it| it.0.end);
            let to = values.get(hole).map_or(line.len(), |it| it.0.start);
            line.get(from..to).unwrap_or_default()
        };
        if let Some(copy) = self.canonical.last_mut() {
            let behind = literal(copy.values.end + 1);
            if hole == Some(copy.values.end + 1) && behind == bytes {
                copy.values.end += 1;
                return;
            }
            copy.behind = bytes.iter().zip(behind).take_while(|(a, b)| a == b).count();
            bytes = bytes.get(copy.behind..).unwrap_or_default();
        }
        let before = hole.map_or(0, |hole| {
            bytes.iter().rev().zip(literal(hole).iter().rev()).take_while(|(a, b)| a == b).count()
        });
        let first = self.bytes.len();
        self.bytes.extend_from_slice(bytes.get(..bytes.len() - before).unwrap_or_default());
        let values = hole.map_or(usize::MAX..usize::MAX, |hole| hole..hole);
        self.canonical.push(CopyRun { bytes: first..self.bytes.len(), values, before, behind: 0 });
    }

    fn literal(&mut self, bytes: &[u8]) -> Literal {
        let first = self.words.len();
        for bytes in bytes.chunks(size_of::<u64>()) {
            let number = |value: u8| {
                let each = bytes.iter().rev();
                each.fold(0, |all: u64, byte| all << u8::BITS | u64::from(byte & value))
            };
            let mask = u64::MAX >> (u64::BITS - u8::BITS * bytes.len() as u32);
            self.words.push(MaskedWord { bytes: number(u8::MAX), mask });
        }
        Literal { words: first..self.words.len(), length: bytes.len() }
    }

    #[inline]
    pub(super) fn match_line(
        &self,
        lines: &mut Objects<'_>,
        from: usize,
        values: &mut Vec<Range<usize>>,
    ) -> Option<usize> {
        let text = lines.text();
        let mut at = from;
        for hole in &self.holes {
            at = self.pass(text, at, &hole.before)?;
            let end = match hole.kind {
                // The literal behind the value begins with the closing quote.
                Value::Text => lines.end_of_plain(at),
                Value::Integer => at + digits(text.get(at..)?)?,
                Value::Word => at + word(text.get(at..)?)?,
            };
            values.push(at..end);
            at = end;
        }
        let behind = self.pass(text, at, &self.end)?;
        lines.is_good_so_far().then_some(behind - 1)
    }

    /// The end of the literal that begins at `at`; `None` if other bytes are there.
    #[inline]
    fn pass(&self, text: &[u8], at: usize, literal: &Literal) -> Option<usize> {
        let words = self.words.get(literal.words.clone())?;
        // Near the end of the text a whole word may not fit. Then the grammar decides.
        let (there, _) = text.get(at..at + words.len() * size_of::<u64>())?.as_chunks();
        let is_same = |(word, there): (&MaskedWord, &[u8; 8])| {
            u64::from_le_bytes(*there) & word.mask == word.bytes
        };
        words.iter().zip(there).all(is_same).then_some(at + literal.length)
    }
}

/// Splits the canonical form of a record, without its `eventId`, at the values: bytes, and the hole
/// behind them.
fn canonical(
    line: &[u8],
    values: &[(Range<usize>, Value)],
) -> Option<Vec<(Vec<u8>, Option<usize>)>> {
    // Each value is replaced by a number. The record has no other numbers, so each can be found
    // again.
    let mut numbered = Vec::new();
    let mut at = 0;
    for (number, (value, kind)) in values.iter().enumerate() {
        let quote = kind.quote();
        numbered.extend_from_slice(line.get(at..value.start - quote)?);
        numbered.extend_from_slice((FIRST_NUMBER + number as u64).to_string().as_bytes());
        at = value.end + quote;
    }
    numbered.extend_from_slice(line.get(at..)?);
    let canonical = canonicalize(&numbered, Form::Jcs, Some("eventId")).ok()?;
    let mut found = ValueFinder::new(&canonical);
    json::parse(&canonical, &mut found).ok()?;
    let quote_of = |hole: Option<usize>| {
        let kind = hole.and_then(|hole| values.get(hole)).map(|(_, kind)| *kind);
        if kind == Some(Value::Text) { &b"\""[..] } else { b"" }
    };
    let mut pieces = Vec::new();
    let (mut at, mut last) = (0, None);
    for (value, _) in found.values {
        let number: u64 = std::str::from_utf8(canonical.get(value.clone())?).ok()?.parse().ok()?;
        let hole = usize::try_from(number.checked_sub(FIRST_NUMBER)?).ok();
        let bytes = canonical.get(at..value.start)?;
        pieces.push(([quote_of(last), bytes, quote_of(hole)].concat(), hole));
        (at, last) = (value.end, hole);
    }
    pieces.push(([quote_of(last), canonical.get(at..)?].concat(), None));
    Some(pieces)
}
