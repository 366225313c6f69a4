//! The check of the order of records: everything that depends on the lines before.

use std::ops::Range;

use crate::check::finding::{FindingKind, LinePosition, Progress};
use crate::check::line_check::{CheckedLine, LineFacts, Record};
use crate::check::seen_ids::SeenIds;
use crate::event::envelope::Envelope;
use crate::event::timestamp::Timestamp;
use crate::json::excerpt::excerpt;
use crate::record::classify::{self, MAX_LINE_BYTES, Verdict};

/// Lines whose ids are prefetched together.
const LINES_AT_ONCE: usize = 32;

/// The lines of a part, with ranges in their chunk.
pub(crate) type CheckedLines = Vec<CheckedLine>;

/// Checks the records in their order, with the facts of the earlier ones.
pub(crate) struct OrderChecker {
    pub(crate) progress: Progress,
    seen: SeenIds,
    /// The line and the time of the last record.
    last: Option<(u64, Option<Timestamp>)>,
}

impl OrderChecker {
    pub(crate) fn new(progress: Progress) -> OrderChecker {
        OrderChecker { progress, seen: SeenIds::new(), last: None }
    }

    /// Frees the table of ids.
    pub(crate) fn forget_ids(&mut self) {
        self.seen = SeenIds::new();
    }

    pub(crate) fn check_lines(&mut self, bytes: &[u8], parts: &[CheckedLines], offset: u64) {
        for lines in parts.iter().flat_map(|lines| lines.chunks(LINES_AT_ONCE)) {
            self.seen.touch(lines.iter().flat_map(|(_, facts)| facts.id_hashes()));
            for (range, facts) in lines {
                self.check_line(bytes, range, facts, offset);
            }
        }
    }

    fn check_line(&mut self, bytes: &[u8], range: &Range<usize>, facts: &LineFacts, offset: u64) {
        self.progress.lines += 1;
        let place = LinePosition {
            line: self.progress.lines,
            offset: offset + range.start as u64,
            length: range.len() as u64,
        };
        let (kind, details) = match facts {
            LineFacts::Record(record) => {
                self.progress.records += 1;
                return self.check(bytes.get(range.clone()).unwrap_or_default(), record, place);
            }
            LineFacts::Blank => return,
            LineFacts::Malformed => (FindingKind::Malformed, "no JSON object"),
            LineFacts::Nul => (FindingKind::Nul, "no JSON object, with NUL bytes"),
            LineFacts::Marked(record) => {
                let details = "a byte order mark stands before the record, which no reader sees";
                self.progress.add(FindingKind::ByteOrderMark, place, None, details.into());
                let line = bytes.get(range.clone()).unwrap_or_default();
                let line = classify::behind_mark(line).unwrap_or_default();
                return self.check(line, record, place);
            }
        };
        self.progress.add(kind, place, None, details.into());
    }

    pub(crate) fn add_too_long(&mut self, offset: u64, length: u64) {
        self.progress.lines += 1;
        let place = LinePosition { line: self.progress.lines, offset, length };
        let details = format!("longer than {MAX_LINE_BYTES} bytes");
        self.progress.add(FindingKind::Malformed, place, None, details);
    }

    pub(crate) fn add_torn(&mut self, offset: u64, length: u64, nul: bool, stays: bool) {
        self.progress.lines += 1;
        if stays {
            let place = LinePosition { line: self.progress.lines, offset, length };
            let nul = if nul { ", with NUL bytes" } else { "" };
            let details = format!("behind the last newline, no record{nul}");
            self.progress.add(FindingKind::Torn, place, None, details);
        }
    }

    fn check(&mut self, line: &[u8], record: &Record, place: LinePosition) {
        let progress = &mut self.progress;
        let mut add = |kind, details| {
            let Verdict::Record(keys) = classify::classify(line) else { return };
            progress.add(kind, place, keys.event_id.as_deref(), details);
        };
        if record.is_mismatch {
            add(FindingKind::IdMismatch, "eventId is not the hash of the record".into());
        }
        let names = [("eventId", record.event_id), ("idempotencyKey", record.idempotency_key)];
        let earlier = names.iter().find_map(|(name, id_hash)| {
            let line = self.seen.line((*id_hash)?)?;
            Some(format!("{name} is that of an earlier record, on line {line}"))
        });
        if let Some(details) = earlier {
            add(FindingKind::Duplicate, details);
        }
        let previous = || {
            let envelope = Envelope::of(line).ok();
            let id = envelope.as_ref().and_then(|envelope| envelope.text("prevEventId"));
            excerpt(&id.unwrap_or_default())
        };
        if let Some(id_hash) = record.previous {
            if !self.seen.is_event_id(id_hash) {
                let details = format!("no earlier record has the eventId {}", previous());
                add(FindingKind::BrokenChain, details);
            }
            // A copy of the same record is a duplicate and not a fork.
            let is_again = record.event_id.is_some_and(|id| self.seen.line(id).is_some());
            let is_circle = record.event_id == Some(id_hash);
            if !is_again && !is_circle && self.seen.note_successor(id_hash) {
                let details = format!("an earlier record has the prevEventId {} too", previous());
                add(FindingKind::Fork, details);
            }
        }
        if record.is_timeless {
            add(FindingKind::NoTime, "timestamp cannot be read as a point in time".into());
        }
        if let (Some((last_line, Some(last))), Some(time)) = (self.last, record.time)
            && time < last
        {
            let details = format!("timestamp is earlier than that of line {last_line}");
            add(FindingKind::OutOfOrder, details);
        }
        self.last = Some((place.line, record.time));
        let ids = [(record.event_id, true), (record.idempotency_key, false)];
        for (id_hash, is_event_id) in ids {
            if let Some(id_hash) = id_hash {
                self.seen.note(id_hash, place.line, is_event_id);
            }
        }
    }
}
