//! From bytes to lines to verdicts. Only this file decides whether the bytes of a line are a
//! record, blank or malformed, and whether those of a tail are torn.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

use crate::json::escape;
use crate::json::{self, BYTE_ORDER_MARK, Fault, Objects, Shape, Visitor};
use crate::record::template::{MemberName, TemplateCache};

/// The longest line of a log, in bytes without its newline.
pub const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// What a complete line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// One JSON object.
    Record(RecordIds<'a>),
    /// Nothing but spaces, tabs and `\r`.
    Blank,
    /// Anything else, and every line longer than [`MAX_LINE_BYTES`].
    Malformed,
    /// No record, and a 0x00 byte is in the line.
    Nul,
    /// A byte order mark (U+FEFF) and one JSON object behind it. Readers take it for no record, but
    /// its ids count.
    Marked(RecordIds<'a>),
}

/// The ids of a record: its top-level strings of these names, as WTF-8. An empty string or another
/// type counts as none; of equal keys the last counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordIds<'a> {
    /// `eventId`.
    pub event_id: Option<Cow<'a, [u8]>>,
    /// `idempotencyKey`.
    pub idempotency_key: Option<Cow<'a, [u8]>>,
}

/// The bytes behind the last newline of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail<'a> {
    /// Nothing, or only spaces, tabs and `\r`.
    Clean,
    /// One whole JSON object. It is a record, because no object is the beginning of another one.
    Record(RecordIds<'a>),
    /// The beginning of a record that was never finished, or what a crash left in its place.
    Torn {
        /// Whether a 0x00 byte is in it.
        nul: bool,
    },
}

/// Classifies one complete line, given without its newline.
pub fn classify(line: &[u8]) -> Verdict<'_> {
    let mut finder = Finder::new(line);
    let read = || match json::parse(line, &mut finder)? {
        Shape::Object => Ok(()),
        Shape::Array | Shape::Scalar => Err(Fault::NotAnObject),
    };
    match classify_with(line, read) {
        Verdict::Record(_) => Verdict::Record(finder.ids),
        other => other,
    }
}

/// Classifies as [`classify`] does, and passes the raw top-level members to `member`.
pub(crate) fn classify_members<'a>(
    line: &'a [u8],
    member: impl FnMut(&'a [u8], &'a [u8]),
) -> Verdict<'a> {
    classify_with(line, || json::object(line, member))
}

/// Classifies as [`classify`] does. `read` decides whether the line is one object and may collect
/// what it needs.
pub(crate) fn classify_with(line: &[u8], read: impl FnOnce() -> Result<(), Fault>) -> Verdict<'_> {
    if line.len() > MAX_LINE_BYTES {
        return Verdict::Malformed;
    }
    match read() {
        Ok(()) => Verdict::Record(RecordIds::default()),
        Err(Fault::Empty) => Verdict::Blank,
        Err(_) if memchr(0, line).is_some() => Verdict::Nul,
        Err(_) => match behind_mark(line).map(classify) {
            Some(Verdict::Record(keys)) => Verdict::Marked(keys),
            _ => Verdict::Malformed,
        },
    }
}

/// The bytes behind the byte order mark that a line begins with.
pub(crate) fn behind_mark(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(BYTE_ORDER_MARK)
}

/// Classifies the bytes behind the last newline of a file.
pub fn classify_tail(tail: &[u8]) -> Tail<'_> {
    match classify(tail) {
        Verdict::Record(keys) => Tail::Record(keys),
        Verdict::Blank => Tail::Clean,
        Verdict::Malformed | Verdict::Nul | Verdict::Marked(_) => {
            Tail::Torn { nul: memchr(0, tail).is_some() }
        }
    }
}

/// Splits `bytes`, which begin where a line begins, into complete lines. Calls `line` with the
/// start of each and its bytes without the newline.
///
/// Returns the length of all complete lines. The bytes behind the last newline are no complete line
/// yet.
pub fn complete_lines<'a>(bytes: &'a [u8], mut line: impl FnMut(usize, &'a [u8])) -> usize {
    let mut start = 0;
    for newline in memchr_iter(b'\n', bytes) {
        line(start, bytes.get(start..newline).unwrap_or_default());
        start = newline + 1;
    }
    start
}

/// Splits and classifies lines in one pass. Calls `line` with the start of each and its verdict.
///
/// For many lines `templates` save most of the work.
pub(crate) fn classify_lines<'a>(
    bytes: &'a [u8],
    mut templates: Option<&mut TemplateCache>,
    mut line: impl FnMut(usize, Verdict<'a>),
) -> usize {
    let mut objects = Objects::new(bytes);
    let fits = |start| move |newline: &usize| newline - start <= MAX_LINE_BYTES;
    let mut start = 0;
    loop {
        if let Some(templates) = &mut templates
            && let Some(newline) = templates.match_line(&mut objects, start).filter(fits(start))
        {
            let named = |name| match templates.last_match(bytes).and_then(|last| last.member(name))
            {
                Some([b'"', inside @ .., b'"']) if !inside.is_empty() => Some(inside.into()),
                _ => None,
            };
            let [event_id, idempotency_key] =
                [named(MemberName::EventId), named(MemberName::IdempotencyKey)];
            line(start, Verdict::Record(RecordIds { event_id, idempotency_key }));
            start = newline + 1;
            continue;
        }
        let mut finder = Finder::new(bytes);
        match objects.line(start, &mut finder).filter(fits(start)) {
            Some(newline) => {
                line(start, Verdict::Record(finder.ids));
                if let Some(templates) = &mut templates {
                    templates.observe_miss(bytes, start, newline);
                }
                start = newline + 1;
            }
            None => {
                let rest = bytes.get(start..).unwrap_or_default();
                let Some(length) = memchr(b'\n', rest) else { return start };
                line(start, classify(rest.get(..length).unwrap_or_default()));
                start += length + 1;
            }
        }
    }
}

/// Finds the ids of a record.
struct Finder<'a> {
    text: &'a [u8],
    depth: usize,
    /// The name of the value that comes next, if it is one of the ids.
    member: Option<MemberName>,
    ids: RecordIds<'a>,
}

impl<'a> Finder<'a> {
    fn new(text: &'a [u8]) -> Self {
        Finder { text, depth: 0, member: None, ids: RecordIds::default() }
    }

    #[inline]
    fn note(&mut self, name: MemberName, value: Option<Cow<'a, [u8]>>) {
        match name {
            MemberName::EventId => self.ids.event_id = value,
            MemberName::IdempotencyKey => self.ids.idempotency_key = value,
            MemberName::PrevEventId | MemberName::Timestamp => {}
        }
    }

    /// The text between two quotes.
    #[inline]
    fn inside(&self, from: usize, to: usize, plain: bool) -> Cow<'a, [u8]> {
        let raw = self.text.get(from + 1..to - 1).unwrap_or_default();
        if plain { Cow::Borrowed(raw) } else { escape::unescape(raw) }
    }
}

impl Visitor for Finder<'_> {
    #[inline]
    fn key(&mut self, from: usize, to: usize, plain: bool) {
        if self.depth != 1 {
            return;
        }
        const LENGTHS: [usize; 2] = ["'eventId'".len(), "'idempotencyKey'".len()];
        if plain && !LENGTHS.contains(&(to - from)) {
            self.member = None;
            return;
        }
        self.member = match &*self.inside(from, to, plain) {
            b"eventId" => Some(MemberName::EventId),
            b"idempotencyKey" => Some(MemberName::IdempotencyKey),
            _ => None,
        };
        if let Some(name) = self.member {
            self.note(name, None);
        }
    }

    #[inline]
    fn string(&mut self, from: usize, to: usize, plain: bool) {
        if let Some(name) = self.member
            && self.depth == 1
            && to - from > 2
        {
            self.note(name, Some(self.inside(from, to, plain)));
        }
    }

    #[inline]
    fn open(&mut self, _at: usize, _shape: Shape) {
        self.depth += 1;
    }

    #[inline]
    fn close(&mut self, _at: usize, _shape: Shape) {
        self.depth -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys<'a>(event_id: Option<&'a str>, idempotency_key: Option<&'a str>) -> RecordIds<'a> {
        RecordIds {
            event_id: event_id.map(|id| id.as_bytes().into()),
            idempotency_key: idempotency_key.map(|key| key.as_bytes().into()),
        }
    }

    #[test]
    fn a_line_is_a_record_if_it_is_one_json_object() {
        for line in [
            &b"{}"[..],
            b" {\"a\":1}\r",
            b"\t{ }",
            b"{\"persona\":\"x\",\"timestamp\":1700000000000}",
            b"{\"a\":1e400}",
            b"{\"a\":\"\xe2\x80\xa8\xc2\x85\"}",
            b"{\"a\":\"\\ud800\\u0000\"}",
        ] {
            assert_eq!(
                classify(line),
                Verdict::Record(RecordIds::default()),
                "{}",
                line.escape_ascii()
            );
        }
    }

    #[test]
    fn a_line_that_is_no_object_is_blank_malformed_or_nul() {
        for line in [&b""[..], b" ", b"\t \r", b"\r"] {
            assert_eq!(classify(line), Verdict::Blank, "{}", line.escape_ascii());
        }
        for line in [
            &b"{"[..],
            b"{\"a\":1",
            b"5",
            b"null",
            b"[]",
            b"{}{}",
            b"{\"a\":1}{\"b\":2}",
            b"\xef\xbb\xbf\xef\xbb\xbf{}",
            b"\xef\xbb\xbf[]",
            b"{}\xef\xbb\xbf",
            b"{\"a\":\"\xff\"}",
            b"\x0b",
            b"\xc2\xa0",
        ] {
            assert_eq!(classify(line), Verdict::Malformed, "{}", line.escape_ascii());
        }
        for line in [&b"\0"[..], b"\0\0{}", b"{}\0", b"{\"a\":\"\0\"}", b" \0"] {
            assert_eq!(classify(line), Verdict::Nul, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn an_object_behind_a_byte_order_mark_is_no_record_but_has_its_keys() {
        let line = "\u{feff}{\"eventId\":\"a\",\"idempotencyKey\":\"b\"}\r";
        let marked = Verdict::Marked(keys(Some("a"), Some("b")));
        assert_eq!(classify(line.as_bytes()), marked);
        let mut found = Vec::new();
        let lines = format!("{line}\n{{}}\n");
        classify_lines(lines.as_bytes(), None, |start, verdict| found.push((start, verdict)));
        let second = (line.len() + 1, Verdict::Record(RecordIds::default()));
        assert_eq!(found, [(0, marked), second]);
        assert_eq!(classify_tail(line.as_bytes()), Tail::Torn { nul: false });
    }

    #[test]
    fn keys_are_the_last_top_level_strings_of_their_names() {
        for (line, expected) in [
            (r#"{"eventId":"a","idempotencyKey":"b"}"#, keys(Some("a"), Some("b"))),
            (r#"{"x":{"eventId":"a"},"idempotencyKeys":"b"}"#, keys(None, None)),
            (r#"{"eventId":5,"idempotencyKey":null}"#, keys(None, None)),
            (r#"{"eventId":["a"],"idempotencyKey":{"a":"b"}}"#, keys(None, None)),
            (r#"{"eventId":"","idempotencyKey":""}"#, keys(None, None)),
            (r#"{"eventId":"a","eventId":"b"}"#, keys(Some("b"), None)),
            (r#"{"eventId":"a","eventId":5}"#, keys(None, None)),
            (r#"{"eventId":"a","event\u0049d":""}"#, keys(None, None)),
            (r#"{"\u0065ventId":"\u0061\n","a\n":"x"}"#, keys(Some("a\n"), None)),
            (r#"{"eventId" : "\"" , "idempotencyKey" : " " }"#, keys(Some("\""), Some(" "))),
        ] {
            assert_eq!(classify(line.as_bytes()), Verdict::Record(expected), "{line}");
        }
        let lone = RecordIds { event_id: Some(b"\xed\xa0\x80"[..].into()), idempotency_key: None };
        assert_eq!(classify(br#"{"eventId":"\ud800"}"#), Verdict::Record(lone));
    }

    #[test]
    fn a_line_longer_than_the_limit_is_malformed() {
        let mut line = b"{\"eventId\":\"a\",\"b\":\"".to_vec();
        line.resize(MAX_LINE_BYTES - 2, b'x');
        line.extend_from_slice(b"\"}");
        assert_eq!(classify(&line), Verdict::Record(keys(Some("a"), None)));
        assert_eq!(classify_tail(&line), Tail::Record(keys(Some("a"), None)));
        line.push(b' ');
        assert_eq!(classify(&line), Verdict::Malformed);
        assert_eq!(classify_tail(&line), Tail::Torn { nul: false });
        line.fill(b' ');
        assert_eq!(classify(&line), Verdict::Malformed);
    }

    #[test]
    fn a_tail_is_a_record_only_when_the_whole_object_is_there() {
        let whole = "{\"type\":\"\u{1f600}\",\"eventId\":\"a}\",\"b\":[{}]}".as_bytes();
        assert_eq!(classify_tail(whole), Tail::Record(keys(Some("a}"), None)));
        assert_eq!(classify_tail(b""), Tail::Clean);
        assert_eq!(classify_tail(b" \t\r"), Tail::Clean);
        for cut in 1..whole.len() {
            assert_eq!(classify_tail(&whole[..cut]), Tail::Torn { nul: false }, "cut at {cut}");
            let padded = [&whole[..cut], b"\0\0"].concat();
            assert_eq!(classify_tail(&padded), Tail::Torn { nul: true }, "cut at {cut}");
        }
        assert_eq!(classify_tail(&[whole, b"\0"].concat()), Tail::Torn { nul: true });
        assert_eq!(classify_tail(&[whole, whole].concat()), Tail::Torn { nul: false });
    }

    #[test]
    fn lines_are_split_at_0x0a_alone() {
        let bytes = b"\n{}\r\n\x85\xe2\x80\xa8\x0b\x0c\n\n{\"a\"";
        let mut lines = Vec::new();
        let consumed = complete_lines(bytes, |start, line| lines.push((start, line)));
        let expected: [(usize, &[u8]); 4] =
            [(0, b""), (1, b"{}\r"), (5, b"\x85\xe2\x80\xa8\x0b\x0c"), (12, b"")];
        assert_eq!(lines, expected);
        assert_eq!(&bytes[consumed..], b"{\"a\"");
    }

    fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
        let likely = proptest::sample::select(&b"{}[]\":,\\ueventId019.- \n\r\t\0\xe2\x80\xa8"[..]);
        proptest::collection::vec(prop_oneof![4 => likely, 1 => any::<u8>()], 0..200)
    }

    /// Lines like those of a log, and some broken ones.
    fn likely_lines() -> impl Strategy<Value = Vec<u8>> {
        const LINES: [&[u8]; 14] = [
            br#"{"type":"X","eventId":"a","n":[1,{"eventId":"b"}]}"#,
            br#"{"idempotencyKey":"\u0061\"","eventId":7,"event\u0049d":"c"}"#,
            "{\"eventId\":\"\u{e9}\u{1f600}\",\"x\":\"\u{2028}\"}".as_bytes(),
            b" { \"eventId\" : \"a\" } \r",
            b"{\"eventId\":\"a\xff\"}",
            b"{\"eventId\":\"a\",",
            b"\"b\":1}",
            b"{\"eventId\":\"a\",\n\"b\":1}",
            b"{}{}",
            b"[{}]",
            b"{\"a\":\"\0\"}",
            b"\0\0",
            b" ",
            b"",
        ];
        let line = proptest::sample::select(&LINES[..]);
        let long = (0..3000usize).prop_map(|n| format!("{{\"eventId\":\"{}\"}}", "x".repeat(n)));
        let cut = (line.clone(), 0..60usize)
            .prop_map(|(line, at)| line.get(..at).unwrap_or(line).to_vec());
        let line = prop_oneof![
            6 => line.prop_map(<[u8]>::to_vec),
            1 => cut,
            1 => long.prop_map(String::into_bytes),
            1 => likely_bytes(),
        ];
        proptest::collection::vec(line, 0..12).prop_map(|lines| lines.join(&b'\n'))
    }

    proptest! {
        #![proptest_config(
            ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() }
        )]

        #[test]
        fn any_bytes_get_a_verdict(bytes in likely_bytes()) {
            let blank = bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
            let nul = bytes.contains(&0);
            match classify(&bytes) {
                Verdict::Record(_) => {
                    let text = std::str::from_utf8(&bytes).unwrap();
                    prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
                    prop_assert!(!nul);
                }
                Verdict::Blank => prop_assert!(blank),
                Verdict::Nul => prop_assert!(nul),
                Verdict::Malformed | Verdict::Marked(_) => prop_assert!(!nul && !blank),
            }
            match classify_tail(&bytes) {
                Tail::Record(keys) => prop_assert_eq!(classify(&bytes), Verdict::Record(keys)),
                Tail::Clean => prop_assert!(blank),
                Tail::Torn { nul: told } => prop_assert_eq!(told, nul),
            }
        }

        #[test]
        fn lines_judged_in_one_walk_get_the_verdicts_they_get_alone(bytes in likely_lines()) {
            let mut alone = Vec::new();
            let end = complete_lines(&bytes, |start, line| alone.push((start, classify(line))));
            let mut known = TemplateCache::default();
            for round in 0..4 {
                let templates = (round > 0).then_some(&mut known);
                let mut together = Vec::new();
                let judged = classify_lines(&bytes, templates, |start, it| together.push((start, it)));
                prop_assert_eq!(judged, end);
                prop_assert_eq!(&together, &alone);
            }
        }

        #[test]
        fn the_lines_and_the_rest_are_exactly_the_bytes(bytes in likely_bytes()) {
            let mut rebuilt = Vec::new();
            let mut starts_fit = true;
            let consumed = complete_lines(&bytes, |start, line| {
                starts_fit &= start == rebuilt.len() && !line.contains(&b'\n');
                rebuilt.extend_from_slice(line);
                rebuilt.push(b'\n');
            });
            prop_assert!(starts_fit);
            prop_assert_eq!(consumed, rebuilt.len());
            prop_assert!(!bytes[consumed..].contains(&b'\n'));
            rebuilt.extend_from_slice(&bytes[consumed..]);
            prop_assert_eq!(rebuilt, bytes);
        }
    }
}
