//! What a line is by itself: the part of a check that needs nothing of the lines before.

use crate::canonical::{Draft, Form};
use crate::event;
use crate::instant::Instant;
use crate::json::{Fault, Shape};
use crate::scan::{self, Verdict};
use crate::seen::{Keyed, Mark};
use crate::string;

/// What a line is by itself.
pub(crate) enum Looked {
    Record(Record),
    Blank,
    Malformed,
    Nul,
}

/// What a record has to be compared with those before it.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) event_id: Option<Mark>,
    pub(crate) idempotency_key: Option<Mark>,
    pub(crate) previous: Option<Mark>,
    pub(crate) time: Option<Instant>,
    /// Its id looks like a hash, and is that of neither canonical form.
    pub(crate) is_mismatch: bool,
}

/// Looks at lines, with memory that serves for one after the other.
pub(crate) struct Looker {
    draft: Draft,
    canonical: Vec<u8>,
    keyed: Keyed,
}

impl Looker {
    pub(crate) fn new(keyed: Keyed) -> Looker {
        Looker { draft: Draft::default(), canonical: Vec::new(), keyed }
    }

    /// One pass over the line: it checks the grammar, finds the members, and leaves what the canonical form is written from.
    pub(crate) fn look(&mut self, line: &[u8]) -> Looked {
        let draft = &mut self.draft;
        let verdict =
            scan::judge_by(line, || match draft.read(line, Form::Jcs, Some("eventId"))? {
                Shape::Object => Ok(()),
                Shape::Array | Shape::Scalar => Err(Fault::NotAnObject),
            });
        match verdict {
            Verdict::Record(_) => Looked::Record(self.record(line)),
            Verdict::Blank => Looked::Blank,
            Verdict::Malformed => Looked::Malformed,
            Verdict::Nul => Looked::Nul,
        }
    }

    fn record(&mut self, line: &[u8]) -> Record {
        let mut record = Record::default();
        let mut time = None;
        for (key, value) in self.draft.members(line) {
            match key {
                b"eventId" => {
                    let id = text_of(value);
                    record.event_id = id.map(|id| self.keyed.mark(&string::unescape(id)));
                    record.is_mismatch = false;
                    if let Some(id) = id.filter(|id| id.len() == 64) {
                        self.canonical.clear();
                        self.draft.write(line, &mut self.canonical);
                        // Whether it looks like a hash is asked last: a walk over random digits costs as much as the hash.
                        record.is_mismatch = event::hash_of(&self.canonical) != *id
                            && is_like_a_hash(id)
                            && !matches!(event::verify_id(line), Ok(Some(_)));
                    }
                }
                b"idempotencyKey" => record.idempotency_key = self.mark_of(value),
                b"prevEventId" => record.previous = self.mark_of(value),
                b"timestamp" => time = Some(value),
                _ => {}
            }
        }
        record.time = time.and_then(Instant::of_json);
        record
    }

    fn mark_of(&self, value: &[u8]) -> Option<Mark> {
        text_of(value).map(|text| self.keyed.mark(&string::unescape(text)))
    }
}

/// What is between the quotes of a string that is not empty.
fn text_of(value: &[u8]) -> Option<&[u8]> {
    match value {
        [b'"', inside @ .., b'"'] if !inside.is_empty() => Some(inside),
        _ => None,
    }
}

/// Other ids are their givers' affair. As canonical tokens escape no digit, the raw text is enough.
fn is_like_a_hash(id: &[u8]) -> bool {
    id.len() == 64 && id.iter().all(u8::is_ascii_hexdigit)
}
