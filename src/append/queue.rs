//! The queue of one log: requests that wait for a batch, in their order, and their deadlines.
//!
//! The queue knows nothing of files. It starts the job that serves it ([`ServesQueue::serve`]) when
//! a request comes and no job is under way, and it rejects a request whose deadline passes. A
//! request is in the queue until it is taken for a batch or settled.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::append::request::{Outcome, Request, in_parts};
use crate::error::{Error, Result, Written};
use crate::mutex::locked;
use crate::path::ChroniclePath;
use crate::storage::{Stat, lock_timeout};
use crate::threads::pool::{self, Alarm};

/// A batch with fewer requests is held back for a moment.
const BATCH_REQUESTS: usize = 64;
/// How long a batch is held back.
const MAX_GATHER_TIME: Duration = Duration::from_micros(200);
/// A batch is held back only while at least this number of requests waits for a sync.
const MIN_SYNCING_REQUESTS: usize = 4;
/// A batch takes whole requests until it has this many bytes.
const BATCH_BYTES: usize = 8 << 20;

/// When a queue has to be served again.
pub(crate) enum Next {
    /// Not before something is submitted.
    Done,
    Now,
    At(Instant),
}

/// What serves a queue.
pub(crate) trait ServesQueue: Send + Sync {
    /// Has the queue served on a thread of the pool.
    ///
    /// # Errors
    /// When there is no thread.
    fn serve(&self, next: Next) -> Result<()>;
    /// The file whose lock the queue waits for, and the process that holds the lock.
    fn lock_holder(&self) -> (Option<Stat>, Option<u32>);
}

/// The queue of one log.
pub(crate) struct RequestQueue {
    path: ChroniclePath,
    server: Weak<dyn ServesQueue>,
    me: Weak<RequestQueue>,
    state: Mutex<QueueState>,
    gathered: Condvar,
    /// The job scans without the lock, which the deadlines do not cover.
    is_scanning: AtomicBool,
    started: Instant,
    /// Milliseconds from `started` to the last submission or settlement.
    used_at: AtomicU64,
}

/// Requests in their order: those that are ready for a batch, then the others. A thread that
/// prepares requests has taken them out.
#[derive(Default)]
struct QueueState {
    ready: VecDeque<Arc<Request>>,
    fresh: VecDeque<Arc<Request>>,
    /// Requests that wait for a sync that is under way.
    syncing: usize,
    /// The job waits for more requests.
    is_gathering: bool,
    /// A job that serves the queue runs, is ready to run, or waits for its next try.
    is_served: bool,
    /// When [`RequestQueue::expire`] runs next.
    alarm: Option<(Instant, Alarm)>,
}

impl QueueState {
    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.fresh.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Request>> {
        self.ready.iter().chain(&self.fresh)
    }
}

impl RequestQueue {
    pub(crate) fn new(path: ChroniclePath, server: Weak<dyn ServesQueue>) -> Arc<RequestQueue> {
        Arc::new_cyclic(|me| RequestQueue {
            path,
            server,
            me: me.clone(),
            state: Mutex::default(),
            gathered: Condvar::new(),
            is_scanning: AtomicBool::new(false),
            started: Instant::now(),
            used_at: AtomicU64::new(0),
        })
    }

    /// Puts a request in, which is served, times out or is rejected from here on.
    pub(crate) fn submit(&self, request: Arc<Request>) {
        self.touch();
        let expires_at = request.expires_at();
        let mut state = locked(&self.state);
        state.fresh.push_back(request);
        if state.is_gathering && state.fresh.len() >= BATCH_REQUESTS {
            state.is_gathering = false;
            self.gathered.notify_all();
        }
        let armed = self.arm(&mut state, expires_at);
        self.start(state, armed);
    }

    /// Puts requests back at the head of the queue, to be decided again.
    pub(crate) fn put_back(&self, requests: Vec<Arc<Request>>) {
        if requests.is_empty() {
            return;
        }
        let mut state = locked(&self.state);
        let mut armed = Ok(());
        for request in requests.into_iter().rev() {
            request.put_back();
            let expires_at = request.expires_at();
            state.ready.push_front(request);
            armed = armed.and(self.arm(&mut state, expires_at));
        }
        self.start(state, armed);
    }

    /// Starts the job unless it is under way. Without a thread everything is rejected.
    fn start(&self, mut state: MutexGuard<'_, QueueState>, armed: Result<()>) {
        let is_first = !std::mem::replace(&mut state.is_served, true);
        drop(state);
        let started = if is_first { self.serve(Next::Now) } else { Ok(()) };
        if let Err(error) = armed.and(started) {
            self.reject_all(&error);
            locked(&self.state).is_served = false;
        }
    }

    fn serve(&self, next: Next) -> Result<()> {
        self.server.upgrade().map_or(Ok(()), |server| server.serve(next))
    }

    /// Notes that the queue is used now.
    pub(crate) fn touch(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used_at.store(now, Ordering::Relaxed);
    }

    pub(crate) fn last_used(&self) -> Instant {
        self.started + Duration::from_millis(self.used_at.load(Ordering::Relaxed))
    }

    /// Whether nothing is queued and no job is under way.
    pub(crate) fn is_idle(&self) -> bool {
        let state = locked(&self.state);
        !state.is_served && state.is_empty()
    }

    /// Whether the job is needed again. Clears the mark of the job in the same step as it looks, so
    /// that nothing submitted is left behind.
    pub(crate) fn next(&self) -> Next {
        let mut state = locked(&self.state);
        if state.is_empty() {
            state.is_served = false;
            Next::Done
        } else {
            Next::Now
        }
    }

    /// Lets the queue grow while the disk works for others: a batch costs the same for one event as
    /// for many. For a moment only, because a disk may take long, and not where few requests are in
    /// flight, which would be written later for no gain.
    pub(crate) fn gather(&self) {
        let mut state = locked(&self.state);
        state.is_gathering =
            state.syncing >= MIN_SYNCING_REQUESTS && state.fresh.len() < BATCH_REQUESTS;
        let gathered =
            self.gathered.wait_timeout_while(state, MAX_GATHER_TIME, |state| state.is_gathering);
        gathered.unwrap_or_else(PoisonError::into_inner).0.is_gathering = false;
    }

    /// Notes how many requests wait for the sync that is under way; 0 when it ends.
    pub(crate) fn set_syncing(&self, requests: usize) {
        let mut state = locked(&self.state);
        state.syncing = requests;
        if requests == 0 && state.is_gathering {
            state.is_gathering = false;
            self.gathered.notify_all();
        }
    }

    /// Checks queued events and computes their ids, before the lock is asked for. Returns whether
    /// any request is ready for a batch.
    pub(crate) fn prepare(&self) -> bool {
        let fresh: Arc<[Arc<Request>]> = {
            let mut state = locked(&self.state);
            let mut bytes = 0;
            let within = |request: &&Arc<Request>| {
                bytes += request.bytes;
                bytes - request.bytes < BATCH_BYTES
            };
            let count = state.fresh.iter().take_while(within).count();
            state.fresh.drain(..count).collect()
        };
        let unprepared = fresh.clone();
        let prepared = in_parts(fresh.len(), move |index| {
            unprepared.get(index).map_or(Ok(()), |request| request.prepare())
        });
        for (request, prepared) in fresh.iter().zip(prepared) {
            if let Err(error) = prepared {
                request.settle_queued(self.failed(&error));
            }
        }
        let mut state = locked(&self.state);
        let mut armed = Ok(());
        for request in fresh.iter().filter(|request| request.is_queued()) {
            // The alarm may have rung while the request was in no list.
            armed = armed.and(self.arm(&mut state, request.expires_at()));
            state.ready.push_back(request.clone());
        }
        while state.ready.front().is_some_and(|request| !request.is_queued()) {
            state.ready.pop_front();
        }
        let is_ready = !state.ready.is_empty();
        drop(state);
        if let Err(error) = armed {
            self.reject_all(&error);
            return false;
        }
        is_ready
    }

    /// Takes prepared requests out for one batch, in their order.
    pub(crate) fn take_batch(&self, only_one: bool) -> Vec<Arc<Request>> {
        let mut state = locked(&self.state);
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES && (batch.is_empty() || !only_one) {
            let Some(request) = state.ready.pop_front() else {
                break;
            };
            if request.take() {
                bytes += request.bytes;
                batch.push(request);
            }
        }
        batch
    }

    /// The lock was busy when it was tried for all that is queued and prepared. Requests whose time
    /// is over are rejected at once.
    pub(crate) fn note_busy_lock(&self) {
        let state = locked(&self.state);
        state.ready.iter().for_each(|request| request.mark_tried());
        drop(state);
        self.expire();
    }

    /// Runs a scan. No deadline ends meanwhile, and queued requests get the time back that it took.
    pub(crate) fn without_deadlines<T>(&self, scan: impl FnOnce() -> T) -> T {
        struct End<'a>(&'a RequestQueue, Instant);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                let took = self.1.elapsed();
                for request in locked(&self.0.state).all() {
                    // One that came while the scan was under way waited for a part of it.
                    request.extend(took.min(request.waited()));
                }
                self.0.is_scanning.store(false, Ordering::Release);
            }
        }
        self.is_scanning.store(true, Ordering::Release);
        let _end = End(self, Instant::now());
        scan()
    }

    /// Rejects everything that is queued and prepared: the lock or the file could not be had.
    pub(crate) fn reject_prepared(&self, error: &Error) {
        for request in self.take_batch(false) {
            request.settle(self.failed(error));
        }
    }

    fn reject_all(&self, error: &Error) {
        let (ready, fresh) = {
            let mut state = locked(&self.state);
            (std::mem::take(&mut state.ready), std::mem::take(&mut state.fresh))
        };
        for request in ready.into_iter().chain(fresh) {
            request.settle_queued(self.failed(error));
        }
    }

    /// The outcome of a request for which nothing was written.
    fn failed(&self, error: &Error) -> Outcome {
        let error = error.clone().with_path(self.path.as_path());
        Outcome::Failed(error.with_written(Written::No))
    }

    /// Rejects requests whose deadline is over: the lock was not free.
    fn expire(&self) {
        const LOOK_AGAIN: Duration = Duration::from_millis(50);
        let now = Instant::now();
        let mut expired = Vec::new();
        let mut state = locked(&self.state);
        let is_scanning = self.is_scanning.load(Ordering::Acquire);
        let mut stays = |request: &Arc<Request>| {
            let over = !is_scanning && request.is_queued() && request.expires_at() <= now;
            if over {
                expired.push(request.clone());
            }
            request.is_queued() && !over
        };
        state.ready.retain(&mut stays);
        state.fresh.retain(stays);
        let next = state.all().map(|request| request.expires_at()).min();
        let next = next.map(|at| if is_scanning { at.max(now + LOOK_AGAIN) } else { at });
        if state.alarm.as_ref().is_some_and(|(at, _)| *at <= now) {
            state.alarm = None;
        }
        let armed = next.map_or(Ok(()), |at| self.arm(&mut state, at));
        drop(state);
        if expired.is_empty() && armed.is_ok() {
            return;
        }
        let server = self.server.upgrade();
        let (busy, holder) = server.map_or((None, None), |server| server.lock_holder());
        for request in expired {
            let path = self.path.as_path();
            let error = lock_timeout::timeout(path, busy.as_ref(), holder, request.waited());
            request.settle_queued(self.failed(&error));
        }
    }

    /// Sees to it that [`RequestQueue::expire`] runs at `at`.
    fn arm(&self, state: &mut QueueState, at: Instant) -> Result<()> {
        if state.alarm.as_ref().is_some_and(|(armed, _)| *armed <= at) {
            return Ok(());
        }
        let me = self.me.clone();
        let ring = move || {
            if let Some(queue) = me.upgrade() {
                queue.expire();
            }
        };
        state.alarm = Some((at, pool::call_at(at, Box::new(ring))?));
        Ok(())
    }
}
