//! Linux and macOS: opening, identity and owners of files, names of file systems, holders of locks.

use std::ffi::OsStr;
use std::fs::{self, File, FileType, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::{DirEntryExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;
use std::time::UNIX_EPOCH;

use rustix::fs::OFlags;

use crate::os::retry::retry;
use crate::os::stat::Stat;

/// The lock is on the log itself.
pub(crate) const LOCK_IS_BESIDE: bool = false;

/// Options to open a log for reading. A FIFO or a device at the path must neither block the open
/// nor become the controlling terminal.
pub(crate) fn reading() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(bits(OFlags::NONBLOCK | OFlags::NOCTTY));
    options
}

/// Whether only a descriptor that may write can sync a file.
pub(crate) const SYNC_NEEDS_WRITE: bool = false;

/// Options to open a log for reading and for [`append`].
pub(crate) fn appending() -> OpenOptions {
    let mut options = reading();
    options.append(true);
    options
}

/// Options to open a side file, which is never a symlink: any process that may write the folder
/// could have created one.
pub(crate) fn beside() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(bits(OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY));
    options
}

/// Options to open a lock file, and to create it for the users of `log`.
pub(crate) fn lock_file(log: Option<&Metadata>) -> OpenOptions {
    let mut options = beside();
    options.read(true).mode(log.map_or(0o600, |log| log.mode() & 0o666));
    options
}

/// Restricts a new file to its owner.
pub(crate) fn keep_private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

fn bits(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or_default()
}

/// Identifies the file of a descriptor.
pub(crate) fn stat(file: &File) -> io::Result<Stat> {
    Ok(stat_of(&retry(|| file.metadata())?))
}

/// Identifies the file at a path, behind its symlinks.
pub(crate) fn stat_at(path: &Path) -> io::Result<Stat> {
    Ok(stat_of(&retry(|| fs::metadata(path))?))
}

/// Identifies the file at a path; a symlink is a file of its own.
pub(crate) fn stat_of_name(path: &Path) -> io::Result<Stat> {
    Ok(stat_of(&retry(|| fs::symlink_metadata(path))?))
}

fn stat_of(metadata: &Metadata) -> Stat {
    Stat {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.len(),
        links: metadata.nlink(),
        born: birth_of(metadata),
    }
}

/// The birth time of a file. On Linux the standard library gets it by `statx(2)` in any case.
fn birth_of(metadata: &Metadata) -> Option<u64> {
    let since_epoch = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since_epoch.as_nanos()).ok().filter(|nanoseconds| *nanoseconds > 0)
}

/// The inode number in the listing of a folder.
pub(crate) fn inode_of_entry(entry: &fs::DirEntry) -> Option<u64> {
    Some(entry.ino())
}

/// Whether both files have the same owner.
pub(crate) fn is_same_owner(one: &Metadata, other: &Metadata) -> bool {
    one.uid() == other.uid()
}

/// Names the kind of a file that is no regular one.
pub(crate) fn kind_word(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// The longest name in bytes, where the file system does not report it.
pub(crate) const MAX_NAME_LENGTH: usize = 255;

/// The length of a name as file systems count it.
pub(crate) fn name_length(name: &OsStr) -> usize {
    name.len()
}

/// The longest name in bytes that a file in this folder can have.
pub(crate) fn longest_name(folder: &Path) -> usize {
    let found = rustix::io::retry_on_intr(|| rustix::fs::statvfs(folder));
    let longest = found.ok().and_then(|found| usize::try_from(found.f_namemax).ok());
    longest.filter(|longest| *longest > 0).unwrap_or(MAX_NAME_LENGTH)
}

/// The path without symlinks.
pub(crate) fn real_path(path: &Path) -> io::Result<std::path::PathBuf> {
    fs::canonicalize(path)
}

/// Reads at most `buffer.len()` bytes at `offset`; 0 at the end.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// One write at the end of a file opened for [`appending`]; it may be short.
pub(crate) fn append(mut file: &File, bytes: &[u8]) -> io::Result<usize> {
    io::Write::write(&mut file, bytes)
}

/// The number of the descriptor, by which another program can inherit the file.
pub(crate) fn descriptor(file: &File) -> Option<i32> {
    Some(file.as_raw_fd())
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = File::open(path)?;
    match directory.sync_all() {
        // `sync_all` also flushes the drive (`F_FULLFSYNC`). Some file systems of macOS refuse that
        // for a directory.
        Err(_) if cfg!(target_os = "macos") => {
            Ok(rustix::io::retry_on_intr(|| rustix::fs::fsync(&directory))?)
        }
        other => other,
    }
}

/// Whether the file beside a log belongs to the log's owner or to root.
pub(crate) fn is_trusted(beside: &Metadata, log: &Metadata) -> bool {
    beside.uid() == log.uid() || beside.uid() == 0
}

/// Gives a file the permissions of the log, without those to execute.
pub(crate) fn share_like(file: &File, log: &Metadata) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(log.mode() & 0o666))
}

/// Gives a file the owner and the mode of the log. The owner comes first, because changing it
/// clears bits of the mode.
pub(crate) fn become_like(file: &File, log: &Metadata) -> Result<(), (&'static str, io::Error)> {
    let now = file.metadata().map_err(|error| ("fstat", error))?;
    if (now.uid(), now.gid()) != (log.uid(), log.gid()) {
        fchown(file, Some(log.uid()), Some(log.gid())).map_err(|error| ("fchown", error))?;
    }
    let mode = Permissions::from_mode(log.mode() & 0o7777);
    file.set_permissions(mode).map_err(|error| ("fchmod", error))
}

/// Exchanges the files of two names in one step. `Unsupported` where the system or the file system
/// cannot.
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(crate) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    let without = [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP];
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Err(error) if without.contains(&error) => Err(io::ErrorKind::Unsupported.into()),
        other => Ok(other?),
    }
}

/// Elsewhere two names cannot be exchanged.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a file system is mounted on the file at `real`, a path without symlinks. Such a file can
/// be neither renamed nor linked.
#[cfg(target_os = "linux")]
pub(crate) fn is_mount_point(real: &Path) -> bool {
    // The table writes spaces, tabs, newlines and backslashes as three octal digits.
    let escape = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        _ => vec![*byte],
    };
    let wanted: Vec<u8> = real.as_os_str().as_encoded_bytes().iter().flat_map(escape).collect();
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let mut lines = table.split(|byte| *byte == b'\n');
    lines.any(|line| line.split(|byte| *byte == b' ').nth(4) == Some(&*wanted))
}

/// Elsewhere no file is a mount point.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_mount_point(_real: &Path) -> bool {
    false
}

#[cfg(target_os = "linux")]
#[allow(clippy::useless_conversion, reason = "the field has another type on other architectures")]
pub(crate) fn kind_of(stat: &rustix::fs::StatFs) -> i64 {
    i64::try_from(stat.f_type).unwrap_or_default() & 0xffff_ffff
}

/// The name of the network file system that holds `file`, if it is one.
#[cfg(target_os = "linux")]
pub(crate) fn network_file_system(file: &File) -> Option<&'static str> {
    let stat = rustix::io::retry_on_intr(|| rustix::fs::fstatfs(file));
    network_name(kind_of(&stat.ok()?))
}

/// The name of the network file system that holds the file at `path`, if it is one.
#[cfg(target_os = "linux")]
pub(crate) fn network_file_system_at(path: &Path) -> Option<&'static str> {
    let stat = rustix::io::retry_on_intr(|| rustix::fs::statfs(path));
    network_name(kind_of(&stat.ok()?))
}

#[cfg(target_os = "linux")]
fn network_name(kind: i64) -> Option<&'static str> {
    match kind {
        0x6969 => Some("NFS"),
        0xfe53_4d42 => Some("SMB2"),
        0xff53_4d42 => Some("CIFS"),
        0x0102_1997 => Some("9p"),
        0x6573_5546 => Some("FUSE"),
        _ => None,
    }
}

/// Elsewhere network file systems are not recognised.
#[cfg(not(target_os = "linux"))]
pub(crate) fn network_file_system_at(_path: &Path) -> Option<&'static str> {
    None
}

/// Elsewhere network file systems are not recognised.
#[cfg(not(target_os = "linux"))]
pub(crate) fn network_file_system(_file: &File) -> Option<&'static str> {
    None
}

/// The file shows it here, see [`network_file_system`].
pub(crate) fn share_of(_real: &Path) -> Option<&'static str> {
    None
}

/// The process that holds the `flock(2)` lock on an inode, as `/proc/locks` shows it in this pid
/// namespace.
#[cfg(target_os = "linux")]
pub(crate) fn lock_holder(device: u64, inode: u64) -> Option<u32> {
    let table = std::fs::read_to_string("/proc/locks").ok()?;
    let wanted =
        format!("{:02x}:{:02x}:{inode}", rustix::fs::major(device), rustix::fs::minor(device));
    let holder = |line: &str, whole: bool| {
        let mut words = line.split_ascii_whitespace().skip(1);
        if words.next()? != "FLOCK" {
            return None;
        }
        let pid = words.nth(2)?;
        let place = words.next()?;
        let inode_of = |place: &str| place.rsplit(':').next().map(str::to_owned);
        let hit = if whole { place == wanted } else { inode_of(place) == inode_of(&wanted) };
        if hit { pid.parse::<u32>().ok().filter(|pid| *pid != 0) } else { None }
    };
    // Some file systems (btrfs, overlayfs) show another device here than `fstat(2)` does.
    table
        .lines()
        .find_map(|line| holder(line, true))
        .or_else(|| table.lines().find_map(|line| holder(line, false)))
}

/// Elsewhere the system does not report the holder.
#[cfg(not(target_os = "linux"))]
pub(crate) fn lock_holder(_device: u64, _inode: u64) -> Option<u32> {
    None
}

/// Syncs the file system that holds the file at `path`. It serves for a directory that may not be
/// opened for reading.
#[cfg(target_os = "linux")]
pub(crate) fn sync_file_system(path: &Path) -> io::Result<()> {
    let file = reading().open(path)?;
    Ok(rustix::io::retry_on_intr(|| rustix::fs::syncfs(&file))?)
}

/// Elsewhere there is no such call.
#[cfg(not(target_os = "linux"))]
pub(crate) fn sync_file_system(_path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The name of a system error, as `cause.code` has it.
pub(crate) fn error_name(error: &io::Error) -> Option<&'static str> {
    use rustix::io::Errno;
    let raw = error.raw_os_error()?;
    const NAMES: &[(Errno, &str)] = &[
        (Errno::ACCESS, "EACCES"),
        (Errno::AGAIN, "EAGAIN"),
        (Errno::BADF, "EBADF"),
        (Errno::BUSY, "EBUSY"),
        (Errno::DEADLK, "EDEADLK"),
        (Errno::DQUOT, "EDQUOT"),
        (Errno::EXIST, "EEXIST"),
        (Errno::FBIG, "EFBIG"),
        (Errno::INTR, "EINTR"),
        (Errno::INVAL, "EINVAL"),
        (Errno::IO, "EIO"),
        (Errno::ISDIR, "EISDIR"),
        (Errno::LOOP, "ELOOP"),
        (Errno::MFILE, "EMFILE"),
        (Errno::MLINK, "EMLINK"),
        (Errno::NAMETOOLONG, "ENAMETOOLONG"),
        (Errno::NFILE, "ENFILE"),
        (Errno::NOBUFS, "ENOBUFS"),
        (Errno::NODEV, "ENODEV"),
        (Errno::NOENT, "ENOENT"),
        (Errno::NOLCK, "ENOLCK"),
        (Errno::NOMEM, "ENOMEM"),
        (Errno::NOSPC, "ENOSPC"),
        (Errno::NOSYS, "ENOSYS"),
        (Errno::NOTDIR, "ENOTDIR"),
        (Errno::NXIO, "ENXIO"),
        (Errno::OPNOTSUPP, "EOPNOTSUPP"),
        (Errno::OVERFLOW, "EOVERFLOW"),
        (Errno::PERM, "EPERM"),
        (Errno::PIPE, "EPIPE"),
        (Errno::ROFS, "EROFS"),
        (Errno::SPIPE, "ESPIPE"),
        (Errno::STALE, "ESTALE"),
        (Errno::TIMEDOUT, "ETIMEDOUT"),
        (Errno::TXTBSY, "ETXTBSY"),
        (Errno::XDEV, "EXDEV"),
    ];
    NAMES.iter().find(|(errno, _)| errno.raw_os_error() == raw).map(|(_, name)| *name)
}

/// The error for pages that stay in the cache because another process maps them.
pub(crate) fn busy() -> io::Error {
    rustix::io::Errno::BUSY.into()
}

/// The error for events that exceed the memory for them.
pub(crate) fn no_buffers() -> io::Error {
    rustix::io::Errno::NOBUFS.into()
}

/// The error for a result that is too large for JavaScript.
#[cfg_attr(not(feature = "node"), allow(dead_code, reason = "only the binding has such results"))]
pub(crate) fn too_large() -> io::Error {
    rustix::io::Errno::OVERFLOW.into()
}

/// Whether a file could not be opened because another process has it open: never here.
pub(crate) fn is_in_use(_error: &io::Error) -> bool {
    false
}
