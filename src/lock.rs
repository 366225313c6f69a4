//! The kernel's advisory lock on the data file: `flock(2)`, never waiting inside the call.

use std::fs::File;
use std::io;

use fs4::{FileExt, TryLockError};

/// Tries once; `Ok(false)` when somebody else holds it. A call cut short by a signal is made again.
pub(crate) fn try_exclusive(file: &File) -> io::Result<bool> {
    tried(|| FileExt::try_lock(file))
}

/// Tries once for the shared lock, which keeps writers out; `Ok(false)` when a writer holds it.
pub(crate) fn try_shared(file: &File) -> io::Result<bool> {
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
pub(crate) fn release(file: &File) -> io::Result<()> {
    loop {
        match FileExt::unlock(file) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
