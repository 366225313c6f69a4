//! The side index: the dedup index of a prefix of the log, in a file beside it, so that a process need not scan a long log
//! before its first append. A cache: whatever is doubtful about it, the log is scanned instead.
//!
//! A table covers most of the prefix; each run behind it covers what the log grew by since, so that growing costs what was added and
//! not what is there. Now and then all becomes one table again.

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
    /// Each begins where the one before ends, in the log and in the file.
    runs: Vec<SortedRun>,
    scan_state: ScanState,
    sparse: Vec<SparseEntry>,
}

/// What tells the file that was loaded from another one at its name, besides the header of its table.
#[derive(Debug)]
struct Loaded {
    path: PathBuf,
    stat: Stat,
    metadata: Metadata,
}

impl SideIndex {
    /// The index at `path`, if it is of the same owner as the log, and fits the log. Runs that are not whole, or reach beyond the
    /// log, are not there, nor is what comes behind them.
    pub(crate) fn load(
        path: &Path,
        log_path: &Path,
        log: &dyn Storage,
        stat: &Stat,
    ) -> Option<Self> {
        let log_metadata = std::fs::metadata(log_path).ok()?;
        let file = os::beside().read(true).open(path).ok()?;
        let metadata = file.metadata().ok()?;
        // Who may write the folder but not the log must not be able to hide records from the dedup.
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

    /// Gives the descriptor up, until [`SideIndex::reopen`].
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    /// Says whether what was loaded is still there.
    pub(crate) fn reopen(&mut self) -> bool {
        if self.file.is_none() {
            self.file = self.open(os::beside().read(true));
        }
        self.file.is_some()
    }

    /// The log as it was at the end of the prefix.
    pub(crate) fn scan_state(&self) -> &ScanState {
        &self.scan_state
    }

    pub(crate) fn sparse(&self) -> &[SparseEntry] {
        &self.sparse
    }

    pub(crate) fn keys(&self) -> HashKey {
        self.table.keys
    }

    /// How much of the log the table covers.
    pub(crate) fn table_end(&self) -> u64 {
        self.table.covers.end
    }

    /// Whether a run covers something before `offset`.
    pub(crate) fn has_runs_before(&self, offset: u64) -> bool {
        self.runs.first().is_some_and(|run| run.covers.start < offset)
    }

    /// The offsets of the records of the prefix that may carry `id`, in file order; runs from `end` on are not asked.
    ///
    /// # Errors
    /// When the file cannot be read or a block is damaged; then nothing it says may be used.
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

    /// Calls `take` with each entry of the runs before `end`, in the order of the runs and in each by hash and place.
    pub(crate) fn each_of_runs(
        &self,
        end: u64,
        mut take: impl FnMut(Entry) -> io::Result<()>,
    ) -> io::Result<()> {
        let file = opened(self.file.as_ref())?;
        let mut runs = self.runs.iter().take_while(|run| run.covers.start < end);
        runs.try_for_each(|run| run.each(file, &mut take))
    }

    /// More entries than the runs have.
    pub(crate) fn most_in_runs(&self) -> usize {
        self.runs.iter().map(SortedRun::most_entries).sum()
    }

    /// Takes over what was checked of the same parts.
    pub(crate) fn checked_like(&mut self, before: &mut SideIndex) {
        self.table.checked_like(&mut before.table);
        for (run, before) in self.runs.iter_mut().zip(&mut before.runs) {
            run.checked_like(before);
        }
    }

    /// Takes it away, because it could not be read: it is removed, unless another one is made just now,
    /// and this process does not believe it again as it is.
    pub(crate) fn discard(&self, log_path: &Path) {
        let mut discarded = DISCARDED.lock().unwrap_or_else(PoisonError::into_inner);
        if discarded.len() >= MAX_DISCARDED {
            discarded.remove(0);
        }
        discarded.push(self.loaded.version());
        drop(discarded);
        // A cache: what fails here costs the next process a scan.
        if let Ok(Some(_making)) = IndexWriter::begin(&self.loaded.path, log_path)
            && self.open(os::beside().read(true)).is_some()
        {
            let _ = std::fs::remove_file(&self.loaded.path);
        }
    }

    /// The file that was loaded, if it is the one at the path.
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

    /// Where the next run begins in the file.
    fn end(&self) -> u64 {
        self.runs.last().unwrap_or(&self.table).place.end
    }
}

/// Which file an index is, and when it was written last.
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

/// The one who may change the index of a log: by a lock on the file in which a new table is written.
pub(crate) struct IndexWriter {
    path: PathBuf,
    log: Metadata,
    fresh: PathBuf,
    file: File,
    is_placed: bool,
}

/// Leaves word that an index is missing: an empty file where the next one is written, which goes when one is made. True: somebody did so before, or
/// began to make one, and was not seen to come to an end.
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
    /// `None`: another one is at it, something else stands in the place of the new file, or an index of ours would not be believed.
    pub(crate) fn begin(path: &Path, log_path: &Path) -> io::Result<Option<IndexWriter>> {
        let fresh = fresh_at(path);
        let log = std::fs::metadata(log_path)?;
        let Some(file) = open_fresh(&fresh)? else {
            return Ok(None);
        };
        if !lock::try_exclusive(&file)? {
            return Ok(None);
        }
        // Somebody may have taken it away between our open and our lock.
        if !os::stat_of_name(&fresh)?.is_same_file(&os::stat(&file)?) {
            return Ok(None);
        }
        let is_trusted = os::is_trusted(&file.metadata()?, &log);
        let maker = IndexWriter { path: path.to_owned(), log, fresh, file, is_placed: false };
        Ok(is_trusted.then_some(maker))
    }

    /// Adds a run to the index that was loaded under our lock. False: the file is not there any more, or cannot be written.
    pub(crate) fn extend(
        &self,
        side: &SideIndex,
        covered: &RunContents<'_>,
        new: &mut [Entry],
    ) -> io::Result<bool> {
        let Some(file) = side.open(os::beside().read(true).write(true)) else {
            return Ok(false);
        };
        // What is behind the last whole run was left by a process that was killed.
        file.set_len(side.end())?;
        sort(new);
        let header = sorted_run::write(&file, side.end(), covered, |blocks| {
            new.iter().try_for_each(|entry| blocks.put(*entry))
        })?;
        // No crash leaves a header before blocks that are not on the disk. It may lose the header, and with it the run.
        file.sync_data()?;
        os::write_all_at(&file, &header, side.end())?;
        Ok(true)
    }

    /// Replaces the index by one table: what `before` has, and `new`, whose hashes are made with the same keys.
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
            // Still under the lock, so it is ours. What stays is taken over by the next one.
            let _ = std::fs::remove_file(&self.fresh);
        }
    }
}

fn sort(entries: &mut [Entry]) {
    entries.sort_unstable_by_key(|entry| (entry.hash, entry.offset_plus_one));
}

/// Opens the file that is to become an index, or makes it. `None`: something else stands there. Whoever may write the folder could have put a
/// link to any file of ours at its name, and what is opened here is emptied.
fn open_fresh(path: &Path) -> io::Result<Option<File>> {
    let options = || {
        let mut options = os::beside();
        os::keep_private(options.write(true)).to_owned()
    };
    let (file, _) = os::open_or_create(path, options)?;
    let is_alone = file.metadata()?.is_file() && os::stat(&file)?.links == 1;
    Ok(is_alone.then_some(file))
}
