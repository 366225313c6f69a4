//! Long work on the pool, a part at a time. Between two parts the thread serves other jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::error::Result;
use crate::threads::pool;

/// The progress of a work after one part.
#[derive(Debug)]
pub(crate) enum Resumed<T> {
    /// There are more parts.
    More,
    /// Nothing can be done before this moment.
    Wait(Instant),
    /// The result.
    Done(T),
}

/// Work that is done in parts.
pub(crate) trait Resumable: Send + 'static {
    /// The result of the work.
    type Output;
    /// Does the next part.
    fn resume(&mut self) -> Result<Resumed<Self::Output>>;
}

/// Does the work on the pool and calls `done` with the result, or with `None` if `stop` was set
/// between two parts.
///
/// # Errors
/// If the system creates no thread for it; then `done` is dropped.
pub(crate) fn run<W: Resumable>(
    mut work: W,
    stop: Arc<AtomicBool>,
    done: impl FnOnce(Option<Result<W::Output>>) + Send + 'static,
) -> Result<()> {
    pool::run(Box::new(move || {
        if stop.load(Ordering::Relaxed) {
            // The work releases its files and locks before the end is reported.
            drop(work);
            return done(None);
        }
        let result = match work.resume() {
            // A worker runs this, so at least one exists.
            Ok(Resumed::More) => return drop(run(work, stop, done)),
            Ok(Resumed::Wait(at)) => {
                let again = Box::new(move || drop(run(work, stop, done)));
                return drop(pool::run_at(at, again));
            }
            Ok(Resumed::Done(result)) => Ok(result),
            Err(error) => Err(error),
        };
        drop(work);
        done(Some(result));
    }))
}
