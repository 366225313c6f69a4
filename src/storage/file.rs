//! Real files.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result, Written};
use crate::os::{self, Stat, retry};
use crate::storage::disk::{Disk, LogLock, OpenFile, Storage};
use crate::storage::folder::{self, Former};
use crate::storage::lock::{self, LockPlace};

/// Real files.
#[derive(Debug, Default, Clone, Copy)]
pub struct FileDisk;

/// A real file.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    lock: LockPlace,
}

impl Storage for FileStorage {
    fn stat(&self) -> io::Result<Stat> {
        os::stat(&self.file)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        retry(|| os::read_at(&self.file, buffer, offset))
    }

    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        retry(|| os::append(&self.file, bytes))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn drop_cached(&self, range: Range<u64>) -> io::Result<bool> {
        os::drop_cached(&self.file, range)
    }

    fn data_from(&self, range: Range<u64>) -> u64 {
        os::data_from(&self.file, range)
    }

    fn network_file_system(&self) -> Option<&'static str> {
        os::network_file_system(&self.file).or_else(|| self.lock.share())
    }
}

impl LogLock for FileStorage {
    fn try_lock(&self) -> io::Result<bool> {
        self.lock.try_exclusive(&self.file)
    }

    fn try_lock_shared(&self) -> io::Result<bool> {
        self.lock.try_shared(&self.file)
    }

    fn unlock(&self) -> io::Result<()> {
        self.lock.release(&self.file)
    }
}

impl FileStorage {
    /// A file whose lock is that of the log at `path`.
    fn of_log(file: File, path: &Path) -> io::Result<FileStorage> {
        Ok(FileStorage { file, lock: LockPlace::of_log(path)? })
    }

    /// The same for a session, which holds the lock file too: where the lock lies there, this file
    /// has none.
    pub(crate) fn held_by_session(self) -> FileStorage {
        FileStorage { file: self.file, lock: self.lock.held_by_session() }
    }

    /// Mode, owner, length and times.
    pub(crate) fn metadata(&self) -> io::Result<std::fs::Metadata> {
        retry(|| self.file.metadata())
    }

    /// The number of the descriptor, which another program can inherit.
    pub(crate) fn descriptor(&self) -> Option<i32> {
        os::descriptor(&self.file)
    }

    /// Writes the header into an empty lock file, under its lock. A file with another name is left
    /// alone: it may belong to another program.
    pub(crate) fn mark(&self) -> io::Result<()> {
        let stat = self.stat()?;
        if stat.length > 0 || stat.links != 1 {
            return Ok(());
        }
        os::write_all_at(&self.file, &lock::header(), 0)
    }
}

impl Disk for FileDisk {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        Ok(OpenFile::new(Arc::new(open_or_make(path)?)))
    }

    fn open_for_reading(&self, path: &Path) -> Result<Option<OpenFile>> {
        read_by(&os::reading(), path)
    }

    fn open_for_syncing(&self, path: &Path) -> Result<Option<OpenFile>> {
        read_by(os::reading().write(os::SYNC_NEEDS_WRITE), path)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        match os::stat_at(path) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn formers(&self, path: &Path, inode: Option<u64>) -> io::Result<Option<Vec<Former>>> {
        folder::formers(path, inode)
    }

    fn stat_former(&self, former: &Former) -> io::Result<Option<Stat>> {
        folder::stat_former(former)
    }

    fn open_former(&self, path: &Path, former: &Former) -> io::Result<Option<OpenFile>> {
        read_former(path, former, false)
    }

    fn open_former_for_syncing(
        &self,
        path: &Path,
        former: &Former,
    ) -> io::Result<Option<OpenFile>> {
        read_former(path, former, os::SYNC_NEEDS_WRITE)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        // The entry that matters is where the symlinks end, not that of the link.
        sync_parent(&os::real_path(path)?)
    }

    fn honours_lock(&self, path: &Path) -> io::Result<bool> {
        // With the right to write: NFS has no exclusive lock for a descriptor that only reads.
        let second = FileStorage::of_log(os::appending().open(path)?, path)?;
        let got_it = second.try_lock()?;
        if got_it {
            second.unlock()?;
        }
        Ok(!got_it)
    }

    fn lock_holder(&self, stat: &Stat) -> Option<u32> {
        os::lock_holder(stat.device, stat.inode)
    }

    fn has_side_files(&self) -> bool {
        true
    }
}

/// Opens a file for reading if it is there.
fn read_by(options: &OpenOptions, path: &Path) -> Result<Option<OpenFile>> {
    check_regular(path)?;
    let failed = |operation, error| cannot_read(path, operation, error);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", error)),
    };
    let metadata = retry(|| file.metadata()).map_err(|error| failed("fstat", error))?;
    if !metadata.is_file() {
        return Err(not_regular(path, &metadata));
    }
    let storage = FileStorage::of_log(file, path).map_err(|error| failed("realpath", error))?;
    Ok(Some(OpenFile::new(Arc::new(storage))))
}

fn read_former(path: &Path, former: &Former, and_write: bool) -> io::Result<Option<OpenFile>> {
    let Some(file) = folder::open_former(path, former, and_write)? else { return Ok(None) };
    Ok(Some(OpenFile::new(Arc::new(FileStorage::of_log(file, path)?))))
}

/// Opens a file for reading and appending; makes it and missing ancestors.
///
/// # Errors
/// `EVALIDATION` for what is no regular file, else `EIO` with `written: 'no'`.
pub(crate) fn open_or_make(path: &Path) -> Result<FileStorage> {
    check_regular(path)?;
    let file = match open_for_append(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_ancestors(path)?;
            open_for_append(path)
        }
        other => other,
    }
    .map_err(|error| cannot_open(path, "open", error))?;
    log_of(path, file)
}

/// Opens a file for reading and appending if it is there.
///
/// # Errors
/// As [`open_or_make`].
pub(crate) fn open_if_there(path: &Path) -> Result<Option<FileStorage>> {
    check_regular(path)?;
    match os::appending().open(path) {
        Ok(file) => log_of(path, file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot_open(path, "open", error)),
    }
}

/// Opens the lock file of the log `of`. Makes it if need be, for every user of the log.
///
/// # Errors
/// As [`open_or_make`].
pub(crate) fn open_lock_file(path: &Path, of: &FileStorage) -> Result<FileStorage> {
    let failed = |error| cannot_open(path, "open", error);
    let log = of.metadata().map_err(failed)?;
    let options = || os::lock_file(Some(&log));
    let writing = || {
        let mut writing = options();
        writing.write(true);
        writing
    };
    let (file, is_made) = match os::open_or_create(path, writing) {
        // A file of another user can be locked without the right to write it, but not on NFS.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            (options().open(path).map_err(|_| failed(error))?, false)
        }
        other => other.map_err(failed)?,
    };
    if is_made {
        // Every user that may write the log must be able to lock it, whatever the mask of this
        // process. A failure leaves the mask in force.
        let _ = os::share_like(&file, &log);
    }
    let file = regular(path, file)?;
    Ok(FileStorage { file, lock: LockPlace::Own })
}

/// Where the symlinks of `path` end; `None` for nothing.
pub(crate) fn real_path(path: &Path) -> io::Result<Option<PathBuf>> {
    match os::real_path(path) {
        Ok(real) => Ok(Some(real)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn regular(path: &Path, file: File) -> Result<File> {
    let metadata = retry(|| file.metadata()).map_err(|error| cannot_open(path, "fstat", error))?;
    if !metadata.is_file() {
        return Err(not_regular(path, &metadata));
    }
    Ok(file)
}

fn log_of(path: &Path, file: File) -> Result<FileStorage> {
    let file = regular(path, file)?;
    FileStorage::of_log(file, path).map_err(|error| cannot_open(path, "realpath", error))
}

fn open_for_append(path: &Path) -> io::Result<File> {
    os::open_or_create(path, os::appending).map(|(file, _)| file)
}

/// Refuses what is no regular file before it is opened: opening alone can have effects on a device.
fn check_regular(path: &Path) -> Result<()> {
    match retry(|| std::fs::metadata(path)) {
        Ok(metadata) if !metadata.is_file() => Err(not_regular(path, &metadata)),
        // What is wrong here shows again, with its own code, when the file is opened.
        _ => Ok(()),
    }
}

fn not_regular(path: &Path, metadata: &std::fs::Metadata) -> Error {
    let word = os::kind_word(metadata.file_type());
    Error::validation(format!("chronicle must be a regular file, not {word}: {}", path.display()))
        .with_path(path)
}

fn cannot_open(path: &Path, operation: &'static str, error: io::Error) -> Error {
    Error::io(format!("cannot open {}", path.display()), operation, error)
        .with_path(path)
        .with_written(Written::No)
}

/// Makes missing directories from the top down. Each new entry is durable before the next step,
/// also when another process made it first: that one may not have synced it yet.
fn make_ancestors(path: &Path) -> Result<()> {
    let Some(directory) = path.parent() else {
        return Ok(());
    };
    let missing: Vec<&Path> = directory
        .ancestors()
        .take_while(|ancestor| matches!(ancestor.try_exists(), Ok(false)))
        .collect();
    for ancestor in missing.into_iter().rev() {
        match std::fs::create_dir(ancestor) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot_open(path, "mkdir", error)),
        }
        sync_parent(ancestor).map_err(|error| cannot_open(path, "fsync", error))?;
    }
    Ok(())
}

/// Syncs the directory that holds `path`. A directory that may be searched but not read cannot be
/// opened for that; then the whole file system is synced.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().unwrap_or(path);
    match os::sync_directory(parent) {
        Err(error) if needs_other_means(&error) => os::sync_file_system(path),
        other => other,
    }
}

fn needs_other_means(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}

/// The error of a log that could not be read.
pub(crate) fn cannot_read(path: &Path, operation: &'static str, error: io::Error) -> Error {
    let mut message = format!("cannot read {}", path.display());
    // A file that was opened for reading can be read, unless a lock is more than advice.
    if operation == "pread"
        && error.kind() == io::ErrorKind::PermissionDenied
        && let Some(kind) = os::network_file_system_at(path)
    {
        message.push_str(" on ");
        message.push_str(kind);
        message.push_str(", where the lock of a batch keeps readers out for its moment");
    }
    Error::io(message, operation, error).with_path(path)
}
