//! The sync job: makes written batches durable, and says what is proved to be on the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::append::batch::Location;
use crate::append::request::{Durability, Outcome};
use crate::dedup::builder;
use crate::dedup::lookup;
use crate::dedup::scan_state::ScanState;
use crate::error::{Error, Written};
use crate::mutex::locked;
use crate::storage::Stat;
use crate::storage::durable_ranges::Proof;
use crate::storage::syncs::{Syncs, cannot_sync as cannot};
use crate::threads::pool;
use crate::writer::Writer;
use crate::writer::written::{Descriptor, Group, WrittenBatch};

/// Stretches of the file closer than this are read again as one.
const GAP: u64 = 64 * 1024;

/// What is known about the bytes of the open descriptor.
pub(crate) struct Ledger {
    /// Which descriptor of this writer, counted from 1.
    pub(crate) generation: u64,
    /// Of the description that is open.
    syncs: Arc<Syncs>,
    /// Failed syncs of the description after which the file was read again from the disk.
    answered: u64,
    /// The file was to be read again when its descriptor before this one was closed.
    was_suspect: bool,
    /// Times the file was found rewritten in place. What was learnt before does not hold after it.
    pub(crate) rewrites: u64,
    /// A duplicate's record was not on the disk: what is known of the log is learnt anew.
    pub(crate) doubtful: bool,
    pub(crate) proof: Proof,
    /// The log as it was at the last proved batch.
    proved: Option<ScanState>,
    /// The log as it was when the descriptor was opened: what is read again begins there while no batch is proved.
    at_open: Option<ScanState>,
    written_to: u64,
    synced_to: u64,
    unsynced: Vec<WrittenBatch>,
    syncing: bool,
    indexing: bool,
    last_seen: Option<Stat>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Ledger {
            generation: 0,
            syncs: Arc::default(),
            answered: 0,
            was_suspect: false,
            rewrites: 0,
            doubtful: false,
            proof: Proof::default(),
            proved: None,
            at_open: None,
            written_to: 0,
            synced_to: 0,
            unsynced: Vec::new(),
            syncing: false,
            indexing: false,
            last_seen: None,
        }
    }

    /// A file of `stat` was opened; `same_file` as the last time, as far as that can be known. Returns which descriptor this is.
    pub(crate) fn opened(&mut self, stat: &Stat, same_file: bool, syncs: Arc<Syncs>) -> u64 {
        self.generation += 1;
        self.was_suspect = same_file && self.is_suspect();
        self.answered = syncs.failures();
        self.syncs = syncs;
        self.proof = Proof::new(stat.length);
        self.proved = None;
        self.at_open = None;
        self.doubtful = false;
        self.written_to = 0;
        self.synced_to = 0;
        self.last_seen = Some(*stat);
        self.generation
    }

    /// The file was rewritten in place: nothing in it is proved.
    pub(crate) fn rewritten(&mut self, length: u64) {
        self.rewrites += 1;
        self.proof = Proof::new(length);
        self.proved = None;
        self.at_open = None;
    }

    /// Bytes after the last proved offset may be gone: a sync of the description failed. They are read again from
    /// the disk before anything is acknowledged.
    pub(crate) fn is_suspect(&self) -> bool {
        self.was_suspect || self.answered != self.syncs.failures()
    }

    /// The file was read again from the disk after this number of failed syncs.
    pub(crate) fn answered(&mut self, failures: u64) {
        self.was_suspect = false;
        self.answered = failures;
    }

    /// The log as it was at the last proved batch, or else when the descriptor was opened; `None` where neither is known.
    pub(crate) fn last_sure(&self) -> Option<ScanState> {
        self.proved.clone().or_else(|| self.at_open.clone())
    }

    /// What is scanned of the log just opened stood there when it was opened.
    pub(crate) fn scanned_at_open(&mut self, scan_state: &ScanState) {
        if self.at_open.is_none() && scan_state.offset <= self.proof.opened_at() {
            self.at_open = Some(scan_state.clone());
        }
    }

    /// Bytes in the file when it was opened.
    pub(crate) fn opened_at(&self) -> u64 {
        self.proof.opened_at()
    }

    pub(crate) fn last_seen(&self) -> Option<Stat> {
        self.last_seen
    }

    /// Nothing waits for a sync, and nothing is suspect.
    pub(crate) fn is_settled(&self) -> bool {
        self.unsynced.is_empty() && !self.syncing && !self.is_suspect()
    }

    /// Takes out what was written through a description and waits for a sync.
    fn take_unsynced(&mut self, syncs: &Arc<Syncs>) -> Vec<WrittenBatch> {
        let is_lost = |batch: &mut WrittenBatch| Arc::ptr_eq(&batch.descriptor.syncs, syncs);
        self.unsynced.extract_if(.., is_lost).collect()
    }

    /// Bytes up to this end may be unsynced.
    pub(crate) fn wrote_to(&mut self, end: u64) {
        self.written_to = self.written_to.max(end);
    }

    fn is_synced(&self) -> bool {
        self.synced_to >= self.written_to
    }
}

impl Writer {
    /// Hands a batch over that is in the file and whose lock was released. What asks for no sync is settled here.
    pub(crate) fn hand_over(&self, mut batch: WrittenBatch) {
        let storage = batch.descriptor.storage.clone();
        let mut ledger = locked(&self.ledger);
        let current = ledger.generation == batch.descriptor.generation;
        if let Some(error) = batch.descriptor.syncs.failure_since(batch.failures) {
            drop(ledger);
            return self.reject(batch.groups, &error);
        }
        if current && batch.groups.iter().any(Group::wrote) {
            ledger.wrote_to(batch.file_end);
        }
        let done = |group: &mut Group| {
            let no_sync = group.request.options.durability == Durability::Os;
            no_sync || (current && group.is_proved(&ledger.proof))
        };
        let settled: Vec<Group> = batch.groups.extract_if(.., done).collect();
        let proved: Vec<bool> =
            settled.iter().map(|group| group.is_proved(&ledger.proof)).collect();
        if !batch.groups.is_empty() {
            ledger.unsynced.push(batch);
        }
        drop(ledger);
        if settled.is_empty() {
            return;
        }
        match storage.stat() {
            Ok(stat) if stat.links == 0 => self.run_again(settled, &replaced()),
            Ok(_) => {
                for (group, durable) in settled.into_iter().zip(proved) {
                    group.settle(self.shared.counters(), None, |_| durable);
                }
            }
            Err(error) => self.reject(settled, &cannot("fstat", error)),
        }
    }

    /// Syncs and settles all that was handed over, unless another thread is at it.
    pub(crate) fn sync_written(&self) {
        loop {
            let mut ledger = locked(&self.ledger);
            if ledger.syncing || ledger.unsynced.is_empty() {
                return;
            }
            ledger.syncing = true;
            let generation = ledger.unsynced.first().map(|batch| batch.descriptor.generation);
            let is_of_it =
                |batch: &mut WrittenBatch| Some(batch.descriptor.generation) == generation;
            let batches: Vec<WrittenBatch> = ledger.unsynced.extract_if(.., is_of_it).collect();
            drop(ledger);
            self.syncing(batches.iter().map(|batch| batch.groups.len()).sum());
            let unfinished = EndSync(self);
            self.sync_batches(batches);
            drop(unfinished);
            self.index_proved();
        }
    }

    /// Has a side index made in the background when enough was proved since the last one.
    fn index_proved(&self) {
        let Ok(state) = self.state.try_lock() else {
            return;
        };
        let Some((covered, stat)) = state.covered() else {
            return;
        };
        drop(state);
        let proved = locked(&self.ledger).proved.as_ref().map_or(0, |proved| proved.offset);
        if !builder::is_due(covered, proved) {
            return;
        }
        let Some(making) = self.begin_indexing() else { return };
        let job = move || {
            let me = &making.0;
            if let Some(side) = builder::build(&me.path, &stat, proved) {
                locked(&me.state).adopt(side, &stat);
            }
        };
        // Without a thread it is made another time.
        let _ = pool::run_in_background(Box::new(job));
    }

    /// The right to make a side index, if the log can have one: for one at a time, until it is dropped.
    pub(crate) fn begin_indexing(&self) -> Option<EndIndexing> {
        let me = self.me.upgrade().filter(|_| self.shared.disk.has_side_files())?;
        let is_made = std::mem::replace(&mut locked(&self.ledger).indexing, true);
        (!is_made).then(|| EndIndexing(me))
    }

    /// After a panic in the sync job: what was to be synced counts as lost.
    pub(crate) fn sync_panicked(&self) {
        let error = cannot("panic", std::io::Error::other("the syncing thread panicked"));
        let lost = {
            let mut ledger = locked(&self.ledger);
            let lost = std::mem::take(&mut ledger.unsynced);
            let of_lost = lost.iter().map(|batch| &batch.descriptor.syncs);
            of_lost.chain([&ledger.syncs]).for_each(|syncs| syncs.fail(&error));
            lost
        };
        for batch in lost {
            self.reject(batch.groups, &error);
        }
    }

    /// One sync of the open descriptor, outside of a batch.
    ///
    /// # Errors
    /// `EIO`; then everything that was written and not yet synced is rejected, and the file is suspect.
    pub(crate) fn sync_once(&self, descriptor: &Descriptor) -> Result<(), Error> {
        let failures = descriptor.syncs.failures();
        let stat = descriptor.storage.stat().map_err(|error| cannot("fstat", error))?;
        self.sync_through(descriptor, failures, stat.length)
    }

    fn sync_batches(&self, batches: Vec<WrittenBatch>) {
        let Some(last) = batches.last() else { return };
        let (descriptor, failures) = (last.descriptor.clone(), last.failures);
        let (rewrites, end, file_end) = (last.rewrites, last.end.clone(), last.file_end);
        let groups: Vec<Group> = batches.into_iter().flat_map(|batch| batch.groups).collect();
        let begun = Instant::now();
        if let Err(error) = self.sync_through(&descriptor, failures, file_end) {
            return self.reject(groups, &error);
        }
        let synced = begun.elapsed();
        match descriptor.storage.stat() {
            Ok(stat) if stat.links == 0 => return self.run_again(groups, &replaced()),
            Ok(_) => {}
            Err(error) => return self.reject(groups, &cannot("fstat", error)),
        }
        {
            let mut ledger = locked(&self.ledger);
            let is_current =
                ledger.generation == descriptor.generation && ledger.rewrites == rewrites;
            if is_current && !ledger.is_suspect() {
                ledger.proved = Some(end);
            }
        }
        match self.prove_duplicates(&descriptor, &groups, file_end) {
            Ok(missing) => self.settle_proved(groups, &missing, synced),
            Err(error) => self.reject(groups, &error),
        }
    }

    fn settle_proved(&self, groups: Vec<Group>, missing: &[usize], synced: Duration) {
        if !missing.is_empty() {
            locked(&self.ledger).doubtful = true;
        }
        let mut again = Vec::new();
        let mut halves = Vec::new();
        for (at, group) in groups.into_iter().enumerate() {
            if !missing.contains(&at) {
                group.settle(self.shared.counters(), Some(synced), |_| true);
            } else if group.wrote() {
                // Its other events are in the file by now: only the caller can say whether they may be written again.
                halves.push(group);
            } else {
                again.push(group.request);
            }
        }
        self.reject(halves, &cannot("pread", gone()));
        if !again.is_empty() {
            self.put_back(again);
        }
    }

    /// Reads records from the disk that duplicates rest on and no sync of ours proves. Returns the groups whose record is not there.
    fn prove_duplicates(
        &self,
        descriptor: &Descriptor,
        groups: &[Group],
        file_end: u64,
    ) -> Result<Vec<usize>, Error> {
        let (storage, generation) = (&*descriptor.storage, descriptor.generation);
        let mut unproved = Vec::new();
        {
            let ledger = locked(&self.ledger);
            let current = ledger.generation == generation;
            for (at, group) in groups.iter().enumerate() {
                for decision in &group.decisions {
                    let Location::Old { offset, .. } = decision.place else {
                        continue;
                    };
                    let range = group.range(decision);
                    let by_sync = ledger.proof.needs_only_a_sync(&range) && range.end <= file_end;
                    if !(current && (by_sync || ledger.proof.covers(&range))) {
                        unproved.push((offset, range, at, decision));
                    }
                }
            }
        }
        unproved.sort_by_key(|(offset, ..)| *offset);
        for summary in unproved.chunk_by(|left, right| right.0 <= left.1.end + GAP) {
            let (Some(first), Some(last)) = (summary.first(), summary.last()) else {
                continue;
            };
            // Pages that somebody maps stay in the cache; on such files a duplicate rests on the sync alone.
            storage
                .drop_cached(first.0..last.1.end)
                .map_err(|error| cannot("posix_fadvise", error))?;
        }
        let mut missing = Vec::new();
        for (offset, range, at, decision) in unproved {
            let there = lookup::read_record(storage, offset, file_end)
                .map_err(|error| cannot("pread", error))?;
            let holds =
                there.zip(decision.known_by.as_ref()).is_some_and(|(found, id)| found.carries(id));
            if !holds {
                missing.push(at);
                continue;
            }
            let mut ledger = locked(&self.ledger);
            if ledger.generation == generation {
                ledger.proof.reread(range);
            }
        }
        Ok(missing)
    }

    fn sync_through(
        &self,
        descriptor: &Descriptor,
        failures: u64,
        length: u64,
    ) -> Result<(), Error> {
        let syncs = &descriptor.syncs;
        let _turn = syncs.turn();
        if let Some(error) = syncs.failure_since(failures) {
            return Err(error);
        }
        self.shared.counters().syncs.fetch_add(1, Ordering::Relaxed);
        let synced = descriptor.storage.sync();
        let mut ledger = locked(&self.ledger);
        let current = ledger.generation == descriptor.generation;
        match synced {
            Ok(()) if current => {
                ledger.proof.synced(length);
                ledger.synced_to = ledger.synced_to.max(length);
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(error) => {
                let error = cannot("fdatasync", error);
                syncs.fail(&error);
                let lost = ledger.take_unsynced(syncs);
                drop(ledger);
                for batch in lost {
                    self.reject(batch.groups, &error);
                }
                Err(error)
            }
        }
    }

    /// Closes the descriptor if it was not used for `idle` and nothing needs it; bytes that were written and not synced are synced first. Says whether none is open.
    pub(crate) fn close_descriptor(&self, idle: Duration) -> bool {
        let Ok(mut state) = self.state.try_lock() else {
            return false;
        };
        let Some(descriptor) = state.descriptor() else {
            return true;
        };
        if self.last_used().elapsed() < idle {
            return false;
        }
        let (settled, synced) = {
            let ledger = locked(&self.ledger);
            (ledger.is_settled(), ledger.is_synced())
        };
        if !settled || (!synced && self.sync_once(&descriptor).is_err()) {
            return false;
        }
        state.close(self);
        true
    }

    /// Has requests decided once more that were written, on the file that is at the path now. Whether an event without id and key is
    /// in that file cannot be known: `lost` is the error of such a request.
    pub(crate) fn run_again(&self, groups: Vec<Group>, lost: &Error) {
        let (again, nameless): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(Group::can_run_again);
        self.reject(nameless, lost);
        again.iter().for_each(Group::mark_written);
        self.put_back(again.into_iter().map(|group| group.request).collect());
    }

    fn reject(&self, groups: Vec<Group>, error: &Error) {
        for group in groups {
            let written = if group.wrote() { Written::Unknown } else { Written::No };
            group.request.settle(Outcome::Failed(self.about(error.clone().with_written(written))));
        }
    }
}

/// RunSummary the making of a side index on every way out.
pub(crate) struct EndIndexing(Arc<Writer>);

impl Drop for EndIndexing {
    fn drop(&mut self) {
        locked(&self.0.ledger).indexing = false;
    }
}

/// RunSummary the sync job on every way out.
struct EndSync<'a>(&'a Writer);

impl Drop for EndSync<'_> {
    fn drop(&mut self) {
        self.0.syncing(0);
        locked(&self.0.ledger).syncing = false;
    }
}

fn gone() -> std::io::Error {
    std::io::Error::other("a record that the log had is not on the disk")
}

fn replaced() -> Error {
    let cause = "the file was replaced while its sync was waited for; the new file may have a copy of the event";
    cannot("fstat", std::io::Error::other(cause))
}
