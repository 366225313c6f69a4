//! What a line is by itself: the part of a check that needs nothing of the lines before.

use std::ops::Range;

use memchr::memchr;

use crate::check::seen_ids::{IdHash, IdHasher};
use crate::event;
use crate::event::timestamp::Timestamp;
use crate::json::canonical::{Canonicalizer, Form};
use crate::json::escape;
use crate::json::{Fault, Objects, Shape};
use crate::record::classify::MAX_LINE_BYTES;
use crate::record::classify::{self, Verdict};
use crate::record::template::{MemberName, TemplateCache};

/// Digits of a hash.
const HASH: usize = 64;
/// Lines are mostly longer.
const SHORT_LINE: usize = 160;

/// What a line is by itself.
pub(crate) enum LineFacts {
    Record(Record),
    Blank,
    Malformed,
    Nul,
    /// A record behind a byte order mark.
    Marked(Record),
}

/// What a record has to be compared with those before it.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) event_id: Option<IdHash>,
    pub(crate) idempotency_key: Option<IdHash>,
    pub(crate) previous: Option<IdHash>,
    pub(crate) time: Option<Timestamp>,
    /// It has a timestamp that is no point in time.
    pub(crate) is_timeless: bool,
    /// Its id looks like a hash, and is that of neither canonical form.
    pub(crate) is_mismatch: bool,
}

/// A line, without its newline, where it is in the lines that were looked at, and what it is.
pub(crate) type CheckedLine = (Range<usize>, LineFacts);

impl LineFacts {
    /// What is looked up for it.
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

/// Looks at lines, with memory that serves for one after the other.
pub(crate) struct LineChecker {
    draft: Canonicalizer,
    canonical: Vec<u8>,
    keyed: IdHasher,
    templates: TemplateCache,
}

impl LineChecker {
    pub(crate) fn new(keyed: IdHasher) -> LineChecker {
        let (draft, canonical, templates) = Default::default();
        LineChecker { draft, canonical, keyed, templates }
    }

    /// Looks at all lines of a part of `bytes`; the last one may be without its newline.
    pub(crate) fn look_at_all(&mut self, bytes: &[u8], part: Range<usize>) -> Vec<CheckedLine> {
        let text = bytes.get(part.clone()).unwrap_or_default();
        let mut objects = Objects::new(text);
        let mut looks = Vec::with_capacity(text.len() / SHORT_LINE);
        let mut start = 0;
        while start < text.len() {
            let fitted = self.templates.match_line(&mut objects, start);
            let (end, looked) = match fitted.filter(|newline| newline - start <= MAX_LINE_BYTES) {
                Some(newline) => {
                    let line = text.get(start..newline).unwrap_or_default();
                    (newline, LineFacts::Record(self.fitted_record(text, line)))
                }
                None => {
                    let rest = text.get(start..).unwrap_or_default();
                    let length = memchr(b'\n', rest).unwrap_or(rest.len());
                    let looked = self.look(rest.get(..length).unwrap_or_default());
                    if matches!(looked, LineFacts::Record(_)) {
                        self.templates.observe_miss(text, start, start + length);
                    }
                    (start + length, looked)
                }
            };
            looks.push((part.start + start..part.start + end, looked));
            start = end + 1;
        }
        looks
    }

    /// One pass over the line: it checks the grammar, finds the members, and leaves what the canonical form is written from.
    fn look(&mut self, line: &[u8]) -> LineFacts {
        let draft = &mut self.draft;
        let verdict = classify::classify_with(line, || {
            match draft.read(line, Form::Jcs, Some("eventId"))? {
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
                match self.look(classify::behind_mark(line).unwrap_or_default()) {
                    LineFacts::Record(record) => LineFacts::Marked(record),
                    _ => LineFacts::Malformed,
                }
            }
        }
    }

    fn record(&mut self, line: &[u8]) -> Record {
        let mut record = Record::default();
        let (mut id, mut time) = (None, None);
        for (key, value) in self.draft.members(line) {
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
        if let Some(id) = id.filter(|id| id.len() == HASH) {
            self.canonical.clear();
            self.draft.write(line, &mut self.canonical);
            record.is_mismatch = is_mismatch(&self.canonical, id, line);
        }
        record
    }

    /// The record of the line that fitted a template last: the same, but that no string in it is escaped.
    fn fitted_record(&mut self, text: &[u8], line: &[u8]) -> Record {
        let named = |name| self.templates.named(text, name);
        let mark = |name| Some(self.keyed.mark(text_of(named(name)?)?));
        let timestamp = named(MemberName::Timestamp);
        let time = timestamp.and_then(Timestamp::of_json);
        let mut record = Record {
            event_id: mark(MemberName::EventId),
            idempotency_key: mark(MemberName::IdempotencyKey),
            previous: mark(MemberName::PrevEventId),
            time,
            is_timeless: timestamp.is_some() && time.is_none(),
            is_mismatch: false,
        };
        let id = named(MemberName::EventId).and_then(text_of);
        if let Some(id) = id.filter(|id| id.len() == HASH) {
            self.canonical.clear();
            self.templates.write_canonical(text, &mut self.canonical);
            record.is_mismatch = is_mismatch(&self.canonical, id, line);
        }
        record
    }

    fn id_hash_of(&self, value: &[u8]) -> Option<IdHash> {
        text_of(value).map(|text| self.keyed.mark(&escape::unescape(text)))
    }
}

/// What is between the quotes of a string that is not empty.
fn text_of(value: &[u8]) -> Option<&[u8]> {
    match value {
        [b'"', inside @ .., b'"'] if !inside.is_empty() => Some(inside),
        _ => None,
    }
}

/// Whether an id of a hash's length is one, and that of neither canonical form.
fn is_mismatch(canonical: &[u8], id: &[u8], line: &[u8]) -> bool {
    // Whether it looks like a hash is asked after: a walk over random digits costs as much as the hash.
    event::hash_of(canonical) != *id
        && is_like_a_hash(id)
        && !matches!(event::verify_id(line), Ok(Some(_)))
}

/// Other ids are their givers' affair. As canonical tokens escape no digit, the raw text is enough.
fn is_like_a_hash(id: &[u8]) -> bool {
    id.len() == HASH && id.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of a few kinds, so that most of them fit a template, and what else a log may have in between.
    fn lines() -> Vec<u8> {
        let mut lines = Vec::new();
        for n in 0..400 {
            let id = match n % 7 {
                0 => "f".repeat(HASH),
                1 => "g".repeat(HASH),
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

    /// All that is told of a line.
    fn told(looked: &LineFacts) -> String {
        match looked {
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
    fn lines_looked_at_one_after_the_other_are_what_they_are_alone() {
        let lines = lines();
        let keyed = IdHasher::new();
        let mut looker = LineChecker::new(keyed);
        for end in [b"".as_slice(), b"\n"] {
            let bytes = [b"before\n", &*lines, end].concat();
            let looks = looker.look_at_all(&bytes, 7..bytes.len());
            let mut at = 7;
            for (range, looked) in &looks {
                assert_eq!(range.start, at);
                let line = &bytes[range.clone()];
                assert!(!line.contains(&b'\n'));
                assert_eq!(told(looked), told(&LineChecker::new(keyed).look(line)), "{range:?}");
                at = range.end + 1;
            }
            assert_eq!(at, bytes.len() + usize::from(end.is_empty()));
        }
        let mismatches = lines.split(|byte| *byte == b'\n').filter(
            |line| matches!(LineChecker::new(keyed).look(line), LineFacts::Record(it) if it.is_mismatch),
        );
        assert_eq!(mismatches.count(), 58);
    }
}
