//! The plan of a repair: for each line, whether it stays. No I/O.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

use siphasher::sip128::SipHasher13;

use crate::event::envelope::Envelope;
use crate::event::timestamp::Timestamp;
use crate::json::BYTE_ORDER_MARK;
use crate::record::classify::MAX_LINE_BYTES;
use crate::record::classify::{self, RecordIds, Tail, Verdict};

/// The purpose of a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Moves out lines that are no records. If `duplicates` is set, also moves out records whose id
    /// or key an earlier record has.
    RemoveBad { duplicates: bool },
    /// Moves out records with the id of the record on the line before, and nothing else.
    Consecutive,
}

/// Why a line is moved out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovedKind {
    /// The bytes behind the last newline are no record.
    Torn,
    /// A complete line is no JSON object, or too long.
    Malformed,
    /// A complete line is no JSON object and has 0x00 bytes.
    Nul,
    /// An earlier record that stays has the same id or key.
    Duplicate,
    /// The byte order mark in front of a record. The record stays.
    ByteOrderMark,
}

impl RemovedKind {
    /// The word in the JavaScript API.
    pub fn as_str(self) -> &'static str {
        match self {
            RemovedKind::Torn => "torn",
            RemovedKind::Malformed => "malformed",
            RemovedKind::Nul => "nul",
            RemovedKind::Duplicate => "duplicate",
            RemovedKind::ByteOrderMark => "bom",
        }
    }
}

/// A line that is moved out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovedLine {
    /// Why it is moved out.
    pub kind: RemovedKind,
    /// Line number in the old file, from 1.
    pub line: u64,
    /// First byte in the old file, from 0.
    pub offset: u64,
    /// Bytes without the newline.
    pub length: u64,
}

/// The decision for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A record that stays.
    Record,
    /// A record behind a byte order mark. It stays without the mark.
    Unmarked,
    /// No record, but stays as it is.
    Other,
    /// Moved out.
    Removed,
}

/// The decisions of one scan of a log, in file order.
pub(crate) struct Plan {
    mode: Mode,
    lines: u64,
    /// Records that stay.
    pub(crate) kept: u64,
    /// Lines that are moved out.
    pub(crate) removed: Vec<RemovedLine>,
    hasher: SipHasher13,
    /// Hashes of ids and ids of records that stay. 128 bits make collisions negligible.
    seen: HashSet<u128>,
    /// The id of the record on the line before, for [`Mode::Consecutive`].
    last_id: Option<Vec<u8>>,
}

impl Fate {
    /// The fate, the bytes and the offset of a line once its byte order mark is removed.
    pub(crate) fn unmarked(self, line: &[u8], offset: u64) -> (Fate, &[u8], u64) {
        match classify::behind_mark(line).filter(|_| self == Fate::Unmarked) {
            Some(rest) => (Fate::Record, rest, offset + BYTE_ORDER_MARK.len() as u64),
            None => (self, line, offset),
        }
    }
}

impl Plan {
    pub(crate) fn new(mode: Mode) -> Plan {
        // A random key, so that no two ids can be made to collide.
        let random = || RandomState::new().build_hasher().finish();
        let hasher = SipHasher13::new_with_keys(random(), random());
        let (removed, seen) = (Vec::new(), HashSet::new());
        Plan { mode, lines: 0, kept: 0, removed, hasher, seen, last_id: None }
    }

    /// Decides about the next complete line, given without its newline.
    pub(crate) fn line(&mut self, line: &[u8], offset: u64) -> Fate {
        self.lines += 1;
        let length = line.len() as u64;
        match classify::classify(line) {
            Verdict::Record(ids) => self.record(&ids, offset, length),
            Verdict::Blank => Fate::Other,
            Verdict::Malformed => self.bad(RemovedKind::Malformed, offset, length),
            Verdict::Nul => self.bad(RemovedKind::Nul, offset, length),
            Verdict::Marked(ids) => self.marked(&ids, offset, length),
        }
    }

    /// Decides about the next complete line, which is too long to be a record.
    pub(crate) fn too_long(&mut self, offset: u64, length: u64) -> Fate {
        self.lines += 1;
        self.bad(RemovedKind::Malformed, offset, length)
    }

    /// Decides about the bytes behind the last newline. `bytes` are also empty if they are too many
    /// for a record.
    pub(crate) fn tail(&mut self, bytes: &[u8], offset: u64, length: u64) -> Fate {
        self.lines += u64::from(length > 0);
        if length > MAX_LINE_BYTES as u64 {
            return self.bad(RemovedKind::Torn, offset, length);
        }
        if let Verdict::Marked(ids) = classify::classify(bytes) {
            return self.marked(&ids, offset, length);
        }
        match classify::classify_tail(bytes) {
            Tail::Clean => Fate::Other,
            Tail::Record(ids) => self.record(&ids, offset, length),
            Tail::Torn { .. } => self.bad(RemovedKind::Torn, offset, length),
        }
    }

    fn marked(&mut self, ids: &RecordIds<'_>, offset: u64, length: u64) -> Fate {
        if self.mode == Mode::Consecutive {
            return self.bad(RemovedKind::ByteOrderMark, offset, length);
        }
        match self.record(ids, offset, length) {
            Fate::Record => {
                self.remove(RemovedKind::ByteOrderMark, offset, BYTE_ORDER_MARK.len() as u64);
                Fate::Unmarked
            }
            fate => fate,
        }
    }

    fn bad(&mut self, kind: RemovedKind, offset: u64, length: u64) -> Fate {
        self.last_id = None;
        match self.mode {
            Mode::RemoveBad { .. } => self.remove(kind, offset, length),
            Mode::Consecutive => Fate::Other,
        }
    }

    fn record(&mut self, ids: &RecordIds<'_>, offset: u64, length: u64) -> Fate {
        let is_duplicate = match self.mode {
            Mode::RemoveBad { duplicates: false } => false,
            Mode::RemoveBad { duplicates: true } => self.is_seen(ids),
            Mode::Consecutive => self.is_that_before(ids),
        };
        if is_duplicate {
            return self.remove(RemovedKind::Duplicate, offset, length);
        }
        self.kept += 1;
        Fate::Record
    }

    fn remove(&mut self, kind: RemovedKind, offset: u64, length: u64) -> Fate {
        self.removed.push(RemovedLine { kind, line: self.lines, offset, length });
        Fate::Removed
    }

    /// Whether an earlier record that stays has the id or key.
    ///
    /// The ids of removed records are not noted, so a record that repeats only such an id stays.
    fn is_seen(&mut self, ids: &RecordIds<'_>) -> bool {
        let names = [&ids.event_id, &ids.idempotency_key];
        let hashes = names.map(|name| Some(self.hasher.hash(name.as_deref()?).as_u128()));
        let is_seen = hashes.iter().flatten().any(|hash| self.seen.contains(hash));
        if !is_seen {
            self.seen.extend(hashes.iter().flatten());
        }
        is_seen
    }

    fn is_that_before(&mut self, ids: &RecordIds<'_>) -> bool {
        let id = ids.event_id.as_deref();
        let is_same = id.is_some() && id == self.last_id.as_deref();
        if !is_same {
            self.last_id = id.map(<[u8]>::to_vec);
        }
        is_same
    }
}

/// The order of records by their timestamps.
#[derive(Debug, Default)]
pub(crate) struct TimeOrder {
    entries: Vec<(Option<Timestamp>, u64, u64)>,
    last: Option<Timestamp>,
}

impl TimeOrder {
    /// Adds the next record that stays, in file order. A record without a readable timestamp takes
    /// the time of the record before, and stays behind it.
    pub(crate) fn note(&mut self, record: &[u8], offset: u64) {
        let time = Envelope::of(record)
            .ok()
            .and_then(|envelope| envelope.get("timestamp").and_then(Timestamp::of_json));
        self.last = time.or(self.last);
        self.entries.push((self.last, offset, record.len() as u64));
    }

    /// The records in the order of their times, and the number of records that change places.
    /// Records of equal times keep their order.
    pub(crate) fn sorted(mut self) -> (Vec<Range<u64>>, u64) {
        let before: Vec<u64> = self.entries.iter().map(|(_, offset, _)| *offset).collect();
        // Offsets grow, so no two entries are equal and the order is stable.
        self.entries.sort_unstable();
        let moved = self.entries.iter().zip(&before).filter(|((_, at, _), was)| at != *was).count();
        let ranges = self.entries.iter().map(|(_, offset, length)| *offset..offset + length);
        (ranges.collect(), moved as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(mode: Mode, lines: &[&str]) -> (Vec<Fate>, Vec<(&'static str, u64)>) {
        let mut plan = Plan::new(mode);
        let mut offset = 0;
        let mut fates = Vec::new();
        for line in lines {
            fates.push(plan.line(line.as_bytes(), offset));
            offset += line.len() as u64 + 1;
        }
        let removed = plan.removed.iter().map(|line| (line.kind.as_str(), line.line)).collect();
        (fates, removed)
    }

    const MEND: Mode = Mode::RemoveBad { duplicates: false };
    const UNIQUE: Mode = Mode::RemoveBad { duplicates: true };

    #[test]
    fn what_is_no_record_is_moved_out_and_blank_lines_stay() {
        use Fate::{Other, Record, Removed};
        let lines = ["{}", " \t\r", "no", "{\"a\":\0}", " {\"a\":1}\r"];
        let removed = vec![("malformed", 3), ("nul", 4)];
        assert_eq!(fates(MEND, &lines), (vec![Record, Other, Removed, Removed, Record], removed));
        assert_eq!(
            fates(Mode::Consecutive, &lines),
            (vec![Record, Other, Other, Other, Record], vec![])
        );
    }

    #[test]
    fn a_byte_order_mark_goes_and_its_record_stays() {
        let lines = ["\u{feff}{\"eventId\":\"a\"}", "{\"eventId\":\"a\"}", "\u{feff}no"];
        let marks = vec![("bom", 1), ("malformed", 3)];
        assert_eq!(fates(MEND, &lines), (vec![Fate::Unmarked, Fate::Record, Fate::Removed], marks));
        assert_eq!(fates(UNIQUE, &lines).1, [("bom", 1), ("duplicate", 2), ("malformed", 3)]);
        assert_eq!(fates(Mode::Consecutive, &lines).1, []);
        let mut plan = Plan::new(MEND);
        assert_eq!(plan.tail(lines[0].as_bytes(), 0, lines[0].len() as u64), Fate::Unmarked);
        assert_eq!(plan.removed[0].length, 3);
    }

    #[test]
    fn a_duplicate_is_moved_out_only_where_that_is_asked_for() {
        let lines = [
            r#"{"eventId":"a"}"#,
            r#"{"eventId":"b","idempotencyKey":"a"}"#,
            r#"{"eventId":"c","idempotencyKey":"k"}"#,
            r#"{"eventId":"k"}"#,
            r#"{"eventId":"b"}"#,
            r#"{"n":1}"#,
            r#"{"n":1}"#,
        ];
        assert_eq!(fates(MEND, &lines).1, []);
        // Only the record of line 2 had the id b, and that record is moved out.
        assert_eq!(fates(UNIQUE, &lines).1, [("duplicate", 2), ("duplicate", 4)]);
    }

    #[test]
    fn consecutive_duplicates_are_told_by_id_and_bad_lines_come_between() {
        let (a, b) = (r#"{"eventId":"a"}"#, r#"{"eventId":"b"}"#);
        let none = r#"{"idempotencyKey":"a"}"#;
        for (lines, removed) in [
            (vec![a, a, a], vec![("duplicate", 2), ("duplicate", 3)]),
            (vec![a, b, a], vec![]),
            (vec![a, "no", a], vec![]),
            (vec![a, "\0", a], vec![]),
            (vec![a, none, a], vec![]),
            (vec![none, none], vec![]),
            (vec![a, "", a], vec![("duplicate", 3)]),
        ] {
            assert_eq!(fates(Mode::Consecutive, &lines).1, removed, "{lines:?}");
        }
    }

    #[test]
    fn a_tail_that_is_a_record_stays_and_any_other_is_torn() {
        for (tail, fate) in [
            ("", Fate::Other),
            (" \r", Fate::Other),
            ("{\"a\":1}", Fate::Record),
            ("{\"a\":", Fate::Removed),
            ("\0\0", Fate::Removed),
        ] {
            let mut plan = Plan::new(MEND);
            assert_eq!(plan.tail(tail.as_bytes(), 0, tail.len() as u64), fate, "{tail:?}");
            let kinds: Vec<_> = plan.removed.iter().map(|line| line.kind).collect();
            assert_eq!(kinds, if fate == Fate::Removed { vec![RemovedKind::Torn] } else { vec![] });
        }
        let long = MAX_LINE_BYTES as u64 + 1;
        assert_eq!(Plan::new(MEND).tail(b"", 0, long), Fate::Removed);
        assert_eq!(Plan::new(Mode::Consecutive).tail(b"", 0, long), Fate::Other);
    }

    #[test]
    fn records_are_ordered_by_instant_and_those_without_one_stay_behind_the_one_before() {
        let lines = [
            r#"{"n":0}"#,
            r#"{"timestamp":"2026-01-03T00:00:00+02:00"}"#,
            r#"{"timestamp":"soon"}"#,
            r#"{"timestamp":1767225600000}"#,
            r#"{"timestamp":"2026-01-02T22:00:00Z"}"#,
        ];
        let mut order = TimeOrder::default();
        let mut at = Vec::new();
        let mut offset = 0;
        for line in lines {
            order.note(line.as_bytes(), offset);
            at.push(offset);
            offset += line.len() as u64 + 1;
        }
        let (ranges, moved) = order.sorted();
        let starts: Vec<u64> = ranges.iter().map(|range| range.start).collect();
        assert_eq!(starts, [at[0], at[3], at[1], at[2], at[4]]);
        assert_eq!(ranges[0], 0..lines[0].len() as u64);
        assert_eq!(moved, 3);
    }
}
