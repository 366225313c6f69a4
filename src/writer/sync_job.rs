//! The sync job: makes written batches durable and settles them.
//!
//! sync -> record what is durable -> verify what a sync cannot make durable -> settle. At most one
//! sync job of a log is under way; it takes all batches that were handed over by then. The write
//! job goes on meanwhile, because the lock of the log is not needed here.
//!
//! A failed sync belongs to the open file description. It rejects every batch of this writer that
//! is not yet synced. Another writer of the description sees the count of failures, and rejects its
//! own batches.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::append::group::{Group, OriginalRecord};
use crate::append::process::ProcessContext;
use crate::append::queue::RequestQueue;
use crate::dedup::lookup;
use crate::dedup::scan_state::ScanState;
use crate::error::{Error, Result};
use crate::mutex::locked;
use crate::path::ChroniclePath;
use crate::storage::disk::OpenFile;
use crate::storage::syncs::{Syncs, cannot_sync as cannot};
use crate::writer::ledger::{Ledger, LedgerEntry};

/// Ranges of the file closer than this many bytes are read again as one.
const MERGE_GAP: u64 = 64 * 1024;

/// The sync job of one log. Owns the ledger and the batches that wait for a sync.
pub(super) struct SyncJob {
    path: ChroniclePath,
    process: Arc<ProcessContext>,
    queue: Arc<RequestQueue>,
    ledger: Mutex<Ledger>,
    unsynced: Mutex<Unsynced>,
}

/// What the write job handed over.
#[derive(Default)]
struct Unsynced {
    batches: Vec<WrittenBatch>,
    is_syncing: bool,
}

/// A batch that is in the file and waits for its sync.
struct WrittenBatch {
    file: OpenFile,
    /// Failed syncs of the description when the batch began. After one more the batch may be lost.
    failures: u64,
    rewrites: u64,
    /// The log after the batch.
    view: ScanState,
    /// Bytes in the file after the batch.
    file_end: u64,
    groups: Vec<Group>,
}

impl SyncJob {
    pub(super) fn new(
        path: ChroniclePath,
        process: Arc<ProcessContext>,
        queue: Arc<RequestQueue>,
    ) -> SyncJob {
        SyncJob { path, process, queue, ledger: Mutex::default(), unsynced: Mutex::default() }
    }

    /// Syncs and settles all that was handed over, unless another thread does so. Calls
    /// `after_each` after each sync.
    pub(super) fn run(&self, after_each: impl Fn()) {
        let sync_all = || {
            while let Some((turn, batches)) = self.take_batches() {
                self.sync_batches(batches);
                drop(turn);
                after_each();
            }
        };
        if catch_unwind(AssertUnwindSafe(sync_all)).is_err() {
            self.reject_after_panic();
        }
    }

    /// The way of batches of one generation from the file to their callers.
    fn sync_batches(&self, batches: Vec<WrittenBatch>) {
        let Some(last) = batches.last() else { return };
        let (file, failures, file_end) = (last.file.clone(), last.failures, last.file_end);
        let (rewrites, view) = (last.rewrites, last.view.clone());
        let groups: Vec<Group> = batches.into_iter().flat_map(|batch| batch.groups).collect();
        let begun = Instant::now();
        if let Err(error) = self.sync(&file, failures, file_end) {
            return self.reject(groups, &error);
        }
        let synced = begun.elapsed();
        match file.stat() {
            Ok(stat) if stat.links == 0 => return self.run_again(groups, &replaced()),
            Ok(_) => self.ledger().record(LedgerEntry::Durable { file: &file, rewrites, view }),
            Err(error) => return self.reject(groups, &cannot("fstat", error)),
        }
        match self.verify_originals(&file, &groups, file_end) {
            Ok(missing) => self.settle(groups, &missing, synced),
            Err(error) => self.reject(groups, &error),
        }
    }

    /// Takes over a batch that is in the file and whose lock was released. What needs no sync is
    /// settled here.
    pub(super) fn hand_over(
        &self,
        file: OpenFile,
        failures: u64,
        view: ScanState,
        file_end: u64,
        mut groups: Vec<Group>,
    ) {
        let mut unsynced = locked(&self.unsynced);
        if let Some(error) = file.syncs().failure_since(failures) {
            drop(unsynced);
            return self.reject(groups, &error);
        }
        let mut ledger = self.ledger();
        if groups.iter().any(Group::wrote) {
            ledger.record(LedgerEntry::Wrote { file: &file, end: file_end });
        }
        let is_durable =
            |group: &Group| group.is_durable(|range| ledger.is_durable(&file, range, 0));
        let done: Vec<(Group, bool)> = groups
            .extract_if(.., |group| !group.needs_sync() || is_durable(group))
            .map(|group| {
                let durable = is_durable(&group);
                (group, durable)
            })
            .collect();
        let rewrites = ledger.rewrites();
        drop(ledger);
        if !groups.is_empty() {
            let file = file.clone();
            let batch = WrittenBatch { file, failures, rewrites, view, file_end, groups };
            unsynced.batches.push(batch);
        }
        drop(unsynced);
        if !done.is_empty() {
            self.settle_unsynced(&file, done);
        }
    }

    fn settle_unsynced(&self, file: &OpenFile, done: Vec<(Group, bool)>) {
        let groups = |done: Vec<(Group, bool)>| done.into_iter().map(|(group, _)| group).collect();
        match file.stat() {
            Ok(stat) if stat.links == 0 => self.run_again(groups(done), &replaced()),
            Ok(_) => {
                for (group, durable) in done {
                    group.settle(self.process.counters(), None, durable);
                }
            }
            Err(error) => self.reject(groups(done), &cannot("fstat", error)),
        }
    }

    /// Takes the batches of the oldest generation, unless a sync is under way.
    fn take_batches(&self) -> Option<(SyncTurn<'_>, Vec<WrittenBatch>)> {
        let mut unsynced = locked(&self.unsynced);
        if unsynced.is_syncing {
            return None;
        }
        let generation = unsynced.batches.first()?.file.id();
        let is_of_it = |batch: &mut WrittenBatch| generation.names(&batch.file);
        let batches: Vec<WrittenBatch> = unsynced.batches.extract_if(.., is_of_it).collect();
        unsynced.is_syncing = true;
        drop(unsynced);
        let turn = SyncTurn(self);
        self.queue.set_syncing(batches.iter().map(|batch| batch.groups.len()).sum());
        Some((turn, batches))
    }

    /// One sync of the description, with `end` bytes in the file. `failures`: failed syncs before.
    ///
    /// # Errors
    /// `EIO`; then everything written through the description and not yet synced is rejected, and
    /// the file must be verified.
    fn sync(&self, file: &OpenFile, failures: u64, end: u64) -> Result<()> {
        let syncs = file.syncs();
        let _turn = syncs.turn();
        if let Some(error) = syncs.failure_since(failures) {
            return Err(error);
        }
        self.process.counters().syncs.fetch_add(1, Ordering::Relaxed);
        match file.sync() {
            Ok(()) => {
                self.ledger().record(LedgerEntry::Synced { file, end });
                Ok(())
            }
            Err(error) => {
                let error = cannot("fdatasync", error);
                let mut unsynced = locked(&self.unsynced);
                syncs.fail(&error);
                let lost = unsynced.take_of(syncs);
                drop(unsynced);
                for batch in lost {
                    self.reject(batch.groups, &error);
                }
                Err(error)
            }
        }
    }

    /// One sync outside of a batch.
    ///
    /// # Errors
    /// As those of a sync of batches.
    pub(super) fn sync_once(&self, file: &OpenFile) -> Result<()> {
        let failures = file.syncs().failures();
        let stat = file.stat().map_err(|error| cannot("fstat", error))?;
        self.sync(file, failures, stat.length)
    }

    /// Reads the originals of duplicates from the disk that no sync of this writer made durable.
    /// Returns the groups whose original is not there.
    fn verify_originals(
        &self,
        file: &OpenFile,
        groups: &[Group],
        file_end: u64,
    ) -> Result<Vec<usize>> {
        let mut unproved = Vec::new();
        {
            let ledger = self.ledger();
            for (at, group) in groups.iter().enumerate() {
                let originals = group.originals();
                let doubtful = originals
                    .filter(|original| !ledger.is_durable(file, &original.range, file_end));
                unproved.extend(doubtful.map(|original| (at, original)));
            }
        }
        unproved.sort_by_key(|(_, original)| original.offset);
        let is_near = |(_, left): &(usize, OriginalRecord<'_>),
                       (_, right): &(usize, OriginalRecord<'_>)| {
            right.offset <= left.range.end + MERGE_GAP
        };
        for near in unproved.chunk_by(is_near) {
            let (Some((_, first)), Some((_, last))) = (near.first(), near.last()) else {
                continue;
            };
            // Mapped pages stay in the cache; on such files a duplicate rests on the sync alone.
            file.drop_cached(first.offset..last.range.end)
                .map_err(|error| cannot("posix_fadvise", error))?;
        }
        let mut missing = Vec::new();
        for (at, OriginalRecord { offset, range, known_by }) in unproved {
            let found = lookup::read_record(&**file, offset, file_end)
                .map_err(|error| cannot("pread", error))?;
            let is_there = found.zip(known_by).is_some_and(|(found, id)| found.carries(id));
            if !is_there {
                missing.push(at);
                continue;
            }
            self.ledger().record(LedgerEntry::Verified { file, range });
        }
        Ok(missing)
    }

    fn settle(&self, groups: Vec<Group>, missing: &[usize], synced: Duration) {
        if !missing.is_empty() {
            self.ledger().record(LedgerEntry::RecordMissing);
        }
        let mut again = Vec::new();
        let mut halves = Vec::new();
        for (at, group) in groups.into_iter().enumerate() {
            if !missing.contains(&at) {
                group.settle(self.process.counters(), Some(synced), true);
            } else if group.wrote() {
                // Its other events are in the file by now: only the caller knows whether they may
                // be written again.
                halves.push(group);
            } else {
                again.push(group.into_request());
            }
        }
        self.reject(halves, &cannot("pread", gone()));
        self.queue.put_back(again);
    }

    /// Has requests decided once more that were written, on the file that is at the path now. It
    /// cannot be known whether that file has an event without id and key: `lost` is the error of
    /// such a request.
    pub(super) fn run_again(&self, groups: Vec<Group>, lost: &Error) {
        let (again, nameless): (Vec<Group>, Vec<Group>) =
            groups.into_iter().partition(Group::can_run_again);
        self.reject(nameless, lost);
        self.queue.put_back(again.into_iter().map(Group::into_rerun).collect());
    }

    fn reject(&self, groups: Vec<Group>, error: &Error) {
        groups.into_iter().for_each(|group| group.reject(self.path.as_path(), error));
    }

    /// What was to be synced counts as lost.
    fn reject_after_panic(&self) {
        let error = cannot("panic", std::io::Error::other("the syncing thread panicked"));
        let mut unsynced = locked(&self.unsynced);
        let lost = std::mem::take(&mut unsynced.batches);
        lost.iter().for_each(|batch| batch.file.syncs().fail(&error));
        self.ledger().record(LedgerEntry::SyncLost(&error));
        drop(unsynced);
        for batch in lost {
            self.reject(batch.groups, &error);
        }
    }

    /// Whether nothing waits for a sync, and nothing must be verified.
    pub(super) fn is_settled(&self) -> bool {
        let is_idle = {
            let unsynced = locked(&self.unsynced);
            unsynced.batches.is_empty() && !unsynced.is_syncing
        };
        is_idle && !self.ledger().must_verify()
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        locked(&self.ledger)
    }
}

impl Unsynced {
    /// Takes out what was written through a description.
    fn take_of(&mut self, syncs: &Arc<Syncs>) -> Vec<WrittenBatch> {
        let is_lost = |batch: &mut WrittenBatch| Arc::ptr_eq(batch.file.syncs(), syncs);
        self.batches.extract_if(.., is_lost).collect()
    }
}

/// The right to sync, which ends on every way out.
struct SyncTurn<'a>(&'a SyncJob);

impl Drop for SyncTurn<'_> {
    fn drop(&mut self) {
        self.0.queue.set_syncing(0);
        locked(&self.0.unsynced).is_syncing = false;
    }
}

fn gone() -> std::io::Error {
    std::io::Error::other("a record that the log had is not on the disk")
}

fn replaced() -> Error {
    let cause = "the file was replaced while its sync was waited for; the new file may have a copy of the event";
    cannot("fstat", std::io::Error::other(cause))
}
