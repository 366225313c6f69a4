//! The sync job: makes written batches durable, and says what is proved to be on the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::batch::{Decision, Place};
use crate::error::{Error, Written};
use crate::frontier::Frontier;
use crate::indexing;
use crate::pool::{self, locked};
use crate::proof::Proof;
use crate::record;
use crate::request::{BatchFacts, Durability, Outcome, Request, Warning};
use crate::stats::Counters;
use crate::storage::{Stat, Storage};
use crate::writer::Writer;

/// Stretches of the file closer than this are read again as one.
const GAP: u64 = 64 * 1024;

/// What is known about the bytes of the open descriptor.
pub(crate) struct Ledger {
    /// Which descriptor of this writer, counted from 1.
    pub(crate) generation: u64,
    /// Failed syncs so far. A batch that began under another number was not made durable.
    pub(crate) failures: u64,
    last_failure: Option<Error>,
    /// Descriptors that were given up, and a sync of which failed after that.
    lost_generations: Vec<u64>,
    /// Times the file was found rewritten in place. What was learnt before does not hold after it.
    pub(crate) rewrites: u64,
    /// Bytes after the last proved offset may be gone: they are read again from the disk before anything is acknowledged.
    pub(crate) suspect: bool,
    /// A duplicate's record was not on the disk: what is known of the log is learnt anew.
    pub(crate) doubtful: bool,
    pub(crate) proof: Proof,
    /// The log as it was at the last proved batch.
    pub(crate) proved: Option<Frontier>,
    written_to: u64,
    synced_to: u64,
    unsynced: Vec<WrittenBatch>,
    syncing: bool,
    indexing: bool,
    last_seen: Option<Stat>,
}

/// A batch that is in the file and waits for its sync.
pub(crate) struct WrittenBatch {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) generation: u64,
    pub(crate) failures: u64,
    pub(crate) rewrites: u64,
    /// The log after the batch.
    pub(crate) end: Frontier,
    /// Bytes in the file after the batch.
    pub(crate) file_end: u64,
    pub(crate) groups: Vec<Group>,
}

/// One request of a batch and what was decided for it.
pub(crate) struct Group {
    pub(crate) request: Arc<Request>,
    pub(crate) decisions: Vec<Decision>,
    /// Where the batch begins in the file, and how many records come before it.
    pub(crate) begin: u64,
    pub(crate) records_before: u64,
    pub(crate) warnings: Vec<Warning>,
    /// For its observer, if it is the first one with this observer in its batch.
    pub(crate) facts: Option<BatchFacts>,
}

impl Group {
    fn wrote(&self) -> bool {
        self.decisions.iter().any(|decision| !decision.duplicate)
    }

    fn settle(
        mut self,
        counters: &Counters,
        synced: Option<Duration>,
        durable: impl Fn(&Decision) -> bool,
    ) {
        let duplicates = self.decisions.iter().filter(|decision| decision.duplicate).count();
        counters.appends.fetch_add((self.decisions.len() - duplicates) as u64, Ordering::Relaxed);
        counters.duplicates.fetch_add(duplicates as u64, Ordering::Relaxed);
        if let Some((facts, observer)) =
            self.facts.as_mut().zip(self.request.options.observer.as_ref())
        {
            facts.sync = synced;
            observer.tell(facts);
        }
        let receipt = |decision: &Decision| {
            decision.receipt(self.begin, self.records_before, durable(decision))
        };
        let receipts = self.decisions.iter().map(receipt).collect();
        self.request.settle(Outcome::Done(receipts, self.warnings));
    }

    fn range(&self, decision: &Decision) -> std::ops::Range<u64> {
        let offset = decision.receipt(self.begin, self.records_before, false).offset;
        offset..offset + decision.length + 1
    }

    /// Whether its receipts can be given with `proof` as it is.
    fn is_proved(&self, proof: &Proof) -> bool {
        self.decisions.iter().all(|decision| proof.covers(&self.range(decision)))
    }
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Ledger {
            generation: 0,
            failures: 0,
            rewrites: 0,
            last_failure: None,
            lost_generations: Vec::new(),
            suspect: false,
            doubtful: false,
            proof: Proof::default(),
            proved: None,
            written_to: 0,
            synced_to: 0,
            unsynced: Vec::new(),
            syncing: false,
            indexing: false,
            last_seen: None,
        }
    }

    /// A descriptor was opened on a file of `stat`; `same_file` as the last time, as far as that can be told.
    pub(crate) fn opened(&mut self, stat: &Stat, same_file: bool) {
        self.generation += 1;
        self.proof = Proof::new(stat.length);
        self.proved = None;
        self.suspect &= same_file;
        self.doubtful = false;
        self.written_to = 0;
        self.synced_to = 0;
        self.last_seen = Some(*stat);
    }

    /// The file was rewritten in place: nothing in it is proved.
    pub(crate) fn rewritten(&mut self, length: u64) {
        self.rewrites += 1;
        self.proof = Proof::new(length);
        self.proved = None;
    }

    pub(crate) fn last_seen(&self) -> Option<Stat> {
        self.last_seen
    }

    /// Nothing waits for a sync, and nothing is suspect.
    pub(crate) fn is_settled(&self) -> bool {
        self.unsynced.is_empty() && !self.syncing && !self.suspect
    }

    /// Whether a sync of the descriptor failed since a batch on it began, when `failures` had failed.
    fn was_lost(&self, generation: u64, failures: u64) -> bool {
        if generation == self.generation {
            self.failures != failures
        } else {
            self.lost_generations.contains(&generation)
        }
    }

    /// A sync of a descriptor failed. Returns what was written through it and waits for one.
    fn fail(&mut self, generation: u64, error: &Error) -> Vec<WrittenBatch> {
        if generation == self.generation {
            self.failures += 1;
            self.suspect = true;
        } else {
            self.lost_generations.push(generation);
        }
        self.last_failure = Some(error.clone());
        self.unsynced.extract_if(.., |batch| batch.generation == generation).collect()
    }

    fn is_synced(&self) -> bool {
        self.synced_to >= self.written_to
    }
}

impl Writer {
    /// Hands a batch over that is in the file and whose lock was released. What asks for no sync is settled here.
    pub(crate) fn hand_over(&self, mut batch: WrittenBatch) {
        let storage = batch.storage.clone();
        let mut ledger = locked(&self.ledger);
        let current = ledger.generation == batch.generation;
        if ledger.was_lost(batch.generation, batch.failures) {
            let error = ledger.last_failure.clone();
            drop(ledger);
            return self.reject(batch.groups, &error.unwrap_or_else(lost_sync));
        }
        if current && batch.groups.iter().any(Group::wrote) {
            ledger.written_to = ledger.written_to.max(batch.file_end);
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
            Ok(stat) if stat.links == 0 => {
                self.put_back(settled.into_iter().map(|group| group.request).collect());
            }
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
            let generation = ledger.unsynced.first().map(|batch| batch.generation);
            let batches: Vec<WrittenBatch> = ledger
                .unsynced
                .extract_if(.., |batch| Some(batch.generation) == generation)
                .collect();
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
        if !indexing::is_due(covered, proved) {
            return;
        }
        let Some(making) = self.begin_indexing() else { return };
        let job = move || {
            let me = &making.0;
            if let Some(side) = indexing::make(&me.path, &stat, proved) {
                locked(&me.state).adopt(side, &stat);
            }
        };
        // Without a thread it is made another time.
        let _ = pool::apart(Box::new(job));
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
        let mut ledger = locked(&self.ledger);
        let mut lost = Vec::new();
        let generations: Vec<u64> = ledger
            .unsynced
            .iter()
            .map(|batch| batch.generation)
            .chain([ledger.generation])
            .collect();
        for generation in generations {
            lost.extend(ledger.fail(generation, &error));
        }
        drop(ledger);
        for batch in lost {
            self.reject(batch.groups, &error);
        }
    }

    /// One sync of the open descriptor, outside of a batch.
    ///
    /// # Errors
    /// `EIO`; then everything that was written and not yet synced is rejected, and the file is suspect.
    pub(crate) fn sync_once(&self, storage: &dyn Storage, generation: u64) -> Result<(), Error> {
        let failures = locked(&self.ledger).failures;
        let length = storage.stat().map_err(|error| cannot("fstat", error))?.length;
        self.sync_through(storage, generation, failures, length)
    }

    fn sync_batches(&self, batches: Vec<WrittenBatch>) {
        let Some(last) = batches.last() else { return };
        let (storage, generation, failures) =
            (last.storage.clone(), last.generation, last.failures);
        let (rewrites, end, file_end) = (last.rewrites, last.end.clone(), last.file_end);
        let groups: Vec<Group> = batches.into_iter().flat_map(|batch| batch.groups).collect();
        let begun = Instant::now();
        if let Err(error) = self.sync_through(&*storage, generation, failures, file_end) {
            return self.reject(groups, &error);
        }
        let synced = begun.elapsed();
        match storage.stat() {
            Ok(stat) if stat.links == 0 => {
                return self.put_back(groups.into_iter().map(|group| group.request).collect());
            }
            Ok(_) => {}
            Err(error) => return self.reject(groups, &cannot("fstat", error)),
        }
        {
            let mut ledger = locked(&self.ledger);
            let is_current = ledger.generation == generation && ledger.rewrites == rewrites;
            if is_current && !ledger.suspect {
                ledger.proved = Some(end);
            }
        }
        match self.prove_duplicates(&*storage, generation, &groups, file_end) {
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
        storage: &dyn Storage,
        generation: u64,
        groups: &[Group],
        file_end: u64,
    ) -> Result<Vec<usize>, Error> {
        let mut unproved = Vec::new();
        {
            let ledger = locked(&self.ledger);
            let current = ledger.generation == generation;
            for (at, group) in groups.iter().enumerate() {
                for decision in &group.decisions {
                    let Place::Old { offset, .. } = decision.place else {
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
        for stretch in unproved.chunk_by(|left, right| right.0 <= left.1.end + GAP) {
            let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else {
                continue;
            };
            // Pages that somebody maps stay in the cache; on such files a duplicate rests on the sync alone.
            storage
                .drop_cached(first.0..last.1.end)
                .map_err(|error| cannot("posix_fadvise", error))?;
        }
        let mut missing = Vec::new();
        for (offset, range, at, decision) in unproved {
            let there = record::read_record(storage, offset, file_end)
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
        storage: &dyn Storage,
        generation: u64,
        failures: u64,
        length: u64,
    ) -> Result<(), Error> {
        let _gate = locked(&self.gate);
        {
            let ledger = locked(&self.ledger);
            if ledger.was_lost(generation, failures) {
                return Err(ledger.last_failure.clone().unwrap_or_else(lost_sync));
            }
        }
        self.shared.counters().syncs.fetch_add(1, Ordering::Relaxed);
        let synced = storage.sync();
        let mut ledger = locked(&self.ledger);
        let current = ledger.generation == generation;
        match synced {
            Ok(()) if current => {
                ledger.proof.synced(length);
                ledger.synced_to = ledger.synced_to.max(length);
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(error) => {
                let error = cannot("fdatasync", error);
                let lost = ledger.fail(generation, &error);
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
        let Some((storage, generation)) = state.descriptor() else {
            return true;
        };
        if self.last_used().elapsed() < idle {
            return false;
        }
        let (settled, synced) = {
            let ledger = locked(&self.ledger);
            (ledger.is_settled(), ledger.is_synced())
        };
        if !settled || (!synced && self.sync_once(&*storage, generation).is_err()) {
            return false;
        }
        state.close(self);
        true
    }

    fn reject(&self, groups: Vec<Group>, error: &Error) {
        for group in groups {
            let written = if group.wrote() { Written::Unknown } else { Written::No };
            group.request.settle(Outcome::Failed(self.about(error.clone().with_written(written))));
        }
    }
}

/// Ends the making of a side index on every way out.
pub(crate) struct EndIndexing(Arc<Writer>);

impl Drop for EndIndexing {
    fn drop(&mut self) {
        locked(&self.0.ledger).indexing = false;
    }
}

/// Ends the sync job on every way out.
struct EndSync<'a>(&'a Writer);

impl Drop for EndSync<'_> {
    fn drop(&mut self) {
        self.0.syncing(0);
        locked(&self.0.ledger).syncing = false;
    }
}

fn cannot(operation: &'static str, error: std::io::Error) -> Error {
    Error::io("cannot make the append durable", operation, error)
}

fn gone() -> std::io::Error {
    std::io::Error::other("a record that the log had is not on the disk")
}

fn lost_sync() -> Error {
    cannot("fdatasync", std::io::Error::other("a sync of this file failed"))
}
