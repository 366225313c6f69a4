//! The two walks through a log that is rewritten: one that only decides, and one that writes what stays.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::vec::IntoIter;

use crate::record::classify::{self, Verdict};
use crate::record::lines::{LineChunk, LineReader};
use crate::repair::plan::{Fate, Plan, TimeOrder};
use crate::repair::replacement::{IoFailure, IoResult, Replacement};
use crate::storage::locked_log::LogLockGuard;
use crate::storage::{FileStorage, Storage, read_exact_at};

/// Times the copy goes on with what somebody appended without the lock; what comes later is in the old file alone.
const MAX_EXTENSIONS: u32 = 100;
/// Bytes copied at a time of a line that is too long to be held.
const CHUNK: usize = 1 << 20;

/// The log under its lock, which is released on every way out.
pub(crate) struct LockedLog {
    _guard: LogLockGuard,
    pub(crate) storage: Arc<FileStorage>,
    pub(crate) file: PathBuf,
}

impl LockedLog {
    pub(crate) fn new(guard: LogLockGuard, storage: Arc<FileStorage>, file: PathBuf) -> LockedLog {
        LockedLog { _guard: guard, storage, file }
    }
}

/// A walk that writes what stays.
pub(crate) struct LogCopy {
    /// Before the lock, so that the next who gets that finds nothing of this one left.
    pub(crate) replacement: Replacement,
    pub(crate) held: LockedLog,
    pub(crate) plan: Plan,
    /// Records that come to stand elsewhere.
    pub(crate) reordered: u64,
    /// How far the log was copied.
    pub(crate) end: u64,
    lines: LineReader,
    order: IntoIter<Range<u64>>,
    is_synced: bool,
    extensions: u32,
}

impl LogCopy {
    /// Begins at the beginning. `order`: the records in the order of their times, if that is another one.
    pub(crate) fn begin(
        held: LockedLog,
        plan: Plan,
        order: Vec<Range<u64>>,
        reordered: u64,
    ) -> IoResult<LogCopy> {
        let end = held.storage.stat().map_err(|error| ("fstat", error))?.length;
        Ok(LogCopy {
            replacement: Replacement::begin(&held.file)?,
            held,
            plan,
            reordered,
            end,
            lines: LineReader::new(0, end),
            order: order.into_iter(),
            is_synced: false,
            extensions: 0,
        })
    }

    /// Copies the next piece. True at the end.
    pub(crate) fn go_on(&mut self) -> IoResult<bool> {
        let LogCopy { held, lines, plan, replacement, order, .. } = self;
        let storage = &*held.storage;
        match lines.next(storage).map_err(|error| ("pread", error))? {
            LineChunk::Whole { offset, bytes } => {
                let mut outcome = Ok(());
                classify::complete_lines(bytes, |start, line| {
                    if outcome.is_err() {
                        return;
                    }
                    let offset = offset + start as u64;
                    let (fate, line, offset) = plan.line(line, offset).unmarked(line, offset);
                    outcome = put(storage, replacement, order, fate, line, offset)
                        .and_then(|()| end_line(replacement, fate));
                });
                outcome?;
                Ok(false)
            }
            LineChunk::TooLong { offset, length } => {
                let fate = plan.too_long(offset, length);
                // With its newline.
                copy_range(storage, offset..offset + length + 1, |bytes| match fate {
                    Fate::Removed => replacement.put_aside(bytes),
                    Fate::Record | Fate::Unmarked | Fate::Other => replacement.keep(bytes),
                })?;
                Ok(false)
            }
            LineChunk::Tail { offset, bytes, length } => {
                let bytes = bytes.to_vec();
                self.end(offset, &bytes, length)
            }
        }
    }

    /// At the end as it was: goes on if the file has grown since, because somebody appends without the lock. The long sync comes before the
    /// last look.
    fn end(&mut self, offset: u64, bytes: &[u8], length: u64) -> IoResult<bool> {
        if !self.is_synced {
            self.replacement.sync()?;
            self.is_synced = true;
        }
        let now = self.held.storage.stat().map_err(|error| ("fstat", error))?.length;
        if now > self.end && self.extensions < MAX_EXTENSIONS {
            self.extensions += 1;
            self.end = now;
            self.lines = LineReader::new(offset, now);
            return Ok(false);
        }
        let fate = self.plan.tail(bytes, offset, length);
        if length > bytes.len() as u64 {
            let replacement = &mut self.replacement;
            copy_range(&self.held.storage, offset..offset + length, |bytes| match fate {
                Fate::Removed => replacement.put_aside(bytes),
                Fate::Record | Fate::Unmarked | Fate::Other => replacement.keep(bytes),
            })?;
            return self.finish();
        }
        let (fate, bytes, offset) = fate.unmarked(bytes, offset);
        put(&self.held.storage, &mut self.replacement, &mut self.order, fate, bytes, offset)?;
        if fate == Fate::Record {
            end_line(&mut self.replacement, fate)?;
        }
        self.finish()
    }

    /// Every record of the order must have had its turn.
    fn finish(&mut self) -> IoResult<bool> {
        if self.order.next().is_some() { Err(changed()) } else { Ok(true) }
    }
}

/// Puts a line, without its newline, where it belongs. In the place of a record comes the one whose turn it is.
fn put(
    storage: &FileStorage,
    replacement: &mut Replacement,
    order: &mut IntoIter<Range<u64>>,
    fate: Fate,
    line: &[u8],
    offset: u64,
) -> IoResult<()> {
    match fate {
        Fate::Removed => return replacement.put_aside(line),
        Fate::Other => return replacement.keep(line),
        Fate::Record | Fate::Unmarked => {}
    }
    match order.next() {
        // Where the order ends there is what came after it was made.
        Some(turn) if turn.start != offset => {
            let mut record = vec![0; usize::try_from(turn.end - turn.start).unwrap_or_default()];
            read_exact_at(storage, &mut record, turn.start).map_err(|error| ("pread", error))?;
            if !matches!(classify::classify(&record), Verdict::Record(_)) {
                return Err(changed());
            }
            replacement.keep(&record)
        }
        _ => replacement.keep(line),
    }
}

fn changed() -> IoFailure {
    ("pread", io::Error::other("the file was changed in place while it was read"))
}

fn end_line(replacement: &mut Replacement, fate: Fate) -> IoResult<()> {
    match fate {
        Fate::Removed => replacement.put_aside(b"\n"),
        Fate::Record | Fate::Unmarked | Fate::Other => replacement.keep(b"\n"),
    }
}

fn copy_range(
    storage: &FileStorage,
    range: Range<u64>,
    mut put: impl FnMut(&[u8]) -> IoResult<()>,
) -> IoResult<()> {
    let mut at = range.start;
    while at < range.end {
        let wanted = usize::try_from(range.end - at).unwrap_or(CHUNK).min(CHUNK);
        let mut bytes = vec![0; wanted];
        read_exact_at(storage, &mut bytes, at).map_err(|error| ("pread", error))?;
        put(&bytes)?;
        at += wanted as u64;
    }
    Ok(())
}

/// Decides about the next piece. True at the end.
pub(crate) fn look_on(
    storage: &dyn Storage,
    lines: &mut LineReader,
    plan: &mut Plan,
    order: &mut Option<TimeOrder>,
) -> io::Result<bool> {
    let mut note = |fate, record: &[u8], offset| {
        let (fate, record, offset) = Fate::unmarked(fate, record, offset);
        if let (Fate::Record, Some(order)) = (fate, order.as_mut()) {
            order.note(record, offset);
        }
    };
    match lines.next(storage)? {
        LineChunk::Whole { offset, bytes } => {
            classify::complete_lines(bytes, |start, line| {
                let offset = offset + start as u64;
                note(plan.line(line, offset), line, offset);
            });
            Ok(false)
        }
        LineChunk::TooLong { offset, length } => {
            plan.too_long(offset, length);
            Ok(false)
        }
        LineChunk::Tail { offset, bytes, length } => {
            note(plan.tail(bytes, offset, length), bytes, offset);
            Ok(true)
        }
    }
}
