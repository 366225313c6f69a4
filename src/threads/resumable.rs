//! Long work on the pool, a part at a time: between two turns whoever else waits for a thread has its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::error::Result;
use crate::threads::pool;

/// How far one turn of the work came.
#[derive(Debug)]
pub(crate) enum Resumed<T> {
    /// There is more to do.
    More,
    /// Nothing can be done before this moment.
    Wait(Instant),
    /// The result.
    Done(T),
}

/// Work that is done in turns.
pub(crate) trait Resumable: Send + 'static {
    /// What comes of it.
    type Output;
    /// Does the next part.
    fn resume(&mut self) -> Result<Resumed<Self::Output>>;
}

/// Does the work on the pool and calls `done` with what comes of it, or with `None` if `stop` was set between two turns.
///
/// # Errors
/// When the system makes no thread for it; then `done` is dropped.
pub(crate) fn run<W: Resumable>(
    mut work: W,
    stop: Arc<AtomicBool>,
    done: impl FnOnce(Option<Result<W::Output>>) + Send + 'static,
) -> Result<()> {
    pool::run(Box::new(move || {
        if stop.load(Ordering::Relaxed) {
            // What the work holds is given back before anybody hears that it is over.
            drop(work);
            return done(None);
        }
        let result = match work.resume() {
            // A worker runs this, so there is one.
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
