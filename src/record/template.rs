//! Lines that have the same bytes as an earlier one but for their values.
//!
//! The events of a kind have the same members, mostly in the same order. A record taught once what is between its values: a line that has
//! the same bytes there, and values of the same entries, is a record as well, without a walk through its grammar, and the members of its
//! canonical form are in the same places. That takes a third of the time of a walk.

use std::ops::Range;

use crate::json::canonical::{Form, canonicalize};
use crate::json::escape;
use crate::json::{self, Objects, Shape, Visitor};

/// The top-level members that a line can be found or judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberName {
    EventId,
    IdempotencyKey,
    PrevEventId,
    Timestamp,
}

/// TemplateCache of the last entries of lines.
#[derive(Default)]
pub(crate) struct TemplateCache {
    entries: Vec<CacheEntry>,
    /// The values of the line that matched last: what is between the quotes of strings.
    values: Vec<Range<usize>>,
    matched: usize,
}

/// Lines that begin alike.
#[derive(Clone, Default)]
struct CacheEntry {
    /// Lines that did not match_line since a template was compile.
    misses: u32,
    /// So many misses, and another one is compile: cutting one takes as long as to walk through a dozen lines.
    backoff: u32,
    template: Option<Template>,
}

#[derive(Clone, Default)]
struct Template {
    holes: Vec<Hole>,
    /// The bytes between the values, each part of them filled up with zeros.
    words: Vec<MaskedWord>,
    /// Behind the last value, with the newline.
    end: Literal,
    /// The holes of the members with these names.
    named: [Option<usize>; 4],
    /// The canonical form without the `eventId`.
    canonical: Vec<CopyRun>,
    /// Bytes of the canonical form that are not in their places in the line.
    bytes: Vec<u8>,
}

/// A part of the canonical form: some bytes, and then bytes of the line. As the members of a nested object are mostly in their order,
/// one copy copies several values with what is between them.
#[derive(Clone)]
struct CopyRun {
    bytes: Range<usize>,
    /// From the first hole to the last one; none is there behind the last copy.
    values: Range<usize>,
    /// Bytes of the line before the first and behind the last value.
    before: usize,
    behind: usize,
}

#[derive(Clone)]
struct Hole {
    before: Literal,
    kind: Value,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    /// A string; its quotes are outside.
    Text,
    /// Digits that are their own canonical form.
    Integer,
    /// `true`, `false` or `null`.
    Word,
}

impl Value {
    /// How long a quote is around it.
    #[inline]
    fn quote(self) -> usize {
        usize::from(self == Value::Text)
    }
}

/// Bytes that are in every line.
#[derive(Clone, Default)]
struct Literal {
    words: Range<usize>,
    length: usize,
}

/// Eight bytes, and which of them count.
#[derive(Clone, Copy)]
struct MaskedWord {
    bytes: u64,
    mask: u64,
}

const MAX_ENTRIES: usize = 32;
const HEAD_BYTES: usize = 16;
/// Misfits before the first template is compile.
const FIRST_BACKOFF: u32 = 4;
const MAX_HOLES: usize = 64;
/// Digits that an integer may have so that it is a double of its own.
const MAX_DIGITS: usize = 15;
/// Of so many digits.
const FIRST_NUMBER: u64 = 100_000_000_000_000;

impl TemplateCache {
    /// Where the newline is of the line that begins at `from`, if it is a record like an earlier one.
    #[inline]
    pub(crate) fn match_line(&mut self, lines: &mut Objects<'_>, from: usize) -> Option<usize> {
        let number = entry_of(lines.text(), from)?;
        let template = self.entries.get(number)?.template.as_ref()?;
        self.values.clear();
        let newline = template.match_line(lines, from, &mut self.values)?;
        self.matched = number;
        Some(newline)
    }

    /// Learns from a line that is a record and did not match_line; `to` is its newline.
    pub(crate) fn observe_miss(&mut self, text: &[u8], from: usize, to: usize) {
        let Some(number) = entry_of(text, from) else { return };
        self.entries.resize(MAX_ENTRIES, CacheEntry::default());
        let Some(kind) = self.entries.get_mut(number) else { return };
        kind.misses += 1;
        if kind.misses > kind.backoff.max(FIRST_BACKOFF) {
            kind.misses = 0;
            kind.backoff = kind.backoff.max(FIRST_BACKOFF).saturating_mul(2);
            kind.template = text.get(from..to).and_then(Template::compile);
        }
    }

    /// The raw value of a member of the line that matched last, if it has one that is no object and no array.
    #[inline]
    pub(crate) fn named<'a>(&self, text: &'a [u8], name: MemberName) -> Option<&'a [u8]> {
        let template = self.template()?;
        let number = (*template.named.get(name as usize)?)?;
        let quote = template.holes.get(number)?.kind.quote();
        let value = self.values.get(number)?;
        text.get(value.start - quote..value.end + quote)
    }

    /// Appends the canonical form, without its `eventId`, of the line that matched last.
    pub(crate) fn write_canonical(&self, text: &[u8], out: &mut Vec<u8>) {
        let Some(template) = self.template() else { return };
        for copy in &template.canonical {
            out.extend_from_slice(template.bytes.get(copy.bytes.clone()).unwrap_or_default());
            let [first, last] = [copy.values.start, copy.values.end].map(|at| self.values.get(at));
            if let (Some(first), Some(last)) = (first, last) {
                let source = text.get(first.start - copy.before..last.end + copy.behind);
                out.extend_from_slice(source.unwrap_or_default());
            }
        }
    }

    fn template(&self) -> Option<&Template> {
        self.entries.get(self.matched)?.template.as_ref()
    }
}

/// Lines of a kind begin with the same bytes: with the type, mostly.
#[inline]
fn entry_of(text: &[u8], from: usize) -> Option<usize> {
    let head: &[u8; HEAD_BYTES] = text.get(from..)?.first_chunk()?;
    let head = u128::from_le_bytes(*head);
    let mixed = (head as u64 ^ (head >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Some((mixed >> (u64::BITS - MAX_ENTRIES.ilog2())) as usize)
}

impl Template {
    /// The template of a record; `None` if it has a number that is not its own canonical form.
    fn compile(line: &[u8]) -> Option<Template> {
        let mut found = ValueFinder { text: line, ..ValueFinder::default() };
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

    /// Adds bytes of the canonical form and the value that follows, if one does.
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
    fn match_line(
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
                // The literal behind it begins with the closing quote.
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

    /// Where the literal ends that begins at `at`.
    #[inline]
    fn pass(&self, text: &[u8], at: usize, literal: &Literal) -> Option<usize> {
        let words = self.words.get(literal.words.clone())?;
        // Near the end of the lines there may be no room to compare: then there is the walk.
        let (there, _) = text.get(at..at + words.len() * size_of::<u64>())?.as_chunks();
        let is_same = |(word, there): (&MaskedWord, &[u8; 8])| {
            u64::from_le_bytes(*there) & word.mask == word.bytes
        };
        words.iter().zip(there).all(is_same).then_some(at + literal.length)
    }
}

/// How many digits there are: an integer that is its own canonical form.
#[inline]
fn digits(text: &[u8]) -> Option<usize> {
    let count = match text.first()? {
        b'0' => 1,
        _ => text.iter().take(MAX_DIGITS).take_while(|byte| byte.is_ascii_digit()).count(),
    };
    (count > 0).then_some(count)
}

#[inline]
fn word(text: &[u8]) -> Option<usize> {
    let word: &[u8] = match text.first()? {
        b't' => b"true",
        b'f' => b"false",
        _ => b"null",
    };
    text.starts_with(word).then_some(word.len())
}

/// The canonical form of a record without its `eventId`, with holes in the places of its values.
fn canonical(
    line: &[u8],
    values: &[(Range<usize>, Value)],
) -> Option<Vec<(Vec<u8>, Option<usize>)>> {
    // The values are numbered, and no other number is in the record.
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
    let mut found = ValueFinder { text: &canonical, ..ValueFinder::default() };
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

/// The values of a record, but for objects and arrays.
#[derive(Default)]
struct ValueFinder<'a> {
    text: &'a [u8],
    depth: usize,
    values: Vec<(Range<usize>, Value)>,
    /// One with a sign, a fraction or an exponent, or too long.
    has_other_number: bool,
    /// The top-level member that comes next, if it has one of the names.
    member: Option<MemberName>,
    named: [Option<usize>; 4],
}

impl ValueFinder<'_> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINES: [&str; 8] = [
        r#"{"type":"A","eventId":"0a","timestamp":"t","actor":{"agent":"a","id":"b"},"n":17}"#,
        r#"{"type":"B","tags":["x","y"],"ok":true,"n":0,"idempotencyKey":"k","none":null}"#,
        r#"{"type":"C","eventId":"a","eventId":["b"],"z":{"eventId":"c","b":{"y":1,"x":[2,3]}}}"#,
        r#" { "b" : [ 1 , { "d" : false , "c" : "x" } ] , "a" : { } , "eventId" : "" } "#,
        "{\"z\u{e9}\u{1f600}\":\"\u{20ac}\",\"z\u{ffff}\":1,\"prevEventId\":\"p\"}",
        r#"{"q\"\n\\":"v","eventId":"e","\u0061":"w","e\u0076entId":5,"timestamp":7}"#,
        r#"{"100000000000000":"one","100000000000001":2,"a":100000000000000}"#,
        "{}",
    ];

    /// The canonical form and the named members.
    type Walked = (Vec<u8>, [Option<Vec<u8>>; 4]);

    /// TemplateCache that know a line, which stands in `text` from the returned place on, behind its like.
    fn taught(line: &str, text: &mut Vec<u8>) -> TemplateCache {
        let mut templates = TemplateCache::default();
        for _ in 0..=FIRST_BACKOFF {
            let from = text.len();
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
            templates.observe_miss(text, from, text.len() - 1);
        }
        templates
    }

    /// Fits the line, with enough behind it to be compared with.
    fn match_line(templates: &mut TemplateCache, line: &[u8]) -> Option<Walked> {
        let text = [line, b"\n", &[b' '; 64]].concat();
        let newline = templates.match_line(&mut Objects::new(&text), 0)?;
        assert_eq!(newline, line.len());
        let mut canonical = Vec::new();
        templates.write_canonical(&text, &mut canonical);
        let names = [
            MemberName::EventId,
            MemberName::IdempotencyKey,
            MemberName::PrevEventId,
            MemberName::Timestamp,
        ];
        let named = names.map(|name| templates.named(&text, name).map(<[u8]>::to_vec));
        Some((canonical, named))
    }

    /// What the walk finds.
    fn walked(line: &[u8]) -> Option<Walked> {
        let mut members = Vec::new();
        json::object(line, |key, value| members.push((escape::unescape(key), value))).ok()?;
        let named = ["eventId", "idempotencyKey", "prevEventId", "timestamp"].map(|name| {
            let value = members.iter().rfind(|(key, _)| **key == *name.as_bytes())?.1;
            (!matches!(value, [b'{' | b'[', ..])).then(|| value.to_vec())
        });
        Some((canonicalize(line, Form::Jcs, Some("eventId")).ok()?, named))
    }

    #[test]
    fn a_line_that_has_other_values_than_an_earlier_one_fits() {
        for (line, other) in [
            (LINES[0], LINES[0]),
            (
                LINES[0],
                r#"{"type":"A","eventId":"","timestamp":"x,\u{e9}:{","actor":{"agent":"","id":"}"},"n":0}"#,
            ),
            (
                LINES[1],
                r#"{"type":"B","tags":["","\u{1f600}"],"ok":null,"n":123456789012345,"idempotencyKey":"","none":true}"#,
            ),
            (
                LINES[3],
                r#" { "b" : [ 1 , { "d" : true , "c" : "" } ] , "a" : { } , "eventId" : "q" } "#,
            ),
        ] {
            let other = other.replace("\\u{e9}", "\u{e9}").replace("\\u{1f600}", "\u{1f600}");
            let mut templates = taught(line, &mut Vec::new());
            let matched = match_line(&mut templates, other.as_bytes());
            assert!(matched.is_some(), "{other}");
            assert_eq!(matched, walked(other.as_bytes()), "{other}");
        }
        for line in LINES.iter().filter(|line| line.len() > HEAD_BYTES) {
            let matched = match_line(&mut taught(line, &mut Vec::new()), line.as_bytes());
            assert_eq!(matched, walked(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn what_only_the_grammar_can_judge_fits_no_stencil() {
        let mut templates = taught(r#"{"type":"Abcdef","a":"x","n":1,"b":true}"#, &mut Vec::new());
        for line in [
            r#"{"type":"Abcdef","a":"\"","n":1,"b":true}"#,
            "{\"type\":\"Abcdef\",\"a\":\"\u{1}\",\"n\":1,\"b\":true}",
            r#"{"type":"Abcdef","a":"x","n":01,"b":true}"#,
            r#"{"type":"Abcdef","a":"x","n":-1,"b":true}"#,
            r#"{"type":"Abcdef","a":"x","n":1.0,"b":true}"#,
            r#"{"type":"Abcdef","a":"x","n":1e5,"b":true}"#,
            r#"{"type":"Abcdef","a":"x","n":1234567890123456,"b":true}"#,
            r#"{"type":"Abcdef","a":"x","n":,"b":true}"#,
            r#"{"type":"Abcdef","a":"x","n":1,"b":tru}"#,
            r#"{"type":"Abcdef","a":"x","n":1,"b":nul}"#,
            r#"{"type":"Abcdef","a":"x","n":1,"b":true}x"#,
            r#"{"type":"Abcdef","a":"x","n":1,"b":true"#,
            r#"{"type":"Abcdef","a":"x","m":1,"b":true}"#,
            r#"{"type":"Abcdef","a":"x","n":1,"b":true} "#,
        ] {
            assert_eq!(match_line(&mut templates, line.as_bytes()), None, "{line}");
        }
        let bytes = b"{\"type\":\"Abcdef\",\"a\":\"\xff\",\"n\":1,\"b\":true}";
        assert_eq!(match_line(&mut templates, bytes), None);
        assert!(
            match_line(&mut templates, br#"{"type":"Abcdef","a":"y","n":2,"b":null}"#).is_some()
        );
    }

    #[test]
    fn no_stencil_is_cut_from_numbers_that_are_written_anew_nor_from_too_many_values() {
        for value in ["1.5", "-1", "1e2", "1234567890123456", "[0", "x"] {
            let line = format!("{{\"n\":{value}}}");
            assert!(Template::compile(line.as_bytes()).is_none(), "{line}");
        }
        for (count, is_cut) in [(MAX_HOLES, true), (MAX_HOLES + 1, false)] {
            let line = format!("{{\"n\":[{}]}}", vec!["1"; count].join(","));
            assert_eq!(Template::compile(line.as_bytes()).is_some(), is_cut);
        }
    }

    #[test]
    fn lines_that_never_fit_are_learnt_from_ever_more_seldom() {
        let mut templates = TemplateCache::default();
        let mut compile = 0;
        for n in 0..10_000 {
            let line = format!("{{\"type\":\"Abcdef\",\"k{n}\":1}}\n");
            assert_eq!(templates.match_line(&mut Objects::new(line.as_bytes()), 0), None);
            let before = templates.entries.iter().map(|kind| kind.backoff).max();
            templates.observe_miss(line.as_bytes(), 0, line.len() - 1);
            compile += u32::from(templates.entries.iter().map(|kind| kind.backoff).max() != before);
        }
        assert!((5..20).contains(&compile), "{compile}");
    }

    proptest! {
        #![proptest_config(
            ProptestConfig { cases: 4000, failure_persistence: None, ..Default::default() }
        )]

        #[test]
        fn what_fits_is_what_the_walk_finds(
            known in proptest::sample::select(&LINES[..]),
            line in proptest::sample::select(&LINES[..]),
            changes in proptest::collection::vec(
                (any::<prop::sample::Index>(), 0..3usize, prop_oneof![
                    6 => proptest::sample::select(&b"{}[]\":,\\0123tfn ab.-e"[..]),
                    1 => any::<u8>(),
                ]), 0..3)
        ) {
            let mut templates = taught(known, &mut Vec::new());
            let mut bytes = if changes.is_empty() { line } else { known }.as_bytes().to_vec();
            for (at, what, byte) in changes {
                let at = at.index(bytes.len());
                match what {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
                if bytes.is_empty() {
                    bytes.push(byte);
                }
            }
            bytes.retain(|byte| *byte != b'\n');
            if let Some(matched) = match_line(&mut templates, &bytes) {
                prop_assert_eq!(Some(matched), walked(&bytes), "{}", bytes.escape_ascii());
            }
        }
    }
}
