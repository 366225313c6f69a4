//! Decisions of a batch: which events are duplicates, which are written, and where.
//!
//! The module does no I/O: look-ups in the log come in through [`Past`].

use std::collections::HashMap;
use std::ops::Range;

use crate::append::request::{AppendOptions, OnIdReuse, Receipt, Warning};
use crate::dedup::lookup::{FoundRecord, NewRecord, OpenRecord};
use crate::error::{ActualTail, Code, Error, Result};
use crate::event::{self, Event, Id};
use crate::json;
use crate::json::escape;
use crate::json::excerpt::excerpt;

/// Look-ups in the records that the file has already.
pub(crate) trait Past {
    /// The first record that has `id` as its event id or key. The record was read from the log.
    fn find(&mut self, id: &Id) -> Result<Option<FoundRecord>>;
    /// The number of the record at `offset`.
    fn seq_of(&mut self, offset: u64) -> Result<u64>;
}

/// The position of a record that is in the file or will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Location {
    /// In the file before this batch.
    Old { offset: u64, seq: u64 },
    /// In the batch: the record's first byte in the buffer, and the number of new records before
    /// it.
    New { start: u64, nth: u64 },
}

/// The decision for one event.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) event_id: Option<Id>,
    pub(crate) place: Location,
    pub(crate) length: u64,
    pub(crate) duplicate: bool,
    pub(crate) identical: bool,
    /// The id or key that identified a duplicate. Its record must still be in the file after the
    /// file was read again.
    pub(crate) known_by: Option<Id>,
    /// The event's id belongs to a record with other content.
    pub(crate) reused: bool,
}

/// The lines to write, and the state against which the next event is decided.
#[derive(Debug)]
pub(crate) struct Batch {
    buffer: Vec<u8>,
    new: Vec<New>,
    /// The unterminated record at the end of the file, if there is one.
    open: Option<Original>,
    names: HashMap<Id, RecordRef>,
    records_before: u64,
    tail_id: Option<Id>,
    last_id: Option<Id>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RecordRef {
    Open,
    New(usize),
}

/// A record that the batch adds.
#[derive(Debug)]
struct New {
    line: Range<usize>,
    id: Option<Id>,
    key: Option<Id>,
}

#[derive(Debug, Clone)]
struct Original {
    line: Vec<u8>,
    id: Option<Id>,
    place: Location,
}

/// The state of the log in front of the batch.
#[derive(Debug, Default)]
pub(crate) struct Before {
    pub(crate) records: u64,
    pub(crate) offset: u64,
    pub(crate) tail_id: Option<Id>,
    pub(crate) last_id: Option<Id>,
    pub(crate) open: Option<OpenRecord>,
}

impl Batch {
    pub(crate) fn new(before: Before) -> Self {
        let mut this = Batch {
            buffer: Vec::new(),
            new: Vec::new(),
            open: None,
            names: HashMap::new(),
            records_before: before.records,
            tail_id: before.tail_id,
            last_id: before.last_id,
        };
        if let Some(open) = before.open {
            this.records_before += 1;
            for name in [&open.id, &open.key].into_iter().flatten() {
                this.names.insert(name.clone(), RecordRef::Open);
            }
            this.tail_id.clone_from(&open.id);
            if open.id.is_some() {
                this.last_id.clone_from(&open.id);
            }
            let place = Location::Old { offset: before.offset, seq: this.records_before };
            this.open = Some(Original { line: open.line, id: open.id, place });
        }
        this
    }

    /// The lines to write, each with its newline.
    pub(crate) fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = NewRecord<'_>> {
        self.new.iter().map(|new| NewRecord {
            start: new.line.start as u64,
            id: new.id.as_ref(),
            key: new.key.as_ref(),
        })
    }

    /// Decides the events of one append. If one event conflicts, none of them enters the batch.
    ///
    /// # Errors
    /// `ECONFLICT`, `EVALIDATION` for a chained event that became too long, and errors of look-ups.
    pub(crate) fn decide<'a>(
        &mut self,
        events: impl Iterator<Item = &'a Event>,
        single: bool,
        options: &AppendOptions,
        past: &mut dyn Past,
    ) -> Result<Vec<Decision>> {
        let mark = (self.buffer.len(), self.new.len(), self.tail_id.clone(), self.last_id.clone());
        let mut is_tail_checked = options.expected_tail.is_none();
        let decide = |(index, event)| {
            let decision = self.decide_one(event, options, &mut is_tail_checked, past);
            decision.map_err(|error| if single { error } else { error.with_index(index) })
        };
        let decisions: Result<Vec<Decision>> = events.enumerate().map(decide).collect();
        if decisions.is_err() {
            self.buffer.truncate(mark.0);
            self.new.truncate(mark.1);
            self.names.retain(|_, name| !matches!(name, RecordRef::New(at) if *at >= mark.1));
            self.tail_id = mark.2;
            self.last_id = mark.3;
        }
        decisions
    }

    fn decide_one(
        &mut self,
        event: &Event,
        options: &AppendOptions,
        is_tail_checked: &mut bool,
        past: &mut dyn Past,
    ) -> Result<Decision> {
        for (name, by_id) in [(event.id(), true), (event.key(), false)] {
            let Some(name) = name else { continue };
            let Some(record) = self.find(name, past)? else {
                continue;
            };
            let identical = is_identical(event, &record.line)?;
            let reused = by_id && !identical && record.id.as_ref() == Some(name);
            if reused && options.on_id_reuse == OnIdReuse::Reject {
                return Err(Error::new(
                    Code::Conflict,
                    format!("event id {} is in the log with another content", shown(name)),
                ));
            }
            return Ok(Decision {
                event_id: record.id,
                place: record.place,
                length: record.line.len() as u64,
                duplicate: true,
                identical,
                known_by: Some(name.clone()),
                reused,
            });
        }
        if let Some(expected) = options.expected_tail.as_ref().filter(|_| !*is_tail_checked) {
            self.check_tail(expected.as_ref())?;
            *is_tail_checked = true;
        }
        if event.is_chained_later() {
            let chained = event.chained(self.last_id.as_ref())?;
            Ok(self.push(&chained))
        } else {
            Ok(self.push(event))
        }
    }

    fn find(&self, name: &Id, past: &mut dyn Past) -> Result<Option<Original>> {
        if let Some(found) = past.find(name)? {
            let seq = past.seq_of(found.offset)?;
            let place = Location::Old { offset: found.offset, seq };
            return Ok(Some(Original { line: found.line, id: found.id, place }));
        }
        Ok(match self.names.get(name) {
            Some(RecordRef::Open) => self.open.clone(),
            Some(RecordRef::New(at)) => self.new.get(*at).map(|new| Original {
                line: self.buffer.get(new.line.clone()).unwrap_or_default().to_vec(),
                id: new.id.clone(),
                place: Location::New { start: new.line.start as u64, nth: *at as u64 },
            }),
            None => None,
        })
    }

    fn check_tail(&self, expected: Option<&Id>) -> Result<()> {
        let records = self.records_before + self.new.len() as u64;
        let holds = match expected {
            None => records == 0,
            Some(id) => self.tail_id.as_ref() == Some(id),
        };
        if holds {
            return Ok(());
        }
        let wanted = expected
            .map_or("an empty log".to_owned(), |id| format!("the last record to be {}", shown(id)));
        let found = match &self.tail_id {
            Some(id) => format!("the last record is {} (seq {records})", shown(id)),
            None if records == 0 => "the log is empty".to_owned(),
            None => format!("the last record (seq {records}) has no id"),
        };
        let id = self.tail_id.as_ref().map(|id| id.as_bytes().to_vec());
        Err(Error::new(Code::Conflict, format!("expected {wanted}, but {found}"))
            .with_actual_tail(ActualTail { id, seq: records }))
    }

    fn push(&mut self, event: &Event) -> Decision {
        let at = self.new.len();
        let start = self.buffer.len();
        self.buffer.extend_from_slice(event.line());
        let line = start..self.buffer.len();
        self.buffer.push(b'\n');
        for name in [event.id(), event.key()].into_iter().flatten() {
            self.names.entry(name.clone()).or_insert(RecordRef::New(at));
        }
        self.tail_id = event.id().cloned();
        if self.tail_id.is_some() {
            self.last_id.clone_from(&self.tail_id);
        }
        self.new.push(New { line, id: event.id().cloned(), key: event.key().cloned() });
        Decision {
            event_id: event.id().cloned(),
            place: Location::New { start: start as u64, nth: at as u64 },
            length: event.line().len() as u64,
            duplicate: false,
            identical: true,
            known_by: None,
            reused: false,
        }
    }
}

impl Decision {
    /// The receipt for a batch that starts at `begin`, behind `records_before` records.
    pub(crate) fn receipt(&self, begin: u64, records_before: u64, durable: bool) -> Receipt {
        let (offset, seq) = match self.place {
            Location::Old { offset, seq } => (offset, seq),
            Location::New { start, nth } => (begin + start, records_before + nth + 1),
        };
        Receipt {
            event_id: self.event_id.clone(),
            seq,
            offset,
            length: self.length,
            duplicate: self.duplicate,
            identical: self.identical,
            durable,
        }
    }

    /// The warning for an id that belongs to a record with other content.
    pub(crate) fn warning(&self) -> Option<Warning> {
        let id = self.known_by.as_ref().filter(|_| self.reused)?;
        Some(Warning {
            code: "CHRONICLE_ID_REUSED",
            message: format!(
                "event id {} is in the log with another content; the event was not written",
                shown(id)
            ),
        })
    }
}

fn shown(id: &Id) -> String {
    excerpt(id.as_bytes())
}

/// Whether the record is equal to the event as it would be written now.
///
/// A chained event is compared with the predecessor that the record names.
fn is_identical(event: &Event, line: &[u8]) -> Result<bool> {
    if !event.is_chained_later() {
        return Ok(event.line() == line || event::same_content(event.line(), line));
    }
    let mut previous = None;
    let _ = json::object(line, |key, value| {
        if let (b"prevEventId", [b'"', inside @ .., b'"']) = (key, value) {
            previous = Id::new(escape::unescape(inside));
        }
    });
    Ok(event::same_content(event.chained(previous.as_ref())?.line(), line))
}
