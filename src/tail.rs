//! Finding where the last n records begin, by reading backwards from the end.

use std::io;

use memchr::memrchr;

use crate::json::MAX_LINE;
use crate::lines::{Lines, Piece};
use crate::scan::{self, Tail, Verdict};
use crate::storage::{Storage, read_exact_at};

/// Bytes read at a time, at first.
const BLOCK: u64 = 16 * 1024;
/// Bytes read at a time, at most.
const LARGEST_BLOCK: u64 = 1 << 20;

/// Where a read begins, and how many lines and records come before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) offset: u64,
    pub(crate) lines: u64,
    pub(crate) records: u64,
}

/// What is to be counted from the beginning of the file, which reads all of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    /// Records and lines, whatever is found.
    pub(crate) always: bool,
    /// Lines, when a bad one is among the last.
    pub(crate) for_bad_lines: bool,
}

/// Where the last `count` records before `end` begin.
pub(crate) fn last_records(
    storage: &dyn Storage,
    end: u64,
    count: u64,
    counted: Counted,
) -> io::Result<Start> {
    let mut backwards = Backwards { start: end, block: BLOCK, held: Vec::new() };
    let mut offset = end;
    let mut records = 0;
    let mut any_bad = false;
    let mut is_tail = true;
    while records < count {
        let Some(line) = backwards.previous_line(storage)? else {
            break;
        };
        let is_record = match &line.bytes {
            Some(bytes) if is_tail => matches!(scan::judge_tail(bytes), Tail::Record(_)),
            None if is_tail => false,
            Some(bytes) => {
                let verdict = scan::judge(bytes);
                any_bad |= matches!(verdict, Verdict::Malformed | Verdict::Nul);
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

/// The part of the file that was not looked at yet, as one goes back.
struct Backwards {
    /// Everything from here on was handed out, or is in `held`.
    start: u64,
    block: u64,
    held: Vec<u8>,
}

struct PreviousLine {
    offset: u64,
    /// Nothing for a line too long to be a record.
    bytes: Option<Vec<u8>>,
}

impl Backwards {
    /// The line before; first of all what stands behind the last newline, which may be nothing.
    fn previous_line(&mut self, storage: &dyn Storage) -> io::Result<Option<PreviousLine>> {
        let mut fresh = self.held.len();
        let mut is_too_long = false;
        loop {
            let newline = memrchr(b'\n', self.held.get(..fresh).unwrap_or_default());
            if newline.is_some() || self.start == 0 {
                if newline.is_none() && self.held.is_empty() && !is_too_long {
                    return Ok(None);
                }
                let begin = newline.map_or(0, |newline| newline + 1);
                let bytes = self.held.split_off(begin);
                self.held.pop();
                let offset = self.start + begin as u64;
                return Ok(Some(PreviousLine { offset, bytes: (!is_too_long).then_some(bytes) }));
            }
            if self.held.len() > MAX_LINE {
                is_too_long = true;
                self.held.clear();
            }
            let size = self.block.min(self.start);
            self.block = (self.block * 2).min(LARGEST_BLOCK);
            let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
            read_exact_at(storage, &mut bytes, self.start - size)?;
            fresh = bytes.len();
            bytes.append(&mut self.held);
            self.held = bytes;
            self.start -= size;
        }
    }
}

/// Lines and records before `offset`, where a line begins.
fn count_before(storage: &dyn Storage, offset: u64) -> io::Result<Start> {
    let mut start = Start { offset, ..Start::default() };
    let mut lines = Lines::new(0, offset);
    loop {
        match lines.next(storage)? {
            Piece::Whole { bytes, .. } => {
                scan::complete_lines(bytes, |_, line| {
                    start.lines += 1;
                    start.records += u64::from(matches!(scan::judge(line), Verdict::Record(_)));
                });
            }
            Piece::TooLong { .. } => start.lines += 1,
            Piece::Tail { .. } => return Ok(start),
        }
    }
}
