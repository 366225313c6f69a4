//! The start of the last n records, found by a backward scan.

use std::io;

use crate::read::page::BadKind;
use crate::record::classify::{self, Tail, Verdict};
use crate::record::lines::{LineChunk, LineReader};
use crate::record::reverse_lines::ReverseLines;
use crate::storage::Storage;

/// The start of a read, and the lines and records in front of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) offset: u64,
    pub(crate) lines: u64,
    pub(crate) records: u64,
}

/// What to count from the start of the file, which costs a scan of all of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CountMode {
    /// Records and lines, in any case.
    pub(crate) always: bool,
    /// Lines, if a bad line is among the last.
    pub(crate) for_bad_lines: bool,
}

/// The start of the last `count` records before `end`.
pub(crate) fn last_records(
    storage: &dyn Storage,
    end: u64,
    count: u64,
    counted: CountMode,
) -> io::Result<Start> {
    let mut backwards = ReverseLines::new(0, end);
    let mut offset = end;
    let mut records = 0;
    let mut any_bad = false;
    let mut is_tail = true;
    while records < count {
        let Some(line) = backwards.previous_line(storage)? else {
            break;
        };
        let is_record = match &line.bytes {
            Some(bytes) if is_tail => matches!(classify::classify_tail(bytes), Tail::Record(_)),
            None if is_tail => false,
            Some(bytes) => {
                let verdict = classify::classify(bytes);
                any_bad |= BadKind::of(&verdict).is_some();
                matches!(verdict, Verdict::Record(_))
            }
            None => {
                any_bad = true;
                false
            }
        };
        is_tail = false;
        records += u64::from(is_record);
        offset = line.offset;
    }
    if counted.always || (counted.for_bad_lines && any_bad) {
        count_before(storage, offset)
    } else {
        Ok(Start { offset, ..Start::default() })
    }
}

/// Lines and records in front of `offset`, where a line begins.
fn count_before(storage: &dyn Storage, offset: u64) -> io::Result<Start> {
    let mut start = Start { offset, ..Start::default() };
    let mut lines = LineReader::new(0, offset);
    loop {
        match lines.next(storage)? {
            LineChunk::Whole { bytes, .. } => {
                classify::complete_lines(bytes, |_, line| {
                    start.lines += 1;
                    start.records +=
                        u64::from(matches!(classify::classify(line), Verdict::Record(_)));
                });
            }
            LineChunk::TooLong { .. } => start.lines += 1,
            LineChunk::Tail { .. } => return Ok(start),
        }
    }
}
