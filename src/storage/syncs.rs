//! How the syncs of one open file description ended.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;

/// The syncs of one open file description, shared by all writers that write through it.
///
/// Linux reports a failed write-back once to each open file description (`fsync(2)`, "NOTES"). Of
/// two writers that share one, only the first to sync gets the error; the sync of the second
/// succeeds. So the failure belongs to the description, not to a writer.
#[derive(Debug, Default)]
pub struct Syncs {
    turn: Mutex<()>,
    failed: Mutex<Failed>,
}

#[derive(Debug, Default)]
struct Failed {
    count: u64,
    last: Option<Error>,
}

impl Syncs {
    /// Waits until no other sync of the description is under way, and keeps others waiting: a
    /// failed sync marks the pages of all writers clean.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Failed syncs so far.
    pub(crate) fn failures(&self) -> u64 {
        self.failed().count
    }

    /// The last failure, if a sync failed since there were `failures`.
    pub(crate) fn failure_since(&self, failures: u64) -> Option<Error> {
        let failed = self.failed();
        if failed.count == failures { None } else { failed.last.clone() }
    }

    /// A sync failed, or its result is not known.
    pub(crate) fn fail(&self, error: &Error) {
        let mut failed = self.failed();
        failed.count += 1;
        failed.last = Some(error.clone());
    }

    fn failed(&self) -> MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of an append that is in the file and could not be made durable.
pub(crate) fn cannot_sync(operation: &'static str, error: io::Error) -> Error {
    Error::io("cannot make the append durable", operation, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_seen_by_every_writer_that_counted_before_it() {
        let syncs = Syncs::default();
        let before = syncs.failures();
        assert!(syncs.failure_since(before).is_none());
        syncs.fail(&cannot_sync("fdatasync", io::Error::other("on purpose")));
        for _ in 0..2 {
            assert!(syncs.failure_since(before).is_some());
        }
        assert!(syncs.failure_since(syncs.failures()).is_none());
    }
}
