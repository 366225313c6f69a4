//! Loads and builds side indexes.
//!
//! An index is built through a descriptor of its own, from bytes read from the disk. After a
//! successful sync each chunk is dropped from the page cache before it is scanned. So the index
//! covers durable bytes only, whichever process wrote them.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::dedup::index_file::{self, IndexWriter, SideIndex};
use crate::dedup::log_view::LogView;
use crate::dedup::sorted_run::RunContents;
use crate::dedup::table::Entry;
use crate::path::ChroniclePath;
use crate::storage::{self, Stat, Storage};

/// A shorter log gets no index.
const MIN_LOG_BYTES: u64 = 1 << 20;
/// Runs are merged into the table once they cover 1/GROWTH of it.
///
/// The ids of runs are kept in memory, 22 to 43 bytes each: 1,250,000 of them at 10,000,000
/// records. A merge writes 16 bytes for each record; with records of 230 bytes that is half of what
/// the log has grown by. With a sixteenth it would be all of it, for 30 MB less.
const GROWTH: u64 = 8;
/// The log grows by at least this before a run is added; a scan of it takes 10 ms.
const MIN_GROWTH_BYTES: u64 = 2 << 20;
/// Bytes read from the disk at a time.
const CHUNK_BYTES: u64 = 16 << 20;
/// Entries added at a time. This bounds the memory of a build, 16 bytes each; the next build adds
/// the rest.
const MAX_ADDED_ENTRIES: usize = 2_000_000;

/// More than this is not scanned into memory if an index can be built instead. For records of 230
/// bytes it takes 90 MB.
const MAX_SCANNED_BYTES: u64 = 512 << 20;
/// Few records are shorter.
const SHORT_LINE_BYTES: u64 = 64;

/// A process builds one index at a time: each build takes four descriptors and `MAX_ADDED_ENTRIES`
/// entries.
static BUILD_LOCK: Mutex<()> = Mutex::new(());

/// Loads the side index of the log at `path`.
pub(crate) fn load(path: &ChroniclePath, log: &dyn Storage, stat: &Stat) -> Option<LogView> {
    if stat.length < MIN_LOG_BYTES {
        return None;
    }
    SideIndex::load(&path.index_path(), path.as_path(), log, stat).map(LogView::from_side)
}

/// Whether an index that covers `covered` bytes has to be extended, if `proved` bytes of the log
/// are durable.
pub(crate) fn is_due(covered: u64, proved: u64) -> bool {
    let least = if covered == 0 { MIN_LOG_BYTES } else { MIN_GROWTH_BYTES };
    proved.saturating_sub(covered) >= least
}

/// Builds or extends the index of the log at `path` up to `end` at most, if `stat` is still the
/// file there. `None`: no index was made.
pub(crate) fn build(path: &ChroniclePath, stat: &Stat, end: u64) -> Option<SideIndex> {
    let _lock = BUILD_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    build_locked(path, stat, end)
}

/// Loads the index if it covers more of the log than `view` does, up to `end`.
///
/// The rest is normally scanned into memory, and the index is extended after the appends: the first
/// append then returns in a third of the time. The index is built here in two cases: the rest is
/// too long for the memory, or an earlier process requested an index and exited before it was
/// built. If none can be built, nothing changes.
pub(crate) fn load_or_build(
    path: &ChroniclePath,
    log: &dyn Storage,
    stat: &Stat,
    view: &mut LogView,
    end: u64,
) {
    use_if_longer(view, load(path, log, &Stat { length: end, ..*stat }));
    let mut covered = view.scan_state().offset;
    let is_much = end.saturating_sub(covered) > MAX_SCANNED_BYTES;
    if !is_due(covered, end) || !(index_file::request_index(&path.index_path()) || is_much) {
        return;
    }
    let Ok(_lock) = BUILD_LOCK.try_lock() else { return };
    while is_due(covered, end) {
        let Some(side) =
            build_locked(path, stat, end).filter(|side| side.scan_state().offset > covered)
        else {
            return;
        };
        covered = side.scan_state().offset;
        use_if_longer(view, Some(LogView::from_side(side)));
    }
}

/// Replaces `view` if the other one covers more.
fn use_if_longer(view: &mut LogView, other: Option<LogView>) {
    if let Some(other) = other.filter(|other| other.scan_state().offset > view.scan_state().offset)
    {
        *view = other;
    }
}

fn build_locked(path: &ChroniclePath, stat: &Stat, end: u64) -> Option<SideIndex> {
    // An index is a cache: without it the log is scanned.
    try_make(path, stat, end).ok().flatten()
}

fn try_make(path: &ChroniclePath, stat: &Stat, end: u64) -> io::Result<Option<SideIndex>> {
    let log_path: &Path = path.as_path();
    // Opened for writing too, because some systems cannot sync a descriptor that only reads.
    let Ok(Some(log)) = storage::open_if_there(log_path) else {
        return Ok(None);
    };
    // From here on no other process changes the index.
    let Some(index_writer) = IndexWriter::begin(&path.index_path(), log_path)? else {
        return Ok(None);
    };
    let here = log.stat()?;
    if !here.is_same_file(stat) || here.length < end {
        return Ok(None);
    }
    let mut view = load(path, &log, &here).unwrap_or_default();
    let from = view.scan_state().offset;
    if from >= end {
        return Ok(view.into_side());
    }
    log.sync()?;
    let Some(mut added) = scan(&log, &mut view, end)? else {
        return Ok(None);
    };
    if view.scan_state().offset == from {
        return Ok(view.into_side());
    }
    let written = write(index_writer, &here, &view, from, &mut added);
    if let Err(error) = written {
        if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) {
            // The old index cannot be read. The next build starts from the beginning.
            std::fs::remove_file(path.index_path())?;
        }
        return Err(error);
    }
    Ok(SideIndex::load(&path.index_path(), log_path, &log, &here))
}

/// Reads the log from the disk up to `end`, or as far as it is durable, and returns the entries.
/// `None`: it is another log.
fn scan(log: &dyn Storage, view: &mut LogView, end: u64) -> io::Result<Option<Vec<Entry>>> {
    // Allocated at once: a growing list would leave 30 MB to the allocator. Unused room is no
    // memory.
    let most = usize::try_from((end - view.scan_state().offset) / SHORT_LINE_BYTES)
        .unwrap_or(usize::MAX)
        .min(MAX_ADDED_ENTRIES);
    let mut added = Vec::with_capacity(most + most / 8);
    let mut length = CHUNK_BYTES;
    while view.scan_state().offset < end && added.len() < MAX_ADDED_ENTRIES {
        let start = view.scan_state().offset;
        let summary = start..(start + length).min(end);
        if !log.drop_cached(summary.clone())? {
            break;
        }
        if view.catch_up(log, summary.end)?.restarted {
            return Ok(None);
        }
        if view.scan_state().offset > start {
            view.drain_into(&mut added);
            length = CHUNK_BYTES;
        } else if summary.end < end {
            // The line is longer than the chunk.
            length *= 2;
        } else {
            // The line is not complete yet.
            break;
        }
    }
    Ok(Some(added))
}

/// Writes what `view` knows from `from` on. `added` are its entries. They become a run, or a table
/// together with all runs before.
fn write(
    index_writer: IndexWriter,
    stat: &Stat,
    view: &LogView,
    from: u64,
    added: &mut Vec<Entry>,
) -> io::Result<()> {
    let (before, keys, scan_state, sparse) = view.parts();
    let (stat, new_sparse) = (*stat, sparse.partition_point(|entry| entry.offset < from));
    let is_small =
        |side: &SideIndex| (scan_state.offset - side.table_end()) * GROWTH < side.table_end();
    if let Some(side) = before.filter(|side| is_small(side)) {
        let sparse = sparse.get(new_sparse..).unwrap_or_default();
        let run = RunContents { stat, from, scan_state, sparse, keys };
        if index_writer.extend(side, &run, added)? {
            return Ok(());
        }
    }
    let table = RunContents { stat, from: 0, scan_state, sparse, keys };
    index_writer.replace(before, &table, std::mem::take(added))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Id;

    /// A log of `count` records of 100 bytes.
    fn log(folder: &Path, count: u64) -> ChroniclePath {
        let path = ChroniclePath::parse(folder.join("log.sage").to_str().unwrap()).unwrap();
        let lines = (0..count).map(|n| format!("{:99}\n", format!("{{\"eventId\":\"{n}\"}}")));
        std::fs::write(path.as_path(), lines.collect::<String>()).unwrap();
        path
    }

    #[test]
    fn an_index_that_reaches_less_far_than_the_one_before_is_not_taken_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = log(folder.path(), 40_000);
        let storage = storage::open_if_there(path.as_path()).unwrap().unwrap();
        let stat = storage.stat().unwrap();
        let mut view = LogView::from_side(build(&path, &stat, stat.length).unwrap());
        std::fs::remove_file(path.index_path()).unwrap();
        let less = build(&path, &stat, stat.length / 2).unwrap();
        assert!(less.scan_state().offset < stat.length);
        assert!(!view.install_index(&storage, less).unwrap());
        let last = Id::new(b"39999").unwrap();
        assert!(view.find(&storage, &last).unwrap().is_some());
    }

    #[test]
    fn a_line_longer_than_what_is_read_at_a_time_and_one_that_is_not_ended_stop_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = log(folder.path(), 20_000);
        let mut text = std::fs::read(path.as_path()).unwrap();
        text.extend(vec![b'x'; 3 * CHUNK_BYTES as usize]);
        text.extend(b"\n{\"eventId\":\"last\"}\n");
        let whole = text.len() as u64;
        text.extend(b"{\"eventId\":\"op");
        std::fs::write(path.as_path(), &text).unwrap();
        let storage = storage::open_if_there(path.as_path()).unwrap().unwrap();
        let stat = storage.stat().unwrap();
        let side = build(&path, &stat, stat.length).unwrap();
        assert_eq!((side.scan_state().offset, side.scan_state().records), (whole, 20_001));
        // Without new records nothing is written.
        let before = std::fs::read(path.index_path()).unwrap();
        assert_eq!(build(&path, &stat, stat.length).unwrap().scan_state().offset, whole);
        assert_eq!(std::fs::read(path.index_path()).unwrap(), before);
    }
}
