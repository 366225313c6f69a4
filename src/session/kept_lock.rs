//! Files whose lock a session holds.

use std::io;
use std::sync::{Arc, Mutex};

use crate::mutex::locked;
use crate::storage::lock_timeout::{note_held, unlist};
use crate::storage::syncs::Syncs;
use crate::storage::{FileStorage, Stat, Storage};

/// Who else may hold the lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Nobody.
    #[default]
    Exclusive,
    /// Others that share it: no writer.
    Shared,
}

/// One open file and its lock. Kept, it stays locked between batches; else a batch takes the lock and gives it back.
pub(crate) struct Held {
    pub(crate) file: FileStorage,
    pub(crate) stat: Stat,
    /// Of the file's open description, which the writers of the session share.
    pub(crate) syncs: Arc<Syncs>,
    mode: LockMode,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_locked: bool,
    is_kept: bool,
    /// A writer of the session is at it. Another one, by another name of the file, waits: the lock does not keep them apart.
    in_batch: bool,
}

impl Held {
    /// An open file that is not locked yet.
    pub(crate) fn new(file: FileStorage, mode: LockMode) -> io::Result<Arc<Held>> {
        let stat = file.stat()?;
        Ok(Arc::new(Held { file, stat, syncs: Arc::default(), mode, state: Mutex::default() }))
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

    /// Gives the lock back, if need be when the batch under way ends.
    pub(crate) fn give_up(&self) -> io::Result<()> {
        let mut state = locked(&self.state);
        if std::mem::take(&mut state.is_kept) && self.mode == LockMode::Exclusive {
            unlist(&self.stat);
        }
        if state.in_batch { Ok(()) } else { self.unlock(&mut state) }
    }

    /// Begins a batch, if no other one is under way and the lock can be had.
    pub(crate) fn enter(&self) -> io::Result<bool> {
        let mut state = locked(&self.state);
        if state.in_batch || !self.lock(&mut state)? {
            return Ok(false);
        }
        state.in_batch = true;
        Ok(true)
    }

    /// RunSummary it.
    pub(crate) fn leave(&self) -> io::Result<()> {
        let mut state = locked(&self.state);
        state.in_batch = false;
        if state.is_kept { Ok(()) } else { self.unlock(&mut state) }
    }

    fn lock(&self, state: &mut State) -> io::Result<bool> {
        if !state.is_locked {
            state.is_locked = match self.mode {
                LockMode::Exclusive => self.file.try_lock()?,
                LockMode::Shared => self.file.try_lock_shared()?,
            };
        }
        Ok(state.is_locked)
    }

    fn unlock(&self, state: &mut State) -> io::Result<()> {
        if !state.is_locked {
            return Ok(());
        }
        self.file.unlock()?;
        state.is_locked = false;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Before the close: a child that inherited the descriptor would keep the lock. What fails here the close does.
        let _ = self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::storage::lock_timeout::is_held;
    use crate::storage::open_or_make;

    fn opened(path: &Path) -> Arc<Held> {
        Held::new(open_or_make(path).unwrap(), LockMode::Exclusive).unwrap()
    }

    #[test]
    fn one_batch_at_a_time_enters_although_the_lock_is_held_for_both() {
        let folder = tempfile::tempdir().unwrap();
        let held = opened(&folder.path().join("log"));
        assert!(held.keep().unwrap());
        assert!(held.enter().unwrap());
        assert!(!held.enter().unwrap());
        held.leave().unwrap();
        assert!(held.enter().unwrap());
    }

    #[test]
    fn a_lock_that_is_given_up_in_a_batch_is_free_when_the_batch_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (held, other) = (opened(&path), opened(&path));
        assert!(held.keep().unwrap() && held.enter().unwrap());
        held.give_up().unwrap();
        assert!(!other.keep().unwrap());
        held.leave().unwrap();
        assert!(other.keep().unwrap());
        assert!(!held.enter().unwrap());
    }

    #[test]
    fn a_kept_lock_outlasts_its_batches_and_is_known_to_be_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (held, other) = (opened(&path), opened(&path));
        assert!(held.enter().unwrap());
        held.leave().unwrap();
        assert!(other.enter().unwrap());
        other.leave().unwrap();
        assert!(held.keep().unwrap() && is_held(&held.stat));
        assert!(held.enter().unwrap());
        held.leave().unwrap();
        assert!(!other.enter().unwrap());
        drop(held);
        assert!(!is_held(&other.stat));
        assert!(other.enter().unwrap());
    }
}
