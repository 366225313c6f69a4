//! Following a log by whole lines, exactly as the file has them.

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

/// Some records that stand behind each other in one file, as the lines that they are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineBatch {
    /// The lines with their newlines. Only the last one may have none: it ends its file without one.
    pub bytes: Vec<u8>,
    /// How many they are.
    pub count: u64,
    /// Number of the first record in its file, from 1.
    pub first: u64,
    /// Number of the last one. With a filter there may be others between.
    pub last: u64,
    /// Number of the record that was given before, 0 at the start of a file. Where none was given:
    /// how many records stand before the place to begin at.
    pub after: u64,
    /// The place behind the last record.
    pub cursor: Cursor,
    /// What the file is to the one before. Other than [`FileState::Same`] only in the first batch of
    /// a file.
    pub file: FileState,
}

/// How long a batch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Bytes at most; a record that is longer is a batch by itself.
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

/// What one look at a log found.
#[derive(Debug)]
pub struct BatchLook {
    /// The next lines; `None` where the look found none.
    pub batch: Option<LineBatch>,
    /// Lines met meanwhile that are no records.
    pub bad: Vec<BadLine>,
    /// Where the first look began, if that is a place known by then.
    pub start: Option<Cursor>,
    /// Nothing is left to read for now.
    pub is_idle: bool,
    /// What keeps the path from being looked at, which is waited through: reported once.
    pub trouble: Option<Error>,
}

/// Follows a log as [`Follower`] does, and gives whole lines. A file that was rewritten is given
/// again from its start.
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
    /// The disk, where lines are given only once they are on it.
    synced: Option<Arc<SyncedDisk>>,
    held: Option<PendingLines>,
    /// Number of the record given last in the file that is read.
    given: Option<u64>,
    /// A sync that failed at a look that found lines.
    failure: Option<Error>,
}

/// What a look found and was not given yet.
struct PendingLines {
    bytes: Vec<u8>,
    /// Bytes that were given.
    given: usize,
    places: VecDeque<RecordPlace>,
    stat: Stat,
    is_counted: bool,
    begun_after: u64,
    file: FileState,
}

impl BatchFollower {
    /// Will follow the log from `selection.from` on. Nothing is opened yet.
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

    /// Looks only what stands at the path, as [`Follower::glance`] does.
    pub fn glance(&mut self, path: &ChroniclePath) {
        self.follower.glance(path);
    }

    /// The same, and gives only lines that are on the disk. Bytes that came after a file was opened are
    /// synced. Bytes that were there are synced, dropped from the page cache and read again.
    pub fn synced(disk: Arc<dyn Disk>, selection: Selection, limits: BatchLimits) -> BatchFollower {
        let disk = Arc::new(SyncedDisk::new(disk));
        let synced = Some(disk.clone());
        BatchFollower { synced, ..BatchFollower::new(disk, selection, limits) }
    }

    /// Looks once, unless lines are left of the look before.
    ///
    /// # Errors
    /// As [`Follower::look`]; and `EIO` with the operation `fdatasync` when a sync failed. Then a later
    /// look reads the bytes behind the last good sync again from the disk before it gives anything.
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
        // A follow waits through what keeps a path from being read; a disk that fails is reported.
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

    /// Gives as much of what is held as a batch may have, and holds the rest.
    fn give(&mut self, mut held: PendingLines) -> LineBatch {
        let first = held.places.front().map_or(0, |place| place.seq);
        let file = std::mem::take(&mut held.file);
        if file != FileState::Same {
            self.given = None;
        }
        // A file that was cut in place may number what follows as it numbered what is gone.
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
    /// The next bytes, which are not copied where they are all that there are.
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
