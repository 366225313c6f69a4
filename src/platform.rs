//! What differs between systems: dropping pages from the cache, telling file systems apart, naming a lock's holder.

#[cfg(not(unix))]
compile_error!("this version of sage-chronicle builds for Linux and macOS only");

use std::fs::File;
use std::io;
use std::ops::Range;

#[cfg(target_os = "linux")]
const PAGE: u64 = 4096;

/// Drops the clean pages of `range` from the page cache and says whether they are gone, so that the next read
/// comes from the disk. `Ok(false)`: another process maps or uses them.
///
/// Linux: `posix_fadvise(2)` with `POSIX_FADV_DONTNEED`, absence checked by `preadv2(2)` with `RWF_NOWAIT`, from the
/// last page to the first, because a probe that misses may start reading ahead. On tmpfs and ramfs the page
/// cache is the disk. Where the kernel has no such probe the advice alone has to do.
#[cfg(target_os = "linux")]
pub(crate) fn drop_cached(file: &File, range: Range<u64>) -> io::Result<bool> {
    use rustix::fs::{Advice, fadvise, fstatfs};
    use std::num::NonZeroU64;

    const TMPFS_MAGIC: i64 = 0x0102_1994;
    const RAMFS_MAGIC: i64 = 0x8584_58f6;
    // The kernel passes over a large folio that reaches out of the range: the wider tries take those in.
    const ALIGNMENTS: [u64; 6] = [4096, 65_536, 4 << 20, 4 << 20, 4 << 20, 4 << 20];

    let kind = kind_of(&fstatfs(file)?);
    if kind == TMPFS_MAGIC || kind == RAMFS_MAGIC {
        return Ok(true);
    }
    let end = range.end.min(file.metadata()?.len());
    if range.start >= end {
        return Ok(true);
    }
    for (attempt, align) in ALIGNMENTS.into_iter().enumerate() {
        if attempt > 2 {
            // A page under I/O or in a processor's batch of pages cannot be dropped for a moment.
            std::thread::sleep(std::time::Duration::from_micros(100 << attempt));
        }
        let start = range.start / align * align;
        let length = NonZeroU64::new(end.div_ceil(align) * align - start);
        fadvise(file, start, length, Advice::DontNeed)?;
        match any_cached(file, range.start..end) {
            Ok(false) => return Ok(true),
            Ok(true) => {}
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

/// Whether any page of a stretch is in the cache. Where the file was never written the kernel makes zeros without the disk, so those pages
/// are left out, and looked for first: a probe there makes a page.
#[cfg(target_os = "linux")]
fn any_cached(file: &File, range: Range<u64>) -> io::Result<bool> {
    for data in data_in(file, range).into_iter().rev() {
        for page in (data.start / PAGE..data.end.div_ceil(PAGE)).rev() {
            if is_cached(file, page * PAGE)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
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

/// Where a stretch of the file has data: not where it was never written, as `lseek(2)` tells with `SEEK_DATA` and `SEEK_HOLE`.
#[cfg(target_os = "linux")]
fn data_in(file: &File, range: Range<u64>) -> Vec<Range<u64>> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;
    let mut found = Vec::new();
    let mut at = range.start;
    while at < range.end {
        match seek(file, SeekFrom::Data(at)) {
            Ok(data) if data < range.end => {
                let hole = seek(file, SeekFrom::Hole(data)).unwrap_or(range.end).min(range.end);
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
    let kind = kind_of(&rustix::fs::fstatfs(file).ok()?);
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
pub(crate) fn network_file_system(_file: &File) -> Option<&'static str> {
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

/// Writes everything of the file system that holds `file` to its disk: for a directory that may not be opened for reading.
#[cfg(target_os = "linux")]
pub(crate) fn sync_file_system(file: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

/// Elsewhere there is no such call.
#[cfg(not(target_os = "linux"))]
pub(crate) fn sync_file_system(_file: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The name of a system error, as `cause.code` has it.
pub(crate) fn errno_name(raw: i32) -> Option<&'static str> {
    use rustix::io::Errno;
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

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
