//! What a line is by itself: the part of a check that needs nothing of the lines before.

use std::ops::Range;

use memchr::memchr;

use crate::check::seen_ids::{Keyed, Mark};
use crate::event;
use crate::event::timestamp::Instant;
use crate::json::canonical::{Draft, Form};
use crate::json::escape;
use crate::json::{Fault, Objects, Shape};
use crate::record::classify::MAX_LINE;
use crate::record::classify::{self, Verdict};
use crate::record::template::{Name, Stencils};

/// Digits of a hash.
const HASH: usize = 64;
/// Lines are mostly longer.
const SHORT_LINE: usize = 160;

/// What a line is by itself.
pub(crate) enum Looked {
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
    pub(crate) event_id: Option<Mark>,
    pub(crate) idempotency_key: Option<Mark>,
    pub(crate) previous: Option<Mark>,
    pub(crate) time: Option<Instant>,
    /// It has a timestamp that is no point in time.
    pub(crate) is_timeless: bool,
    /// Its id looks like a hash, and is that of neither canonical form.
    pub(crate) is_mismatch: bool,
}

/// A line, without its newline, where it is in the lines that were looked at, and what it is.
pub(crate) type Look = (Range<usize>, Looked);

impl Looked {
    /// What is looked up for it.
    pub(crate) fn marks(&self) -> impl Iterator<Item = Mark> {
        let marks = match self {
            Looked::Record(record) | Looked::Marked(record) => {
                [record.event_id, record.idempotency_key, record.previous]
            }
            Looked::Blank | Looked::Malformed | Looked::Nul => [None; 3],
        };
        marks.into_iter().flatten()
    }
}

/// Looks at lines, with memory that serves for one after the other.
pub(crate) struct Looker {
    draft: Draft,
    canonical: Vec<u8>,
    keyed: Keyed,
    stencils: Stencils,
}

impl Looker {
    pub(crate) fn new(keyed: Keyed) -> Looker {
        let (draft, canonical, stencils) = Default::default();
        Looker { draft, canonical, keyed, stencils }
    }

    /// Looks at all lines of a part of `bytes`; the last one may be without its newline.
    pub(crate) fn look_at_all(&mut self, bytes: &[u8], part: Range<usize>) -> Vec<Look> {
        let text = bytes.get(part.clone()).unwrap_or_default();
        let mut objects = Objects::new(text);
        let mut looks = Vec::with_capacity(text.len() / SHORT_LINE);
        let mut start = 0;
        while start < text.len() {
            let fitted = self.stencils.fit(&mut objects, start);
            let (end, looked) = match fitted.filter(|newline| newline - start <= MAX_LINE) {
                Some(newline) => {
                    let line = text.get(start..newline).unwrap_or_default();
                    (newline, Looked::Record(self.fitted_record(text, line)))
                }
                None => {
                    let rest = text.get(start..).unwrap_or_default();
                    let length = memchr(b'\n', rest).unwrap_or(rest.len());
                    let looked = self.look(rest.get(..length).unwrap_or_default());
                    if matches!(looked, Looked::Record(_)) {
                        self.stencils.learn(text, start, start + length);
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
    fn look(&mut self, line: &[u8]) -> Looked {
        let draft = &mut self.draft;
        let verdict =
            classify::judge_by(line, || match draft.read(line, Form::Jcs, Some("eventId"))? {
                Shape::Object => Ok(()),
                Shape::Array | Shape::Scalar => Err(Fault::NotAnObject),
            });
        match verdict {
            Verdict::Record(_) => Looked::Record(self.record(line)),
            Verdict::Blank => Looked::Blank,
            Verdict::Malformed => Looked::Malformed,
            Verdict::Nul => Looked::Nul,
            Verdict::Marked(_) => {
                match self.look(classify::behind_mark(line).unwrap_or_default()) {
                    Looked::Record(record) => Looked::Marked(record),
                    _ => Looked::Malformed,
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
                    record.event_id = self.mark_of(value);
                }
                b"idempotencyKey" => record.idempotency_key = self.mark_of(value),
                b"prevEventId" => record.previous = self.mark_of(value),
                b"timestamp" => time = Some(value),
                _ => {}
            }
        }
        record.time = time.and_then(Instant::of_json);
        record.is_timeless = time.is_some() && record.time.is_none();
        if let Some(id) = id.filter(|id| id.len() == HASH) {
            self.canonical.clear();
            self.draft.write(line, &mut self.canonical);
            record.is_mismatch = is_mismatch(&self.canonical, id, line);
        }
        record
    }

    /// The record of the line that fitted a stencil last: the same, but that no string in it is escaped.
    fn fitted_record(&mut self, text: &[u8], line: &[u8]) -> Record {
        let named = |name| self.stencils.named(text, name);
        let mark = |name| Some(self.keyed.mark(text_of(named(name)?)?));
        let timestamp = named(Name::Timestamp);
        let time = timestamp.and_then(Instant::of_json);
        let mut record = Record {
            event_id: mark(Name::EventId),
            idempotency_key: mark(Name::IdempotencyKey),
            previous: mark(Name::PrevEventId),
            time,
            is_timeless: timestamp.is_some() && time.is_none(),
            is_mismatch: false,
        };
        let id = named(Name::EventId).and_then(text_of);
        if let Some(id) = id.filter(|id| id.len() == HASH) {
            self.canonical.clear();
            self.stencils.write_canonical(text, &mut self.canonical);
            record.is_mismatch = is_mismatch(&self.canonical, id, line);
        }
        record
    }

    fn mark_of(&self, value: &[u8]) -> Option<Mark> {
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

    /// Lines of a few kinds, so that most of them fit a stencil, and what else a log may have in between.
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
    fn told(looked: &Looked) -> String {
        match looked {
            Looked::Record(record) | Looked::Marked(record) => {
                let Record { event_id, idempotency_key, previous, time, .. } = record;
                let flags = (record.is_timeless, record.is_mismatch);
                format!("{event_id:?} {idempotency_key:?} {previous:?} {time:?} {flags:?}")
            }
            Looked::Blank => "blank".into(),
            Looked::Malformed => "malformed".into(),
            Looked::Nul => "nul".into(),
        }
    }

    #[test]
    fn lines_looked_at_one_after_the_other_are_what_they_are_alone() {
        let lines = lines();
        let keyed = Keyed::new();
        let mut looker = Looker::new(keyed);
        for end in [b"".as_slice(), b"\n"] {
            let bytes = [b"before\n", &*lines, end].concat();
            let looks = looker.look_at_all(&bytes, 7..bytes.len());
            let mut at = 7;
            for (range, looked) in &looks {
                assert_eq!(range.start, at);
                let line = &bytes[range.clone()];
                assert!(!line.contains(&b'\n'));
                assert_eq!(told(looked), told(&Looker::new(keyed).look(line)), "{range:?}");
                at = range.end + 1;
            }
            assert_eq!(at, bytes.len() + usize::from(end.is_empty()));
        }
        let mismatches = lines.split(|byte| *byte == b'\n').filter(
            |line| matches!(Looker::new(keyed).look(line), Looked::Record(it) if it.is_mismatch),
        );
        assert_eq!(mismatches.count(), 58);
    }
}
