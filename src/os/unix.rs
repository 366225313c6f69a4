//! Linux and macOS: opening, identity and owners of files, dropping pages from the cache, telling file systems apart, naming a lock's holder.

use std::ffi::OsStr;
use std::fs::{self, File, FileType, Metadata, OpenOptions, Permissions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::{DirEntryExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;
use std::time::UNIX_EPOCH;

use rustix::fs::OFlags;

use crate::os::retry::retry;
use crate::os::stat::Stat;

/// The lock lies on the log itself.
pub(crate) const LOCK_IS_BESIDE: bool = false;

#[cfg(target_os = "linux")]
const PAGE_BYTES: u64 = 4096;

/// To open a log for reading. A FIFO or a device put in the file's place must not block the open or become the controlling terminal.
pub(crate) fn reading() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(bits(OFlags::NONBLOCK | OFlags::NOCTTY));
    options
}

/// Whether only a descriptor that may write can sync a file.
pub(crate) const SYNC_NEEDS_WRITE: bool = false;

/// To open a log for reading and for [`append`].
pub(crate) fn appending() -> OpenOptions {
    let mut options = reading();
    options.append(true);
    options
}

/// To open a side file, which is never a symlink: whoever may write the folder could have put one there.
pub(crate) fn beside() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(bits(OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY));
    options
}

/// To open a lock file, and to make it for those who may use `log`.
pub(crate) fn lock_file(log: Option<&Metadata>) -> OpenOptions {
    let mut options = beside();
    options.read(true).mode(log.map_or(0o600, |log| log.mode() & 0o666));
    options
}

/// Makes a file for its owner only.
pub(crate) fn keep_private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

fn bits(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or_default()
}

/// Which file this is.
pub(crate) fn stat(file: &File) -> io::Result<Stat> {
    Ok(stat_of(&retry(|| file.metadata())?))
}

/// Which file a path names, where its symlinks end.
pub(crate) fn stat_at(path: &Path) -> io::Result<Stat> {
    Ok(stat_of(&retry(|| fs::metadata(path))?))
}

/// Which file a path names; a symlink is a file of its own.
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

/// The birth time of a file, by `statx(2)` on Linux, which the standard library asks anyway.
fn birth_of(metadata: &Metadata) -> Option<u64> {
    let since_epoch = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since_epoch.as_nanos()).ok().filter(|nanoseconds| *nanoseconds > 0)
}

/// The inode number that a listing of a folder has.
pub(crate) fn inode_of_entry(entry: &fs::DirEntry) -> Option<u64> {
    Some(entry.ino())
}

/// Whether both have one owner.
pub(crate) fn is_same_owner(one: &Metadata, other: &Metadata) -> bool {
    one.uid() == other.uid()
}

/// What a file is that is no regular one.
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

/// Bytes of the longest name, where the file system does not report it.
pub(crate) const MAX_NAME_LENGTH: usize = 255;

/// The length of a name as file systems count it.
pub(crate) fn name_length(name: &OsStr) -> usize {
    name.len()
}

/// Bytes of the longest name that a file in this folder can have.
pub(crate) fn longest_name(folder: &Path) -> usize {
    let found = rustix::io::retry_on_intr(|| rustix::fs::statvfs(folder));
    let longest = found.ok().and_then(|found| usize::try_from(found.f_namemax).ok());
    longest.filter(|longest| *longest > 0).unwrap_or(MAX_NAME_LENGTH)
}

/// Where the symlinks of `path` end.
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

/// One write at the end of a file opened for [`appending`]; may be short.
pub(crate) fn append(mut file: &File, bytes: &[u8]) -> io::Result<usize> {
    io::Write::write(&mut file, bytes)
}

/// The number of the descriptor, which another program can inherit.
pub(crate) fn descriptor(file: &File) -> Option<i32> {
    Some(file.as_raw_fd())
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = File::open(path)?;
    match directory.sync_all() {
        // `sync_all` asks the drive, too (`F_FULLFSYNC`), which not every file system of macOS does for a directory.
        Err(_) if cfg!(target_os = "macos") => {
            Ok(rustix::io::retry_on_intr(|| rustix::fs::fsync(&directory))?)
        }
        other => other,
    }
}

/// Whether the owner of a log, or root, made the file beside it.
pub(crate) fn is_trusted(beside: &Metadata, log: &Metadata) -> bool {
    beside.uid() == log.uid() || beside.uid() == 0
}

/// Lets those use a file who may use the log it is about.
pub(crate) fn share_like(file: &File, log: &Metadata) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(log.mode() & 0o666))
}

/// Gives a file the owner and the mode of the log. The owner first: changing it takes bits of the mode away.
pub(crate) fn become_like(file: &File, log: &Metadata) -> Result<(), (&'static str, io::Error)> {
    let now = file.metadata().map_err(|error| ("fstat", error))?;
    if (now.uid(), now.gid()) != (log.uid(), log.gid()) {
        fchown(file, Some(log.uid()), Some(log.gid())).map_err(|error| ("fchown", error))?;
    }
    let mode = Permissions::from_mode(log.mode() & 0o7777);
    file.set_permissions(mode).map_err(|error| ("fchmod", error))
}

/// Exchanges what two names stand for, in one step. `Unsupported` where the system or the file system cannot.
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

/// Elsewhere two names are not exchanged.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether something is mounted on the file at `real`, in whose path no symlink may be left: it can be neither renamed nor linked.
#[cfg(target_os = "linux")]
pub(crate) fn is_mount_point(real: &Path) -> bool {
    // Spaces, tabs, newlines and backslashes are written as three octal digits.
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

/// Drops the clean pages of `range` from the page cache and says whether they are gone, so that the next read
/// comes from the disk. `Ok(false)`: another process maps or uses them.
///
/// Linux: `posix_fadvise(2)` with `POSIX_FADV_DONTNEED`, absence checked by `preadv2(2)` with `RWF_NOWAIT`, from the
/// last page to the first, because a probe that misses may start reading ahead. On tmpfs and ramfs the page
/// cache is the disk. Where the kernel has no such probe the advice alone has to do.
#[cfg(target_os = "linux")]
pub(crate) fn drop_cached(file: &File, range: Range<u64>) -> io::Result<bool> {
    use rustix::fs::{Advice, fadvise, fstatfs};
    use rustix::io::retry_on_intr;
    use std::num::NonZeroU64;

    const TMPFS_MAGIC: i64 = 0x0102_1994;
    const RAMFS_MAGIC: i64 = 0x8584_58f6;
    // The kernel passes over a large folio that reaches out of the range: the wider tries take those in.
    const ALIGNMENTS_BYTES: [u64; 6] = [4096, 65_536, 4 << 20, 4 << 20, 4 << 20, 4 << 20];
    // A probe that misses begins to read the page, and on a busy machine finds it: one in a thousand. The pages behind were gone, so what is
    // there of them by now has come from the disk; only those before are tried again.
    const MAX_TRIES: usize = 100;

    let kind = kind_of(&retry_on_intr(|| fstatfs(file))?);
    if kind == TMPFS_MAGIC || kind == RAMFS_MAGIC {
        return Ok(true);
    }
    let mut end = range.end.min(stat(file)?.length);
    if range.start >= end {
        return Ok(true);
    }
    let mut attempt = 0;
    for _ in 0..MAX_TRIES {
        let Some(align) = ALIGNMENTS_BYTES.get(attempt) else { break };
        if attempt > 2 {
            // A page under I/O or in a processor's batch of pages cannot be dropped for a moment.
            std::thread::sleep(std::time::Duration::from_micros(100 << attempt));
        }
        let start = range.start / align * align;
        let length = NonZeroU64::new(end.div_ceil(*align) * align - start);
        retry_on_intr(|| fadvise(file, start, length, Advice::DontNeed))?;
        match last_cached(file, range.start..end) {
            Ok(None) => return Ok(true),
            Ok(Some(page)) if page + PAGE_BYTES < end => end = page + PAGE_BYTES,
            Ok(Some(_)) => attempt += 1,
            Err(error) if is_unsupported(&error) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Elsewhere no call drops a file's pages: the next read may come from the cache.
#[cfg(not(target_os = "linux"))]
pub(crate) fn drop_cached(_file: &File, _range: Range<u64>) -> io::Result<bool> {
    Ok(true)
}

/// The last page of a summary that is in the cache. Where the file was never written the kernel makes zeros without the disk, so those pages
/// are left out, and looked for first: a probe there makes a page.
#[cfg(target_os = "linux")]
fn last_cached(file: &File, range: Range<u64>) -> io::Result<Option<u64>> {
    for data in data_in(file, range).into_iter().rev() {
        for page in (data.start / PAGE_BYTES..data.end.div_ceil(PAGE_BYTES)).rev() {
            if is_cached(file, page * PAGE_BYTES)? {
                return Ok(Some(page * PAGE_BYTES));
            }
        }
    }
    Ok(None)
}

#[cfg(target_os = "linux")]
fn is_cached(file: &File, offset: u64) -> io::Result<bool> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let mut byte = [0_u8];
    loop {
        let mut buffers = [io::IoSliceMut::new(&mut byte)];
        match preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Where a summary of the file has data: not where it was never written, as `lseek(2)` tells with `SEEK_DATA` and `SEEK_HOLE`.
#[cfg(target_os = "linux")]
fn data_in(file: &File, range: Range<u64>) -> Vec<Range<u64>> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::{Errno, retry_on_intr};
    let mut found = Vec::new();
    let mut at = range.start;
    while at < range.end {
        match retry_on_intr(|| seek(file, SeekFrom::Data(at))) {
            Ok(data) if data < range.end => {
                let hole = retry_on_intr(|| seek(file, SeekFrom::Hole(data)));
                let hole = hole.unwrap_or(range.end).min(range.end);
                found.push(data..hole);
                at = hole.max(data + 1);
            }
            Ok(_) | Err(Errno::NXIO) => break,
            // Not told: all of it may be data.
            Err(_) => {
                found.push(at..range.end);
                break;
            }
        }
    }
    found
}

/// Where the first data of `range` begins, or its end. What comes before was never written and reads as zeros.
#[cfg(target_os = "linux")]
pub(crate) fn data_from(file: &File, range: Range<u64>) -> u64 {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::{Errno, retry_on_intr};
    match retry_on_intr(|| seek(file, SeekFrom::Data(range.start))) {
        Ok(data) => data.clamp(range.start, range.end),
        Err(Errno::NXIO) => range.end,
        // Not reported: all of it may be data.
        Err(_) => range.start,
    }
}

/// Elsewhere all of a file counts as data.
#[cfg(not(target_os = "linux"))]
pub(crate) fn data_from(_file: &File, range: Range<u64>) -> u64 {
    range.start
}

#[cfg(target_os = "linux")]
fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(target_os = "linux")]
#[allow(clippy::useless_conversion, reason = "the field has another type on other architectures")]
fn kind_of(stat: &rustix::fs::StatFs) -> i64 {
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

/// Elsewhere network file systems are not told apart.
#[cfg(not(target_os = "linux"))]
pub(crate) fn network_file_system_at(_path: &Path) -> Option<&'static str> {
    None
}

/// Elsewhere network file systems are not told apart.
#[cfg(not(target_os = "linux"))]
pub(crate) fn network_file_system(_file: &File) -> Option<&'static str> {
    None
}

/// Told by the file, see [`network_file_system`].
pub(crate) fn share_of(_real: &Path) -> Option<&'static str> {
    None
}

/// The process that holds the `flock(2)` lock on an inode, as `/proc/locks` tells it to this pid namespace.
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
    // Some file systems (btrfs, overlayfs) show another device here than in fstat.
    table
        .lines()
        .find_map(|line| holder(line, true))
        .or_else(|| table.lines().find_map(|line| holder(line, false)))
}

/// Elsewhere the system does not tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn lock_holder(_device: u64, _inode: u64) -> Option<u32> {
    None
}

/// Writes everything of the file system that holds the file at `path` to its disk: for a directory that may not be opened for reading.
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

/// The error of pages that stay in the cache because another process maps them.
pub(crate) fn busy() -> io::Error {
    rustix::io::Errno::BUSY.into()
}

/// The error of events for which there is no room.
pub(crate) fn no_buffers() -> io::Error {
    rustix::io::Errno::NOBUFS.into()
}

/// The error of a result that is too large for JavaScript.
#[cfg_attr(not(feature = "node"), allow(dead_code, reason = "only the binding has such results"))]
pub(crate) fn too_large() -> io::Error {
    rustix::io::Errno::OVERFLOW.into()
}

/// Whether a file could not be opened because somebody else has it open: never here.
pub(crate) fn is_in_use(_error: &io::Error) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn pages_are_dropped_also_where_the_file_has_a_hole() {
        // Not in the temporary folder, which may be a tmpfs, where nothing is dropped.
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = folder.path().join("hole");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.write_all_at(&[b'a'; 11_264], 0).unwrap();
        file.write_all_at(&[b'b'; 5_000], 20_480).unwrap();
        file.sync_data().unwrap();
        for range in [0..25_480, 11_264..20_480, 12_288..12_289, 20_480..25_480, 0..0, 0..1 << 20] {
            assert!(drop_cached(&file, range.clone()).unwrap(), "{range:?}");
        }
        drop_cached(&file, 0..25_480).unwrap();
        assert!(!is_cached(&file, 0).unwrap());
    }
}
