//! Files of the log that are no longer at its path, but in its folder under another name.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use crate::read::cursor::{self, Cursor};
use crate::read::place;
use crate::record::classify;
use crate::record::lines::{LineChunk, LineReader};
use crate::storage::{Disk, Former, OpenFile, Stat, Storage};

/// An open file.
pub(crate) type Opened = (OpenFile, Stat);

/// Files held open until they are read, at most.
pub(crate) const MAX_NEXT: usize = 16;
/// Names that are checked one by one where a listing has no inode numbers, at most.
const MAX_LOOKED_AT: usize = 1000;
/// Records at the start of a file that show whether it is a copy, at most.
const MAX_SAMPLE: usize = 64;
const MAX_SAMPLE_BYTES: u64 = 256 << 10;

/// Files that were at the path between two files of a log.
#[derive(Default)]
pub(crate) struct Between {
    /// In the order of their birth times.
    pub(crate) files: Vec<Opened>,
    /// There may be more files, whose order is unknown.
    pub(crate) is_doubtful: bool,
}

/// Finds the file of a cursor under another name in the folder of the log.
pub(crate) fn find_former(
    disk: &dyn Disk,
    path: &Path,
    cursor: &Cursor,
    at_path: Option<&Stat>,
) -> io::Result<Option<Opened>> {
    // Without bytes and without a birth time, a reused inode number is indistinguishable.
    if cursor.length == 0 && cursor.born.is_none() {
        return Ok(None);
    }
    let Some(formers) = disk.formers(path, at_path.map(|stat| stat.inode))? else {
        return Ok(None);
    };
    let may_be_it = |former: &&Former| former.inode().is_none_or(|inode| inode == cursor.inode);
    for former in formers.iter().filter(may_be_it).take(MAX_LOOKED_AT) {
        let Some((storage, stat)) = open(disk, path, former)? else { continue };
        if place::place_of(cursor, &*storage, &stat)?.is_some() {
            return Ok(Some((storage, stat)));
        }
    }
    Ok(None)
}

/// Finds renamed files of the log that were born after `file` and before the file at the path.
///
/// Files for which `is_known` holds are not opened.
pub(crate) fn between(
    disk: &dyn Disk,
    path: &Path,
    file: (&dyn Storage, &Stat),
    at_path: Option<&Stat>,
    is_known: impl Fn(&Stat) -> bool,
) -> io::Result<Between> {
    let doubtful = Between { files: Vec::new(), is_doubtful: true };
    let Some(formers) = disk.formers(path, at_path.map(|stat| stat.inode))? else {
        return Ok(doubtful);
    };
    let is_other = |stat: &Stat| {
        ![Some(file.1), at_path].into_iter().flatten().any(|known| known.is_same_file(stat))
    };
    let mut others: Vec<(Option<u64>, &Former)> = Vec::new();
    for former in &formers {
        let stat = disk.stat_former(former)?.filter(|stat| is_other(stat) && !is_known(stat));
        others.extend(stat.map(|stat| (stat.born, former)));
    }
    let births = match at_path {
        None => file.1.born.map(|born| (born, u64::MAX)),
        Some(at_path) => file.1.born.zip(at_path.born),
    };
    let Some((begin, end)) = births.filter(|_| !cfg!(windows)) else {
        return Ok(Between { is_doubtful: !others.is_empty(), ..Between::default() });
    };
    if others.iter().any(|(born, _)| born.is_none()) {
        return Ok(doubtful);
    }
    others.retain(|(born, _)| born.is_some_and(|born| begin <= born && born <= end));
    others.sort_by_key(|(born, _)| *born);
    let births: Vec<u64> = others.iter().filter_map(|(born, _)| *born).collect();
    if at_path.is_some() && begin == end {
        return Ok(doubtful);
    }
    let twice = births.windows(2).any(|pair| pair.first() == pair.last());
    if twice || births.iter().any(|born| [begin, end].contains(born)) {
        return Ok(doubtful);
    }
    let mut files: Vec<Opened> = Vec::new();
    for (_, former) in others {
        if files.len() == MAX_NEXT {
            break;
        }
        let Some((storage, stat)) = open(disk, path, former)? else { continue };
        let before = std::iter::once(file.0).chain(files.iter().map(|(storage, _)| &**storage));
        if stat.length > 0 && !is_copy(&*storage, &stat, before)? {
            files.push((storage, stat));
        }
    }
    Ok(Between { files, is_doubtful: false })
}

/// Opens a file. `None` if it is gone or has another owner than the log.
fn open(disk: &dyn Disk, path: &Path, former: &Former) -> io::Result<Option<Opened>> {
    let storage = match disk.open_former(path, former) {
        Ok(Some(storage)) => storage,
        Ok(None) => return Ok(None),
        // An unreadable file belongs to another user.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        Err(error) => return Err(error),
    };
    let stat = storage.stat()?;
    Ok(Some((storage, stat)))
}

/// Whether a file is no part of the log, but was made from it.
///
/// That is so if most records of its start are also in the files before it, or if its start has no
/// record.
fn is_copy<'a>(
    storage: &dyn Storage,
    stat: &Stat,
    before: impl Iterator<Item = &'a dyn Storage>,
) -> io::Result<bool> {
    let mut sample = HashSet::new();
    let mut is_log = false;
    let end = stat.length.min(MAX_SAMPLE_BYTES);
    each_record(storage, end, |line| {
        is_log = true;
        if sample.len() < MAX_SAMPLE {
            sample.insert((line.len(), cursor::hash(line)));
        }
    })?;
    if !is_log {
        // The first record may be longer than the sample.
        let mut first = [0];
        return Ok(storage.read_at(&mut first, 0)? == 0 || first != *b"{");
    }
    let lengths: HashSet<usize> = sample.iter().map(|(length, _)| *length).collect();
    let mut found = HashSet::new();
    for earlier in before {
        let length = earlier.stat()?.length;
        each_record(earlier, length, |line| {
            if lengths.contains(&line.len()) {
                let key = (line.len(), cursor::hash(line));
                if sample.contains(&key) {
                    found.insert(key);
                }
            }
        })?;
    }
    Ok(found.len() * 2 > sample.len())
}

/// Calls `record` with each complete line that looks like a record.
fn each_record(
    storage: &dyn Storage,
    length: u64,
    mut record: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut lines = LineReader::new(0, length);
    loop {
        match lines.next(storage)? {
            LineChunk::Whole { bytes, .. } => {
                classify::complete_lines(bytes, |_, line| {
                    if line.trim_ascii_start().first() == Some(&b'{') {
                        record(line);
                    }
                });
            }
            LineChunk::TooLong { .. } => {}
            LineChunk::Tail { .. } => return Ok(()),
        }
    }
}
