//! The page cache: how to read from the disk, and where a file has data.

use std::fs::File;
use std::io;
use std::ops::Range;

#[cfg(target_os = "linux")]
use crate::os::unix::{kind_of, stat};

#[cfg(target_os = "linux")]
const PAGE_BYTES: u64 = 4096;

/// Drops the clean pages of `range` from the page cache, so that the next read comes from the disk.
/// Returns whether they are gone; `Ok(false)` means that another process maps or uses them.
///
/// The pages are dropped by `posix_fadvise(2)` with `POSIX_FADV_DONTNEED`. Their absence is checked
/// by `preadv2(2)` with `RWF_NOWAIT`, from the last page to the first, because a probe that misses
/// may start reading ahead. On tmpfs and ramfs the page cache is the disk. Where the kernel has no
/// such probe, the advice alone has to suffice.
#[cfg(target_os = "linux")]
pub(crate) fn drop_cached(file: &File, range: Range<u64>) -> io::Result<bool> {
    use rustix::fs::{Advice, fadvise, fstatfs};
    use rustix::io::retry_on_intr;
    use std::num::NonZeroU64;

    const TMPFS_MAGIC: i64 = 0x0102_1994;
    const RAMFS_MAGIC: i64 = 0x8584_58f6;
    // The kernel skips a large folio that extends beyond the range. The wider attempts include it.
    const ALIGNMENTS_BYTES: [u64; 6] = [4096, 65_536, 4 << 20, 4 << 20, 4 << 20, 4 << 20];
    // A probe that misses starts to read the page. On a busy machine one probe in a thousand finds
    // that page. The pages behind it were gone, so their contents come from the disk by now. Only
    // the pages before it are tried again.
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

/// The last page of a range that is in the cache.
///
/// For ranges without data the kernel produces zeros without the disk, and a probe there would
/// create a page. Those ranges are therefore found first and skipped.
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

/// The parts of a range that have data, by `lseek(2)` with `SEEK_DATA` and `SEEK_HOLE`.
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
            // Not reported: all of it may be data.
            Err(_) => {
                found.push(at..range.end);
                break;
            }
        }
    }
    found
}

/// Where the first data of `range` begins, or the end of `range`. Bytes before it were never
/// written and read as zeros.
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn pages_are_dropped_also_where_the_file_has_a_hole() {
        // The temporary folder may be a tmpfs, where nothing is dropped.
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = folder.path().join("hole");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        crate::os::write_all_at(&file, &[b'a'; 11_264], 0).unwrap();
        crate::os::write_all_at(&file, &[b'b'; 5_000], 20_480).unwrap();
        file.sync_data().unwrap();
        for range in [0..25_480, 11_264..20_480, 12_288..12_289, 20_480..25_480, 0..0, 0..1 << 20] {
            assert!(drop_cached(&file, range.clone()).unwrap(), "{range:?}");
        }
        drop_cached(&file, 0..25_480).unwrap();
        assert!(!is_cached(&file, 0).unwrap());
    }
}
