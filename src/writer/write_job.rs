//! The write job: from a queue of events to whole lines at the end of the file, under the lock.
//!
//! acquire -> (re-read what is suspect) -> catch up -> decide -> one write -> release. Nothing that was learnt before the
//! lock was taken is trusted after it.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::append::batch::{Batch, Before, Decision, Location, Past};
use crate::append::request::{BatchFacts, Observer, Outcome, Request, Warning};
use crate::dedup::builder;
use crate::dedup::log_view::{CaughtUp, LogView};
use crate::dedup::lookup::FoundRecord;
use crate::error::{Code, Error, Result, Written};
use crate::event::Id;
use crate::mutex::locked;
use crate::os;
use crate::storage::syncs::cannot_sync;
use crate::storage::{Stat, Storage};
use crate::writer::acquire::cannot;
use crate::writer::append_bytes::{self, Handed};
use crate::writer::state::{Open, State};
use crate::writer::written::{Descriptor, Group, WrittenBatch};
use crate::writer::{Next, Writer};

/// More than so many bytes to catch up with are scanned after the lock was given back, and only then it is taken again.
const LONG_SCAN: u64 = 4 << 20;
/// What is read again from the disk before the first batch on a descriptor, at the least.
const LAST_PAGE: u64 = 4096;

/// A request that conflicts with a record.
struct Refused {
    request: Arc<Request>,
    error: Error,
}

impl Writer {
    /// Writes one batch, if the lock is free.
    pub(crate) fn write(&self) -> Next {
        self.gather();
        let is_ready = self.prepare();
        let mut state = locked(&self.state);
        if !is_ready {
            state.waits(self, false);
            state.tried_at = None;
            return self.after_write();
        }
        let tried_at = *state.tried_at.get_or_insert_with(Instant::now);
        let acquired = self.acquire(&mut state);
        state.waits(self, matches!(acquired, Ok(None)));
        if !matches!(acquired, Ok(None)) {
            state.tried_at = None;
        }
        let lock_wait = tried_at.elapsed();
        let (lock, stat) = match acquired {
            Err(error) => {
                self.reject_prepared(&error);
                return self.after_write();
            }
            Ok(None) => return self.try_later(&mut state),
            Ok(Some(acquired)) => acquired,
        };
        // Not forgotten at once: a file whose lock is fought over is waited for at everybody's pace.
        state.attempts = state.attempts.saturating_sub(2);
        let seen = state.history.scan_state().offset.max(state.looked_to);
        if stat.length.saturating_sub(seen) > LONG_SCAN && !locked(&self.ledger).is_suspect() {
            lock.release(self, &mut state);
            return self.scan_ahead(&mut state, stat.length);
        }
        state.asked_index = false;
        let requests = self.take_batch(state.one_by_one > 0);
        state.one_by_one = state.one_by_one.saturating_sub(1);
        if requests.is_empty() {
            lock.release(self, &mut state);
            return self.after_write();
        }
        self.shared.counters().waited(lock_wait);
        let mut refused = Vec::new();
        let committed = self.commit(&mut state, &stat, &requests, lock_wait, &mut refused);
        lock.release(self, &mut state);
        let may_be_told_apart = committed.as_ref().is_err_and(|error| {
            let failed_write = error.cause().is_some_and(|cause| cause.operation == "write");
            failed_write && error.written() == Some(Written::No)
        });
        let again = requests.len() > 1 && may_be_told_apart;
        if again {
            // What was too much for the disk or a limit may be one caller's alone.
            state.one_by_one = requests.len();
        }
        let side_failed = state.history.side_failed();
        if side_failed {
            state.discard_side(self.path.as_path());
        }
        drop(state);
        match committed {
            Ok(batch) if batch.is_glued => {
                self.put_back(refused.into_iter().map(|refused| refused.request).collect());
                locked(&self.ledger).wrote_to(batch.file_end);
                self.run_again(batch.groups, &glued());
            }
            Ok(batch) => {
                refused.into_iter().for_each(|refused| self.refuse(refused));
                self.hand_over(batch);
            }
            Err(_) if side_failed || again => self.put_back(requests),
            Err(error) => {
                let is_refused = |request: &Arc<Request>| {
                    refused.iter().any(|refused| Arc::ptr_eq(&refused.request, request))
                };
                for request in requests.iter().filter(|request| !is_refused(request)) {
                    request.settle(Outcome::Failed(self.about(error.clone())));
                }
                self.put_back(refused.into_iter().map(|refused| refused.request).collect());
            }
        }
        self.after_write()
    }

    fn refuse(&self, Refused { request, error }: Refused) {
        request.settle(Outcome::Failed(self.about(error.with_written(Written::No))));
    }

    fn try_later(&self, state: &mut State) -> Next {
        self.tried_in_vain();
        let pause = self.shared.pause(state.attempts);
        state.attempts = state.attempts.saturating_add(1).min(10);
        match self.after_write() {
            Next::Done => {
                state.waits(self, false);
                state.tried_at = None;
                Next::Done
            }
            _ => Next::At(Instant::now() + pause),
        }
    }

    /// Scans up to a length that was seen under the lock, without it: what lies before cannot change, because a failed write is
    /// taken back under the lock under which it was made. The side index is asked first.
    fn scan_ahead(&self, state: &mut State, length: u64) -> Next {
        state.looked_to = length;
        match self.scanning(|| self.learn(state, length)) {
            Ok(()) => Next::Now,
            // The file was cut meanwhile: the catch-up under the lock will see that.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Next::Now,
            Err(error) => {
                self.reject_prepared(&cannot("pread", error));
                self.after_write()
            }
        }
    }

    fn learn(&self, state: &mut State, length: u64) -> io::Result<()> {
        let State { open: Some(open), history, known, asked_index, .. } = state else {
            return Ok(());
        };
        let rewritten = |open: &mut Open| {
            locked(&self.ledger).rewritten(length);
            open.fresh = true;
        };
        let storage = open.descriptor.storage.clone();
        if history.check(&*storage, length)? {
            rewritten(open);
        }
        if !std::mem::replace(asked_index, true)
            && let Some((_making, stat)) = self.begin_indexing().zip(*known)
        {
            builder::load_or_build(&self.path, &*storage, &stat, history, length);
        }
        if self.scan(open, history, length)?.restarted {
            rewritten(open);
        }
        Ok(())
    }

    /// Decides and writes, under the lock. What a request is `refused` for may be a record of this batch: the caller settles it once
    /// the batch is written, and has it decided once more if that fails.
    fn commit(
        &self,
        state: &mut State,
        stat: &Stat,
        requests: &[Arc<Request>],
        lock_wait: Duration,
        refused: &mut Vec<Refused>,
    ) -> Result<WrittenBatch> {
        let Some(open) = &mut state.open else {
            return Err(cannot("fstat", io::Error::other("the descriptor was closed")));
        };
        let descriptor = open.descriptor.clone();
        let storage = descriptor.storage.clone();
        let history = &mut state.history;
        let (caught, failures) = self.catch_up(open, history, stat.length)?;

        let tail_length = caught.tail.length;
        let before = Before {
            records: history.scan_state().records,
            offset: history.scan_state().offset,
            tail_id: history.scan_state().tail_id.clone(),
            last_id: history.scan_state().last_id.clone(),
            open: caught.tail.record,
        };
        let open_offset = before.offset;
        let mut batch = Batch::new(before);
        let mut groups = Vec::new();
        for request in requests {
            let mut past = Records { storage: &*storage, history };
            match batch.decide(request.events(), request.is_single(), &request.options, &mut past) {
                Ok(decisions) => groups.push(group(request, decisions, &mut state.warnings)),
                // The look-up failed: it is not known whether the event is a duplicate.
                Err(error) if error.code() == Code::Io => {
                    return Err(error.with_written(Written::No));
                }
                Err(error) => refused.push(Refused { request: request.clone(), error }),
            }
        }
        let is_open = |decision: &Decision| {
            tail_length > 0
                && matches!(decision.place, Location::Old { offset, .. } if offset == open_offset)
        };
        let ends_tail = tail_length > 0
            && (!batch.buffer().is_empty()
                || groups.iter().flat_map(|group| &group.decisions).any(is_open));
        let (mut file_end, mut is_glued) = (stat.length, false);
        if ends_tail || !batch.buffer().is_empty() {
            let mut bytes = Vec::new();
            let bytes: &[u8] = if ends_tail {
                bytes.push(b'\n');
                bytes.extend_from_slice(batch.buffer());
                &bytes
            } else {
                batch.buffer()
            };
            let handed = Handed { bytes, batch: &batch, start: stat.length, tail_length };
            append_bytes::write_at_end(&*storage, &handed, || self.sync_once(&descriptor))?;
            let landed = append_bytes::land(&*storage, history, &handed)
                .map_err(|error| cannot("pread", error).with_written(Written::Unknown))?;
            file_end = landed.file_end;
            is_glued = landed.is_glued;
            self.shared.counters().batches.fetch_add(1, Ordering::Relaxed);
            for group in &mut groups {
                group.begin = landed.begin;
                group.records_before = landed.records_before;
            }
        }
        self.observe(&mut groups, batch.buffer().len(), lock_wait);
        let end = history.scan_state().clone();
        let rewrites = locked(&self.ledger).rewrites;
        Ok(WrittenBatch { descriptor, failures, rewrites, end, file_end, is_glued, groups })
    }

    /// Has each observer told of the batch, with the first of its appends.
    fn observe(&self, groups: &mut [Group], bytes: usize, lock_wait: Duration) {
        let observers: Vec<_> =
            groups.iter().map(|group| group.request.options.observer.clone()).collect();
        if observers.iter().all(Option::is_none) {
            return;
        }
        let decisions = || groups.iter().flat_map(|group| &group.decisions);
        let duplicates = decisions().filter(|decision| decision.duplicate).count();
        let facts = BatchFacts {
            path: self.path.as_path().to_owned(),
            appends: groups.len(),
            events: decisions().count() - duplicates,
            duplicates,
            bytes,
            lock_wait,
            sync: None,
        };
        let mut told: Vec<Observer> = Vec::new();
        for (group, observer) in groups.iter_mut().zip(observers) {
            if let Some(observer) = observer
                && !told.iter().any(|other| other.is_same(&observer))
            {
                group.facts = Some(facts.clone());
                told.push(observer);
            }
        }
    }

    /// Learns what was appended since the lock was held last. What is suspect, and the last page of a file just opened, is
    /// read from the disk, not from the page cache.
    ///
    /// Returns also how many syncs had failed when it began: one that fails from here on rejects the batch.
    fn catch_up(
        &self,
        open: &mut Open,
        history: &mut LogView,
        length: u64,
    ) -> Result<(CaughtUp, u64)> {
        // Counted before it is asked whether the file is suspect: a sync that fails in between makes it suspect, or rejects the batch.
        let failures = open.descriptor.syncs.failures();
        let (suspect, sure) = {
            let mut ledger = locked(&self.ledger);
            if std::mem::take(&mut ledger.doubtful) {
                history.clear();
                ledger.rewritten(length);
            }
            (ledger.is_suspect(), ledger.last_sure())
        };
        if suspect {
            let sure = sure.unwrap_or_default();
            // From the page on in which the last sure byte stands.
            let start = sure.offset.min(length).saturating_sub(1) / LAST_PAGE * LAST_PAGE;
            let range = start..length;
            self.sync_once(&open.descriptor).map_err(|error| error.with_written(Written::No))?;
            if !self.reread(&open.descriptor, range)? {
                return Err(cannot("posix_fadvise", os::busy()));
            }
            history.roll_back(sure);
        } else if open.fresh {
            self.reread_last_page(open, length)?;
        }
        let caught = loop {
            let caught =
                self.scan(open, history, length).map_err(|error| cannot("pread", error))?;
            if !caught.restarted {
                break caught;
            }
            locked(&self.ledger).rewritten(length);
            self.reread_last_page(open, length)?;
        };
        if suspect {
            locked(&self.ledger).answered(failures);
        }
        open.fresh = false;
        Ok((caught, failures))
    }

    /// Scans up to `length`. Of a file just opened it notes how the log was at the open, where what is read again after a failed sync
    /// begins.
    fn scan(&self, open: &Open, history: &mut LogView, length: u64) -> io::Result<CaughtUp> {
        let storage = &*open.descriptor.storage;
        if open.fresh {
            let opened_at = locked(&self.ledger).opened_at();
            if history.scan_state().offset <= opened_at && opened_at < length {
                let caught = history.catch_up(storage, opened_at)?;
                if caught.restarted {
                    return Ok(caught);
                }
                locked(&self.ledger).scanned_at_open(history.scan_state());
            }
        }
        let caught = history.catch_up(storage, length)?;
        if open.fresh && !caught.restarted {
            locked(&self.ledger).scanned_at_open(history.scan_state());
        }
        Ok(caught)
    }

    /// What stands at the end decides how the next line begins: it must be what the disk holds.
    fn reread_last_page(&self, open: &Open, length: u64) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        self.sync_once(&open.descriptor).map_err(|error| error.with_written(Written::No))?;
        let start = (length - 1) / LAST_PAGE * LAST_PAGE;
        // A page that somebody maps stays in the cache; then this rests on the sync alone.
        self.reread(&open.descriptor, start..length).map(|_| ())
    }

    fn reread(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<bool> {
        let dropped = descriptor.storage.drop_cached(range.clone());
        let gone = dropped.map_err(|error| cannot("posix_fadvise", error))?;
        let mut ledger = locked(&self.ledger);
        if gone && ledger.generation == descriptor.generation {
            ledger.proof.reread(range);
        }
        Ok(gone)
    }
}

fn group(request: &Arc<Request>, decisions: Vec<Decision>, warnings: &mut Vec<Warning>) -> Group {
    let mut warnings = std::mem::take(warnings);
    warnings.extend(decisions.iter().filter_map(Decision::warning));
    Group {
        request: request.clone(),
        decisions,
        begin: 0,
        records_before: 0,
        warnings,
        facts: None,
    }
}

fn glued() -> Error {
    let cause = "another program wrote a part of a line right before the append";
    cannot_sync("write", io::Error::other(cause))
}

/// The records in the file, looked up under the lock.
struct Records<'a> {
    storage: &'a dyn Storage,
    history: &'a mut LogView,
}

impl Past for Records<'_> {
    fn find(&mut self, id: &Id) -> Result<Option<FoundRecord>> {
        self.history.find(self.storage, id).map_err(|error| cannot("pread", error))
    }

    fn seq_of(&mut self, offset: u64) -> Result<u64> {
        self.history.seq_of(self.storage, offset).map_err(|error| cannot("pread", error))
    }
}
