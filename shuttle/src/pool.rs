//! Replaces the pool: each job has a thread of its own, which shuttle schedules. No alarm rings.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::error::Result;

pub(crate) type Job = Box<dyn FnOnce() + Send>;

pub(crate) fn run(job: Job) -> Result<()> {
    shuttle::thread::spawn(move || {
        // As in the pool: a job settles what it holds when it is dropped.
        let _ = catch_unwind(AssertUnwindSafe(job));
    });
    Ok(())
}

pub(crate) fn run_at(_at: Instant, job: Job) -> Result<()> {
    run(Box::new(move || {
        shuttle::thread::yield_now();
        job();
    }))
}

/// An alarm that never rings.
pub(crate) struct Alarm;

pub(crate) fn call_at(_at: Instant, job: Job) -> Result<Alarm> {
    drop(job);
    Ok(Alarm)
}

/// As [`run`].
pub(crate) fn run_in_background(job: Job) -> Result<()> {
    run(job)
}

/// Runs all parts on this thread. No scenario shares work.
pub(crate) fn parallel_map<T: Send + 'static>(
    parts: usize,
    part: impl Fn(usize) -> T + Send + Sync + 'static,
) -> Vec<T> {
    (0..parts).map(part).collect()
}

/// As [`parallel_map`], after `own`.
pub(crate) fn parallel_map_while<T: Send + 'static, R>(
    parts: usize,
    part: impl Fn(usize) -> T + Send + Sync + 'static,
    own: impl FnOnce() -> R,
) -> (R, Vec<T>) {
    let outcome = own();
    (outcome, parallel_map(parts, part))
}
