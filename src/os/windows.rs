//! Windows: opening and identity of files, writing at their end, and what there is instead of flags, modes and owners.

use std::ffi::OsStr;
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf, Prefix};

use winapi_util::file::information;

use crate::os::stat::Stat;

/// A lock on the log itself would keep readers out, because there it is more than advice.
pub(crate) const LOCK_IS_BESIDE: bool = true;

/// `FILE_SHARE_READ` and `FILE_SHARE_WRITE`: what is open so can be neither deleted nor renamed.
const SHARE_BUT_NOT_DELETE: u32 = 1 | 2;
/// `FILE_FLAG_BACKUP_SEMANTICS`: a directory is opened as well.
const ALSO_DIRECTORIES: u32 = 0x0200_0000;
/// `FILE_FLAG_OPEN_REPARSE_POINT`: a symlink is opened itself.
const NO_FOLLOW: u32 = 0x0020_0000;
/// `FILE_GENERIC_WRITE`.
const GENERIC_WRITE: u32 = 0x0012_0116;
/// `WRITE_TO_END_OF_FILE`, as an offset.
const END_OF_FILE: u64 = u64::MAX;
/// Longer paths need the prefix `\\?\`.
const MAX_PATH: usize = 260;

// System errors for which `io::ErrorKind` has no name.
const ERROR_TOO_MANY_OPEN_FILES: i32 = 4;
const ERROR_SHARING_VIOLATION: i32 = 32;
const ERROR_LOCK_VIOLATION: i32 = 33;
const ERROR_ARITHMETIC_OVERFLOW: i32 = 534;
const WSAENOBUFS: i32 = 10055;

/// To open a log for reading. The standard library lets others write, rename and delete it meanwhile.
pub(crate) fn reading() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    options
}

/// Whether only a handle that may write can sync a file.
pub(crate) const SYNC_NEEDS_WRITE: bool = true;

/// To open a log for reading and for [`append`]. Not with the right to append alone, which is too little for taking back a failed write.
pub(crate) fn appending() -> OpenOptions {
    let mut options = reading();
    options.write(true);
    options
}

/// To open a side file, which is never a symlink.
pub(crate) fn beside() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(NO_FOLLOW);
    options
}

/// To open a lock file. While anybody has it open it cannot be deleted: two processes would lock two files.
pub(crate) fn lock_file(_log: Option<&Metadata>) -> OpenOptions {
    let mut options = beside();
    options.read(true).share_mode(SHARE_BUT_NOT_DELETE);
    options
}

/// Who may use a file is up to the folder that it is made in.
pub(crate) fn keep_private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Which file this is.
pub(crate) fn stat(file: &File) -> io::Result<Stat> {
    let found = information(file)?;
    Ok(Stat {
        device: found.volume_serial_number(),
        inode: found.file_index(),
        length: found.file_size(),
        links: found.number_of_links(),
        // In steps of 100 ns since 1601: only compared.
        born: found.creation_time().filter(|time| *time > 0),
    })
}

/// Which file a path names, where its symlinks end.
pub(crate) fn stat_at(path: &Path) -> io::Result<Stat> {
    look(path, ALSO_DIRECTORIES)
}

/// Which file a path names; a symlink is a file of its own.
pub(crate) fn stat_of_name(path: &Path) -> io::Result<Stat> {
    look(path, ALSO_DIRECTORIES | NO_FOLLOW)
}

fn look(path: &Path, flags: u32) -> io::Result<Stat> {
    match OpenOptions::new().access_mode(0).custom_flags(flags).open(path) {
        Ok(file) => stat(&file),
        // A file that was deleted while somebody has it open may keep its name until then, but cannot be opened by it, whatever for. One that
        // can be read may only not be looked at so.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            match reading().custom_flags(flags).open(path) {
                Ok(file) => stat(&file),
                Err(_) => Err(io::Error::new(io::ErrorKind::NotFound, error)),
            }
        }
        Err(error) => Err(error),
    }
}

/// A listing of a folder has no numbers of files.
pub(crate) fn inode_of_entry(_entry: &fs::DirEntry) -> Option<u64> {
    None
}

/// Who may put a file there is up to the folder.
pub(crate) fn is_same_owner(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

/// What a file is that is no regular one.
pub(crate) fn kind_word(kind: FileType) -> &'static str {
    if kind.is_dir() { "a directory" } else { "a device" }
}

/// UTF-16 units of the longest name.
pub(crate) const MAX_NAME_LENGTH: usize = 255;

/// The length of a name as file systems count it.
pub(crate) fn name_length(name: &OsStr) -> usize {
    name.encode_wide().count()
}

/// The longest name that a file in this folder can have.
pub(crate) fn longest_name(_folder: &Path) -> usize {
    MAX_NAME_LENGTH
}

/// Where the symlinks of `path` end, without the prefix `\\?\` where it is not needed.
pub(crate) fn real_path(path: &Path) -> io::Result<PathBuf> {
    let real = fs::canonicalize(path)?;
    let is_on_drive = matches!(
        real.components().next(),
        Some(Component::Prefix(prefix)) if matches!(prefix.kind(), Prefix::VerbatimDisk(_))
    );
    let plain = real.to_str().and_then(|text| text.strip_prefix(r"\\?\"));
    match plain.filter(|plain| is_on_drive && plain.len() < MAX_PATH) {
        Some(plain) => Ok(PathBuf::from(plain)),
        None => Ok(real),
    }
}

/// Reads at most `buffer.len()` bytes at `offset`; 0 at the end.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = file.seek_write(bytes, offset)?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.split_at(count).1;
        offset += count as u64;
    }
    Ok(())
}

/// One write at the end of the file, wherever that is by then; may be short.
pub(crate) fn append(file: &File, bytes: &[u8]) -> io::Result<usize> {
    file.seek_write(bytes, END_OF_FILE)
}

/// No program can be started here with a file that it inherits by number.
pub(crate) fn descriptor(_file: &File) -> Option<i32> {
    None
}

/// Flushes a directory. Where that cannot be done, [`sync_file_system`] is what is left.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.access_mode(GENERIC_WRITE).custom_flags(ALSO_DIRECTORIES);
    match options.open(path).and_then(|directory| directory.sync_all()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io::Error::new(io::ErrorKind::Unsupported, error))
        }
        other => other,
    }
}

/// Flushes the file at `path`: on NTFS with it all of the journal before, and so the file's name.
pub(crate) fn sync_file_system(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        // A directory that cannot be flushed comes to the disk with the files that are flushed in it.
        return Ok(());
    }
    appending().open(path)?.sync_all()
}

/// Whoever may write a folder is trusted with the logs in it.
pub(crate) fn is_trusted(_beside: &Metadata, _log: &Metadata) -> bool {
    true
}

/// Who may use a file is up to the folder that it is in.
pub(crate) fn share_like(_file: &File, _log: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Who may use a file is up to the folder that it is in.
pub(crate) fn become_like(_file: &File, _log: &Metadata) -> Result<(), (&'static str, io::Error)> {
    Ok(())
}

/// No call drops a file's pages: the next read may come from the cache.
pub(crate) fn drop_cached(_file: &File, _range: Range<u64>) -> io::Result<bool> {
    Ok(true)
}

/// Two names are not exchanged.
pub(crate) fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// No file is a mount point.
pub(crate) fn is_mount_point(_real: &Path) -> bool {
    false
}

/// All of a file counts as data.
pub(crate) fn data_from(_file: &File, range: Range<u64>) -> u64 {
    range.start
}

/// Told by the path, see [`share_of`].
pub(crate) fn network_file_system(_file: &File) -> Option<&'static str> {
    None
}

/// The network file system that holds the file at `path`, if its path says so.
pub(crate) fn network_file_system_at(path: &Path) -> Option<&'static str> {
    share_of(&real_path(path).ok()?)
}

/// The system does not tell.
pub(crate) fn lock_holder(_device: u64, _inode: u64) -> Option<u32> {
    None
}

/// Whether a file could not be opened because of how somebody else has it open, as one that is just being deleted, or checked for viruses.
pub(crate) fn is_in_use(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ERROR_SHARING_VIOLATION)
}

/// The name of a system error, as `cause.code` has it: what Node.js calls it.
pub(crate) fn error_name(error: &io::Error) -> Option<&'static str> {
    use io::ErrorKind;
    match error.raw_os_error() {
        Some(ERROR_TOO_MANY_OPEN_FILES) => return Some("EMFILE"),
        Some(ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION) => return Some("EBUSY"),
        Some(WSAENOBUFS) => return Some("ENOBUFS"),
        Some(ERROR_ARITHMETIC_OVERFLOW) => return Some("EOVERFLOW"),
        _ => {}
    }
    Some(match error.kind() {
        ErrorKind::NotFound => "ENOENT",
        ErrorKind::PermissionDenied => "EACCES",
        ErrorKind::AlreadyExists => "EEXIST",
        ErrorKind::WouldBlock => "EAGAIN",
        ErrorKind::NotADirectory => "ENOTDIR",
        ErrorKind::IsADirectory => "EISDIR",
        ErrorKind::DirectoryNotEmpty => "ENOTEMPTY",
        ErrorKind::ReadOnlyFilesystem => "EROFS",
        ErrorKind::StorageFull => "ENOSPC",
        ErrorKind::QuotaExceeded => "EDQUOT",
        ErrorKind::FileTooLarge => "EFBIG",
        ErrorKind::ResourceBusy => "EBUSY",
        ErrorKind::Deadlock => "EDEADLK",
        ErrorKind::CrossesDevices => "EXDEV",
        ErrorKind::TooManyLinks => "EMLINK",
        ErrorKind::InvalidFilename | ErrorKind::InvalidInput => "EINVAL",
        ErrorKind::TimedOut => "ETIMEDOUT",
        ErrorKind::BrokenPipe => "EPIPE",
        ErrorKind::Interrupted => "EINTR",
        ErrorKind::Unsupported => "EOPNOTSUPP",
        ErrorKind::OutOfMemory => "ENOMEM",
        ErrorKind::NotSeekable => "ESPIPE",
        _ => return None,
    })
}

/// The error of pages that stay in the cache because another process maps them.
pub(crate) fn busy() -> io::Error {
    io::ErrorKind::ResourceBusy.into()
}

/// The error of events for which there is no room.
pub(crate) fn no_buffers() -> io::Error {
    io::Error::from_raw_os_error(WSAENOBUFS)
}

/// The error of a result that is too large for JavaScript.
#[cfg_attr(not(feature = "node"), allow(dead_code, reason = "only the binding has such results"))]
pub(crate) fn too_large() -> io::Error {
    io::Error::from_raw_os_error(ERROR_ARITHMETIC_OVERFLOW)
}

/// The network file system that a path, free of symlinks, is on, if the path tells.
pub(crate) fn share_of(real: &Path) -> Option<&'static str> {
    match real.components().next()? {
        Component::Prefix(prefix) => match prefix.kind() {
            Prefix::UNC(..) | Prefix::VerbatimUNC(..) => Some("a network share"),
            _ => None,
        },
        _ => None,
    }
}
