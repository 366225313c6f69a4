//! The check of one line: everything that does not depend on the lines before.

use std::ops::Range;

use memchr::memchr;

use crate::check::seen_ids::{IdHash, IdHasher};
use crate::event;
use crate::event::timestamp::Timestamp;
use crate::json::canonical::Form;
use crate::json::escape;
use crate::json::{Canonicalizer, Fault, Objects, Shape};
use crate::record::classify::MAX_LINE_BYTES;
use crate::record::classify::{self, Verdict};
use crate::record::template::{MemberName, TemplateCache};

/// Digits of a hash.
const HASH_DIGITS: usize = 64;
/// Most lines are longer.
const SHORT_LINE_BYTES: usize = 160;

/// The facts of one line.
pub(crate) enum LineFacts {
    Record(Record),
    Blank,
    Malformed,
    Nul,
    /// A record behind a byte order id_hash.
    Marked(Record),
}

/// The facts that are compared with earlier records.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) event_id: Option<IdHash>,
    pub(crate) idempotency_key: Option<IdHash>,
    pub(crate) previous: Option<IdHash>,
    pub(crate) time: Option<Timestamp>,
    /// The timestamp is no point in time.
    pub(crate) is_timeless: bool,
    /// The id checked like a hash, but is the hash of neither canonical form.
    pub(crate) is_mismatch: bool,
}

/// A line without its newline: its range in the checked bytes, and its facts.
pub(crate) type CheckedLine = (Range<usize>, LineFacts);

impl LineFacts {
    /// Hashes that are facts up for the line.
    pub(crate) fn id_hashes(&self) -> impl Iterator<Item = IdHash> {
        let id_hashes = match self {
            LineFacts::Record(record) | LineFacts::Marked(record) => {
                [record.event_id, record.idempotency_key, record.previous]
            }
            LineFacts::Blank | LineFacts::Malformed | LineFacts::Nul => [None; 3],
        };
        id_hashes.into_iter().flatten()
    }
}

/// Checks lines, with buffers that are used for all of them.
pub(crate) struct LineChecker {
    canonicalizer: Canonicalizer,
    canonical: Vec<u8>,
    hasher: IdHasher,
    templates: TemplateCache,
}

impl LineChecker {
    pub(crate) fn new(hasher: IdHasher) -> LineChecker {
        let (canonicalizer, canonical, templates) = Default::default();
        LineChecker { canonicalizer, canonical, hasher, templates }
    }

    /// Checks all lines of a part of `bytes`. The last line may lack its newline.
    pub(crate) fn check_lines(&mut self, bytes: &[u8], part: Range<usize>) -> Vec<CheckedLine> {
        let text = bytes.get(part.clone()).unwrap_or_default();
        let mut objects = Objects::new(text);
        let mut checked = Vec::with_capacity(text.len() / SHORT_LINE_BYTES);
        let mut start = 0;
        while start < text.len() {
            let matched = self.templates.match_line(&mut objects, start);
            let (end, facts) = match matched.filter(|newline| newline - start <= MAX_LINE_BYTES) {
                Some(newline) => {
                    let line = text.get(start..newline).unwrap_or_default();
                    (newline, LineFacts::Record(self.matched_record(text, line)))
                }
                None => {
                    let rest = text.get(start..).unwrap_or_default();
                    let length = memchr(b'\n', rest).unwrap_or(rest.len());
                    let facts = self.check_line(rest.get(..length).unwrap_or_default());
                    if matches!(facts, LineFacts::Record(_)) {
                        self.templates.observe_miss(text, start, start + length);
                    }
                    (start + length, facts)
                }
            };
            checked.push((part.start + start..part.start + end, facts));
            start = end + 1;
        }
        checked
    }

    /// One pass over the line checks the grammar, finds the members and prepares the canonical
    /// form.
    fn check_line(&mut self, line: &[u8]) -> LineFacts {
        let canonicalizer = &mut self.canonicalizer;
        let verdict = classify::classify_with(line, || {
            match canonicalizer.parse(line, Form::Jcs, Some("eventId"))? {
                Shape::Object => Ok(()),
                Shape::Array | Shape::Scalar => Err(Fault::NotAnObject),
            }
        });
        match verdict {
            Verdict::Record(_) => LineFacts::Record(self.record(line)),
            Verdict::Blank => LineFacts::Blank,
            Verdict::Malformed => LineFacts::Malformed,
            Verdict::Nul => LineFacts::Nul,
            Verdict::Marked(_) => {
                match self.check_line(classify::behind_mark(line).unwrap_or_default()) {
                    LineFacts::Record(record) => LineFacts::Marked(record),
                    _ => LineFacts::Malformed,
                }
            }
        }
    }

    fn record(&mut self, line: &[u8]) -> Record {
        let mut record = Record::default();
        let (mut id, mut time) = (None, None);
        for (key, value) in self.canonicalizer.members(line) {
            match key {
                b"eventId" => {
                    id = text_of(value);
                    record.event_id = self.id_hash_of(value);
                }
                b"idempotencyKey" => record.idempotency_key = self.id_hash_of(value),
                b"prevEventId" => record.previous = self.id_hash_of(value),
                b"timestamp" => time = Some(value),
                _ => {}
            }
        }
        record.time = time.and_then(Timestamp::of_json);
        record.is_timeless = time.is_some() && record.time.is_none();
        if let Some(id) = id.filter(|id| id.len() == HASH_DIGITS) {
            self.canonical.clear();
            self.canonicalizer.write(line, &mut self.canonical);
            record.is_mismatch = is_mismatch(&self.canonical, id, line);
        }
        record
    }

    /// The record of the line that the template just matched. No string in such a line is escaped.
    fn matched_record(&mut self, text: &[u8], line: &[u8]) -> Record {
        let last = self.templates.last_match(text);
        let named = |name| last.as_ref()?.member(name);
        let id_hash = |name| Some(self.hasher.hash(text_of(named(name)?)?));
        let timestamp = named(MemberName::Timestamp);
        let time = timestamp.and_then(Timestamp::of_json);
        let mut record = Record {
            event_id: id_hash(MemberName::EventId),
            idempotency_key: id_hash(MemberName::IdempotencyKey),
            previous: id_hash(MemberName::PrevEventId),
            time,
            is_timeless: timestamp.is_some() && time.is_none(),
            is_mismatch: false,
        };
        let id = named(MemberName::EventId).and_then(text_of);
        if let Some(id) = id.filter(|id| id.len() == HASH_DIGITS) {
            self.canonical.clear();
            if let Some(last) = &last {
                last.write_canonical(&mut self.canonical);
            }
            record.is_mismatch = is_mismatch(&self.canonical, id, line);
        }
        record
    }

    fn id_hash_of(&self, value: &[u8]) -> Option<IdHash> {
        text_of(value).map(|text| self.hasher.hash(&escape::unescape(text)))
    }
}

/// The content of a string that is not empty.
fn text_of(value: &[u8]) -> Option<&[u8]> {
    match value {
        [b'"', inside @ .., b'"'] if !inside.is_empty() => Some(inside),
        _ => None,
    }
}

/// Whether an id of a hash's length is a hash, but of neither canonical form.
fn is_mismatch(canonical: &[u8], id: &[u8], line: &[u8]) -> bool {
    // The digits are checked second, because that costs as much as the hash.
    event::hash_of(canonical) != *id
        && is_like_a_hash(id)
        && !matches!(event::verify_id(line), Ok(Some(_)))
}

/// Ids of another form are free. Canonical tokens escape no digit, so the raw text is enough.
fn is_like_a_hash(id: &[u8]) -> bool {
    id.len() == HASH_DIGITS && id.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of a few types, most of which match a template, and exceptions between them.
    fn lines() -> Vec<u8> {
        let mut lines = Vec::new();
        for n in 0..400 {
            let id = match n % 7 {
                0 => "f".repeat(HASH_DIGITS),
                1 => "g".repeat(HASH_DIGITS),
                2 => format!("own-{n}"),
                3 => String::new(),
                _ => "?".into(),
            };
            let body = match n % 5 {
                0 => format!(r#""n":{n},"actor":{{"id":"b","agent":"a-{n}"}}"#),
                1 => format!(r#""timestamp":"2026-01-01T00:00:0{}Z","z":[{n},true]"#, n % 10),
                2 => format!(r#""timestamp":{n},"prevEventId":"own-{n}","{}":"{n}""#, '\u{e9}'),
                3 => format!(r#""timestamp":"no time","idempotencyKey":"{n}","n":{n}.5"#),
                _ => format!(r#""10":"{n}","9":"x","text":"a\"{n}""#),
            };
            let event =
                |id: &str| format!(r#"{{"type":"KIND_{}","eventId":"{id}",{body}}}"#, n % 5);
            let computed = event::compute_id(event("").as_bytes()).unwrap();
            let computed = String::from_utf8(computed.to_vec()).unwrap();
            lines.push(event(if id == "?" { &computed } else { &id }).into_bytes());
            lines.extend(match n % 41 {
                5 => Some(b" \r".to_vec()),
                6 => Some(b"{\"type\":\"KIND_0\",\"eventId\":".to_vec()),
                7 => Some(b"\0".to_vec()),
                _ => None,
            });
        }
        lines.join(&b'\n')
    }

    /// All facts of a line as a text.
    fn described(facts: &LineFacts) -> String {
        match facts {
            LineFacts::Record(record) | LineFacts::Marked(record) => {
                let Record { event_id, idempotency_key, previous, time, .. } = record;
                let flags = (record.is_timeless, record.is_mismatch);
                format!("{event_id:?} {idempotency_key:?} {previous:?} {time:?} {flags:?}")
            }
            LineFacts::Blank => "blank".into(),
            LineFacts::Malformed => "malformed".into(),
            LineFacts::Nul => "nul".into(),
        }
    }

    #[test]
    fn lines_checked_one_after_the_other_are_what_they_are_alone() {
        let lines = lines();
        let hasher = IdHasher::new();
        let mut checker = LineChecker::new(hasher);
        for end in [b"".as_slice(), b"\n"] {
            let bytes = [b"before\n", &*lines, end].concat();
            let checked = checker.check_lines(&bytes, 7..bytes.len());
            let mut at = 7;
            for (range, facts) in &checked {
                assert_eq!(range.start, at);
                let line = &bytes[range.clone()];
                assert!(!line.contains(&b'\n'));
                assert_eq!(
                    described(facts),
                    described(&LineChecker::new(hasher).check_line(line)),
                    "{range:?}"
                );
                at = range.end + 1;
            }
            assert_eq!(at, bytes.len() + usize::from(end.is_empty()));
        }
        let mismatches = lines.split(|byte| *byte == b'\n').filter(
            |line| matches!(LineChecker::new(hasher).check_line(line), LineFacts::Record(it) if it.is_mismatch),
        );
        assert_eq!(mismatches.count(), 58);
    }
}
