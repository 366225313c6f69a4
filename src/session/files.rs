//! The files of a lock session: which ones it holds, and the disk on which its writers find them
//! already locked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::mutex::locked;
use crate::path::{ChroniclePath, lock_file_of};
use crate::session::kept_lock::{KeptLock, LockMode};
use crate::storage::locked_log::is_at;
use crate::storage::{self, Disk, FileDisk, FileStorage, LogLock, OpenFile};

/// What a session holds, path by path.
pub(crate) struct SessionFiles {
    mode: LockMode,
    paths: Vec<ChroniclePath>,
    /// None after the release.
    held: Mutex<Vec<LockedPath>>,
}

/// One path: the file that was there when it was looked at last, and the lock file beside it.
pub(crate) struct LockedPath {
    pub(crate) path: ChroniclePath,
    pub(crate) data: Arc<KeptLock>,
    pub(crate) side: Arc<KeptLock>,
    pub(crate) side_path: PathBuf,
}

impl LockedPath {
    /// Whether both names still name the files that were opened.
    pub(crate) fn is_there(&self) -> io::Result<bool> {
        Ok(is_at(&FileDisk, self.path.as_path(), &self.data.stat)?
            && is_at(&FileDisk, &self.side_path, &self.side.stat)?)
    }

    /// Writes the header into a new lock file.
    pub(crate) fn mark(&self) {
        // The lock holds whatever the file contains, also where nothing can be written.
        let _ = self.side.file.mark();
    }

    fn holds(&self, lock: &Arc<KeptLock>) -> bool {
        Arc::ptr_eq(&self.data, lock) || Arc::ptr_eq(&self.side, lock)
    }
}

impl SessionFiles {
    pub(crate) fn new(held: Vec<LockedPath>, mode: LockMode) -> SessionFiles {
        let paths = held.iter().map(|locked| locked.path.clone()).collect();
        SessionFiles { mode, paths, held: Mutex::new(held) }
    }

    pub(crate) fn mode(&self) -> LockMode {
        self.mode
    }

    pub(crate) fn has(&self, path: &ChroniclePath) -> bool {
        self.paths.contains(path)
    }

    /// First those of the files, then those of their lock files, each once.
    pub(crate) fn descriptors(&self) -> Vec<i32> {
        let held = locked(&self.held);
        let data = held.iter().map(|path| path.data.file.descriptor());
        let sides = held.iter().map(|path| path.side.file.descriptor());
        let mut found = Vec::new();
        for number in data.chain(sides).flatten() {
            if !found.contains(&number) {
                found.push(number);
            }
        }
        found
    }

    /// Releases all locks.
    pub(crate) fn release(&self) {
        for path in locked(&self.held).drain(..) {
            // The close ends a lock that cannot be released.
            let _ = path.data.release();
            let _ = path.side.release();
        }
    }

    /// Locks files that took the place of those that are held, and releases the locks of the
    /// latter. Returns whether any are held.
    pub(crate) fn relock_replaced(&self) -> bool {
        let mut held = locked(&self.held);
        for at in 0..held.len() {
            // A file that cannot be looked at, or whose lock is busy, is looked at again the next
            // time.
            let _ = self.relock_path(&mut held, at);
        }
        !held.is_empty()
    }

    /// The file at a path, as it is held; otherwise another one, locked for each batch.
    fn find(&self, path: &Path) -> Result<Arc<KeptLock>> {
        let held = locked(&self.held);
        let known = held.iter().find(|locked| locked.path.as_path() == path);
        let is_there = |known: &&LockedPath| is_at(&FileDisk, path, &known.data.stat);
        if let Some(known) = known.filter(|known| is_there(known).is_ok_and(|is| is)) {
            return Ok(known.data.clone());
        }
        let file = storage::open_or_make(path)?.held_by_session();
        self.join(&held, file)
            .map_err(|error| Error::io("cannot lock", "fstat", error).with_path(path))
    }

    /// The lock in which a batch begins before it writes to `opened` by `path`: the one of the
    /// session for the same file, if there is one. If the file took the place of another, the
    /// session holds it from now on.
    fn lock_of_batch(&self, path: &Path, opened: &Arc<KeptLock>) -> io::Result<Arc<KeptLock>> {
        let mut held = locked(&self.held);
        let here = held.iter().enumerate().find(|(_, locked)| locked.path.as_path() == path);
        let Some((at, known)) = here else {
            return Ok(opened.clone());
        };
        if known.data.stat.is_same_file(&opened.stat) {
            return Ok(known.data.clone());
        }
        if is_at(&FileDisk, path, &opened.stat)? && opened.keep()? {
            replace(&mut held, at, |path| &mut path.data, opened.clone());
        }
        Ok(opened.clone())
    }

    fn relock_path(&self, held: &mut [LockedPath], at: usize) -> Result<()> {
        let failed = |error| Error::io("cannot lock", "stat", error);
        let Some(known) = held.get(at) else { return Ok(()) };
        let path = known.path.as_path();
        let Some(real) = storage::real_path(path).map_err(failed)? else { return Ok(()) };
        if !is_at(&FileDisk, path, &known.data.stat).map_err(failed)? {
            let Some(file) = storage::open_if_there(path)? else { return Ok(()) };
            let lock = self.join(held, file.held_by_session()).map_err(failed)?;
            if lock.keep().map_err(failed)? {
                replace(held, at, |path| &mut path.data, lock);
            }
        }
        let side_path = lock_file_of(&real);
        let Some(known) = held.get(at) else { return Ok(()) };
        let is_same = side_path == known.side_path
            && is_at(&FileDisk, &side_path, &known.side.stat).map_err(failed)?;
        if !is_same {
            let file = storage::open_lock_file(&side_path, &known.data.file)?;
            let lock = self.join(held, file).map_err(failed)?;
            if lock.keep().map_err(failed)? {
                replace(held, at, |path| &mut path.side, lock);
                if let Some(known) = held.get_mut(at) {
                    known.side_path = side_path;
                    known.mark();
                }
            }
        }
        Ok(())
    }

    /// The lock of an open file: the one that the session holds by another name, or a new one.
    fn join(&self, held: &[LockedPath], file: FileStorage) -> io::Result<Arc<KeptLock>> {
        let lock = KeptLock::new(file, self.mode)?;
        let known = held
            .iter()
            .flat_map(|path| [&path.data, &path.side])
            .find(|known| known.stat.is_same_file(&lock.stat));
        Ok(known.cloned().unwrap_or(lock))
    }
}

/// Puts `lock` in the place of the one that was held there, which is released unless it is held by
/// another name too.
fn replace(
    held: &mut [LockedPath],
    at: usize,
    part: impl FnOnce(&mut LockedPath) -> &mut Arc<KeptLock>,
    lock: Arc<KeptLock>,
) {
    let Some(path) = held.get_mut(at) else { return };
    let former = std::mem::replace(part(path), lock);
    if !held.iter().any(|path| path.holds(&former)) {
        // The close ends a lock that cannot be released.
        let _ = former.release();
    }
}

/// Real files, of which those of a session are found locked.
pub(crate) struct SessionDisk {
    files: Arc<SessionFiles>,
}

/// The lock of one file for the batches of the writer of one path. The session holds the real lock,
/// which keeps other processes away; this one keeps the writers of the session apart.
struct SessionLock {
    files: Arc<SessionFiles>,
    path: PathBuf,
    opened: Arc<KeptLock>,
    /// The lock in which the batch under way began.
    in_batch: Mutex<Option<Arc<KeptLock>>>,
}

impl SessionDisk {
    pub(crate) fn new(files: Arc<SessionFiles>) -> SessionDisk {
        SessionDisk { files }
    }
}

impl Disk for SessionDisk {
    fn beneath(&self) -> Option<&dyn Disk> {
        Some(&FileDisk)
    }

    fn open(&self, path: &Path) -> Result<OpenFile> {
        let opened = self.files.find(path)?;
        let (storage, syncs) = (opened.file.clone(), opened.syncs.clone());
        let lock = SessionLock {
            files: self.files.clone(),
            path: path.to_owned(),
            opened,
            in_batch: Mutex::default(),
        };
        Ok(OpenFile::of_parts(storage, Arc::new(lock), syncs))
    }
}

impl LogLock for SessionLock {
    fn try_lock(&self) -> io::Result<bool> {
        let lock = self.files.lock_of_batch(&self.path, &self.opened)?;
        let is_begun = lock.begin_batch()?;
        if is_begun {
            *locked(&self.in_batch) = Some(lock);
        }
        Ok(is_begun)
    }

    fn try_lock_shared(&self) -> io::Result<bool> {
        // Shared in earnest, it would no longer be exclusive.
        self.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        locked(&self.in_batch).take().map_or(Ok(()), |lock| lock.end_batch())
    }
}
