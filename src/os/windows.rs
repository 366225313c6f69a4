//! Windows: opening and identity of files, writing at their end, and the counterparts of flags,
//! modes and owners.

use std::ffi::OsStr;
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf, Prefix};

use winapi_util::file::information;

use crate::os::stat::Stat;

/// A lock on the log itself would exclude readers, because locks are mandatory here.
pub(crate) const LOCK_IS_BESIDE: bool = true;

/// `FILE_SHARE_READ` and `FILE_SHARE_WRITE`: a file opened with them can be neither deleted nor
/// renamed.
const SHARE_BUT_NOT_DELETE: u32 = 1 | 2;
/// `FILE_FLAG_BACKUP_SEMANTICS`: a directory can be opened as well.
const ALSO_DIRECTORIES: u32 = 0x0200_0000;
/// `FILE_FLAG_OPEN_REPARSE_POINT`: a symlink is opened itself.
const NO_FOLLOW: u32 = 0x0020_0000;
/// `FILE_GENERIC_WRITE`.
const GENERIC_WRITE: u32 = 0x0012_0116;
/// `WRITE_TO_END_OF_FILE`, as an offset.
const END_OF_FILE: u64 = u64::MAX;
/// The length from which paths need the prefix `\\?\`.
const MAX_PATH: usize = 260;

// System errors for which `io::ErrorKind` has no name.
const ERROR_TOO_MANY_OPEN_FILES: i32 = 4;
const ERROR_SHARING_VIOLATION: i32 = 32;
const ERROR_LOCK_VIOLATION: i32 = 33;
const ERROR_ARITHMETIC_OVERFLOW: i32 = 534;
const WSAENOBUFS: i32 = 10055;

/// Options to open a log for reading. By default of the standard library, other processes may
/// write, rename and delete the file meanwhile.
pub(crate) fn reading() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    options
}

/// Whether only a handle that may write can sync a file.
pub(crate) const SYNC_NEEDS_WRITE: bool = true;

/// Options to open a log for reading and for [`append`]. The right to append alone would not
/// suffice to take back a failed write.
pub(crate) fn appending() -> OpenOptions {
    let mut options = reading();
    options.write(true);
    options
}

/// Options to open a side file, which is never a symlink.
pub(crate) fn beside() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(NO_FOLLOW);
    options
}

/// Options to open a lock file. It cannot be deleted while a process has it open: otherwise two
/// processes would lock two files.
pub(crate) fn lock_file(_log: Option<&Metadata>) -> OpenOptions {
    let mut options = beside();
    options.read(true).share_mode(SHARE_BUT_NOT_DELETE);
    options
}

/// The folder of a file determines its permissions.
pub(crate) fn keep_private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Identifies the file of a handle.
pub(crate) fn stat(file: &File) -> io::Result<Stat> {
    let found = information(file)?;
    Ok(Stat {
        device: found.volume_serial_number(),
        inode: found.file_index(),
        length: found.file_size(),
        links: found.number_of_links(),
        // In steps of 100 ns since 1601; the value is only compared.
        born: found.creation_time().filter(|time| *time > 0),
    })
}

/// Identifies the file at a path, behind its symlinks.
pub(crate) fn stat_at(path: &Path) -> io::Result<Stat> {
    look(path, ALSO_DIRECTORIES)
}

/// Identifies the file at a path; a symlink is a file of its own.
pub(crate) fn stat_of_name(path: &Path) -> io::Result<Stat> {
    look(path, ALSO_DIRECTORIES | NO_FOLLOW)
}

fn look(path: &Path, flags: u32) -> io::Result<Stat> {
    match OpenOptions::new().access_mode(0).custom_flags(flags).open(path) {
        Ok(file) => stat(&file),
        // A deleted file keeps its name while another process has it open, but cannot be opened by
        // that name. If the file can be opened for reading, only the access without rights was
        // refused.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            match reading().custom_flags(flags).open(path) {
                Ok(file) => stat(&file),
                Err(_) => Err(io::Error::new(io::ErrorKind::NotFound, error)),
            }
        }
        Err(error) => Err(error),
    }
}

/// The listing of a folder has no numbers of files.
pub(crate) fn inode_of_entry(_entry: &fs::DirEntry) -> Option<u64> {
    None
}

/// The folder determines which users may put a file there.
pub(crate) fn is_same_owner(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

/// Names the kind of a file that is no regular one.
pub(crate) fn kind_word(kind: FileType) -> &'static str {
    if kind.is_dir() { "a directory" } else { "a device" }
}

/// The longest name in UTF-16 units.
pub(crate) const MAX_NAME_LENGTH: usize = 255;

/// The length of a name as file systems count it.
pub(crate) fn name_length(name: &OsStr) -> usize {
    name.encode_wide().count()
}

/// The longest name that a file in this folder can have.
pub(crate) fn longest_name(_folder: &Path) -> usize {
    MAX_NAME_LENGTH
}

/// The path without symlinks, and without the prefix `\\?\` where it is not needed.
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

/// One write at the current end of the file; it may be short.
pub(crate) fn append(file: &File, bytes: &[u8]) -> io::Result<usize> {
    file.seek_write(bytes, END_OF_FILE)
}

/// No program can inherit a file by number here.
pub(crate) fn descriptor(_file: &File) -> Option<i32> {
    None
}

/// Flushes a directory. Where that is refused, [`sync_file_system`] remains.
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

/// Flushes the file at `path`. On NTFS this also flushes the journal before it, and so the file's
/// name.
pub(crate) fn sync_file_system(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        // A directory that cannot be flushed reaches the disk with the files that are flushed in
        // it.
        return Ok(());
    }
    appending().open(path)?.sync_all()
}

/// Every user that may write a folder is trusted with the logs in it.
pub(crate) fn is_trusted(_beside: &Metadata, _log: &Metadata) -> bool {
    true
}

/// The folder of a file determines its permissions.
pub(crate) fn share_like(_file: &File, _log: &Metadata) -> io::Result<()> {
    Ok(())
}

/// The folder of a file determines its owner and permissions.
pub(crate) fn become_like(_file: &File, _log: &Metadata) -> Result<(), (&'static str, io::Error)> {
    Ok(())
}

/// Two names cannot be exchanged.
pub(crate) fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// No file is a mount point.
pub(crate) fn is_mount_point(_real: &Path) -> bool {
    false
}

/// The path shows it here, see [`share_of`].
pub(crate) fn network_file_system(_file: &File) -> Option<&'static str> {
    None
}

/// The network file system that holds the file at `path`, if its path shows one.
pub(crate) fn network_file_system_at(path: &Path) -> Option<&'static str> {
    share_of(&real_path(path).ok()?)
}

/// The system does not report the holder.
pub(crate) fn lock_holder(_device: u64, _inode: u64) -> Option<u32> {
    None
}

/// Whether a file could not be opened because of another handle: it is being deleted, for instance,
/// or checked for viruses.
pub(crate) fn is_in_use(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ERROR_SHARING_VIOLATION)
}

/// The name of a system error, as `cause.code` has it: the name that Node.js uses.
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

/// The error for pages that stay in the cache because another process maps them.
pub(crate) fn busy() -> io::Error {
    io::ErrorKind::ResourceBusy.into()
}

/// The error for events that exceed the memory for them.
pub(crate) fn no_buffers() -> io::Error {
    io::Error::from_raw_os_error(WSAENOBUFS)
}

/// The error for a result that is too large for JavaScript.
#[cfg_attr(not(feature = "node"), allow(dead_code, reason = "only the binding has such results"))]
pub(crate) fn too_large() -> io::Error {
    io::Error::from_raw_os_error(ERROR_ARITHMETIC_OVERFLOW)
}

/// The network file system in a path without symlinks, if the path shows one.
pub(crate) fn share_of(real: &Path) -> Option<&'static str> {
    match real.components().next()? {
        Component::Prefix(prefix) => match prefix.kind() {
            Prefix::UNC(..) | Prefix::VerbatimUNC(..) => Some("a network share"),
            _ => None,
        },
        _ => None,
    }
}
