//! The narrow waist: everything the writer asks of a file and of the tree of files around it.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::os::Stat;
use crate::storage::folder::Former;
use crate::storage::syncs::Syncs;

/// One open log file.
pub trait Storage: Send + Sync {
    /// Identity, length and link count.
    fn stat(&self) -> io::Result<Stat>;
    /// Reads at most `buffer.len()` bytes at `offset`; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// One `write(2)` at the end of the file; may be short.
    fn append(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Sets the length.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// `fdatasync(2)`. A good one proves only bytes that came into the file after this descriptor was opened.
    fn sync(&self) -> io::Result<()>;
    /// After a good sync: drops `range` from the page cache, so that the next read comes from the disk. Says whether it is gone.
    fn drop_cached(&self, range: Range<u64>) -> io::Result<bool>;
    /// Where the first data of `range` begins, or its end. What comes before was never written and reads as zeros.
    fn data_from(&self, range: Range<u64>) -> u64 {
        range.start
    }
    /// Tries once to take the exclusive lock.
    fn try_lock(&self) -> io::Result<bool>;
    /// Tries once to take the shared lock, which writers respect and which a descriptor for reading can have.
    fn try_lock_shared(&self) -> io::Result<bool>;
    /// Releases the lock.
    fn unlock(&self) -> io::Result<()>;
    /// The syncs of the open file description, where this file shares it with others; `None` where it has its own.
    fn shared_syncs(&self) -> Option<Arc<Syncs>> {
        None
    }
    /// The network file system that holds the file, if one does.
    fn network_file_system(&self) -> Option<&'static str> {
        None
    }
}

/// The tree of files in which logs are found and made.
pub trait Disk: Send + Sync {
    /// Opens a log for reading and appending; makes it and missing ancestors.
    ///
    /// # Errors
    /// `EVALIDATION` for what is no regular file, else `EIO` with `written: 'no'`.
    fn open(&self, path: &Path) -> Result<Arc<dyn Storage>>;
    /// Opens a log for reading only; `None` when there is no such file.
    ///
    /// # Errors
    /// `EVALIDATION` for what is no regular file, else `EIO`.
    fn open_for_reading(&self, path: &Path) -> Result<Option<Arc<dyn Storage>>>;
    /// Opens a log for reading by a descriptor that can sync it; `None` when there is no such file.
    ///
    /// # Errors
    /// As [`Disk::open_for_reading`].
    fn open_for_syncing(&self, path: &Path) -> Result<Option<Arc<dyn Storage>>> {
        self.open_for_reading(path)
    }
    /// What the path names now; `None` for nothing.
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>>;
    /// Files beside the log at `path` that may be the log of before, by their names; nothing where the
    /// folder has too many entries. `inode` is that of the file at the path.
    fn formers(&self, _path: &Path, _inode: Option<u64>) -> io::Result<Option<Vec<Former>>> {
        Ok(Some(Vec::new()))
    }
    /// What such a file is; a symlink is a file of its own.
    fn stat_former(&self, _former: &Former) -> io::Result<Option<Stat>> {
        Ok(None)
    }
    /// Opens such a file for reading; nothing if it is no regular file of the log's owner.
    fn open_former(&self, _path: &Path, _former: &Former) -> io::Result<Option<Arc<dyn Storage>>> {
        Ok(None)
    }
    /// The same by a descriptor that can sync it.
    fn open_former_for_syncing(
        &self,
        path: &Path,
        former: &Former,
    ) -> io::Result<Option<Arc<dyn Storage>>> {
        self.open_former(path, former)
    }
    /// Makes the directory entry of the file durable. `storage` is the open file.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Whether a second descriptor is kept out while `path` is locked through another.
    fn honours_lock(&self, path: &Path) -> io::Result<bool>;
    /// The process that holds the lock of the file, where the system tells.
    fn lock_holder(&self, stat: &Stat) -> Option<u32>;
    /// Whether side files can be kept beside the logs.
    fn has_side_files(&self) -> bool {
        false
    }
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
