//! The narrow waist: everything that the core asks of a file, of its lock and of the tree of files
//! around it.

use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::{Arc, Weak};

use crate::error::{Error, Result, Written};
use crate::os::Stat;
use crate::storage::folder::Former;
use crate::storage::syncs::Syncs;

/// The bytes of one open file.
pub trait Storage: Send + Sync {
    /// Identity, length and link count.
    fn stat(&self) -> io::Result<Stat>;
    /// Reads at most `buffer.len()` bytes at `offset`; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// One `write(2)` at the end of the file; may be short.
    fn append(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Sets the length.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// `fdatasync(2)`. A good one makes durable only bytes that came into the file after this
    /// descriptor was opened.
    fn sync(&self) -> io::Result<()>;
    /// After a good sync: drops `range` from the page cache, so that the next read comes from the
    /// disk. Returns whether the pages are gone.
    fn drop_cached(&self, range: Range<u64>) -> io::Result<bool>;
    /// Where the first data of `range` begins, or its end. What comes before was never written and
    /// reads as zeros.
    fn data_from(&self, range: Range<u64>) -> u64 {
        range.start
    }
    /// The network file system that holds the file, if one does.
    fn network_file_system(&self) -> Option<&'static str> {
        None
    }
}

/// The advisory lock of one open log. No call waits.
pub trait LogLock: Send + Sync {
    /// Tries once to take the exclusive lock.
    fn try_lock(&self) -> io::Result<bool>;
    /// Tries once to take the shared lock, which writers respect and which a descriptor for reading
    /// can have.
    fn try_lock_shared(&self) -> io::Result<bool>;
    /// Releases the lock.
    fn unlock(&self) -> io::Result<()>;
}

/// One open file: its bytes, its lock, and the syncs of its open file description. Clones are the
/// same descriptor, which is closed with the last of them.
#[derive(Clone)]
pub struct OpenFile(Arc<FileParts>);

struct FileParts {
    storage: Arc<dyn Storage>,
    lock: Arc<dyn LogLock>,
    syncs: Arc<Syncs>,
}

/// Names a descriptor without keeping it open. No later descriptor has the same name.
#[derive(Clone)]
pub(crate) struct DescriptorId(Weak<FileParts>);

impl OpenFile {
    /// A file with an open file description of its own.
    pub fn new(file: Arc<impl Storage + LogLock + 'static>) -> OpenFile {
        OpenFile::of_parts(file.clone(), file, Arc::default())
    }

    /// A file whose bytes, lock and syncs are kept apart: `syncs` belong to the open file
    /// description, which other files may share.
    pub fn of_parts(
        storage: Arc<dyn Storage>,
        lock: Arc<dyn LogLock>,
        syncs: Arc<Syncs>,
    ) -> OpenFile {
        OpenFile(Arc::new(FileParts { storage, lock, syncs }))
    }

    /// The same lock and syncs over other bytes.
    #[must_use]
    pub fn with_storage(&self, storage: Arc<dyn Storage>) -> OpenFile {
        OpenFile::of_parts(storage, self.0.lock.clone(), self.0.syncs.clone())
    }

    /// The bytes.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.0.storage
    }

    /// The lock.
    pub fn lock(&self) -> &Arc<dyn LogLock> {
        &self.0.lock
    }

    /// The syncs of the open file description.
    pub(crate) fn syncs(&self) -> &Arc<Syncs> {
        &self.0.syncs
    }

    pub(crate) fn id(&self) -> DescriptorId {
        DescriptorId(Arc::downgrade(&self.0))
    }
}

impl Deref for OpenFile {
    type Target = dyn Storage;

    fn deref(&self) -> &Self::Target {
        &*self.0.storage
    }
}

impl DescriptorId {
    pub(crate) fn names(&self, file: &OpenFile) -> bool {
        // The memory of the parts is not used again while this refers to it.
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&file.0))
    }
}

/// The tree of files in which logs are found and made.
///
/// A disk that stands on another one names that one in [`Disk::beneath`] and implements only what
/// it does differently. A disk with nothing beneath implements everything without a default that
/// says more than "unsupported".
pub trait Disk: Send + Sync {
    /// The disk that does what this one does not do itself.
    fn beneath(&self) -> Option<&dyn Disk> {
        None
    }
    /// Opens a log for reading and appending; makes it and missing ancestors.
    ///
    /// # Errors
    /// `EVALIDATION` for what is no regular file, else `EIO` with `written: 'no'`.
    fn open(&self, path: &Path) -> Result<OpenFile> {
        match self.beneath() {
            Some(disk) => disk.open(path),
            None => Err(unsupported_open(path)),
        }
    }
    /// Opens a log for reading only; `None` when there is no such file.
    ///
    /// # Errors
    /// `EVALIDATION` for what is no regular file, else `EIO`.
    fn open_for_reading(&self, path: &Path) -> Result<Option<OpenFile>> {
        match self.beneath() {
            Some(disk) => disk.open_for_reading(path),
            None => Err(unsupported_open(path)),
        }
    }
    /// Opens a log for reading by a descriptor that can sync it; `None` when there is no such file.
    ///
    /// # Errors
    /// As [`Disk::open_for_reading`].
    fn open_for_syncing(&self, path: &Path) -> Result<Option<OpenFile>> {
        self.open_for_reading(path)
    }
    /// What the path names now; `None` for nothing.
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        self.beneath().map_or_else(unsupported, |disk| disk.stat(path))
    }
    /// Files beside the log at `path` that may be the log of before, by their names; nothing where
    /// the folder has too many entries. `inode` is that of the file at the path.
    fn formers(&self, path: &Path, inode: Option<u64>) -> io::Result<Option<Vec<Former>>> {
        self.beneath().map_or_else(|| Ok(Some(Vec::new())), |disk| disk.formers(path, inode))
    }
    /// What such a file is; a symlink is a file of its own.
    fn stat_former(&self, former: &Former) -> io::Result<Option<Stat>> {
        self.beneath().map_or(Ok(None), |disk| disk.stat_former(former))
    }
    /// Opens such a file for reading; nothing if it is no regular file of the log's owner.
    fn open_former(&self, path: &Path, former: &Former) -> io::Result<Option<OpenFile>> {
        self.beneath().map_or(Ok(None), |disk| disk.open_former(path, former))
    }
    /// The same by a descriptor that can sync it.
    fn open_former_for_syncing(
        &self,
        path: &Path,
        former: &Former,
    ) -> io::Result<Option<OpenFile>> {
        self.open_former(path, former)
    }
    /// Makes the directory entry of the file at `path` durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.beneath().map_or_else(unsupported, |disk| disk.sync_directory(path))
    }
    /// Whether a second descriptor is kept out while `path` is locked through another.
    fn honours_lock(&self, path: &Path) -> io::Result<bool> {
        self.beneath().map_or_else(unsupported, |disk| disk.honours_lock(path))
    }
    /// The process that holds the lock of the file, where the system reports it.
    fn lock_holder(&self, stat: &Stat) -> Option<u32> {
        self.beneath().and_then(|disk| disk.lock_holder(stat))
    }
    /// Whether side files can be kept beside the logs.
    fn has_side_files(&self) -> bool {
        self.beneath().is_some_and(|disk| disk.has_side_files())
    }
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

fn unsupported_open(path: &Path) -> Error {
    let cause = io::ErrorKind::Unsupported.into();
    Error::io("cannot open", "open", cause).with_path(path).with_written(Written::No)
}

/// Whether a read met the end of a file that was longer before.
pub(crate) fn is_cut(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

/// Fills `buffer` from `offset` on; `UnexpectedEof` when the file ends before.
pub(crate) fn read_exact_at(
    storage: &dyn Storage,
    mut buffer: &mut [u8],
    mut offset: u64,
) -> io::Result<()> {
    while !buffer.is_empty() {
        let count = storage.read_at(buffer, offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = buffer.split_at_mut(count).1;
        offset += count as u64;
    }
    Ok(())
}
