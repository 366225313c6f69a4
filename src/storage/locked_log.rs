//! The lock of the log file that is at a path now: one way to it, for appends, sessions and
//! repairs.
//!
//! A lock lies on a file, and a path may name another file by the time the lock is free. A lock
//! counts only once the path was looked at again under it, on a file system that keeps a second
//! descriptor out.
//!
//! Between processes only the lock itself is shared. The pauses between two tries and what was
//! found out about file systems belong to this process ([`LockContext`]). Nothing here waits: a
//! caller that finds the lock busy tries again after [`LockContext::pause`].

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::error::{Code, Error, Written};
use crate::mutex::locked;
use crate::os::Stat;
use crate::storage::disk::{Disk, LogLock, OpenFile};

/// Times the file at a path may be another one than was opened. After that the file system counts
/// as one without stable inode numbers.
const MAX_REOPENS: u32 = 100;
/// How long the result of a probe of a file system is used.
const PROBE_LIFETIME: Duration = Duration::from_secs(10);

/// How one try for the lock ended.
pub(crate) enum AcquireOutcome {
    /// The lock is held, and the file is the one at the path. The `Stat` is of that file, under the
    /// lock.
    Acquired(LogLockGuard, Stat),
    /// Another process, or another descriptor of this one, holds the lock.
    Busy,
    /// The path names another file than was opened. The lock is not held.
    Moved,
}

/// A held lock, released on every way out.
pub(crate) struct LogLockGuard {
    lock: Option<Arc<dyn LogLock>>,
}

impl LogLockGuard {
    /// Releases the lock. After an error only the close of the descriptor ends the lock.
    pub(crate) fn release(mut self) -> io::Result<()> {
        self.lock.take().map_or(Ok(()), |lock| lock.unlock())
    }
}

impl Drop for LogLockGuard {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            // On the way out of a panic or an error, after which the descriptor is closed.
            let _ = lock.unlock();
        }
    }
}

/// Why a try for a lock failed.
pub(crate) struct LockFailure {
    cause: TryFailure,
    /// The lock was taken and could not be released: only the close of the descriptor ends it.
    is_stuck: bool,
}

enum TryFailure {
    /// The lock could not be tried for.
    Lock(io::Error),
    /// A system call around the lock failed.
    Call(&'static str, io::Error),
    /// The file system let a second descriptor have the lock.
    NotHonoured,
}

impl LockFailure {
    pub(crate) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// The error. `cannot` makes the one of a system call around the lock.
    pub(crate) fn into_error(self, cannot: impl FnOnce(&'static str, io::Error) -> Error) -> Error {
        match self.cause {
            TryFailure::Lock(error) => cannot_lock(&error),
            TryFailure::Call(operation, error) => cannot(operation, error),
            TryFailure::NotHonoured => not_honoured(),
        }
    }

    /// As [`LockFailure::into_error`], where `cannot` makes also the error of the lock itself.
    pub(crate) fn into_error_of(
        self,
        cannot: impl FnOnce(&'static str, io::Error) -> Error,
    ) -> Error {
        match self.cause {
            TryFailure::Lock(error) if error.kind() == io::ErrorKind::Unsupported => {
                cannot("flock", error).with_code(Code::Unsupported)
            }
            TryFailure::Lock(error) => cannot("flock", error),
            other => LockFailure { cause: other, ..self }.into_error(cannot),
        }
    }
}

impl From<TryFailure> for LockFailure {
    fn from(cause: TryFailure) -> LockFailure {
        LockFailure { cause, is_stuck: false }
    }
}

/// Opens the file at `path` and makes its directory entry durable, also that of a file which
/// another process made. Returns also whether the entry is durable.
///
/// `entered` is the file whose entry was made durable last; its folder is not synced again. A
/// writer that waits for a lock may lose its descriptor again and again, and would sync the folder
/// at each try. Without a birth time a file is not known again. `cannot` makes the error of a
/// system call.
pub(crate) fn open_durably(
    path: &Path,
    disk: &dyn Disk,
    entered: Option<&Stat>,
    cannot: impl Fn(&'static str, io::Error) -> Error,
) -> Result<(OpenFile, Stat, bool), Error> {
    let file = disk.open(path)?;
    let stat = file.stat().map_err(|error| cannot("fstat", error))?;
    if entered.is_some_and(|entered| stat.born.is_some() && entered.is_same_file(&stat)) {
        return Ok((file, stat, true));
    }
    match disk.sync_directory(path) {
        // Renamed or deleted in between: the look at the path under the lock will see that.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((file, stat, false)),
        Err(error) => Err(cannot("fsync", error)),
        Ok(()) => Ok((file, stat, true)),
    }
}

/// Tries once for the lock of `file`, which was opened at `path`.
pub(crate) fn try_acquire(
    file: &OpenFile,
    path: &Path,
    disk: &dyn Disk,
    locks: &LockContext,
) -> Result<AcquireOutcome, LockFailure> {
    if !file.lock().try_lock().map_err(TryFailure::Lock)? {
        return Ok(AcquireOutcome::Busy);
    }
    let guard = LogLockGuard { lock: Some(file.lock().clone()) };
    match identify(file, path, disk, locks) {
        Ok(Some(stat)) => Ok(AcquireOutcome::Acquired(guard, stat)),
        Ok(None) => {
            // The caller closes the descriptor, which ends a lock that cannot be released.
            let _ = guard.release();
            Ok(AcquireOutcome::Moved)
        }
        Err(failure) => Err(LockFailure { is_stuck: guard.release().is_err(), ..failure }),
    }
}

/// What the locked file is; `None` when the path names another one.
fn identify(
    file: &OpenFile,
    path: &Path,
    disk: &dyn Disk,
    locks: &LockContext,
) -> Result<Option<Stat>, LockFailure> {
    let here = file.stat().map_err(|error| TryFailure::Call("fstat", error))?;
    let is_at_path = || Ok(here.links > 0 && is_at(disk, path, &here)?);
    let is_there = is_locked_at(path, &here, disk, locks, is_at_path)?;
    Ok(is_there.then_some(here))
}

/// Whether the locked file `here` is still the one at `path`, as `is_at_path` finds out, on a file
/// system that honours the lock.
pub(crate) fn is_locked_at(
    path: &Path,
    here: &Stat,
    disk: &dyn Disk,
    locks: &LockContext,
    is_at_path: impl Fn() -> io::Result<bool>,
) -> Result<bool, LockFailure> {
    let is_at_path = || is_at_path().map_err(|error| TryFailure::Call("stat", error));
    if !is_at_path()? {
        return Ok(false);
    }
    let honoured = locks
        .honours_lock(here.device, || disk.honours_lock(path))
        .map_err(|error| TryFailure::Call("flock", error))?;
    if honoured {
        return Ok(true);
    }
    if !is_at_path()? {
        // It was another file that could be locked.
        return Ok(false);
    }
    locks.mark_lock_broken(here.device);
    Err(TryFailure::NotHonoured.into())
}

/// Whether the path names the file.
pub(crate) fn is_at(disk: &dyn Disk, path: &Path, file: &Stat) -> io::Result<bool> {
    Ok(disk.stat(path)?.is_some_and(|there| there.is_same_file(file)))
}

/// Counts how often the path named another file than was opened.
#[derive(Default)]
pub(crate) struct Reopens(u32);

impl Reopens {
    /// Counts once more.
    ///
    /// # Errors
    /// `EUNSUPPORTED` when it was too often.
    pub(crate) fn count(&mut self) -> Result<(), Error> {
        self.0 += 1;
        if self.0 < MAX_REOPENS {
            return Ok(());
        }
        Err(Error::new(Code::Unsupported, "the file system has no stable inode numbers"))
    }
}

/// What this process knows of the locks that it waits for, and of the file systems of the logs.
pub(crate) struct LockContext {
    /// Waiters: the more there are, the less often each of them tries.
    waiting: AtomicUsize,
    /// The next pause's spread, another one in each process.
    spread: AtomicU64,
    /// File systems whose lock was tried with a second descriptor, by their devices.
    probed: Mutex<HashMap<u64, Probe>>,
    warned: Mutex<HashMap<u64, ()>>,
}

/// Whether a file system keeps a second descriptor out, and when that was tried.
struct Probe {
    honours: bool,
    at: Instant,
}

impl Probe {
    /// The number of a device without a disk returns for another file system after an unmount.
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < PROBE_LIFETIME
    }
}

/// One waiter, counted until this is dropped.
pub(crate) struct CountedWaiter(Arc<LockContext>);

impl Drop for CountedWaiter {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for LockContext {
    fn default() -> LockContext {
        let seed = u64::from(std::process::id()).wrapping_mul(0x2545_f491_4f6c);
        LockContext {
            waiting: AtomicUsize::new(0),
            spread: AtomicU64::new(seed),
            probed: Mutex::default(),
            warned: Mutex::default(),
        }
    }
}

impl LockContext {
    /// The one of the process. Registries over other disks than the real one have their own.
    pub(crate) fn of_process() -> &'static Arc<LockContext> {
        static LOCKS: OnceLock<Arc<LockContext>> = OnceLock::new();
        LOCKS.get_or_init(Arc::default)
    }

    /// Counts a caller that waits for a lock.
    pub(crate) fn count_waiter(self: &Arc<Self>) -> CountedWaiter {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        CountedWaiter(self.clone())
    }

    /// How long to wait before the lock is tried again: 200 us at first, when its holder is in the
    /// middle of one batch, doubled up to 8 ms.
    ///
    /// More tries make all processes wait longer: those of a hundred processes take the processors
    /// from the holder. With pauses of at most 0.5 ms their appends took twice as long, the slowest
    /// three times. The bound also follows what the threads can do when thousands of files wait.
    pub(crate) fn pause(&self, attempts: u32) -> Duration {
        let micros = (200_u64 << attempts.min(10)).min(8000);
        let waiting = u64::try_from(self.waiting.load(Ordering::Relaxed)).unwrap_or(u64::MAX);
        let base = micros.max(waiting.saturating_mul(50));
        // Spread by a quarter each way, so that waiting processes do not try in step.
        let spread = self.spread.fetch_add(0x9e37_79b9, Ordering::Relaxed) % (base / 2 + 1);
        Duration::from_micros(base * 3 / 4 + spread)
    }

    /// Whether the file system of `device` keeps a second descriptor out. `probe` is asked unless
    /// an answer is known. Its "no" is not kept: the path may have named another file.
    fn honours_lock(
        &self,
        device: u64,
        probe: impl FnOnce() -> io::Result<bool>,
    ) -> io::Result<bool> {
        if let Some(known) = locked(&self.probed).get(&device)
            && known.is_fresh(Instant::now())
        {
            return Ok(known.honours);
        }
        let honours = probe()?;
        if honours {
            self.note_probe(device, honours);
        }
        Ok(honours)
    }

    fn note_probe(&self, device: u64, honours: bool) {
        let at = Instant::now();
        let mut probed = locked(&self.probed);
        probed.retain(|_, known| known.is_fresh(at));
        probed.insert(device, Probe { honours, at });
    }

    /// The file system of `device` surely does not keep a second descriptor out.
    fn mark_lock_broken(&self, device: u64) {
        self.note_probe(device, false);
    }

    /// Whether this is the first warning about `device`.
    pub(crate) fn first_warning(&self, device: u64) -> bool {
        locked(&self.warned).insert(device, ()).is_none()
    }
}

/// The error of a file system that lets two descriptors have the lock.
fn not_honoured() -> Error {
    let message = "the file system does not honour the lock: a second descriptor got it too";
    Error::new(Code::Unsupported, message)
}

/// The error of a lock that could not be tried for.
pub(crate) fn cannot_lock(error: &io::Error) -> Error {
    let copy = error
        .raw_os_error()
        .map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error);
    if error.kind() == io::ErrorKind::Unsupported {
        let message = "the file system has no advisory locks";
        return Error::io(message, "flock", copy).with_code(Code::Unsupported);
    }
    Error::io("cannot lock", "flock", copy).with_written(Written::No)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_of_a_file_system_is_made_again_after_a_while() {
        let locks = LockContext::default();
        let honours = |device, now| locks.honours_lock(device, || Ok(now)).unwrap();
        assert!(honours(1, true) && honours(1, false));
        // A no is kept only by the caller that is sure of it.
        assert!(!honours(2, false) && honours(2, true));
        locks.mark_lock_broken(3);
        assert!(!honours(3, true));
        for known in locked(&locks.probed).values_mut() {
            known.at = known.at.checked_sub(PROBE_LIFETIME).unwrap();
        }
        assert!(!honours(1, false) && honours(3, true));
        assert_eq!(locked(&locks.probed).len(), 1);
    }
}
