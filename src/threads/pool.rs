//! The few threads for all I/O of the process, and the one for deadlines.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::mutex::locked;

/// Threads that read, write and sync. With the clock and the thread of [`run_in_background`] a
/// process has at most eight, however many logs are open.
const WORKERS: usize = 6;

/// A piece of work. A panic ends the job, not the thread.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Runs `job` on a worker as soon as one is free.
///
/// # Errors
/// If there is no worker and the system creates no thread; the job is dropped.
pub(crate) fn run(job: Job) -> Result<()> {
    WORK.get_or_init(Work::default).add(job, None).map_err(cannot_start)
}

/// Runs `job` on a worker at `at`. A wait for a lock uses it, and so occupies no thread.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_at(at: Instant, job: Job) -> Result<()> {
    WORK.get_or_init(Work::default).add(job, Some(at)).map_err(cannot_start)
}

/// Runs `job` on the clock thread at `at`, unless the alarm is dropped before. The job must not do
/// I/O.
///
/// Deadlines therefore hold also while every worker is stuck in a dead device.
///
/// # Errors
/// If the clock thread cannot be created.
pub(crate) fn call_at(at: Instant, job: Job) -> Result<Alarm> {
    CLOCK.get_or_init(Clock::default).add(at, job).map_err(cannot_start)
}

/// A job of the clock thread. Dropping the alarm removes the job: a wait that ended early keeps
/// nothing in memory until its deadline.
#[derive(Debug)]
#[must_use = "a dropped alarm does not ring"]
pub(crate) struct Alarm((Instant, u64));

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(clock) = CLOCK.get() {
            let job = locked(&clock.state).alarms.remove(&self.0);
            // Dropped outside the clock's lock, because the job may own values that take other
            // locks.
            drop(job);
        }
    }
}

/// Runs long jobs that need much memory, one after the other, on the one thread for them. On the
/// workers each thread's allocator would keep that memory for later.
///
/// # Errors
/// If the system creates no thread; the job is dropped.
pub(crate) fn run_in_background(job: Job) -> Result<()> {
    static JOBS: Mutex<Option<mpsc::Sender<Job>>> = Mutex::new(None);
    let mut jobs = locked(&JOBS);
    let sender = match &mut *jobs {
        Some(sender) => sender,
        none => {
            let (sender, given) = mpsc::channel::<Job>();
            let work = move || {
                for job in given {
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            };
            thread::Builder::new()
                .name("chronicle-index".into())
                .spawn(work)
                .map_err(cannot_start)?;
            none.insert(sender)
        }
    };
    let ended = |_| cannot_start(io::Error::other("the thread for long jobs has ended"));
    sender.send(job).map_err(ended)
}

/// The error of work for which there is no thread.
fn cannot_start(error: io::Error) -> Error {
    Error::io("cannot start a thread", "clone", error)
}

/// Does the parts of a work, numbered from 0, and returns their results in that order. This thread
/// does them, and one more if a worker is idle.
///
/// It waits only for parts that were started, so that workers that share cannot wait for each
/// other.
pub(crate) fn parallel_map<T: Send + 'static>(
    parts: usize,
    part: impl Fn(usize) -> T + Send + Sync + 'static,
) -> Vec<T> {
    if parts < 2 {
        (0..parts).map(part).collect()
    } else {
        parallel_map_while(parts, part, || ()).1
    }
}

/// As [`parallel_map`], but this thread does `own` first.
pub(crate) fn parallel_map_while<T: Send + 'static, R>(
    parts: usize,
    part: impl Fn(usize) -> T + Send + Sync + 'static,
    own: impl FnOnce() -> R,
) -> (R, Vec<T>) {
    let shared = Arc::new(ParallelWork {
        part,
        next: AtomicUsize::new(0),
        parts,
        done: Mutex::default(),
        came: Condvar::new(),
    });
    let helper = shared.clone();
    // Without another thread this one does all parts.
    let _ = run(Box::new(move || helper.help()));
    let outcome = own();
    shared.help();
    let done = locked(&shared.done);
    let all = shared.came.wait_while(done, |done| done.under_way > 0);
    let mut done = all.unwrap_or_else(PoisonError::into_inner);
    let mut results = std::mem::take(&mut done.results);
    drop(done);
    results.sort_by_key(|(number, _)| *number);
    // A part that panicked on the other thread panics here, in the thread that waits for it.
    let missing =
        (0..parts).filter(|number| results.binary_search_by_key(number, |(at, _)| *at).is_err());
    let again: Vec<(usize, T)> = missing.map(|number| (number, (shared.part)(number))).collect();
    results.extend(again);
    results.sort_by_key(|(number, _)| *number);
    (outcome, results.into_iter().map(|(_, result)| result).collect())
}

struct ParallelWork<T, F> {
    part: F,
    next: AtomicUsize,
    parts: usize,
    done: Mutex<Done<T>>,
    came: Condvar,
}

struct Done<T> {
    results: Vec<(usize, T)>,
    under_way: usize,
}

impl<T> Default for Done<T> {
    fn default() -> Self {
        Done { results: Vec::new(), under_way: 0 }
    }
}

/// A part that was started.
struct StartedPart<'a, T, F>(&'a ParallelWork<T, F>);

impl<T, F> Drop for StartedPart<'_, T, F> {
    fn drop(&mut self) {
        locked(&self.0.done).under_way -= 1;
        self.0.came.notify_all();
    }
}

impl<T, F: Fn(usize) -> T> ParallelWork<T, F> {
    /// Does parts until none is left.
    fn help(&self) {
        loop {
            let mut done = locked(&self.done);
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.parts {
                return;
            }
            done.under_way += 1;
            drop(done);
            let _under_way = StartedPart(self);
            let result = (self.part)(number);
            locked(&self.done).results.push((number, result));
        }
    }
}

static WORK: OnceLock<Work> = OnceLock::new();
static CLOCK: OnceLock<Clock> = OnceLock::new();

#[derive(Default)]
struct Work {
    state: Mutex<WorkState>,
    /// Wakes one idle worker each.
    wake: [Condvar; WORKERS],
    /// Wakes the timekeeper: the one idle worker that sleeps until the next delayed job.
    timer: Condvar,
}

#[derive(Default)]
struct WorkState {
    ready: VecDeque<Job>,
    later: BTreeMap<(Instant, u64), Job>,
    count: u64,
    threads: usize,
    /// Workers that sleep until they are woken. The thread that wakes a worker removes it here, so
    /// that each wake-up reaches another worker and each job has one. A count could not distinguish
    /// a worker that sleeps from one that was just woken.
    idle: Vec<usize>,
    has_timekeeper: bool,
}

impl Work {
    fn add(&'static self, job: Job, at: Option<Instant>) -> io::Result<()> {
        let mut state = locked(&self.state);
        if let Err(error) = self.spawn_worker(&mut state)
            && state.threads == 0
        {
            return Err(error);
        }
        let is_first = match at {
            None => {
                state.ready.push_back(job);
                true
            }
            Some(at) => {
                state.count += 1;
                let key = (at, state.count);
                state.later.insert(key, job);
                state.later.first_key_value().is_some_and(|(first, _)| *first == key)
            }
        };
        if !is_first {
            return Ok(());
        }
        // The timekeeper takes delayed jobs. It takes a ready job only if no other worker is idle.
        if state.has_timekeeper && (at.is_some() || state.idle.is_empty()) {
            drop(state);
            self.timer.notify_one();
        } else {
            let woken = state.idle.pop();
            drop(state);
            self.wake_worker(woken);
        }
        Ok(())
    }

    /// Creates one more worker if all are busy and the limit allows it.
    fn spawn_worker(&'static self, state: &mut WorkState) -> io::Result<()> {
        let all_busy = state.idle.is_empty() && !state.has_timekeeper;
        if all_busy && state.threads < WORKERS {
            let number = state.threads;
            thread::Builder::new().name("chronicle-io".into()).spawn(move || self.work(number))?;
            state.threads += 1;
        }
        Ok(())
    }

    /// Wakes a worker that was removed from the idle ones.
    fn wake_worker(&self, worker: Option<usize>) {
        if let Some(wake) = worker.and_then(|number| self.wake.get(number)) {
            wake.notify_one();
        }
    }

    fn work(&'static self, number: usize) {
        let Some(wake) = self.wake.get(number) else { return };
        let mut state = locked(&self.state);
        loop {
            let now = Instant::now();
            let due = state.later.first_entry().filter(|entry| entry.key().0 <= now);
            let job = match due {
                Some(entry) => Some(entry.remove()),
                None => state.ready.pop_front(),
            };
            if let Some(job) = job {
                // Another worker must become timekeeper, and a ready job must not wait for this
                // one.
                let more =
                    (!state.ready.is_empty() || !state.later.is_empty()) && !state.has_timekeeper;
                let woken = if more { state.idle.pop() } else { None };
                if more && woken.is_none() {
                    // Without another thread the job waits for one of the existing ones.
                    let _ = self.spawn_worker(&mut state);
                }
                drop(state);
                self.wake_worker(woken);
                // A job settles its requests when it is dropped, so that no caller waits after a
                // panic.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = locked(&self.state);
                continue;
            }
            let next = state.later.first_key_value().map(|(key, _)| key.0);
            state = match next {
                Some(at) if !state.has_timekeeper => {
                    state.has_timekeeper = true;
                    let wait = at.saturating_duration_since(now);
                    let woken = self.timer.wait_timeout(state, wait);
                    let mut state = woken.unwrap_or_else(PoisonError::into_inner).0;
                    state.has_timekeeper = false;
                    state
                }
                _ => {
                    state.idle.push(number);
                    let woken = wake.wait_while(state, |state| state.idle.contains(&number));
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }
}

#[derive(Default)]
struct Clock {
    state: Mutex<ClockState>,
    wake: Condvar,
}

#[derive(Default)]
struct ClockState {
    alarms: BTreeMap<(Instant, u64), Job>,
    count: u64,
    running: bool,
}

impl Clock {
    fn add(&'static self, at: Instant, job: Job) -> io::Result<Alarm> {
        let mut state = locked(&self.state);
        if !state.running {
            thread::Builder::new().name("chronicle-clock".into()).spawn(move || self.tick())?;
            state.running = true;
        }
        state.count += 1;
        let key = (at, state.count);
        state.alarms.insert(key, job);
        if state.alarms.first_key_value().is_some_and(|(first, _)| *first == key) {
            self.wake.notify_one();
        }
        Ok(Alarm(key))
    }

    fn tick(&self) {
        let mut state = locked(&self.state);
        loop {
            let now = Instant::now();
            if let Some(entry) = state.alarms.first_entry().filter(|entry| entry.key().0 <= now) {
                let job = entry.remove();
                drop(state);
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = locked(&self.state);
                continue;
            }
            let wait = state
                .alarms
                .first_key_value()
                .map_or(Duration::from_secs(3600), |(key, _)| key.0.saturating_duration_since(now));
            state = self.wake.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn delayed_jobs_run_in_the_order_of_their_times() {
        let (sender, receiver) = mpsc::channel();
        let start = Instant::now();
        for delay in [60_u64, 20, 40] {
            let sender = sender.clone();
            let at = start + Duration::from_millis(delay);
            run_at(at, Box::new(move || sender.send((delay, Instant::now() >= at)).unwrap()))
                .unwrap();
        }
        let order: Vec<_> = receiver.iter().take(3).collect();
        assert_eq!(order, [(20, true), (40, true), (60, true)]);
    }

    #[test]
    fn a_work_is_shared_in_parts_and_given_in_their_order() {
        assert_eq!(
            parallel_map(100, |number| number * 2),
            (0..100).map(|n| n * 2).collect::<Vec<_>>()
        );
        assert_eq!(parallel_map(0, |number| number), Vec::<usize>::new());
        // Every worker shares; none waits for another that waits.
        let (sender, receiver) = mpsc::channel();
        for _ in 0..WORKERS * 3 {
            let sender = sender.clone();
            run(Box::new(move || sender.send(parallel_map(50, |number| number).len()).unwrap()))
                .unwrap();
        }
        for _ in 0..WORKERS * 3 {
            assert_eq!(receiver.recv_timeout(Duration::from_secs(30)).unwrap(), 50);
        }
    }

    #[test]
    fn jobs_apart_run_one_after_the_other_on_one_thread() {
        let (sender, receiver) = mpsc::channel();
        run_in_background(Box::new(|| panic!("on purpose"))).unwrap();
        for number in 0..20 {
            let sender = sender.clone();
            run_in_background(Box::new(move || {
                sender.send((number, thread::current().id())).unwrap()
            }))
            .unwrap();
        }
        let done: Vec<_> = receiver.iter().take(20).collect();
        assert!(done.iter().enumerate().all(|(at, (number, _))| at == *number));
        assert!(done.iter().all(|(_, thread)| *thread == done[0].1));
    }

    #[test]
    fn a_panicking_job_leaves_the_workers_alive() {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..WORKERS * 2 {
            run(Box::new(|| panic!("on purpose"))).unwrap();
        }
        run(Box::new(move || sender.send(()).unwrap())).unwrap();
        receiver.recv_timeout(Duration::from_secs(30)).unwrap();
    }

    #[test]
    fn an_alarm_that_is_dropped_does_not_ring_and_keeps_nothing_in_memory() {
        let held = Arc::new(());
        let far = Instant::now() + Duration::from_secs(3600);
        for _ in 0..100 {
            let held = held.clone();
            drop(call_at(far, Box::new(move || drop(held))).unwrap());
        }
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn alarms_ring_while_every_worker_is_stuck() {
        let (stuck, release) = mpsc::channel::<()>();
        let release = std::sync::Arc::new(Mutex::new(release));
        for _ in 0..WORKERS {
            let release = release.clone();
            run(Box::new(move || {
                let _ = release.lock().unwrap().recv();
            }))
            .unwrap();
        }
        let (sender, receiver) = mpsc::channel();
        let alarm = call_at(Instant::now(), Box::new(move || sender.send(()).unwrap())).unwrap();
        receiver.recv_timeout(Duration::from_secs(30)).unwrap();
        drop(alarm);
        drop(stuck);
    }
}
