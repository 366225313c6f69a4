//! The write job: from a queue of events to whole lines at the end of the file, under the lock.
//!
//! gather -> prepare -> lock -> catch up -> decide -> write -> release -> hand over. At most one
//! write job of a log is under way in this process; the lock of the log keeps those of other
//! processes away. Nothing that was known before the lock was taken is used after it without a
//! look at the file. The job never waits for a sync of its batch: that is the sync job's.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use crate::append::batch::Batch;
use crate::append::decide::{Refused, decide, needs_write};
use crate::append::group::{self, Group};
use crate::append::process::ProcessContext;
use crate::append::queue::{Next, RequestQueue};
use crate::append::request::{Outcome, Request, Warning, cannot_append as cannot};
use crate::dedup::builder;
use crate::dedup::index_file::SideIndex;
use crate::dedup::log_view::{CaughtUp, LogView};
use crate::dedup::scan_state::ScanState;
use crate::error::{Error, Result, Written};
use crate::mutex::locked;
use crate::path::ChroniclePath;
use crate::storage::descriptors::{DescriptorLease, Descriptors, HoldsDescriptor};
use crate::storage::disk::OpenFile;
use crate::storage::locked_log::{self, AcquireOutcome, CountedWaiter, LogLockGuard, Reopens};
use crate::storage::syncs::cannot_sync;
use crate::storage::{Disk, Stat};
use crate::threads::pool;
use crate::writer::append_bytes::{self, Placement};
use crate::writer::catch_up::{catch_up, scan};
use crate::writer::ledger::LedgerEntry;
use crate::writer::sync_job::SyncJob;

/// More bytes than this to catch up with are scanned without the lock, which is then taken again.
const LONG_SCAN_BYTES: u64 = 4 << 20;

/// The write job of one log. Owns the descriptor and the view of the log.
pub(super) struct WriteJob {
    path: ChroniclePath,
    disk: Arc<dyn Disk>,
    process: Arc<ProcessContext>,
    descriptors: Arc<Descriptors>,
    queue: Arc<RequestQueue>,
    sync: Arc<SyncJob>,
    me: Weak<WriteJob>,
    log: Mutex<LogState>,
    /// A side index of the log is being built or consulted.
    is_indexing: AtomicBool,
}

/// What the job keeps from one batch to the next.
#[derive(Default)]
struct LogState {
    open: Option<OpenLog>,
    /// The file whose entry in its folder was made durable last.
    entered: Option<Stat>,
    /// The file that the view is about.
    known: Option<Stat>,
    view: LogView,
    /// How far was scanned without the lock; a tail that is not ended stays behind it.
    scanned_ahead_to: u64,
    /// The index was consulted since the last batch. Until the next batch what came meanwhile is
    /// scanned: a second look at the index would take longer.
    index_consulted: bool,
    /// The next batches, as many as this, take in one request only.
    one_by_one: usize,
    /// Vain tries for the lock, which make the pauses longer. A batch subtracts two of them. While
    /// many processes want the lock, each of them so keeps to long pauses.
    attempts: u32,
    waiting: Option<CountedWaiter>,
    /// When the lock was first tried for the next batch.
    tried_at: Option<Instant>,
    /// For the next receipt.
    warnings: Vec<Warning>,
}

struct OpenLog {
    file: OpenFile,
    /// The last page was not read from the disk yet.
    is_fresh: bool,
    _lease: DescriptorLease,
}

/// A batch that is in the file.
struct AppendedBatch {
    file: OpenFile,
    /// Syncs that had failed when the batch began.
    failures: u64,
    /// The log after the batch.
    view: ScanState,
    placement: Placement,
    groups: Vec<Group>,
}

impl WriteJob {
    pub(super) fn new(
        path: ChroniclePath,
        disk: Arc<dyn Disk>,
        process: Arc<ProcessContext>,
        descriptors: Arc<Descriptors>,
        queue: Arc<RequestQueue>,
        sync: Arc<SyncJob>,
    ) -> Arc<WriteJob> {
        Arc::new_cyclic(|me| WriteJob {
            path,
            disk,
            process,
            descriptors,
            queue,
            sync,
            me: me.clone(),
            log: Mutex::default(),
            is_indexing: AtomicBool::new(false),
        })
    }

    /// Writes one batch, if the lock is free. Returns when the job has to run again.
    pub(super) fn run(&self) -> Next {
        let written = catch_unwind(AssertUnwindSafe(|| self.write_batch()));
        written.unwrap_or_else(|_| {
            // What the job held was settled when it was dropped. Nothing it knew is used any more.
            locked(&self.log).reset();
            self.log.clear_poison();
            self.queue.next()
        })
    }

    /// The way of a batch from the queue to the file.
    fn write_batch(&self) -> Next {
        self.queue.gather();
        let is_ready = self.queue.prepare();
        let mut log = locked(&self.log);
        if !is_ready {
            log.end_wait();
            return self.queue.next();
        }
        let tried_at = *log.tried_at.get_or_insert_with(Instant::now);
        let (guard, stat) = match self.lock(&mut log) {
            Ok(Some(held)) => held,
            Ok(None) => return self.try_later(&mut log),
            Err(error) => {
                log.end_wait();
                self.queue.reject_prepared(&error);
                return self.queue.next();
            }
        };
        log.end_wait();
        log.attempts = log.attempts.saturating_sub(2);
        let lock_wait = tried_at.elapsed();
        if self.has_long_scan(&log, stat.length) {
            log.release(guard);
            return self.scan_ahead(&mut log, stat.length);
        }
        log.index_consulted = false;
        let requests = self.queue.take_batch(log.one_by_one > 0);
        log.one_by_one = log.one_by_one.saturating_sub(1);
        if requests.is_empty() {
            log.release(guard);
            return self.queue.next();
        }
        self.process.counters().waited(lock_wait);
        let mut refused = Vec::new();
        let appended = self.catch_up(&mut log, &stat).and_then(|(file, mut caught, failures)| {
            let LogState { view, warnings, .. } = &mut *log;
            let (batch, mut groups) =
                decide(&*file, view, &mut caught, &requests, warnings, &mut refused)?;
            let placement = self.write(&file, view, &batch, &mut groups, &stat, &caught)?;
            group::observe(&mut groups, self.path.as_path(), batch.buffer().len(), lock_wait);
            Ok(AppendedBatch { file, failures, view: view.scan_state().clone(), placement, groups })
        });
        log.release(guard);
        self.hand_over(log, appended, requests, refused);
        self.queue.next()
    }

    /// Takes the lock of the file that is at the path now, opening it if need be. `None`: it is
    /// busy.
    fn lock(&self, log: &mut LogState) -> Result<Option<(LogLockGuard, Stat)>> {
        let (path, disk, locks) = (self.path.as_path(), &*self.disk, self.process.locks());
        let mut reopens = Reopens::default();
        loop {
            let file = match &log.open {
                Some(open) => open.file.clone(),
                None => self.open(log)?,
            };
            match locked_log::try_acquire(&file, path, disk, locks) {
                Ok(AcquireOutcome::Acquired(guard, stat)) => return Ok(Some((guard, stat))),
                Ok(AcquireOutcome::Busy) => return Ok(None),
                Ok(AcquireOutcome::Moved) => {}
                Err(failure) => {
                    if failure.is_stuck() {
                        log.close();
                    }
                    return Err(failure.into_error(cannot));
                }
            }
            log.close();
            log.known = None;
            if let Err(error) = reopens.count() {
                let there = disk.stat(path).map_err(|error| cannot("stat", error))?;
                // It can be opened, but not looked for by its path.
                let is_nowhere = || cannot("stat", io::ErrorKind::NotFound.into());
                return Err(there.map_or_else(is_nowhere, |_| error));
            }
        }
    }

    /// Opens the file, and begins a new generation of the ledger.
    fn open(&self, log: &mut LogState) -> Result<OpenFile> {
        let holder: Weak<dyn HoldsDescriptor> = self.me.clone();
        let lease = self.descriptors.lease(holder);
        let (file, stat, is_entered) = locked_log::open_durably(
            self.path.as_path(),
            &*self.disk,
            log.entered.as_ref(),
            cannot,
        )?;
        let is_same_file = log.known.is_some_and(|known| known.is_same_file(&stat));
        if !is_same_file || !log.view.reopen_side() {
            log.view.clear();
        }
        if log.view.scan_state().offset == 0
            && self.disk.has_side_files()
            && let Some(view) = builder::load(&self.path, &*file, &stat)
        {
            log.view = view;
        }
        self.sync.ledger().record(LedgerEntry::Opened { file: &file, stat: &stat, is_same_file });
        let warning = self.process.network_warning(self.path.as_path(), &file, &stat);
        log.warnings.extend(warning);
        log.entered = is_entered.then_some(stat);
        log.known = Some(stat);
        log.scanned_ahead_to = 0;
        log.open = Some(OpenLog { file: file.clone(), is_fresh: true, _lease: lease });
        Ok(file)
    }

    /// Holds neither the lock nor a thread until the next try.
    fn try_later(&self, log: &mut LogState) -> Next {
        let locks = self.process.locks();
        log.waiting.get_or_insert_with(|| locks.count_waiter());
        self.queue.note_busy_lock();
        let pause = locks.pause(log.attempts);
        log.attempts = log.attempts.saturating_add(1).min(10);
        match self.queue.next() {
            Next::Done => {
                log.end_wait();
                Next::Done
            }
            _ => Next::At(Instant::now() + pause),
        }
    }

    /// Whether so much came that others would wait long for the lock meanwhile.
    fn has_long_scan(&self, log: &LogState, length: u64) -> bool {
        let known = log.view.scan_state().offset.max(log.scanned_ahead_to);
        length.saturating_sub(known) > LONG_SCAN_BYTES && !self.sync.ledger().must_verify()
    }

    /// Scans without the lock up to a length that was seen under it. The bytes before that length
    /// cannot change: a failed write is taken back before its lock is released. The side index is
    /// consulted first.
    fn scan_ahead(&self, log: &mut LogState, length: u64) -> Next {
        log.scanned_ahead_to = length;
        match self.queue.without_deadlines(|| self.learn(log, length)) {
            Ok(()) => Next::Now,
            // The file was cut meanwhile: the catch-up under the lock will see that.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Next::Now,
            Err(error) => {
                self.queue.reject_prepared(&cannot("pread", error));
                self.queue.next()
            }
        }
    }

    fn learn(&self, log: &mut LogState, length: u64) -> io::Result<()> {
        let LogState { open: Some(open), view, known, index_consulted, .. } = log else {
            return Ok(());
        };
        let mark_rewritten = |open: &mut OpenLog| {
            self.sync.ledger().record(LedgerEntry::Rewritten { length });
            open.is_fresh = true;
        };
        let file = open.file.clone();
        if view.check(&*file, length)? {
            mark_rewritten(open);
        }
        if !std::mem::replace(index_consulted, true)
            && let Some((_turn, stat)) = self.begin_indexing().zip(*known)
        {
            builder::load_or_build(&self.path, &*file, &stat, view, length);
        }
        if scan(&self.sync, &file, open.is_fresh, view, length)?.restarted {
            mark_rewritten(open);
        }
        Ok(())
    }

    fn catch_up(&self, log: &mut LogState, stat: &Stat) -> Result<(OpenFile, CaughtUp, u64)> {
        let Some(open) = &mut log.open else {
            return Err(cannot("fstat", io::Error::other("the descriptor was closed")));
        };
        let (caught, failures) =
            catch_up(&self.sync, &open.file, open.is_fresh, &mut log.view, stat.length)?;
        open.is_fresh = false;
        Ok((open.file.clone(), caught, failures))
    }

    fn write(
        &self,
        file: &OpenFile,
        view: &mut LogView,
        batch: &Batch,
        groups: &mut [Group],
        stat: &Stat,
        caught: &CaughtUp,
    ) -> Result<Placement> {
        let (file_end, tail_length) = (stat.length, caught.tail.length);
        if !needs_write(batch, groups, view, tail_length) {
            return Ok(Placement::Whole { file_end });
        }
        let sync = || self.sync.sync_once(file);
        let placement =
            append_bytes::append(&**file, view, batch, (file_end, tail_length), groups, sync)?;
        self.process.counters().batches.fetch_add(1, Ordering::Relaxed);
        Ok(placement)
    }

    /// What follows from a batch whose lock was released. Nothing is settled while the state of the
    /// log is locked.
    fn hand_over(
        &self,
        mut log: MutexGuard<'_, LogState>,
        appended: Result<AppendedBatch>,
        requests: Vec<Arc<Request>>,
        refused: Vec<Refused>,
    ) {
        let may_be_told_apart = appended.as_ref().is_err_and(|error| {
            let failed_write = error.cause().is_some_and(|cause| cause.operation == "write");
            failed_write && error.written() == Some(Written::No)
        });
        let again = requests.len() > 1 && may_be_told_apart;
        if again {
            // What was too much for the disk or a limit may be one caller's alone.
            log.one_by_one = requests.len();
        }
        let side_failed = log.view.side_failed();
        if side_failed {
            log.discard_side(&self.path);
        }
        drop(log);
        let put_back = |refused: Vec<Refused>| {
            self.queue.put_back(refused.into_iter().map(|refused| refused.request).collect());
        };
        match appended {
            Ok(AppendedBatch { file, failures, view, placement, groups }) => match placement {
                Placement::Whole { file_end } => {
                    for Refused { request, error } in refused {
                        self.reject(&request, error.with_written(Written::No));
                    }
                    self.sync.hand_over(file, failures, view, file_end, groups);
                }
                Placement::Glued { file_end } => {
                    put_back(refused);
                    self.sync.ledger().record(LedgerEntry::Wrote { file: &file, end: file_end });
                    self.sync.run_again(groups, &glued());
                }
            },
            Err(_) if side_failed || again => self.queue.put_back(requests),
            Err(error) => {
                let is_refused = |request: &Arc<Request>| {
                    refused.iter().any(|refused| Arc::ptr_eq(&refused.request, request))
                };
                for request in requests.iter().filter(|request| !is_refused(request)) {
                    self.reject(request, error.clone());
                }
                put_back(refused);
            }
        }
    }

    fn reject(&self, request: &Request, error: Error) {
        request.settle(Outcome::Failed(error.with_path(self.path.as_path())));
    }

    /// Has a side index built in the background when enough became durable since the last one.
    pub(super) fn build_index(&self) {
        let Ok(log) = self.log.try_lock() else {
            return;
        };
        let Some(stat) = log.known else {
            return;
        };
        let covered = log.view.covered();
        drop(log);
        let durable = self.sync.ledger().durable_to();
        if !builder::is_due(covered, durable) {
            return;
        }
        let Some(turn) = self.begin_indexing() else { return };
        let job = move || {
            let me = &turn.0;
            if let Some(side) = builder::build(&me.path, &stat, durable) {
                locked(&me.log).install_index(side, &stat);
            }
        };
        // Without a thread it is built another time.
        let _ = pool::run_in_background(Box::new(job));
    }

    /// The right to build or consult a side index, if the log can have one: for one thread at a
    /// time, until it is dropped.
    fn begin_indexing(&self) -> Option<IndexTurn> {
        let me = self.me.upgrade().filter(|_| self.disk.has_side_files())?;
        let is_taken = self.is_indexing.swap(true, Ordering::AcqRel);
        (!is_taken).then(|| IndexTurn(me))
    }
}

/// Ends on every way out.
struct IndexTurn(Arc<WriteJob>);

impl Drop for IndexTurn {
    fn drop(&mut self) {
        self.0.is_indexing.store(false, Ordering::Release);
    }
}

impl HoldsDescriptor for WriteJob {
    fn last_used(&self) -> Instant {
        self.queue.last_used()
    }

    /// Closes the descriptor unless it is needed; bytes that were written and not synced are synced
    /// first.
    fn close_descriptor(&self, idle: Duration) -> bool {
        let Ok(mut log) = self.log.try_lock() else {
            return false;
        };
        let Some(open) = &log.open else {
            return true;
        };
        if self.last_used().elapsed() < idle || !self.sync.is_settled() {
            return false;
        }
        let has_unsynced = self.sync.ledger().has_unsynced();
        if has_unsynced && self.sync.sync_once(&open.file).is_err() {
            return false;
        }
        log.close();
        true
    }
}

impl LogState {
    fn close(&mut self) {
        self.open = None;
        self.view.close_side();
    }

    /// Releases the lock. A descriptor whose lock cannot be released is closed: that ends the lock.
    fn release(&mut self, guard: LogLockGuard) {
        if guard.release().is_err() {
            self.close();
        }
    }

    /// The lock is not waited for any more.
    fn end_wait(&mut self) {
        self.waiting = None;
        self.tried_at = None;
    }

    /// Leaves what a side index covers to it, if it is about the open file.
    fn install_index(&mut self, side: SideIndex, of: &Stat) {
        let Some(open) = &self.open else { return };
        if self.known.is_some_and(|known| known.is_same_file(of)) {
            // It stays in memory when that fails.
            let _ = self.view.install_index(&*open.file, side);
        }
    }

    /// Forgets all that came from a side index that could not be read. The log is scanned again,
    /// without the lock.
    fn discard_side(&mut self, log: &ChroniclePath) {
        if let Some(side) = self.view.failed_side() {
            side.discard(log.as_path());
        }
        self.view.clear();
        self.scanned_ahead_to = 0;
    }

    /// Forgets everything, after a panic.
    fn reset(&mut self) {
        self.close();
        self.known = None;
        self.view.clear();
        self.waiting = None;
    }
}

fn glued() -> Error {
    let cause = "another program wrote a part of a line right before the append";
    cannot_sync("write", io::Error::other(cause))
}
