//! Files of which a reader sees only what is on the disk.
//!
//! A good sync through the reader's own descriptor makes durable what came into the file after that
//! was opened. Bytes that were there before, and those of a failed sync, are synced, dropped from
//! the page cache and read again.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::mutex::locked;
use crate::os::Stat;
use crate::storage::disk::{Disk, OpenFile, Storage};
use crate::storage::durable_ranges::DurableRanges;
use crate::storage::file::cannot_read;
use crate::storage::folder::Former;

/// Bytes that are dropped from the page cache and read again at a time.
const VERIFY_BYTES: u64 = 1 << 20;
/// Times that a range is synced and dropped before it counts as one that stays in the cache. A
/// writer may have put bytes into its last page between the two.
const MAX_DROPS: usize = 16;

/// Files of failed syncs that are remembered, at most.
const MAX_FAILED_FILES: usize = 1024;

/// Files of which a reader of this process met a failed sync, the youngest last. Where their pages
/// stay in the cache, no later sync makes them durable, also for a reader that begins again.
static FAILED_FILES: Mutex<VecDeque<Stat>> = Mutex::new(VecDeque::new());

/// A tree of files whose readers see only what is on the disk.
pub(crate) struct SyncedDisk {
    disk: Arc<dyn Disk>,
    failed: FailedCall,
}

/// The system call that failed last.
type FailedCall = Arc<Mutex<Option<&'static str>>>;

/// An open file. Its length is that of what is durable, or will be verified when it is read.
struct SyncedStorage {
    storage: Arc<dyn Storage>,
    state: Mutex<SyncedState>,
    failed: FailedCall,
}

struct SyncedState {
    ranges: DurableRanges,
    /// Bytes before this end stood in the file when a good sync began.
    end: Option<u64>,
    /// A sync failed, and no good one came after it.
    has_failed_sync: bool,
    /// A sync failed: bytes behind this one count as on the disk only once they left the page
    /// cache.
    must_verify_from: Option<u64>,
}

impl SyncedDisk {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> SyncedDisk {
        SyncedDisk { disk, failed: FailedCall::default() }
    }

    fn synced(&self, file: &OpenFile) -> io::Result<OpenFile> {
        let storage = SyncedStorage::new(file.storage().clone(), self.failed.clone())?;
        Ok(file.with_storage(Arc::new(storage)))
    }

    /// Forgets the system call that failed last.
    pub(crate) fn forget_failure(&self) {
        *locked(&self.failed) = None;
    }

    /// Whether a system call failed since.
    pub(crate) fn has_failed(&self) -> bool {
        locked(&self.failed).is_some()
    }

    /// Names in the error of a read the system call that failed, where that was no read.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match locked(&self.failed).take() {
            Some(operation) => error.with_operation(operation),
            None => error,
        }
    }
}

impl SyncedStorage {
    fn new(storage: Arc<dyn Storage>, failed: FailedCall) -> io::Result<SyncedStorage> {
        let stat = storage.stat()?;
        let has_failed = locked(&FAILED_FILES).iter().any(|failed| failed.is_same_file(&stat));
        let must_verify_from = has_failed.then_some(0);
        let ranges = DurableRanges::new(stat.length);
        let state = SyncedState { ranges, end: None, has_failed_sync: false, must_verify_from };
        Ok(SyncedStorage { storage, state: Mutex::new(state), failed })
    }

    fn noted<T>(&self, operation: &'static str, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            *locked(&self.failed) = Some(operation);
        }
        result
    }

    /// Syncs the file, which has `length` bytes by now, and notes what that makes durable.
    fn sync(&self, state: &mut SyncedState, length: u64) -> io::Result<()> {
        match self.noted("fdatasync", self.storage.sync()) {
            Ok(()) if state.has_failed_sync => {
                state.has_failed_sync = false;
                state.ranges.sync_failed(length);
            }
            Ok(()) => state.ranges.synced(length),
            Err(error) => {
                state.has_failed_sync = true;
                let durable = state.end.unwrap_or_default();
                state.must_verify_from =
                    Some(state.must_verify_from.unwrap_or(durable).min(durable));
                self.note_failed_sync();
                return Err(error);
            }
        }
        state.end = Some(length);
        Ok(())
    }

    fn note_failed_sync(&self) {
        let Ok(stat) = self.storage.stat() else { return };
        let mut files = locked(&FAILED_FILES);
        files.retain(|failed| !failed.is_same_file(&stat));
        if files.len() == MAX_FAILED_FILES {
            files.pop_front();
        }
        files.push_back(stat);
    }

    /// Has every byte of `range` come from the disk, unless it is durable for certain.
    fn verify(&self, state: &mut SyncedState, range: Range<u64>) -> io::Result<()> {
        let mut at = range.start;
        while at < range.end {
            if let Some(end) = state.ranges.durable_from(at) {
                at = end;
                continue;
            }
            let start = at / VERIFY_BYTES * VERIFY_BYTES;
            let end = (start + VERIFY_BYTES).min(state.ranges.opened_at()).max(at + 1);
            self.drop_cached(state, start..end)?;
            state.ranges.verified(at..end);
            at = end;
        }
        Ok(())
    }

    fn drop_cached(&self, state: &mut SyncedState, range: Range<u64>) -> io::Result<()> {
        for _ in 0..MAX_DROPS {
            if self.noted("posix_fadvise", self.storage.drop_cached(range.clone()))? {
                return Ok(());
            }
            let length = self.storage.stat()?.length;
            self.sync(state, length)?;
        }
        // Pages that another process maps stay in the cache. Where no reader of this process met a
        // failed sync, the sync counts, as it does for the duplicates of a writer.
        if state.must_verify_from.is_none_or(|from| range.end <= from) {
            return Ok(());
        }
        let cause = "pages of a failed sync stay in the cache, so that the disk cannot be read";
        self.noted("posix_fadvise", Err(io::Error::other(cause)))
    }
}

impl Disk for SyncedDisk {
    fn beneath(&self) -> Option<&dyn Disk> {
        Some(&*self.disk)
    }

    fn open_for_reading(&self, path: &Path) -> Result<Option<OpenFile>> {
        let Some(file) = self.disk.open_for_syncing(path)? else { return Ok(None) };
        // A file whose name a power cut takes is lost with all its records.
        self.disk.sync_directory(path).map_err(|error| cannot_read(path, "fsync", error))?;
        Ok(Some(self.synced(&file).map_err(|error| cannot_read(path, "fstat", error))?))
    }

    fn open_former(&self, path: &Path, former: &Former) -> io::Result<Option<OpenFile>> {
        let opened = self.disk.open_former_for_syncing(path, former)?;
        opened.map(|file| self.synced(&file)).transpose()
    }
}

impl Storage for SyncedStorage {
    fn stat(&self) -> io::Result<Stat> {
        let stat = self.storage.stat()?;
        let mut state = locked(&self.state);
        if let Some(end) = state.end.filter(|end| *end > stat.length) {
            state.ranges.cut(stat.length);
            state.end = Some(end.min(stat.length));
        }
        if state.end.is_none_or(|end| end < stat.length) {
            self.sync(&mut state, stat.length)?;
        }
        Ok(stat)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = locked(&self.state);
        let end = state.end.unwrap_or_default();
        let room = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = room.min(buffer.len());
        self.verify(&mut state, offset..offset + wanted as u64)?;
        self.storage.read_at(buffer.get_mut(..wanted).unwrap_or_default(), offset)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.storage.append(bytes)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.storage.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.storage.sync()
    }

    fn drop_cached(&self, range: Range<u64>) -> io::Result<bool> {
        self.storage.drop_cached(range)
    }

    fn data_from(&self, range: Range<u64>) -> u64 {
        self.storage.data_from(range)
    }
}
