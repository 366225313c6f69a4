//! What the appends of a process share, whatever registry and log they belong to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::append::in_flight::{Parity, Pending};
use crate::append::request::Warning;
use crate::append::stats::{Counters, Stats};
use crate::error::{Error, Written};
use crate::os;
use crate::storage::locked_log::LockContext;
use crate::storage::{OpenFile, Stat};

/// Bytes of events that may wait in a process.
const MAX_PENDING_BYTES: usize = 256 << 20;

/// The counts of a process, what is pending in it, and what it knows of locks.
#[derive(Default)]
pub(crate) struct ProcessContext {
    counters: Counters,
    pending: Arc<Pending>,
    locks: Arc<LockContext>,
}

impl ProcessContext {
    /// One for real files.
    pub(crate) fn of_process() -> ProcessContext {
        ProcessContext { locks: LockContext::of_process().clone(), ..ProcessContext::default() }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn locks(&self) -> &Arc<LockContext> {
        &self.locks
    }

    pub(crate) fn stats(&self) -> Stats {
        let (requests, bytes) = self.pending.now();
        self.counters.read(requests, bytes)
    }

    /// Counts a request in, unless too much is pending.
    ///
    /// # Errors
    /// `EIO` with the cause `ENOBUFS`.
    pub(crate) fn admit(&self, bytes: usize) -> Result<(Arc<Pending>, Parity), Error> {
        if let Some(parity) = self.pending.admit(bytes, MAX_PENDING_BYTES) {
            return Ok((self.pending.clone(), parity));
        }
        let cause = os::no_buffers();
        let message = format!("more than {} MiB of events are pending", MAX_PENDING_BYTES >> 20);
        Err(Error::io(message, "append", cause).with_written(Written::No))
    }

    /// The warning about a log on a network file system, once for each file system.
    pub(crate) fn network_warning(
        &self,
        path: &Path,
        file: &OpenFile,
        stat: &Stat,
    ) -> Option<Warning> {
        let kind = file.network_file_system()?;
        if !self.locks.first_warning(stat.device) {
            return None;
        }
        let path = path.display();
        Some(Warning {
            code: "CHRONICLE_NETWORK_FILE_SYSTEM",
            message: format!(
                "{path} is on {kind}: the lock holds between the machines only if the server honours it"
            ),
        })
    }

    /// Waits until all that is pending at the call is settled; false when some of it is not after
    /// `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        self.pending.wait(timeout)
    }
}
