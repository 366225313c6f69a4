//! Files of which a reader sees only what is on the disk.
//!
//! Bytes that came into a file after it was opened are proved by a good sync through its own
//! descriptor. Those that were there, and those of a failed sync, are synced, dropped from the page
//! cache and read again.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::mutex::locked;
use crate::os::Stat;
use crate::storage::disk::{Disk, Storage};
use crate::storage::durable_ranges::Proof;
use crate::storage::file::cannot_read;
use crate::storage::folder::Former;

/// Bytes that are dropped from the page cache and read again at a time.
const STRETCH: u64 = 1 << 20;
/// Times that a summary is synced and dropped before it counts as one that stays in the cache: a
/// writer may have put bytes into its last page between the two.
const MAX_DROPS: usize = 16;

/// Files that are remembered because a sync failed, at most.
const MAX_DOUBTED: usize = 1024;

/// Files of which a reader of this process met a failed sync, the youngest last. Where their pages
/// stay in the cache, no later sync proves them, also for a reader that begins again.
static DOUBTED: Mutex<VecDeque<Stat>> = Mutex::new(VecDeque::new());

/// A tree of files whose readers see only what is on the disk.
pub(crate) struct SyncedDisk {
    disk: Arc<dyn Disk>,
    failed: FailedCall,
}

/// The system call that failed last.
type FailedCall = Arc<Mutex<Option<&'static str>>>;

/// An open file. Its length is that of what is proved or will be when it is read.
struct SyncedStorage {
    storage: Arc<dyn Storage>,
    state: Mutex<SyncedState>,
    failed: FailedCall,
}

struct SyncedState {
    proof: Proof,
    /// Bytes before this end stood in the file when a good sync began.
    end: Option<u64>,
    /// A sync failed, and no good one came after it.
    is_doubtful: bool,
    /// A sync failed: bytes behind this one count as on the disk only once they left the page cache.
    doubted_from: Option<u64>,
}

impl SyncedDisk {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> SyncedDisk {
        SyncedDisk { disk, failed: FailedCall::default() }
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
        let is_doubted = locked(&DOUBTED).iter().any(|doubted| doubted.is_same_file(&stat));
        let doubted_from = is_doubted.then_some(0);
        let proof = Proof::new(stat.length);
        let state = SyncedState { proof, end: None, is_doubtful: false, doubted_from };
        Ok(SyncedStorage { storage, state: Mutex::new(state), failed })
    }

    fn noted<T>(&self, operation: &'static str, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            *locked(&self.failed) = Some(operation);
        }
        result
    }

    /// Syncs the file, which has `length` bytes by now, and says what that proves.
    fn sync(&self, state: &mut SyncedState, length: u64) -> io::Result<()> {
        match self.noted("fdatasync", self.storage.sync()) {
            Ok(()) if state.is_doubtful => {
                state.is_doubtful = false;
                state.proof.doubt(length);
            }
            Ok(()) => state.proof.synced(length),
            Err(error) => {
                state.is_doubtful = true;
                let proved = state.end.unwrap_or_default();
                state.doubted_from = Some(state.doubted_from.unwrap_or(proved).min(proved));
                self.doubt();
                return Err(error);
            }
        }
        state.end = Some(length);
        Ok(())
    }

    fn doubt(&self) {
        let Ok(stat) = self.storage.stat() else { return };
        let mut files = locked(&DOUBTED);
        files.retain(|doubted| !doubted.is_same_file(&stat));
        if files.len() == MAX_DOUBTED {
            files.pop_front();
        }
        files.push_back(stat);
    }

    /// Has every byte of `range` come from the disk, unless it is proved.
    fn prove(&self, state: &mut SyncedState, range: Range<u64>) -> io::Result<()> {
        let mut at = range.start;
        while at < range.end {
            if let Some(end) = state.proof.proved_from(at) {
                at = end;
                continue;
            }
            let start = at / STRETCH * STRETCH;
            let end = (start + STRETCH).min(state.proof.opened_at()).max(at + 1);
            self.drop_cached(state, start..end)?;
            state.proof.reread(at..end);
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
        // failed sync, the sync is taken for proof, as a writer does with a duplicate.
        if state.doubted_from.is_none_or(|from| range.end <= from) {
            return Ok(());
        }
        let cause = "pages of a failed sync stay in the cache, so that the disk cannot be read";
        self.noted("posix_fadvise", Err(io::Error::other(cause)))
    }
}

impl Disk for SyncedDisk {
    fn open(&self, path: &Path) -> Result<Arc<dyn Storage>> {
        self.disk.open(path)
    }

    fn open_for_reading(&self, path: &Path) -> Result<Option<Arc<dyn Storage>>> {
        let Some(storage) = self.disk.open_for_syncing(path)? else { return Ok(None) };
        // A file whose name a power cut takes is lost with all its records.
        self.disk.sync_directory(path).map_err(|error| cannot_read(path, "fsync", error))?;
        let storage = SyncedStorage::new(storage, self.failed.clone());
        Ok(Some(Arc::new(storage.map_err(|error| cannot_read(path, "fstat", error))?)))
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        self.disk.stat(path)
    }

    fn formers(&self, path: &Path, inode: Option<u64>) -> io::Result<Option<Vec<Former>>> {
        self.disk.formers(path, inode)
    }

    fn stat_former(&self, former: &Former) -> io::Result<Option<Stat>> {
        self.disk.stat_former(former)
    }

    fn open_former(&self, path: &Path, former: &Former) -> io::Result<Option<Arc<dyn Storage>>> {
        let opened = self.disk.open_former_for_syncing(path, former)?;
        let Some(storage) = opened else { return Ok(None) };
        Ok(Some(Arc::new(SyncedStorage::new(storage, self.failed.clone())?)))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_directory(path)
    }

    fn honours_lock(&self, path: &Path) -> io::Result<bool> {
        self.disk.honours_lock(path)
    }

    fn lock_holder(&self, stat: &Stat) -> Option<u32> {
        self.disk.lock_holder(stat)
    }
}

impl Storage for SyncedStorage {
    fn stat(&self) -> io::Result<Stat> {
        let stat = self.storage.stat()?;
        let mut state = locked(&self.state);
        if let Some(end) = state.end.filter(|end| *end > stat.length) {
            state.proof.cut(stat.length);
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
        self.prove(&mut state, offset..offset + wanted as u64)?;
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

    fn try_lock(&self) -> io::Result<bool> {
        self.storage.try_lock()
    }

    fn try_lock_shared(&self) -> io::Result<bool> {
        self.storage.try_lock_shared()
    }

    fn unlock(&self) -> io::Result<()> {
        self.storage.unlock()
    }
}
