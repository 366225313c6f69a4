//! The two scans of a repair: one that only plans, and one that writes the new file.

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

/// How often the copy continues with lines that were appended without the lock. Later lines stay in
/// the old file only.
const MAX_EXTENSIONS: u32 = 100;
/// Bytes copied at a time of a line that is too long for memory.
const CHUNK_BYTES: usize = 1 << 20;

/// The locked log. Its lock is released on every way out.
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

/// A scan that writes the new file.
pub(crate) struct LogCopy {
    /// Dropped before the lock, so that the next holder of the lock finds no rest of this repair.
    pub(crate) replacement: Replacement,
    pub(crate) held: LockedLog,
    pub(crate) plan: Plan,
    /// Records that change places.
    pub(crate) reordered: u64,
    /// The log was copied up to this offset.
    pub(crate) end: u64,
    lines: LineReader,
    order: IntoIter<Range<u64>>,
    is_synced: bool,
    extensions: u32,
}

impl LogCopy {
    /// Begins a copy. `order`: the records in the order of their times, or empty to keep the order.
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

    /// Copies the next chunk. True at the end.
    pub(crate) fn copy_on(&mut self) -> IoResult<bool> {
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
                    Fate::Removed => replacement.move_out(bytes),
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

    /// At the end of the log: continues if the log has grown, because a process appends without the
    /// lock.
    ///
    /// The long sync runs before the last check of the length, so that few bytes can arrive late.
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
                Fate::Removed => replacement.move_out(bytes),
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

    /// Fails if records of the order were not written.
    fn finish(&mut self) -> IoResult<bool> {
        if self.order.next().is_some() { Err(changed()) } else { Ok(true) }
    }
}

/// Writes a line, without its newline, to its file. A record is replaced by the next one of the
/// order.
fn put(
    storage: &FileStorage,
    replacement: &mut Replacement,
    order: &mut IntoIter<Range<u64>>,
    fate: Fate,
    line: &[u8],
    offset: u64,
) -> IoResult<()> {
    match fate {
        Fate::Removed => return replacement.move_out(line),
        Fate::Other => return replacement.keep(line),
        Fate::Record | Fate::Unmarked => {}
    }
    match order.next() {
        // Behind the end of the order are records that were appended later.
        Some(next) if next.start != offset => {
            let mut record = vec![0; usize::try_from(next.end - next.start).unwrap_or_default()];
            read_exact_at(storage, &mut record, next.start).map_err(|error| ("pread", error))?;
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
        Fate::Removed => replacement.move_out(b"\n"),
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
        let wanted = usize::try_from(range.end - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let mut bytes = vec![0; wanted];
        read_exact_at(storage, &mut bytes, at).map_err(|error| ("pread", error))?;
        put(&bytes)?;
        at += wanted as u64;
    }
    Ok(())
}

/// Plans the next chunk. True at the end.
pub(crate) fn plan_on(
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
