//! Recognises lines that differ from an earlier record only in their values.
//!
//! Events of one type mostly have the same members in the same order. A template keeps the bytes
//! between the values of a record as literals, with a hole for each value:
//!
//! ```text
//! line       {"type":"BUILD","eventId":"0a","n":17}
//! template   {"type":"□","eventId":"□","n":□}  holes: string 0, string 1, integer 2
//! canonical  {"n":□,"type":"□"}                copies holes 2 and 0, without the eventId
//! ```
//!
//! A line with the same literals, and with values of the same kinds, is a record. The grammar is
//! not needed, and the canonical form has its members in the order of the template.
//!
//! Strings with escapes, numbers in other forms and all other lines do not match. The grammar
//! decides about these.
//! So a template changes the time of a verdict, never the verdict.
//!
//! A scan of 1,000,000 records takes 0.19 s of both processors instead of 0.35 s without templates,
//! a verification 0.6 s instead of 1.6 s.
//!
//! The cache has three methods. [`TemplateCache::match_line`] tries a line,
//! [`TemplateCache::last_match`] gives its members and its canonical form, and
//! [`TemplateCache::observe_miss`] learns from a record that did not match.

mod values;
mod compiled;

use std::ops::Range;

use crate::json::Objects;
use crate::record::template::compiled::Template;

pub(crate) use compiled::LastMatch;
pub(crate) use values::MemberName;

/// The templates of the records seen last, by the first bytes of a line.
#[derive(Default)]
pub(crate) struct TemplateCache {
    entries: Vec<CacheEntry>,
    /// The values of the line that was matched last, without the quotes of strings.
    values: Vec<Range<usize>>,
    matched: usize,
}

/// What is known of lines that begin with the same bytes.
#[derive(Clone, Default)]
struct CacheEntry {
    /// Records that did not match since a template was compiled.
    misses: u32,
    /// The misses after which a template is compiled again. Compiling takes as long as parsing a
    /// dozen lines.
    backoff: u32,
    template: Option<Template>,
}

const MAX_ENTRIES: usize = 32;
const HEAD_BYTES: usize = 16;
/// Misses before the first template is compiled.
const FIRST_BACKOFF: u32 = 4;

impl TemplateCache {
    /// Returns the offset of the newline of the line that begins at `from`, if the line matches a
    /// template. Such a line is a record.
    #[inline]
    pub(crate) fn match_line(&mut self, lines: &mut Objects<'_>, from: usize) -> Option<usize> {
        let number = entry_of(lines.text(), from)?;
        let template = self.entries.get(number)?.template.as_ref()?;
        self.values.clear();
        let newline = template.match_line(lines, from, &mut self.values)?;
        self.matched = number;
        Some(newline)
    }

    /// Learns from a record that did not match; `to` is the offset of its newline.
    pub(crate) fn observe_miss(&mut self, text: &[u8], from: usize, to: usize) {
        let Some(number) = entry_of(text, from) else { return };
        self.entries.resize(MAX_ENTRIES, CacheEntry::default());
        let Some(entry) = self.entries.get_mut(number) else { return };
        entry.misses += 1;
        if entry.misses > entry.backoff.max(FIRST_BACKOFF) {
            entry.misses = 0;
            entry.backoff = entry.backoff.max(FIRST_BACKOFF).saturating_mul(2);
            entry.template = text.get(from..to).and_then(Template::compile);
        }
    }

    /// The line that was matched last. `text` must be the text of that match.
    #[inline]
    pub(crate) fn last_match<'a, 't>(&'a self, text: &'t [u8]) -> Option<LastMatch<'a, 't>> {
        let template = self.entries.get(self.matched)?.template.as_ref()?;
        Some(LastMatch { text, template, values: &self.values })
    }
}

/// The entry of a line. Records of one type mostly begin with the same bytes.
#[inline]
fn entry_of(text: &[u8], from: usize) -> Option<usize> {
    let head: &[u8; HEAD_BYTES] = text.get(from..)?.first_chunk()?;
    let head = u128::from_le_bytes(*head);
    let mixed = (head as u64 ^ (head >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Some((mixed >> (u64::BITS - MAX_ENTRIES.ilog2())) as usize)
}

#[cfg(test)]
mod tests {
    use super::compiled::MAX_HOLES;
    use super::*;
    use crate::json::canonical::{Form, canonicalize};
    use crate::json::{self, escape};
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
    type Parsed = (Vec<u8>, [Option<Vec<u8>>; 4]);

    /// A cache that knows `line`. The line is in `text`, as the last one.
    fn cache_with(line: &str, text: &mut Vec<u8>) -> TemplateCache {
        let mut templates = TemplateCache::default();
        for _ in 0..=FIRST_BACKOFF {
            let from = text.len();
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
            templates.observe_miss(text, from, text.len() - 1);
        }
        templates
    }

    /// Matches a line; enough bytes follow to compare whole words.
    fn match_line(templates: &mut TemplateCache, line: &[u8]) -> Option<Parsed> {
        let text = [line, b"\n", &[b' '; 64]].concat();
        let newline = templates.match_line(&mut Objects::new(&text), 0)?;
        assert_eq!(newline, line.len());
        let mut canonical = Vec::new();
        let last = templates.last_match(&text)?;
        last.write_canonical(&mut canonical);
        let names = [
            MemberName::EventId,
            MemberName::IdempotencyKey,
            MemberName::PrevEventId,
            MemberName::Timestamp,
        ];
        let named = names.map(|name| last.member(name).map(<[u8]>::to_vec));
        Some((canonical, named))
    }

    /// The result of the grammar.
    fn parsed(line: &[u8]) -> Option<Parsed> {
        let mut members = Vec::new();
        json::object(line, |key, value| members.push((escape::unescape(key), value))).ok()?;
        let named = ["eventId", "idempotencyKey", "prevEventId", "timestamp"].map(|name| {
            let value = members.iter().rfind(|(key, _)| **key == *name.as_bytes())?.1;
            (!matches!(value, [b'{' | b'[', ..])).then(|| value.to_vec())
        });
        Some((canonicalize(line, Form::Jcs, Some("eventId")).ok()?, named))
    }

    #[test]
    fn a_line_with_other_values_than_an_earlier_one_matches() {
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
            let mut templates = cache_with(line, &mut Vec::new());
            let matched = match_line(&mut templates, other.as_bytes());
            assert!(matched.is_some(), "{other}");
            assert_eq!(matched, parsed(other.as_bytes()), "{other}");
        }
        for line in LINES.iter().filter(|line| line.len() > HEAD_BYTES) {
            let matched = match_line(&mut cache_with(line, &mut Vec::new()), line.as_bytes());
            assert_eq!(matched, parsed(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn what_only_the_grammar_can_check_matches_no_template() {
        let mut templates =
            cache_with(r#"{"type":"Abcdef","a":"x","n":1,"b":true}"#, &mut Vec::new());
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
    fn no_template_is_compiled_from_numbers_of_another_form_nor_from_too_many_values() {
        for value in ["1.5", "-1", "1e2", "1234567890123456", "[0", "x"] {
            let line = format!("{{\"n\":{value}}}");
            assert!(Template::compile(line.as_bytes()).is_none(), "{line}");
        }
        for (count, is_compiled) in [(MAX_HOLES, true), (MAX_HOLES + 1, false)] {
            let line = format!("{{\"n\":[{}]}}", vec!["1"; count].join(","));
            assert_eq!(Template::compile(line.as_bytes()).is_some(), is_compiled);
        }
    }

    #[test]
    fn lines_that_never_match_are_compiled_ever_more_rarely() {
        let mut templates = TemplateCache::default();
        let mut compiled = 0;
        for n in 0..10_000 {
            let line = format!("{{\"type\":\"Abcdef\",\"k{n}\":1}}\n");
            assert_eq!(templates.match_line(&mut Objects::new(line.as_bytes()), 0), None);
            let before = templates.entries.iter().map(|entry| entry.backoff).max();
            templates.observe_miss(line.as_bytes(), 0, line.len() - 1);
            compiled +=
                u32::from(templates.entries.iter().map(|entry| entry.backoff).max() != before);
        }
        assert!((5..20).contains(&compiled), "{compiled}");
    }

    proptest! {
        #![proptest_config(
            ProptestConfig { cases: 4000, failure_persistence: None, ..Default::default() }
        )]

        #[test]
        fn what_matches_is_what_the_grammar_finds(
            known in proptest::sample::select(&LINES[..]),
            line in proptest::sample::select(&LINES[..]),
            changes in proptest::collection::vec(
                (any::<prop::sample::Index>(), 0..3usize, prop_oneof![
                    6 => proptest::sample::select(&b"{}[]\":,\\0123tfn ab.-e"[..]),
                    1 => any::<u8>(),
                ]), 0..3)
        ) {
            let mut templates = cache_with(known, &mut Vec::new());
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
                prop_assert_eq!(Some(matched), parsed(&bytes), "{}", bytes.escape_ascii());
            }
        }
    }
}
