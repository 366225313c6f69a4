//! The last records that a follow read, and the search for them in another file.

use std::collections::VecDeque;
use std::io;

use crate::read::cursor::{self, Counted, Cursor, Of};
use crate::read::place::{self, ResolvedPlace};
use crate::record::classify::{self, Tail, Verdict};
use crate::record::lines::{LineChunk, LineReader};
use crate::record::reverse_lines::ReverseLines;
use crate::record::template::TemplateCache;
use crate::storage::{Stat, Storage};

/// Records that identify a place.
const MAX_PASSED: usize = 64;
/// Bytes in front of a place that are searched for records, at most.
const MAX_BEFORE_BYTES: u64 = 1 << 20;

/// A record that helps to identify a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassedRecord {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) hash: u128,
    /// Records and lines up to and including this record, if they were counted.
    pub(crate) counted: Option<Counted>,
    /// Key of the record, equal for both line endings.
    key: RecordKey,
    /// `key` has the hash of the whole line, which may end with `\r`.
    is_whole_line: bool,
    /// The record is in the present file, not in an earlier one.
    is_here: bool,
}

/// The last records that were read, oldest first.
#[derive(Debug, Default)]
pub(crate) struct PassedRecords {
    records: VecDeque<PassedRecord>,
}

/// The place where another text goes on.
pub(crate) struct ResumePoint {
    pub(crate) offset: u64,
    pub(crate) counted: Counted,
    /// The last record identifies the place, and has its old number as far as numbers are known.
    pub(crate) is_same: bool,
    /// Records that were read and are not in front of the place. They are not new.
    pub(crate) moved: Vec<RecordKey>,
}

/// Length and hash of a record without a `\r` at its end.
pub(crate) type RecordKey = (u64, u128);

/// A place behind records that match.
#[derive(Clone, Copy)]
struct Match {
    /// Number of consecutive matching records in front of the place.
    count: usize,
    /// Distance from the record's old position: in records, or in bytes if records were not
    /// counted.
    distance: u64,
    is_same_number: bool,
    offset: u64,
    counted: Counted,
}

impl PassedRecord {
    pub(crate) fn of_line(line: &[u8], offset: u64, counted: Option<Counted>) -> PassedRecord {
        let text = without_return(line);
        let hash = cursor::hash(line);
        PassedRecord {
            offset,
            length: line.len() as u64,
            hash,
            counted,
            key: if text.len() == line.len() {
                (line.len() as u64, hash)
            } else {
                record_key(line)
            },
            is_whole_line: false,
            is_here: true,
        }
    }

    /// The record in front of a cursor.
    fn of_cursor(cursor: &Cursor) -> Option<PassedRecord> {
        let Cursor { offset, length, hash, of, counted, .. } = *cursor;
        (of == Of::RecordBefore).then_some(PassedRecord {
            offset,
            length,
            hash,
            counted,
            key: (length, hash),
            is_whole_line: true,
            is_here: false,
        })
    }

    /// The start of the next line, if the record is at its old offset.
    fn end_in(&self, storage: &dyn Storage, length: u64) -> io::Result<Option<u64>> {
        let stat = Stat { device: 0, inode: 0, length, links: 1, born: None };
        Ok(match place::place_of(&self.cursor(&stat), storage, &stat)? {
            Some(ResolvedPlace::At { offset, .. }) => Some(offset),
            _ => None,
        })
    }

    pub(crate) fn cursor(&self, stat: &Stat) -> Cursor {
        Cursor {
            device: stat.device,
            inode: stat.inode,
            born: stat.born,
            offset: self.offset,
            length: self.length,
            hash: self.hash,
            of: Of::RecordBefore,
            counted: self.counted,
        }
    }
}

impl PassedRecords {
    pub(crate) fn of_cursor(cursor: &Cursor) -> PassedRecords {
        PassedRecords { records: PassedRecord::of_cursor(cursor).into_iter().collect() }
    }

    /// The records in front of a place in a file. `counted` are the records and lines in front of
    /// it.
    pub(crate) fn before(
        storage: &dyn Storage,
        place: u64,
        counted: Option<Counted>,
    ) -> io::Result<PassedRecords> {
        let mut passed = PassedRecords::default();
        let mut before = counted;
        let mut backwards = ReverseLines::new(0, place);
        while passed.records.len() < MAX_PASSED {
            let is_tail = backwards.is_at_end();
            let Some(line) = backwards.previous_line(storage)? else { break };
            if is_tail && line.length == 0 {
                continue;
            }
            let is_record = match line.bytes.as_deref() {
                Some(bytes) if is_tail => matches!(classify::classify_tail(bytes), Tail::Record(_)),
                Some(bytes) => matches!(classify::classify(bytes), Verdict::Record(_)),
                None => false,
            };
            if let Some(bytes) = line.bytes.as_deref().filter(|_| is_record) {
                passed.records.push_front(PassedRecord::of_line(bytes, line.offset, before));
            }
            if let Some(before) = &mut before {
                before.records = before.records.saturating_sub(u64::from(is_record));
                before.lines = before.lines.saturating_sub(1);
            }
            if place - line.offset > MAX_BEFORE_BYTES {
                break;
            }
        }
        Ok(passed)
    }

    pub(crate) fn push(&mut self, record: PassedRecord) {
        if self.records.len() == MAX_PASSED {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The last record, if it is in the present file.
    pub(crate) fn last_here(&self) -> Option<&PassedRecord> {
        self.records.back().filter(|record| record.is_here)
    }

    /// Marks all records as those of an earlier file.
    pub(crate) fn leave(&mut self) {
        for record in &mut self.records {
            record.is_here = false;
        }
    }

    /// Forgets records of the present file that begin at `offset` or behind it.
    pub(crate) fn cut(&mut self, offset: u64) {
        self.records.retain(|record| !record.is_here || record.offset < offset);
    }

    /// Searches the present file after a truncation or an overwrite.
    ///
    /// Returns the place behind the youngest record that is at its old offset, and whether it is
    /// the last record.
    pub(crate) fn find_here(
        &self,
        storage: &dyn Storage,
        length: u64,
    ) -> io::Result<Option<(ResolvedPlace, bool)>> {
        for (age, record) in self.records.iter().rev().enumerate() {
            if !record.is_here {
                break;
            }
            if let Some(offset) = record.end_in(storage, length)? {
                return Ok(Some((ResolvedPlace::At { offset, counted: record.counted }, age == 0)));
            }
        }
        Ok(None)
    }

    /// Searches another text for the records. Returns the place behind the youngest one in it.
    ///
    /// `is_wary`: the text may be a new history, in which repeated records prove nothing.
    pub(crate) fn find(
        &self,
        storage: &dyn Storage,
        length: u64,
        is_wary: bool,
    ) -> io::Result<Option<ResumePoint>> {
        if self.records.is_empty() {
            return Ok(None);
        }
        let mut search = PassedSearch::new(self);
        let mut templates = TemplateCache::default();
        let mut lines = LineReader::new(0, length);
        loop {
            match lines.next(storage)? {
                LineChunk::Whole { offset, bytes } => {
                    classify::classify_lines(bytes, Some(&mut templates), |start, verdict| {
                        let rest = bytes.get(start..).unwrap_or_default();
                        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                        let line = rest.get(..end).unwrap_or_default();
                        let at = offset + start as u64;
                        let is_record = matches!(verdict, Verdict::Record(_));
                        search.take_line(line, is_record, at, at + end as u64 + 1);
                    });
                }
                LineChunk::TooLong { .. } => search.counted.lines += 1,
                LineChunk::Tail { offset, bytes, .. } => {
                    let is_record = matches!(classify::classify_tail(bytes), Tail::Record(_));
                    if is_record {
                        search.take_line(bytes, true, offset, offset + bytes.len() as u64);
                    }
                    return Ok(search.best(is_wary));
                }
            }
        }
    }
}

/// Compares each record of a text with the passed records.
struct PassedSearch<'a> {
    passed: &'a PassedRecords,
    /// Records and lines scanned.
    counted: Counted,
    /// For each passed record: the length of the run of matches that ends with it at the present
    /// line.
    runs: Vec<usize>,
    is_in_run: bool,
    /// For each passed record: the best place behind it, and the number of places.
    matches: Vec<Option<(Match, usize)>>,
    /// For each passed record: its first end in the text.
    ends: Vec<Option<u64>>,
}

impl<'a> PassedSearch<'a> {
    fn new(passed: &'a PassedRecords) -> PassedSearch<'a> {
        let count = passed.records.len();
        PassedSearch {
            passed,
            counted: Counted::default(),
            runs: vec![0; count],
            is_in_run: false,
            matches: vec![None; count],
            ends: vec![None; count],
        }
    }

    fn take_line(&mut self, line: &[u8], is_record: bool, offset: u64, end: u64) {
        self.counted.lines += 1;
        if !is_record {
            return;
        }
        self.counted.records += 1;
        let text = without_return(line);
        let length = line.len() as u64;
        let may_be_it = |record: &PassedRecord| {
            record.key.0 == text.len() as u64
                || record.is_whole_line && [length, length + 1].contains(&record.key.0)
        };
        if !self.passed.records.iter().any(may_be_it) {
            if std::mem::take(&mut self.is_in_run) {
                self.runs.fill(0);
            }
            return;
        }
        let hash = cursor::hash(text);
        // A cursor has the hash of the whole line, with or without a `\r`.
        let hashes = self.passed.records.iter().any(|record| record.is_whole_line).then(|| {
            let returned = [text, b"\r"].concat();
            [cursor::hash(line), cursor::hash(&returned)]
        });
        let is_it = |record: &PassedRecord| {
            let hashed = record.key.1;
            hashed == hash || record.is_whole_line && hashes.is_some_and(|it| it.contains(&hashed))
        };
        self.is_in_run = true;
        for at in (0..self.runs.len()).rev() {
            let before = at.checked_sub(1).and_then(|at| self.runs.get(at)).copied();
            let (Some(record), Some(run)) = (self.passed.records.get(at), self.runs.get_mut(at))
            else {
                continue;
            };
            *run = 0;
            if !is_it(record) {
                continue;
            }
            *run = before.unwrap_or_default() + 1;
            let distance = match record.counted {
                Some(counted) => counted.records.abs_diff(self.counted.records),
                None => record.offset.abs_diff(offset),
            };
            let is_same_number =
                record.counted.is_none_or(|counted| counted.records == self.counted.records);
            let counted = self.counted;
            let place = Match { count: *run, distance, is_same_number, offset: end, counted };
            if let Some(first) = self.ends.get_mut(at) {
                first.get_or_insert(end);
            }
            if let Some(best) = self.matches.get_mut(at) {
                *best = Some(match best.take() {
                    Some((best, count)) => (best.better(place), count + 1),
                    None => (place, 1),
                });
            }
        }
    }

    /// The place behind the youngest record that certainly matches.
    fn best(&self, is_wary: bool) -> Option<ResumePoint> {
        let last = self.matches.len().checked_sub(1)?;
        let mut doubtful = None;
        for at in (0..=last).rev() {
            let Some((place, count)) = self.matches.get(at).copied().flatten() else { continue };
            let has_unlike = (0..place.count).any(|back| self.is_only(at - back));
            let is_sure = if at == last {
                let is_where = count == 1 || place.count > 1 || place.is_same_number;
                place.count == at + 1 || has_unlike && is_where
            } else {
                has_unlike && (place.count > 1 || !is_wary)
            };
            let found = ResumePoint {
                offset: place.offset,
                counted: place.counted,
                is_same: at == last && place.is_same_number,
                moved: self.moved_behind(place.offset),
            };
            if is_sure {
                return Some(found);
            }
            doubtful.get_or_insert(found);
        }
        doubtful.filter(|_| !is_wary)
    }

    fn moved_behind(&self, offset: u64) -> Vec<RecordKey> {
        let ends = self.passed.records.iter().zip(&self.ends);
        let is_before = |end: &Option<u64>| end.is_some_and(|end| end <= offset);
        ends.filter(|(_, end)| !is_before(end)).map(|(record, _)| record.key).collect()
    }

    /// Whether no other passed record is equal to this one.
    fn is_only(&self, at: usize) -> bool {
        let Some(mine) = self.passed.records.get(at) else { return false };
        self.passed.records.iter().filter(|record| record.key == mine.key).count() == 1
    }
}

impl Match {
    /// Prefers longer runs, then the smaller distance, then the later place.
    fn better(self, other: Match) -> Match {
        let rank = |it: &Match| (it.count, std::cmp::Reverse(it.distance), it.offset);
        if rank(&other) > rank(&self) { other } else { self }
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Key of a record, equal for both line endings.
pub(crate) fn record_key(line: &[u8]) -> RecordKey {
    let text = without_return(line);
    (text.len() as u64, cursor::hash(text))
}
