//! One writer for each path: the queue of what callers ask, and the two jobs that serve it.
//!
//! The write job takes the lock, catches up, decides and writes a batch ([`crate::writer::write_job`]); the sync job makes batches
//! durable and settles them ([`crate::writer::ledger`]). At most one of each is under way for a path, so the next batch is
//! written while the disk works on the last. Every way out of a job, a panic included, settles what it holds.

mod append_bytes;
mod written;
pub(crate) mod shared;
mod ledger;
mod state;
pub(crate) mod acquire;
mod write_job;
pub mod registry;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::append::request::{Outcome, Request, in_parts};
use crate::error::{Error, Written};
use crate::mutex::locked;
use crate::path::ChroniclePath;
use crate::storage::lock_timeout;
use crate::threads::pool::{self, Alarm};
use crate::writer::ledger::Ledger;
use crate::writer::shared::Shared;
use crate::writer::state::State;

/// Requests that a batch is held back for, how long, and how many have to be in flight for that.
const ENOUGH: usize = 64;
const GATHER: Duration = Duration::from_micros(200);
const FEW: usize = 4;
/// A batch takes in whole requests until it has so many bytes.
const BATCH: usize = 8 << 20;

/// The writer of one path.
pub(crate) struct Writer {
    pub(crate) path: ChroniclePath,
    pub(crate) shared: Arc<Shared>,
    pub(crate) me: Weak<Writer>,
    queue: Mutex<Queue>,
    gathered: Condvar,
    /// The write job's own; held while it runs.
    pub(crate) state: Mutex<State>,
    pub(crate) ledger: Mutex<Ledger>,
    /// The write job scans without the lock, which the deadlines do not cover.
    scanning: AtomicBool,
    started: Instant,
    used_at: AtomicU64,
}

/// Requests in their order: those that are ready for a batch, then the others. Who is checking some has taken them out.
#[derive(Default)]
struct Queue {
    ready: VecDeque<Arc<Request>>,
    fresh: VecDeque<Arc<Request>>,
    /// So many requests wait for a sync that is under way.
    syncing: usize,
    /// The write job waits for more.
    gathering: bool,
    /// A write job is running, ready to run or waiting for its next try.
    writing: bool,
    /// When [`Writer::expire`] runs next.
    alarm: Option<(Instant, Alarm)>,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.fresh.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Request>> {
        self.ready.iter().chain(&self.fresh)
    }
}

/// When the write job has to run again.
pub(crate) enum Next {
    /// Not before something is submitted.
    Done,
    Now,
    At(Instant),
}

impl Writer {
    pub(crate) fn new(path: ChroniclePath, shared: Arc<Shared>) -> Arc<Writer> {
        Arc::new_cyclic(|me| Writer {
            path,
            shared,
            me: me.clone(),
            queue: Mutex::default(),
            gathered: Condvar::new(),
            state: Mutex::new(State::new()),
            ledger: Mutex::new(Ledger::new()),
            scanning: AtomicBool::new(false),
            started: Instant::now(),
            used_at: AtomicU64::new(0),
        })
    }

    /// Puts a request into the queue and sees to it that it is served or times out.
    pub(crate) fn submit(&self, request: Arc<Request>) {
        self.touch();
        let expires_at = request.expires_at();
        let mut queue = locked(&self.queue);
        queue.fresh.push_back(request);
        if queue.gathering && queue.fresh.len() >= ENOUGH {
            queue.gathering = false;
            self.gathered.notify_all();
        }
        let start = !std::mem::replace(&mut queue.writing, true);
        let armed = self.arm(&mut queue, expires_at);
        drop(queue);
        let started = if start { self.schedule(Next::Now) } else { Ok(()) };
        if let Err(error) = armed.and(started) {
            self.reject_queued(
                &Error::io("cannot start a thread", "clone", error).with_written(Written::No),
            );
            locked(&self.queue).writing = false;
        }
    }

    /// Time since the last submission or settlement.
    pub(crate) fn last_used(&self) -> Instant {
        self.started + Duration::from_millis(self.used_at.load(Ordering::Relaxed))
    }

    pub(crate) fn touch(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used_at.store(now, Ordering::Relaxed);
    }

    /// Whether all of it may be forgotten: nothing queued, no descriptor, no bytes that are suspect, unused for `idle`.
    pub(crate) fn is_forgettable(&self, idle: Duration) -> bool {
        let quiet = {
            let queue = locked(&self.queue);
            !queue.writing && queue.is_empty()
        };
        quiet
            && self.last_used().elapsed() >= idle
            && self.state.try_lock().is_ok_and(|state| !state.has_descriptor())
            && locked(&self.ledger).is_settled()
    }

    /// The write job, followed by the sync of what it wrote.
    fn run(&self) {
        let next = match catch_unwind(AssertUnwindSafe(|| self.write())) {
            Ok(next) => next,
            Err(_) => {
                // What it held was settled when it was dropped. Nothing it knew is trusted any more.
                locked(&self.state).reset(self);
                self.state.clear_poison();
                self.after_write()
            }
        };
        // Whoever waits in the queue is served by another thread while this one syncs.
        let _ = self.schedule(next);
        if catch_unwind(AssertUnwindSafe(|| self.sync_written())).is_err() {
            self.sync_panicked();
        }
        self.touch();
    }

    fn schedule(&self, next: Next) -> std::io::Result<()> {
        let Some(me) = self.me.upgrade() else {
            return Ok(());
        };
        let job = Box::new(move || me.run());
        match next {
            Next::Done => Ok(()),
            Next::Now => pool::run(job),
            Next::At(at) => pool::run_at(at, job),
        }
    }

    /// Whether the write job is needed again. Clears its mark in the same step as it looks, so that nothing submitted is left lying.
    pub(crate) fn after_write(&self) -> Next {
        let mut queue = locked(&self.queue);
        if queue.is_empty() {
            queue.writing = false;
            Next::Done
        } else {
            Next::Now
        }
    }

    /// Lets the queue grow while the disk works for others: a batch costs the same for one event as for many. For a moment only, because a
    /// disk may take long, and not where few are in flight, who would write later for no gain.
    pub(crate) fn gather(&self) {
        let mut queue = locked(&self.queue);
        queue.gathering = queue.syncing >= FEW && queue.fresh.len() < ENOUGH;
        let gathered = self.gathered.wait_timeout_while(queue, GATHER, |queue| queue.gathering);
        gathered.unwrap_or_else(PoisonError::into_inner).0.gathering = false;
    }

    /// So many requests wait for a sync that is under way.
    pub(crate) fn syncing(&self, requests: usize) {
        let mut queue = locked(&self.queue);
        queue.syncing = requests;
        if requests == 0 && queue.gathering {
            queue.gathering = false;
            self.gathered.notify_all();
        }
    }

    /// Checks queued events and computes their ids, before the lock is asked for. Says whether any is ready for a batch.
    pub(crate) fn prepare(&self) -> bool {
        let fresh: Arc<[Arc<Request>]> = {
            let mut queue = locked(&self.queue);
            let mut bytes = 0;
            let within = |request: &&Arc<Request>| {
                bytes += request.bytes;
                bytes - request.bytes < BATCH
            };
            let count = queue.fresh.iter().take_while(within).count();
            queue.fresh.drain(..count).collect()
        };
        let unprepared = fresh.clone();
        let prepared = in_parts(fresh.len(), move |index| {
            unprepared.get(index).map_or(Ok(()), |request| request.prepare())
        });
        for (request, prepared) in fresh.iter().zip(prepared) {
            if let Err(error) = prepared {
                request.settle_queued(Outcome::Failed(self.about(error.with_written(Written::No))));
            }
        }
        let mut queue = locked(&self.queue);
        let mut armed = Ok(());
        for request in fresh.iter().filter(|request| request.is_queued()) {
            // The alarm may have rung while nobody saw them.
            armed = armed.and(self.arm(&mut queue, request.expires_at()));
            queue.ready.push_back(request.clone());
        }
        while queue.ready.front().is_some_and(|request| !request.is_queued()) {
            queue.ready.pop_front();
        }
        let is_ready = !queue.ready.is_empty();
        drop(queue);
        if let Err(error) = armed {
            self.reject_queued(
                &Error::io("cannot start a thread", "clone", error).with_written(Written::No),
            );
            return false;
        }
        is_ready
    }

    /// Takes prepared requests out of the queue for one batch, in their order.
    pub(crate) fn take_batch(&self, only_one: bool) -> Vec<Arc<Request>> {
        let mut queue = locked(&self.queue);
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH && (batch.is_empty() || !only_one) {
            let Some(request) = queue.ready.pop_front() else {
                break;
            };
            if request.take() {
                bytes += request.bytes;
                batch.push(request);
            }
        }
        batch
    }

    /// Puts requests back at the head of the queue, to be decided again.
    pub(crate) fn put_back(&self, requests: Vec<Arc<Request>>) {
        if requests.is_empty() {
            return;
        }
        let mut queue = locked(&self.queue);
        let mut armed = Ok(());
        for request in requests.into_iter().rev() {
            request.put_back();
            let expires_at = request.expires_at();
            queue.ready.push_front(request);
            armed = armed.and(self.arm(&mut queue, expires_at));
        }
        let start = !std::mem::replace(&mut queue.writing, true);
        drop(queue);
        let started = if start { self.schedule(Next::Now) } else { Ok(()) };
        if let Err(error) = armed.and(started) {
            self.reject_queued(
                &Error::io("cannot start a thread", "clone", error).with_written(Written::No),
            );
            locked(&self.queue).writing = false;
        }
    }

    /// The lock was tried for all that is queued and prepared. Those whose time is over are told at once.
    pub(crate) fn tried_in_vain(&self) {
        let queue = locked(&self.queue);
        queue.ready.iter().for_each(|request| request.mark_tried());
        drop(queue);
        self.expire();
    }

    /// Scans; no deadline ends meanwhile, and queued requests get the time back that it took.
    pub(crate) fn scanning<T>(&self, scan: impl FnOnce() -> T) -> T {
        struct End<'a>(&'a Writer, Instant);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                let took = self.1.elapsed();
                for request in locked(&self.0.queue).all() {
                    // One that came while the scan was under way waited for a part of it.
                    request.extend(took.min(request.waited()));
                }
                self.0.scanning.store(false, Ordering::Release);
            }
        }
        self.scanning.store(true, Ordering::Release);
        let _end = End(self, Instant::now());
        scan()
    }

    /// Rejects everything queued.
    pub(crate) fn reject_queued(&self, error: &Error) {
        let (ready, fresh) = {
            let mut queue = locked(&self.queue);
            (std::mem::take(&mut queue.ready), std::mem::take(&mut queue.fresh))
        };
        for request in ready.into_iter().chain(fresh) {
            request.settle_queued(Outcome::Failed(self.about(error.clone())));
        }
    }

    /// Rejects what is queued and prepared: the lock or the file could not be had for it.
    pub(crate) fn reject_prepared(&self, error: &Error) {
        for request in self.take_batch(false) {
            request.settle(Outcome::Failed(self.about(error.clone().with_written(Written::No))));
        }
    }

    /// The error with the path in it.
    pub(crate) fn about(&self, error: Error) -> Error {
        error.with_path(self.path.as_path())
    }

    /// Tells those whose deadline is over that the lock was not free.
    fn expire(&self) {
        const LOOK_AGAIN: Duration = Duration::from_millis(50);
        let now = Instant::now();
        let mut expired = Vec::new();
        let mut queue = locked(&self.queue);
        let scanning = self.scanning.load(Ordering::Acquire);
        let mut stays = |request: &Arc<Request>| {
            let over = !scanning && request.is_queued() && request.expires_at() <= now;
            if over {
                expired.push(request.clone());
            }
            request.is_queued() && !over
        };
        queue.ready.retain(&mut stays);
        queue.fresh.retain(stays);
        let next = queue.all().map(|request| request.expires_at()).min();
        let next = next.map(|at| if scanning { at.max(now + LOOK_AGAIN) } else { at });
        if queue.alarm.as_ref().is_some_and(|(at, _)| *at <= now) {
            queue.alarm = None;
        }
        let armed = next.map_or(Ok(()), |at| self.arm(&mut queue, at));
        drop(queue);
        if expired.is_empty() && armed.is_ok() {
            return;
        }
        let seen = locked(&self.ledger).last_seen();
        let holder = seen.and_then(|stat| self.shared.disk.lock_holder(&stat));
        for request in expired {
            let error =
                lock_timeout::timeout(self.path.as_path(), seen.as_ref(), holder, request.waited());
            request.settle_queued(Outcome::Failed(error.with_written(Written::No)));
        }
    }

    /// Sees to it that [`Writer::expire`] runs at `at`.
    fn arm(&self, queue: &mut Queue, at: Instant) -> std::io::Result<()> {
        if queue.alarm.as_ref().is_some_and(|(armed, _)| *armed <= at) {
            return Ok(());
        }
        let me = self.me.clone();
        let ring = move || {
            if let Some(writer) = me.upgrade() {
                writer.expire();
            }
        };
        queue.alarm = Some((at, pool::call_at(at, Box::new(ring))?));
        Ok(())
    }
}
