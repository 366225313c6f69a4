//! The side index: the dedup index of a prefix of the log, in a file beside it. A process therefore
//! does not scan a long log before its first append. It is a cache: in any doubt the log is scanned
//! instead.
//!
//! A table covers most of the prefix. Each run behind it covers what the log grew by later, so that
//! an extension costs what was added. From time to time all runs are merged into the table.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::dedup::scan_state::{ScanState, SparseEntry, TAIL_BYTES};
use crate::dedup::sorted_run::{self, RunContents, SortedRun};
use crate::dedup::table::{Entry, HashKey};
use crate::os;
use crate::storage::lock;
use crate::storage::{Stat, Storage, read_exact_at};

/// An index that fits its log.
#[derive(Debug)]
pub(crate) struct SideIndex {
    /// None while the log is not used.
    file: Option<File>,
    loaded: Loaded,
    table: SortedRun,
    /// Each run begins where the one before ends, in the log and in the file.
    runs: Vec<SortedRun>,
    scan_state: ScanState,
    sparse: Vec<SparseEntry>,
}

/// Identifies the loaded file, together with the header of its table. Another file may have the
/// name by now.
#[derive(Debug)]
struct Loaded {
    path: PathBuf,
    stat: Stat,
    metadata: Metadata,
}

impl SideIndex {
    /// Loads the index at `path`, if its owner is that of the log and it fits the log. Incomplete
    /// runs and runs that reach beyond the log are ignored, with all runs behind them.
    pub(crate) fn load(
        path: &Path,
        log_path: &Path,
        log: &dyn Storage,
        stat: &Stat,
    ) -> Option<Self> {
        let log_metadata = std::fs::metadata(log_path).ok()?;
        let file = os::beside().read(true).open(path).ok()?;
        let metadata = file.metadata().ok()?;
        // A user with write access to the folder but not to the log must not be able to hide
        // records from the dedup.
        if !metadata.is_file() || !os::is_trusted(&metadata, &log_metadata) {
            return None;
        }
        let length = metadata.len();
        let index_stat = os::stat(&file).ok()?;
        let (table, mut ends) = SortedRun::read(&file, 0, length, stat)?;
        let loaded = Loaded { path: path.to_owned(), stat: index_stat, metadata };
        if table.covers.start != 0 || table.covers.end > stat.length || loaded.is_discarded() {
            return None;
        }
        let mut sparse = std::mem::take(&mut ends.sparse);
        let mut runs: Vec<SortedRun> = Vec::new();
        loop {
            let last = runs.last().unwrap_or(&table);
            let next = SortedRun::read(&file, last.place.end, length, stat).filter(|(next, _)| {
                next.covers.start == last.covers.end
                    && next.covers.end <= stat.length
                    && next.keys == last.keys
            });
            let Some((run, next_ends)) = next else { break };
            runs.push(run);
            ends = next_ends;
            sparse.append(&mut ends.sparse);
        }
        let last = runs.last().unwrap_or(&table);
        let covered = last.covers.end;
        let mut tail_bytes =
            vec![0; usize::try_from(covered).map_or(TAIL_BYTES, |covered| covered.min(TAIL_BYTES))];
        let probe_at = covered - tail_bytes.len() as u64;
        read_exact_at(log, &mut tail_bytes, probe_at).ok()?;
        if Sha256::digest(&tail_bytes)[..] != ends.tail_digest[..] {
            return None;
        }
        let scan_state =
            ScanState::new(covered, last.records, ends.tail_id, ends.last_id, tail_bytes);
        Some(SideIndex { file: Some(file), loaded, table, runs, scan_state, sparse })
    }

    /// Closes the descriptor until [`SideIndex::reopen`].
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    /// Opens the file again. False if it is not the loaded one.
    pub(crate) fn reopen(&mut self) -> bool {
        if self.file.is_none() {
            self.file = self.open(os::beside().read(true));
        }
        self.file.is_some()
    }

    /// The state of the log at the end of the prefix.
    pub(crate) fn scan_state(&self) -> &ScanState {
        &self.scan_state
    }

    pub(crate) fn sparse(&self) -> &[SparseEntry] {
        &self.sparse
    }

    pub(crate) fn keys(&self) -> HashKey {
        self.table.keys
    }

    /// The end of the table in the log.
    pub(crate) fn table_end(&self) -> u64 {
        self.table.covers.end
    }

    /// Whether a run covers a record before `offset`.
    pub(crate) fn has_runs_before(&self, offset: u64) -> bool {
        self.runs.first().is_some_and(|run| run.covers.start < offset)
    }

    /// The offsets of the records in the prefix that may carry `id`, in file order. Runs from `end`
    /// on are skipped.
    ///
    /// # Errors
    /// If the file cannot be read or a block is damaged. Then nothing in the file may be used.
    pub(crate) fn candidates(&mut self, id: &[u8], end: u64) -> io::Result<Vec<u64>> {
        let file = opened(self.file.as_ref())?;
        let hash = self.table.keys.hash(id);
        let mut found = Vec::new();
        self.table.find(file, hash, &mut found)?;
        for run in self.runs.iter_mut().take_while(|run| run.covers.start < end) {
            run.find(file, hash, &mut found)?;
        }
        Ok(found)
    }

    /// Calls `take` with each entry of the runs before `end`: run by run, and in each run by hash
    /// and offset.
    pub(crate) fn each_of_runs(
        &self,
        end: u64,
        mut take: impl FnMut(Entry) -> io::Result<()>,
    ) -> io::Result<()> {
        let file = opened(self.file.as_ref())?;
        let mut runs = self.runs.iter().take_while(|run| run.covers.start < end);
        runs.try_for_each(|run| run.each(file, &mut take))
    }

    /// An upper bound on the entries of the runs.
    pub(crate) fn most_in_runs(&self) -> usize {
        self.runs.iter().map(SortedRun::most_entries).sum()
    }

    /// Takes over the checked blocks of the same runs.
    pub(crate) fn checked_like(&mut self, before: &mut SideIndex) {
        self.table.checked_like(&mut before.table);
        for (run, before) in self.runs.iter_mut().zip(&mut before.runs) {
            run.checked_like(before);
        }
    }

    /// Discards an index that could not be read. The file is removed, unless another process is
    /// building one. This process does not trust the same file again.
    pub(crate) fn discard(&self, log_path: &Path) {
        let mut discarded = DISCARDED.lock().unwrap_or_else(PoisonError::into_inner);
        if discarded.len() >= MAX_DISCARDED {
            discarded.remove(0);
        }
        discarded.push(self.loaded.version());
        drop(discarded);
        // The index is a cache: a failure here costs the next process a scan.
        if let Ok(Some(_making)) = IndexWriter::begin(&self.loaded.path, log_path)
            && self.open(os::beside().read(true)).is_some()
        {
            let _ = std::fs::remove_file(&self.loaded.path);
        }
    }

    /// Opens the file at the path, if it is the loaded one.
    fn open(&self, options: &OpenOptions) -> Option<File> {
        let Loaded { path, stat, metadata } = &self.loaded;
        let file = options.open(path).ok()?;
        let mut header = self.table.header;
        os::read_exact_at(&file, &mut header, 0).ok()?;
        let is_it = os::stat(&file).ok()?.is_same_file(stat)
            && os::is_trusted(&file.metadata().ok()?, metadata)
            && header == self.table.header;
        is_it.then_some(file)
    }

    /// The offset in the file at which the next run begins.
    fn end(&self) -> u64 {
        self.runs.last().unwrap_or(&self.table).place.end
    }
}

/// The identity of an index file and its last modification.
type Version = (Stat, Option<SystemTime>);

/// Indexes that could not be read.
static DISCARDED: Mutex<Vec<Version>> = Mutex::new(Vec::new());
const MAX_DISCARDED: usize = 100;

impl Loaded {
    fn version(&self) -> Version {
        (self.stat, self.metadata.modified().ok())
    }

    fn is_discarded(&self) -> bool {
        let discarded = DISCARDED.lock().unwrap_or_else(PoisonError::into_inner);
        discarded.contains(&self.version())
    }
}

fn opened(file: Option<&File>) -> io::Result<&File> {
    file.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The right to change the index of a log: a lock on the file in which a new table is written.
pub(crate) struct IndexWriter {
    path: PathBuf,
    log: Metadata,
    fresh: PathBuf,
    file: File,
    is_placed: bool,
}

/// Creates the marker that requests an index. Returns true if the marker, or a half-built index,
/// was already there.
///
/// The marker is an empty file at the name of the new table. Building the index removes it.
pub(crate) fn request_index(path: &Path) -> bool {
    let mut new = os::beside();
    new.write(true).create_new(true);
    let left = os::keep_private(&mut new).open(fresh_at(path));
    left.is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists)
}

fn fresh_at(path: &Path) -> PathBuf {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push("-new");
    PathBuf::from(fresh)
}

impl IndexWriter {
    /// `None` if another process builds the index, if something else has the name of the new file,
    /// or if other processes would not trust our index.
    pub(crate) fn begin(path: &Path, log_path: &Path) -> io::Result<Option<IndexWriter>> {
        let fresh = fresh_at(path);
        let log = std::fs::metadata(log_path)?;
        let Some(file) = open_fresh(&fresh)? else {
            return Ok(None);
        };
        if !lock::try_exclusive(&file)? {
            return Ok(None);
        }
        // Another process may have removed the file between our open and our lock.
        if !os::stat_of_name(&fresh)?.is_same_file(&os::stat(&file)?) {
            return Ok(None);
        }
        let is_trusted = os::is_trusted(&file.metadata()?, &log);
        let index_writer =
            IndexWriter { path: path.to_owned(), log, fresh, file, is_placed: false };
        Ok(is_trusted.then_some(index_writer))
    }

    /// Adds a run to the index that was loaded under our lock. False if the file is gone or cannot
    /// be written.
    pub(crate) fn extend(
        &self,
        side: &SideIndex,
        covered: &RunContents<'_>,
        new: &mut [Entry],
    ) -> io::Result<bool> {
        let Some(file) = side.open(os::beside().read(true).write(true)) else {
            return Ok(false);
        };
        // A killed process left the bytes behind the last complete run.
        file.set_len(side.end())?;
        sort(new);
        let header = sorted_run::write(&file, side.end(), covered, |blocks| {
            new.iter().try_for_each(|entry| blocks.put(*entry))
        })?;
        // A crash may lose the header, and with it the run. It never leaves a header whose blocks
        // are not on the disk.
        file.sync_data()?;
        os::write_all_at(&file, &header, side.end())?;
        Ok(true)
    }

    /// Replaces the index by one table: the entries of `before`, and `new`, whose hashes have the
    /// same key.
    pub(crate) fn replace(
        mut self,
        before: Option<&SideIndex>,
        covered: &RunContents<'_>,
        mut new: Vec<Entry>,
    ) -> io::Result<()> {
        self.file.set_len(0)?;
        if let Some(before) = before {
            new.reserve_exact(before.most_in_runs());
            before.each_of_runs(u64::MAX, |entry| {
                new.push(entry);
                Ok(())
            })?;
        }
        sort(&mut new);
        let header = sorted_run::write(&self.file, 0, covered, |blocks| {
            let mut new = new.into_iter().peekable();
            if let Some(before) = before {
                before.table.each(opened(before.file.as_ref())?, |old| {
                    while let Some(entry) = new.next_if(|entry| entry.hash < old.hash) {
                        blocks.put(entry)?;
                    }
                    blocks.put(old)
                })?;
            }
            new.try_for_each(|entry| blocks.put(entry))
        })?;
        os::write_all_at(&self.file, &header, 0)?;
        self.file.sync_data()?;
        os::share_like(&self.file, &self.log)?;
        std::fs::rename(&self.fresh, &self.path)?;
        self.is_placed = true;
        Ok(())
    }
}

impl Drop for IndexWriter {
    fn drop(&mut self) {
        if !self.is_placed {
            // Removed under the lock, so the file is ours. If the removal fails, the next builder
            // reuses the file.
            let _ = std::fs::remove_file(&self.fresh);
        }
    }
}

fn sort(entries: &mut [Entry]) {
    entries.sort_unstable_by_key(|entry| (entry.hash, entry.offset_plus_one));
}

/// Opens or creates the file that will become an index. `None` if something else has its name.
///
/// The file is emptied after the open. Any user with write access to the folder could have put a
/// link to one of our files there.
fn open_fresh(path: &Path) -> io::Result<Option<File>> {
    let options = || {
        let mut options = os::beside();
        os::keep_private(options.write(true)).to_owned()
    };
    let (file, _) = os::open_or_create(path, options)?;
    let is_alone = file.metadata()?.is_file() && os::stat(&file)?.links == 1;
    Ok(is_alone.then_some(file))
}
