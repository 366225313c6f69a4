//! Loading and making side indexes.
//!
//! An index is made in the background by a descriptor of its own, from bytes read from the disk: after a good sync each
//! stretch is dropped from the page cache before it is scanned. So it holds proved bytes only, whoever wrote them.

use std::io;
use std::path::Path;

use crate::history::History;
use crate::path::ChroniclePath;
use crate::side_index::{self, Covered, SideIndex};
use crate::storage::{self, Stat, Storage};

/// No index is made for a shorter log.
const SHORTEST_LOG: u64 = 1 << 20;
/// An index is made anew when the log has grown by one in so many parts of what it covers. The ids behind it are in memory, 22 to 43 bytes
/// each: 625,000 of them at 10,000,000. Each time the whole index is written, which is 16 bytes for a record: with records of 230 bytes
/// about as much as the log has grown.
const GROWTH: u64 = 16;
/// But not before so many bytes came, which are scanned in 10 ms.
const LEAST_GROWTH: u64 = 2 << 20;
/// Bytes read from the disk at a time.
const STRETCH: u64 = 16 << 20;
/// Entries added at a time: bounds the memory of making an index, 16 bytes for each. What is left is added the next time.
const MOST_ADDED: usize = 2_000_000;

/// What is known of the log at `path` by its side index.
pub(crate) fn load(path: &ChroniclePath, log: &dyn Storage, stat: &Stat) -> Option<History> {
    if stat.length < SHORTEST_LOG {
        return None;
    }
    SideIndex::load(&path.index_path(), path.as_path(), log, stat).map(History::from_side)
}

/// Whether an index that covers `covered` bytes is to be made anew for a log of which `proved` bytes are proved.
pub(crate) fn is_due(covered: u64, proved: u64) -> bool {
    let least = if covered == 0 { SHORTEST_LOG } else { (covered / GROWTH).max(LEAST_GROWTH) };
    proved.saturating_sub(covered) >= least
}

/// Makes an index of the log at `path` up to `end` at the most, if `stat` is still the file there. `None`: it was not made.
pub(crate) fn make(path: &ChroniclePath, stat: &Stat, end: u64) -> Option<SideIndex> {
    // An index is a cache: without it the log is scanned.
    try_make(path, stat, end).ok().flatten()
}

fn try_make(path: &ChroniclePath, stat: &Stat, end: u64) -> io::Result<Option<SideIndex>> {
    let log_path: &Path = path.as_path();
    // For writing, too, because not every system syncs what is open for reading only.
    let Ok(Some(log)) = storage::open_if_there(log_path) else {
        return Ok(None);
    };
    let here = log.stat()?;
    if !here.is_same_file(stat) || here.length < end {
        return Ok(None);
    }
    let mut history = load(path, &log, &here).unwrap_or_else(History::new);
    let mut added = Vec::new();
    log.sync()?;
    while history.frontier().offset < end && added.len() < MOST_ADDED {
        let start = history.frontier().offset;
        let stretch = start..(start + STRETCH).min(end);
        if !log.drop_cached(stretch.clone())? || history.catch_up(&log, stretch.end)?.restarted {
            return Ok(None);
        }
        if history.frontier().offset == start {
            // A line longer than a stretch, or one that is not ended yet.
            return Ok(None);
        }
        history.drain_into(&mut added);
    }
    let (before, keys, frontier, marks) = history.parts();
    let covered = Covered { stat: here, frontier, marks, keys };
    let written = side_index::write(&path.index_path(), log_path, &covered, before, added);
    if written.is_err() && before.is_some() {
        // Perhaps it could not be read: the next one begins anew.
        std::fs::remove_file(path.index_path())?;
    }
    written?;
    Ok(SideIndex::load(&path.index_path(), log_path, &log, &here))
}
