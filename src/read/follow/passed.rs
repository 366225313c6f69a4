//! The records that a follow passed last, and how they are found again in another text.

use std::collections::VecDeque;
use std::io;

use crate::read::cursor::{self, Counted, Cursor, Of};
use crate::read::place::{self, ResolvedPlace};
use crate::record::classify::{self, Tail, Verdict};
use crate::record::lines::{LineChunk, LineReader};
use crate::record::reverse_lines::ReverseLines;
use crate::record::template::TemplateCache;
use crate::storage::{Stat, Storage};

/// Records by which a place is found again.
const MAX_PASSED: usize = 64;
/// Bytes before a place that are searched for records, at most.
const MAX_BEFORE_BYTES: u64 = 1 << 20;

/// A record by which a place is known again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassedRecord {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) hash: u128,
    /// Records and lines up to and including it, where they were counted.
    pub(crate) counted: Option<Counted>,
    /// Of its bytes without a `\r` at their end: another line ending makes no other record.
    bare: Bare,
    /// That is not known: only the hash of all of it is.
    is_text: bool,
    /// It is in the file that is read, not in one before.
    is_here: bool,
}

/// The last records that were passed, the youngest last.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    seen: VecDeque<PassedRecord>,
}

/// Where a text goes on behind what was passed.
pub(crate) struct ResumePoint {
    pub(crate) offset: u64,
    pub(crate) counted: Counted,
    /// By the record passed last, which has the number that it had, as far as that is known.
    pub(crate) is_same: bool,
    /// Records that were passed and are not before the place: what moved behind it is not new.
    pub(crate) moved: Vec<Bare>,
}

/// The length and the hash of a record without a `\r` at its end.
pub(crate) type Bare = (u64, u128);

/// A place in another text that ends with records that were passed.
#[derive(Clone, Copy)]
struct Match {
    /// How many of them stand there in their order.
    count: usize,
    /// How far it is from where the record stood: in records, else in bytes.
    distance: u64,
    is_same_number: bool,
    offset: u64,
    counted: Counted,
}

impl PassedRecord {
    pub(crate) fn of_line(line: &[u8], offset: u64, counted: Option<Counted>) -> PassedRecord {
        let bare = without_return(line);
        let hash = cursor::hash(line);
        PassedRecord {
            offset,
            length: line.len() as u64,
            hash,
            counted,
            bare: if bare.len() == line.len() { (line.len() as u64, hash) } else { bare_of(line) },
            is_text: false,
            is_here: true,
        }
    }

    /// The record that a cursor stands behind.
    fn of_cursor(cursor: &Cursor) -> Option<PassedRecord> {
        let Cursor { offset, length, hash, of, counted, .. } = *cursor;
        (of == Of::RecordBefore).then_some(PassedRecord {
            offset,
            length,
            hash,
            counted,
            bare: (length, hash),
            is_text: true,
            is_here: false,
        })
    }

    /// Where the next line begins, if the record stands where it stood.
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

impl Passed {
    pub(crate) fn of_cursor(cursor: &Cursor) -> Passed {
        Passed { seen: PassedRecord::of_cursor(cursor).into_iter().collect() }
    }

    /// The records before a place in a file. `counted` are the records and lines before it.
    pub(crate) fn before(
        storage: &dyn Storage,
        place: u64,
        counted: Option<Counted>,
    ) -> io::Result<Passed> {
        let mut passed = Passed::default();
        let mut left = counted;
        let mut backwards = ReverseLines::new(0, place);
        while passed.seen.len() < MAX_PASSED {
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
                passed.seen.push_front(PassedRecord::of_line(bytes, line.offset, left));
            }
            if let Some(left) = &mut left {
                left.records = left.records.saturating_sub(u64::from(is_record));
                left.lines = left.lines.saturating_sub(1);
            }
            if place - line.offset > MAX_BEFORE_BYTES {
                break;
            }
        }
        Ok(passed)
    }

    pub(crate) fn push(&mut self, seen: PassedRecord) {
        if self.seen.len() == MAX_PASSED {
            self.seen.pop_front();
        }
        self.seen.push_back(seen);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// The last record, if it is in the file that is read.
    pub(crate) fn last_here(&self) -> Option<&PassedRecord> {
        self.seen.back().filter(|seen| seen.is_here)
    }

    /// Another file is read from now on.
    pub(crate) fn leave(&mut self) {
        for seen in &mut self.seen {
            seen.is_here = false;
        }
    }

    /// Of the file that is read, only what begins before `offset` is still known.
    pub(crate) fn cut(&mut self, offset: u64) {
        self.seen.retain(|seen| !seen.is_here || seen.offset < offset);
    }

    /// In the file that is read, whose end was cut or written over: the place behind the youngest
    /// record that stands where it stood, and whether that is the one passed last.
    pub(crate) fn find_here(
        &self,
        storage: &dyn Storage,
        length: u64,
    ) -> io::Result<Option<(ResolvedPlace, bool)>> {
        for (age, seen) in self.seen.iter().rev().enumerate() {
            if !seen.is_here {
                break;
            }
            if let Some(offset) = seen.end_in(storage, length)? {
                return Ok(Some((ResolvedPlace::At { offset, counted: seen.counted }, age == 0)));
            }
        }
        Ok(None)
    }

    /// Looks for the records in another text: the place behind the youngest of them that is in it.
    /// `is_wary`: the text may well be a new one, so that records which repeat prove nothing.
    pub(crate) fn find(
        &self,
        storage: &dyn Storage,
        length: u64,
        is_wary: bool,
    ) -> io::Result<Option<ResumePoint>> {
        if self.seen.is_empty() {
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
                        search.visit(line, is_record, at, at + end as u64 + 1);
                    });
                }
                LineChunk::TooLong { .. } => search.counted.lines += 1,
                LineChunk::Tail { offset, bytes, .. } => {
                    let is_record = matches!(classify::classify_tail(bytes), Tail::Record(_));
                    if is_record {
                        search.visit(bytes, true, offset, offset + bytes.len() as u64);
                    }
                    return Ok(search.best(is_wary));
                }
            }
        }
    }
}

/// A walk through a text that compares each of its records with those that were passed.
struct PassedSearch<'a> {
    passed: &'a Passed,
    /// Records and lines met.
    counted: Counted,
    /// For each record that was passed: how many in a row, with it as the last, end at the line
    /// met last.
    rows: Vec<usize>,
    is_in_row: bool,
    /// For each of them the best place that ends with it, and how many there are.
    matches: Vec<Option<(Match, usize)>>,
    /// Where each of them ends for the first time.
    ends: Vec<Option<u64>>,
}

impl<'a> PassedSearch<'a> {
    fn new(passed: &'a Passed) -> PassedSearch<'a> {
        let count = passed.seen.len();
        PassedSearch {
            passed,
            counted: Counted::default(),
            rows: vec![0; count],
            is_in_row: false,
            matches: vec![None; count],
            ends: vec![None; count],
        }
    }

    fn visit(&mut self, line: &[u8], is_record: bool, offset: u64, end: u64) {
        self.counted.lines += 1;
        if !is_record {
            return;
        }
        self.counted.records += 1;
        let bare = without_return(line);
        let length = line.len() as u64;
        let may_be_it = |seen: &PassedRecord| {
            seen.bare.0 == bare.len() as u64
                || seen.is_text && [length, length + 1].contains(&seen.bare.0)
        };
        if !self.passed.seen.iter().any(may_be_it) {
            if std::mem::take(&mut self.is_in_row) {
                self.rows.fill(0);
            }
            return;
        }
        let hash = cursor::hash(bare);
        // A cursor has the hash of its line as it was, with or without a `\r`.
        let texts = self.passed.seen.iter().any(|seen| seen.is_text).then(|| {
            let returned = [bare, b"\r"].concat();
            [cursor::hash(line), cursor::hash(&returned)]
        });
        let is_it = |seen: &PassedRecord| {
            let hashed = seen.bare.1;
            hashed == hash || seen.is_text && texts.is_some_and(|it| it.contains(&hashed))
        };
        self.is_in_row = true;
        for at in (0..self.rows.len()).rev() {
            let before = at.checked_sub(1).and_then(|at| self.rows.get(at)).copied();
            let (Some(seen), Some(row)) = (self.passed.seen.get(at), self.rows.get_mut(at)) else {
                continue;
            };
            *row = 0;
            if !is_it(seen) {
                continue;
            }
            *row = before.unwrap_or_default() + 1;
            let distance = match seen.counted {
                Some(counted) => counted.records.abs_diff(self.counted.records),
                None => seen.offset.abs_diff(offset),
            };
            let is_same_number =
                seen.counted.is_none_or(|counted| counted.records == self.counted.records);
            let counted = self.counted;
            let met = Match { count: *row, distance, is_same_number, offset: end, counted };
            if let Some(first) = self.ends.get_mut(at) {
                first.get_or_insert(end);
            }
            if let Some(best) = self.matches.get_mut(at) {
                *best = Some(match best.take() {
                    Some((best, count)) => (best.better(met), count + 1),
                    None => (met, 1),
                });
            }
        }
    }

    /// The place behind the youngest record that surely is one that was passed.
    fn best(&self, is_wary: bool) -> Option<ResumePoint> {
        let last = self.matches.len().checked_sub(1)?;
        let mut doubtful = None;
        for at in (0..=last).rev() {
            let Some((met, count)) = self.matches.get(at).copied().flatten() else { continue };
            let has_unlike = (0..met.count).any(|back| self.is_only(at - back));
            let is_sure = if at == last {
                let is_where = count == 1 || met.count > 1 || met.is_same_number;
                met.count == at + 1 || has_unlike && is_where
            } else {
                has_unlike && (met.count > 1 || !is_wary)
            };
            let found = ResumePoint {
                offset: met.offset,
                counted: met.counted,
                is_same: at == last && met.is_same_number,
                moved: self.moved_behind(met.offset),
            };
            if is_sure {
                return Some(found);
            }
            doubtful.get_or_insert(found);
        }
        doubtful.filter(|_| !is_wary)
    }

    fn moved_behind(&self, offset: u64) -> Vec<Bare> {
        let ends = self.passed.seen.iter().zip(&self.ends);
        let is_before = |end: &Option<u64>| end.is_some_and(|end| end <= offset);
        ends.filter(|(_, end)| !is_before(end)).map(|(seen, _)| seen.bare).collect()
    }

    /// Whether no other record that was passed is like this one.
    fn is_only(&self, at: usize) -> bool {
        let Some(mine) = self.passed.seen.get(at) else { return false };
        self.passed.seen.iter().filter(|seen| seen.bare == mine.bare).count() == 1
    }
}

impl Match {
    /// More records in a row, then nearer to where they stood, then later in the text.
    fn better(self, other: Match) -> Match {
        let rank = |it: &Match| (it.count, std::cmp::Reverse(it.distance), it.offset);
        if rank(&other) > rank(&self) { other } else { self }
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// By which a record is known, whatever its line ending.
pub(crate) fn bare_of(line: &[u8]) -> Bare {
    let bare = without_return(line);
    (bare.len() as u64, cursor::hash(bare))
}
