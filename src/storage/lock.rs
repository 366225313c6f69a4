//! The kernel's advisory lock. No call waits for it.
//!
//! `flock(2)` on the log itself; on Windows `LockFileEx` on the lock file beside it, because there
//! a lock keeps readers out of the file that it lies on.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fs4::{FileExt, TryLockError};
use sha2::{Digest, Sha256};

use crate::os;
use crate::path::lock_file_of;

const MAGIC: &[u8; 8] = b"SAGECHLK";
const VERSION: u64 = 1;

/// Where the lock of an open file lies.
#[derive(Debug)]
pub(crate) enum LockPlace {
    /// On the file.
    Own,
    /// On the lock file beside it.
    Beside(Beside),
    /// On the lock file, which the session that opened the file holds.
    HeldBySession,
}

/// A lock file, open only while it is locked or being tried: else it may be deleted.
#[derive(Debug)]
pub(crate) struct Beside {
    path: PathBuf,
    held: Mutex<Option<File>>,
}

impl LockPlace {
    /// That of the log at `path`, where its symlinks end.
    ///
    /// # Errors
    /// When the symlinks cannot be followed.
    pub(crate) fn of_log(path: &Path) -> io::Result<LockPlace> {
        if !os::LOCK_IS_BESIDE {
            return Ok(LockPlace::Own);
        }
        match os::real_path(path) {
            Ok(real) => Ok(LockPlace::beside(&real)),
            // Gone since it was opened: the path is looked at again under the lock.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LockPlace::beside(path)),
            Err(error) => Err(error),
        }
    }

    fn beside(real: &Path) -> LockPlace {
        LockPlace::Beside(Beside { path: lock_file_of(real), held: Mutex::default() })
    }

    /// The same for a session, which holds the lock file.
    pub(crate) fn held_by_session(self) -> LockPlace {
        match self {
            LockPlace::Beside(_) => LockPlace::HeldBySession,
            other => other,
        }
    }

    /// Tries once; `Ok(false)` when another descriptor holds it.
    pub(crate) fn try_exclusive(&self, file: &File) -> io::Result<bool> {
        match self {
            LockPlace::Own => try_exclusive(file),
            LockPlace::Beside(beside) => beside.try_exclusive(),
            LockPlace::HeldBySession => Ok(true),
        }
    }

    /// Tries once for the shared lock, which keeps writers out; `Ok(false)` when a writer holds it.
    pub(crate) fn try_shared(&self, file: &File) -> io::Result<bool> {
        match self {
            LockPlace::Own => try_shared(file),
            LockPlace::Beside(beside) => beside.try_shared(),
            LockPlace::HeldBySession => Ok(true),
        }
    }

    /// Releases it.
    pub(crate) fn release(&self, file: &File) -> io::Result<()> {
        match self {
            LockPlace::Own => release(file),
            LockPlace::Beside(beside) => beside.release(),
            LockPlace::HeldBySession => Ok(()),
        }
    }

    /// The network file system that the lock file is on, where its path shows one.
    pub(crate) fn share(&self) -> Option<&'static str> {
        match self {
            LockPlace::Beside(beside) => os::share_of(&beside.path),
            LockPlace::Own | LockPlace::HeldBySession => None,
        }
    }
}

impl Beside {
    fn held(&self) -> MutexGuard<'_, Option<File>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_exclusive(&self) -> io::Result<bool> {
        let mut held = self.held();
        if held.is_some() {
            return Ok(true);
        }
        let writing = || {
            let mut options = os::lock_file(None);
            options.write(true);
            options
        };
        let file = match os::open_or_create(&self.path, writing) {
            Err(error) if os::is_in_use(&error) => return Ok(false),
            // A file of another user can be locked without the right to write it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                os::lock_file(None).open(&self.path).map_err(|_| error)?
            }
            other => other?.0,
        };
        if !try_exclusive(&file)? {
            return Ok(false);
        }
        if file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            // The lock holds whatever is written in the file, also where nothing can be.
            let _ = os::write_all_at(&file, &header(), 0);
        }
        *held = Some(file);
        Ok(true)
    }

    /// Makes no file: where there is none, no process holds its lock.
    fn try_shared(&self) -> io::Result<bool> {
        let mut held = self.held();
        let file = match os::lock_file(None).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) if os::is_in_use(&error) => return Ok(false),
            other => other?,
        };
        let got_it = try_shared(&file)?;
        if got_it {
            *held = Some(file);
        }
        Ok(got_it)
    }

    fn release(&self) -> io::Result<()> {
        self.held().take().map_or(Ok(()), |file| release(&file))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // The close that follows ends the lock in any case.
        let _ = self.release();
    }
}

/// The bytes of a lock file.
pub(crate) fn header() -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
    bytes.extend_from_slice(&Sha256::digest(&bytes));
    bytes
}

/// Locks a new file that is to take a log's place, where a lock lies on the log itself. Elsewhere
/// the lock of the log keeps others from the new file.
pub(crate) fn try_successor(file: &File) -> io::Result<bool> {
    if os::LOCK_IS_BESIDE { Ok(true) } else { try_exclusive(file) }
}

/// Releases what [`try_successor`] locked.
pub(crate) fn release_successor(file: &File) -> io::Result<()> {
    if os::LOCK_IS_BESIDE { Ok(()) } else { release(file) }
}

/// Tries once; `Ok(false)` when another descriptor holds it. A call cut short by a signal is made
/// again.
pub(crate) fn try_exclusive(file: &File) -> io::Result<bool> {
    tried(|| FileExt::try_lock(file))
}

/// Tries once for the shared lock, which keeps writers out; `Ok(false)` when a writer holds it.
fn try_shared(file: &File) -> io::Result<bool> {
    tried(|| FileExt::try_lock_shared(file))
}

fn tried(attempt: impl Fn() -> Result<(), TryLockError>) -> io::Result<bool> {
    loop {
        match attempt() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Releases it.
fn release(file: &File) -> io::Result<()> {
    loop {
        match FileExt::unlock(file) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_beside_the_log_leaves_the_log_alone_and_keeps_others_out() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.sage");
        let file = File::create(&log).unwrap();
        let (one, two) = (LockPlace::beside(&log), LockPlace::beside(&log));
        assert!(two.try_shared(&file).unwrap());
        assert!(!lock_file_of(&log).exists(), "looking made a lock file");
        assert!(one.try_exclusive(&file).unwrap() && one.try_exclusive(&file).unwrap());
        assert!(!two.try_exclusive(&file).unwrap() && !two.try_shared(&file).unwrap());
        assert!(try_exclusive(&File::open(&log).unwrap()).unwrap(), "the log itself is locked");
        assert!(two.held_by_session().try_exclusive(&file).unwrap());
        one.release(&file).unwrap();
        let two = LockPlace::beside(&log);
        assert!(two.try_shared(&file).unwrap() && !one.try_exclusive(&file).unwrap());
        drop(two);
        assert!(one.try_exclusive(&file).unwrap());
        assert_eq!(std::fs::read(lock_file_of(&log)).unwrap(), header());
    }
}
