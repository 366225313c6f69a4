//! The last n records, by reading backwards from the end.

use std::io;

use memchr::memrchr;

use crate::error::Result;
use crate::json::MAX_LINE;
use crate::path::ChroniclePath;
use crate::reader::{BadKind, Place, Slice, SliceBuilder, cannot_read};
use crate::scan::{self, Tail, Verdict};
use crate::storage::{self, FileStorage, Storage, read_exact_at};

/// Bytes read at a time, at first.
const BLOCK: u64 = 16 * 1024;
/// Times a file that is cut while it is read is begun anew.
const MOST_ATTEMPTS: usize = 10;
/// Bytes read at a time, at most.
const LARGEST_BLOCK: u64 = 1 << 20;

/// The last `count` records in file order, and the bad lines among them. With `numbered` the records and lines before are counted, which
/// reads the whole file; else `seq` and `line` are 0.
///
/// # Errors
/// `EVALIDATION` for what is no regular file, `EIO`.
pub fn tail(path: &ChroniclePath, count: usize, numbered: bool) -> Result<Slice> {
    let Some(storage) = storage::open_for_reading(path.as_path())? else {
        return Ok(SliceBuilder::new().finish(true));
    };
    let mut attempts = 0;
    loop {
        match tail_of(&storage, count, numbered) {
            // Somebody cut the file in the middle of the walk; it is begun anew.
            Err(error)
                if error.kind() == io::ErrorKind::UnexpectedEof && attempts < MOST_ATTEMPTS =>
            {
                attempts += 1;
            }
            other => return other.map_err(|error| cannot_read(path.as_path(), "pread", error)),
        }
    }
}

fn tail_of(storage: &FileStorage, count: usize, numbered: bool) -> io::Result<Slice> {
    let end = storage.stat()?.length;
    let found = backwards(storage, end, count)?;
    let mut numbers = Numbers { line: 0, seq: 0 };
    let any_bad = found.iter().any(|line| line.bad.is_some());
    if numbered || any_bad {
        let start = found.last().map_or(end, |line| line.offset);
        numbers = count_before(storage, start)?;
    }
    let mut slice = SliceBuilder::new();
    for line in found.iter().rev() {
        numbers.line += line.lines_before;
        let length = line.length;
        match line.bad {
            Some(kind) => slice.bad(kind, numbers.line + 1, line.offset, length),
            None => {
                numbers.seq += 1;
                slice.push(
                    &line.bytes,
                    Place {
                        seq: numbers.seq,
                        offset: line.offset,
                        length,
                    },
                );
            }
        }
        numbers.line += 1;
    }
    Ok(slice.finish(true))
}

struct Numbers {
    line: u64,
    seq: u64,
}

/// A line met on the way back.
struct Met {
    offset: u64,
    length: u64,
    bytes: Vec<u8>,
    bad: Option<BadKind>,
    /// Blank lines between the previous line that counts and this one.
    lines_before: u64,
}

/// Lines from the last one back, until `count` records were met. Blank lines are left out.
fn backwards(storage: &FileStorage, end: u64, count: usize) -> io::Result<Vec<Met>> {
    let mut met: Vec<Met> = Vec::new();
    let mut records = 0;
    let mut before = Before {
        start: end,
        block: BLOCK,
        held: Vec::new(),
    };
    let mut is_tail = true;
    while records < count {
        let Some(line) = before.previous_line(storage)? else {
            break;
        };
        let bytes = line.bytes.unwrap_or_default();
        let too_long = line.length > bytes.len() as u64;
        let verdict = match (too_long, is_tail) {
            (true, true) => Verdict::Blank,
            (true, false) => Verdict::Malformed,
            (false, true) => match scan::judge_tail(&bytes) {
                Tail::Record(keys) => Verdict::Record(keys),
                Tail::Clean | Tail::Torn { .. } => Verdict::Blank,
            },
            (false, false) => scan::judge(&bytes),
        };
        let bad = match verdict {
            Verdict::Record(_) => None,
            Verdict::Malformed => Some(BadKind::Malformed),
            Verdict::Nul => Some(BadKind::Nul),
            Verdict::Blank => {
                if let Some(after) = met.last_mut().filter(|_| !is_tail) {
                    after.lines_before += 1;
                }
                is_tail = false;
                continue;
            }
        };
        is_tail = false;
        records += usize::from(bad.is_none());
        met.push(Met {
            offset: line.offset,
            length: line.length,
            bytes,
            bad,
            lines_before: 0,
        });
    }
    // Blank lines before the first one kept are counted with what comes before it.
    if let Some(first) = met.last_mut() {
        first.lines_before = 0;
    }
    Ok(met)
}

/// The part of the file that was not looked at yet, as one goes back.
struct Before {
    /// Everything from here on was handed out, or is in `held`.
    start: u64,
    block: u64,
    held: Vec<u8>,
}

struct PreviousLine {
    offset: u64,
    length: u64,
    /// Nothing for a line too long to be a record.
    bytes: Option<Vec<u8>>,
}

impl Before {
    /// The line before; first of all what stands behind the last newline, which may be nothing.
    fn previous_line(&mut self, storage: &FileStorage) -> io::Result<Option<PreviousLine>> {
        let mut searched = self.held.len();
        let mut dropped = 0_u64;
        loop {
            let unsearched = self.held.len() - searched;
            let fresh = if searched == self.held.len() {
                &self.held
            } else {
                self.held.get(..unsearched).unwrap_or_default()
            };
            if let Some(newline) = memrchr(b'\n', fresh) {
                let bytes = self.held.split_off(newline + 1);
                self.held.pop();
                let offset = self.start + newline as u64 + 1;
                let length = bytes.len() as u64 + dropped;
                return Ok(Some(PreviousLine {
                    offset,
                    length,
                    bytes: (dropped == 0).then_some(bytes),
                }));
            }
            if self.start == 0 {
                if self.held.is_empty() && dropped == 0 {
                    return Ok(None);
                }
                let bytes = std::mem::take(&mut self.held);
                let length = bytes.len() as u64 + dropped;
                return Ok(Some(PreviousLine {
                    offset: 0,
                    length,
                    bytes: (dropped == 0).then_some(bytes),
                }));
            }
            if self.held.len() > MAX_LINE {
                dropped += self.held.len() as u64;
                self.held.clear();
            }
            searched = self.held.len();
            let size = self.block.min(self.start);
            self.block = (self.block * 2).min(LARGEST_BLOCK);
            let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
            read_exact_at(storage, &mut bytes, self.start - size)?;
            bytes.append(&mut self.held);
            self.held = bytes;
            self.start -= size;
        }
    }
}

/// Lines and records before `end`, where a line begins.
fn count_before(storage: &FileStorage, end: u64) -> io::Result<Numbers> {
    use crate::lines::{Lines, Piece};
    let mut numbers = Numbers { line: 0, seq: 0 };
    let mut lines = Lines::new(0, end);
    loop {
        match lines.next(storage)? {
            Piece::Whole { bytes, .. } => {
                scan::complete_lines(bytes, |_, line| {
                    numbers.line += 1;
                    numbers.seq += u64::from(matches!(scan::judge(line), Verdict::Record(_)));
                });
            }
            Piece::TooLong { .. } => numbers.line += 1,
            Piece::Tail { .. } => return Ok(numbers),
        }
    }
}
