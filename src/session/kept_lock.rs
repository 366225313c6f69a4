//! Files whose lock a session holds.

use std::io;
use std::sync::{Arc, Mutex};

use crate::mutex::locked;
use crate::storage::lock_timeout::{note_held, unlist};
use crate::storage::syncs::Syncs;
use crate::storage::{FileStorage, LogLock, Stat, Storage};

/// Which other locks may be held at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// None.
    #[default]
    Exclusive,
    /// Shared ones, and no writer's.
    Shared,
}

/// One open file and its lock. A kept lock is held between batches; without that a batch takes the
/// lock and releases it.
///
/// Owns the lock of the open file description, which all writers of the session share. Its state is
/// local to the process: the lock itself keeps other processes away.
pub(crate) struct KeptLock {
    pub(crate) file: Arc<FileStorage>,
    pub(crate) stat: Stat,
    /// Of the file's open description, which the writers of the session share.
    pub(crate) syncs: Arc<Syncs>,
    mode: LockMode,
    state: Mutex<KeptLockState>,
}

#[derive(Default)]
struct KeptLockState {
    is_locked: bool,
    is_kept: bool,
    /// Set while a writer of this session writes a batch. A second writer that opened the same file
    /// by another path waits: both share one file lock.
    in_batch: bool,
}

impl KeptLock {
    /// An open file that is not locked yet.
    pub(crate) fn new(file: FileStorage, mode: LockMode) -> io::Result<Arc<KeptLock>> {
        let stat = file.stat()?;
        let (file, syncs) = (Arc::new(file), Arc::default());
        Ok(Arc::new(KeptLock { file, stat, syncs, mode, state: Mutex::default() }))
    }

    /// Tries once for the lock, and keeps it.
    pub(crate) fn keep(&self) -> io::Result<bool> {
        let mut state = locked(&self.state);
        if !self.lock(&mut state)? {
            return Ok(false);
        }
        if !std::mem::replace(&mut state.is_kept, true) && self.mode == LockMode::Exclusive {
            note_held(&self.stat);
        }
        Ok(true)
    }

    /// Releases the lock; during a batch, when the batch ends.
    pub(crate) fn release(&self) -> io::Result<()> {
        let mut state = locked(&self.state);
        if std::mem::take(&mut state.is_kept) && self.mode == LockMode::Exclusive {
            unlist(&self.stat);
        }
        if state.in_batch { Ok(()) } else { self.unlock(&mut state) }
    }

    /// Begins a batch, if no other one is under way and the lock can be had.
    pub(crate) fn begin_batch(&self) -> io::Result<bool> {
        let mut state = locked(&self.state);
        if state.in_batch || !self.lock(&mut state)? {
            return Ok(false);
        }
        state.in_batch = true;
        Ok(true)
    }

    /// Ends the batch.
    pub(crate) fn end_batch(&self) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.in_batch = false;
        if state.is_kept { Ok(()) } else { self.unlock(&mut state) }
    }

    fn lock(&self, state: &mut KeptLockState) -> io::Result<bool> {
        if !state.is_locked {
            state.is_locked = match self.mode {
                LockMode::Exclusive => self.file.try_lock()?,
                LockMode::Shared => self.file.try_lock_shared()?,
            };
        }
        Ok(state.is_locked)
    }

    fn unlock(&self, state: &mut KeptLockState) -> io::Result<()> {
        if !state.is_locked {
            return Ok(());
        }
        self.file.unlock()?;
        state.is_locked = false;
        Ok(())
    }
}

impl Drop for KeptLock {
    fn drop(&mut self) {
        // Before the close: a child that inherited the descriptor would keep the lock. The close
        // ends a lock that cannot be released.
        let _ = self.release();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::storage::lock_timeout::is_held;
    use crate::storage::open_or_make;

    fn opened(path: &Path) -> Arc<KeptLock> {
        KeptLock::new(open_or_make(path).unwrap(), LockMode::Exclusive).unwrap()
    }

    #[test]
    fn one_batch_at_a_time_begins_although_the_lock_is_held_for_both() {
        let folder = tempfile::tempdir().unwrap();
        let kept = opened(&folder.path().join("log"));
        assert!(kept.keep().unwrap());
        assert!(kept.begin_batch().unwrap());
        assert!(!kept.begin_batch().unwrap());
        kept.end_batch().unwrap();
        assert!(kept.begin_batch().unwrap());
    }

    #[test]
    fn a_lock_that_is_released_in_a_batch_is_free_when_the_batch_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (kept, other) = (opened(&path), opened(&path));
        assert!(kept.keep().unwrap() && kept.begin_batch().unwrap());
        kept.release().unwrap();
        assert!(!other.keep().unwrap());
        kept.end_batch().unwrap();
        assert!(other.keep().unwrap());
        assert!(!kept.begin_batch().unwrap());
    }

    #[test]
    fn a_kept_lock_outlasts_its_batches_and_is_known_to_be_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (kept, other) = (opened(&path), opened(&path));
        assert!(kept.begin_batch().unwrap());
        kept.end_batch().unwrap();
        assert!(other.begin_batch().unwrap());
        other.end_batch().unwrap();
        assert!(kept.keep().unwrap() && is_held(&kept.stat));
        assert!(kept.begin_batch().unwrap());
        kept.end_batch().unwrap();
        assert!(!other.begin_batch().unwrap());
        drop(kept);
        assert!(!is_held(&other.stat));
        assert!(other.begin_batch().unwrap());
    }
}
