//! Following a log by whole lines, byte for byte as they are in the file.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::path::ChroniclePath;
use crate::read::cursor::{Cursor, Step};
use crate::read::follow::{FileState, Follower, Look, OnRewrite};
use crate::read::page::{BadLine, Page, RecordPlace};
use crate::read::selection::Selection;
use crate::storage::synced::SyncedDisk;
use crate::storage::{Disk, Stat};

/// The lines of some records of one file, in file order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineBatch {
    /// The lines with their newlines. Only the last line of a file may lack its newline.
    pub bytes: Vec<u8>,
    /// Number of lines.
    pub count: u64,
    /// Number of the first record in its file, from 1.
    pub first: u64,
    /// Number of the last record. A filter leaves gaps between the numbers.
    pub last: u64,
    /// Number of the record returned before, 0 at the start of a file. Before the first batch: the
    /// number of records in front of the place where the follow begins.
    pub after: u64,
    /// The place behind the last record.
    pub cursor: Cursor,
    /// The relation of the file to the one before. Only the first batch of a file has another value
    /// than [`FileState::Same`].
    pub file: FileState,
}

/// Bounds of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Bytes at most. A longer record is a batch of its own.
    pub max_bytes: usize,
    /// Records at most.
    pub max_events: usize,
}

impl Default for BatchLimits {
    /// 512 KiB and 4,096 records.
    fn default() -> Self {
        BatchLimits { max_bytes: 512 << 10, max_events: 4096 }
    }
}

/// The result of one look at a log.
#[derive(Debug)]
pub struct BatchLook {
    /// The next lines; `None` if there were none.
    pub batch: Option<LineBatch>,
    /// Lines that are no records.
    pub bad: Vec<BadLine>,
    /// The place where the first look began, if it is known by then.
    pub start: Option<Cursor>,
    /// Nothing is left to read for now.
    pub is_idle: bool,
    /// The error that keeps the path from being read. The follow waits until it passes, and reports
    /// it once.
    pub trouble: Option<Error>,
}

/// Follows a log as [`Follower`] does, and returns whole lines. A rewritten file is returned again
/// from its start.
///
/// ```
/// # fn main() -> sage_chronicle::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let name = folder.path().join("agent.sage");
/// # let name = name.to_str().unwrap();
/// use sage_chronicle::internals::storage::FileDisk;
/// use sage_chronicle::{BatchFollower, BatchLimits, ChroniclePath, Selection};
///
/// let log = ChroniclePath::parse(name)?;
/// std::fs::write(name, "{\"n\":12345678901234567890}\n{\"n\":1e400}\n").unwrap();
/// let disk = std::sync::Arc::new(FileDisk);
/// let mut lines = BatchFollower::new(disk, Selection::default(), BatchLimits::default());
/// let batch = lines.look(&log)?.batch.unwrap();
/// assert_eq!(batch.bytes, b"{\"n\":12345678901234567890}\n{\"n\":1e400}\n");
/// assert_eq!((batch.after, batch.first, batch.last, batch.count), (0, 1, 2, 2));
/// # Ok(())
/// # }
/// ```
pub struct BatchFollower {
    follower: Follower,
    limits: BatchLimits,
    /// Set if only lines are returned that are durable.
    synced: Option<Arc<SyncedDisk>>,
    held: Option<PendingLines>,
    /// Number of the record returned last from the present file.
    given: Option<u64>,
    /// A failed sync of a look that also found lines.
    failure: Option<Error>,
}

/// Lines that a look found and that were not returned yet.
struct PendingLines {
    bytes: Vec<u8>,
    /// Number of bytes returned.
    given: usize,
    places: VecDeque<RecordPlace>,
    stat: Stat,
    is_counted: bool,
    begun_after: u64,
    file: FileState,
}

impl BatchFollower {
    /// Prepares to follow the log from `selection.from` on. Nothing is opened yet.
    pub fn new(disk: Arc<dyn Disk>, selection: Selection, limits: BatchLimits) -> BatchFollower {
        BatchFollower {
            follower: follower(disk, selection),
            limits,
            synced: None,
            held: None,
            given: None,
            failure: None,
        }
    }

    /// Fixes where a follow from the end begins, as [`Follower::fix_end`] does.
    pub fn fix_end(&mut self, path: &ChroniclePath) {
        self.follower.fix_end(path);
    }

    /// Checks the file at the path only, as [`Follower::glance`] does.
    pub fn glance(&mut self, path: &ChroniclePath) {
        self.follower.glance(path);
    }

    /// As [`BatchFollower::new`], but returns only durable lines. Bytes that arrive after the file
    /// was opened are synced. Older bytes are synced, dropped from the page cache and read again.
    pub fn synced(disk: Arc<dyn Disk>, selection: Selection, limits: BatchLimits) -> BatchFollower {
        let disk = Arc::new(SyncedDisk::new(disk));
        let synced = Some(disk.clone());
        BatchFollower { synced, ..BatchFollower::new(disk, selection, limits) }
    }

    /// Returns pending lines of the look before, or looks once.
    ///
    /// # Errors
    /// As [`Follower::look`]; and `EIO` with the operation `fdatasync` when a sync failed. A later
    /// look then reads the bytes behind the last good sync again from the disk before it returns
    /// any.
    pub fn look(&mut self, path: &ChroniclePath) -> Result<BatchLook> {
        if let Some(held) = self.held.take() {
            let batch = Some(self.give(held));
            let (bad, start, trouble) = (Vec::new(), None, None);
            return Ok(BatchLook { batch, bad, start, is_idle: false, trouble });
        }
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let Look { page, stat, is_counted, start, is_idle, file, begun_after, trouble } =
            self.look_further(path)?;
        let Page { json: bytes, places, bad, .. } = page;
        let held = stat.filter(|_| !places.is_empty()).map(|stat| {
            let places = places.into();
            PendingLines { bytes, given: 0, places, stat, is_counted, begun_after, file }
        });
        let batch = held.map(|held| self.give(held));
        Ok(BatchLook { batch, bad, start, is_idle: is_idle && self.held.is_none(), trouble })
    }

    fn look_further(&mut self, path: &ChroniclePath) -> Result<Look> {
        let Some(disk) = &self.synced else { return self.follower.look(path) };
        disk.forget_failure();
        let mut look = self.follower.look(path).map_err(|error| disk.explain(error))?;
        // A follow waits while a path cannot be read. It reports a disk that fails.
        if disk.has_failed()
            && let Some(trouble) = look.trouble.take()
        {
            let failure = disk.explain(trouble);
            if look.page.is_empty() {
                return Err(failure);
            }
            self.failure = Some(failure);
        }
        Ok(look)
    }

    /// Returns as many pending lines as fit into a batch, and keeps the rest.
    fn give(&mut self, mut held: PendingLines) -> LineBatch {
        let first = held.places.front().map_or(0, |place| place.seq);
        let file = std::mem::take(&mut held.file);
        if file != FileState::Same {
            self.given = None;
        }
        // After a cut in place, new records can have the numbers of removed ones.
        let after = self.given.filter(|given| *given < first);
        let after = after.unwrap_or_else(|| held.begun_after.min(first.saturating_sub(1)));
        let (count, length) = self.limits.fit(&held.places);
        let bytes = held.take(length);
        let last = held.places.drain(..count).next_back();
        let step = Step { reverse: false, is_counted: held.is_counted };
        let cursor = last.map_or(Cursor::NOWHERE, |place| {
            let start = length.saturating_sub(length_of(&place));
            let line = bytes.get(start..).unwrap_or_default();
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            Cursor::of_record(&held.stat, &place, line, step)
        });
        let last = last.map_or(0, |place| place.seq);
        self.given = Some(last);
        if !held.places.is_empty() {
            self.held = Some(held);
        }
        LineBatch { bytes, count: count as u64, first, last, after, cursor, file }
    }
}

impl PendingLines {
    /// The next bytes. They are moved, not copied, if they are the only ones.
    fn take(&mut self, length: usize) -> Vec<u8> {
        let end = self.given.saturating_add(length).min(self.bytes.len());
        if self.given == 0 && end == self.bytes.len() {
            return std::mem::take(&mut self.bytes);
        }
        let bytes = self.bytes.get(self.given..end).unwrap_or_default().to_vec();
        self.given = end;
        bytes
    }
}

impl BatchLimits {
    /// How many of the records fit into a batch, at least one, and the bytes of their lines.
    fn fit(&self, places: &VecDeque<RecordPlace>) -> (usize, usize) {
        let (mut count, mut length) = (0, 0);
        for place in places.iter().take(self.max_events.max(1)) {
            let more = length + length_of(place);
            if count > 0 && more > self.max_bytes {
                break;
            }
            (count, length) = (count + 1, more);
        }
        (count, length)
    }
}

/// Bytes of a line with its newline.
fn length_of(place: &RecordPlace) -> usize {
    usize::try_from(place.length).unwrap_or(usize::MAX).saturating_add(1)
}

fn follower(disk: Arc<dyn Disk>, selection: Selection) -> Follower {
    let selection = Selection { numbered: true, count_only: false, ..selection };
    Follower::new(disk, selection).in_lines().on_rewrite(OnRewrite::Restart)
}
