//! All logs of a process: one writer for each path, shared by every caller and every worker thread.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, Weak, mpsc};
use std::time::{Duration, Instant};

use crate::error::{Error, Result, Written};
use crate::path::ChroniclePath;
use crate::pool::{self, locked};
use crate::request::{AppendOptions, Completion, Outcome, Receipt, Request};
use crate::shared::Shared;
use crate::stats::Stats;
use crate::storage::{Disk, FileDisk};
use crate::writer::Writer;

/// How often unused descriptors and writers are looked for.
const SWEEP: Duration = Duration::from_secs(2);
/// What a writer knows of its log is kept for so long after its last use.
const FORGET: Duration = Duration::from_secs(120);

/// The writers of a process. [`Registry::global`] is the one that real programs use.
pub struct Registry {
    shared: Arc<Shared>,
    writers: Mutex<HashMap<PathBuf, Arc<Writer>>>,
    sweeping: Mutex<bool>,
    me: Weak<Registry>,
}

/// A way to take an append back before its batch is begun.
#[derive(Clone)]
pub struct Ticket(Weak<Request>);

/// A pending request; dropped when it is settled.
struct Counted {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.discharge(self.bytes);
    }
}

impl Ticket {
    /// Settles the append with [`Outcome::Cancelled`] unless its batch is being written or it is settled already.
    pub fn cancel(&self) {
        if let Some(request) = self.0.upgrade() {
            request.settle_queued(Outcome::Cancelled);
        }
    }
}

impl Registry {
    /// The registry over real files.
    pub fn global() -> &'static Arc<Registry> {
        static GLOBAL: OnceLock<Arc<Registry>> = OnceLock::new();
        GLOBAL.get_or_init(|| Registry::new(Arc::new(FileDisk)))
    }

    /// A registry of its own over `disk`: for tests with failing storage.
    pub fn new(disk: Arc<dyn Disk>) -> Arc<Registry> {
        Registry::over(Shared::new(disk))
    }

    /// Another registry over `disk`, whose appends count as pending here too.
    pub(crate) fn with_disk(&self, disk: Arc<dyn Disk>) -> Arc<Registry> {
        Registry::over(self.shared.with_disk(disk))
    }

    fn over(shared: Shared) -> Arc<Registry> {
        Arc::new_cyclic(|me| Registry {
            shared: Arc::new(shared),
            writers: Mutex::default(),
            sweeping: Mutex::default(),
            me: me.clone(),
        })
    }

    /// Hands over the JSON texts of one append, which succeed or fail together. Returns at once; `completion` is called
    /// exactly once, on another thread or on this one.
    pub fn submit(
        &self,
        path: &ChroniclePath,
        texts: Vec<Vec<u8>>,
        single: bool,
        options: AppendOptions,
        completion: Completion,
    ) -> Ticket {
        if texts.is_empty() {
            completion(Outcome::Done(Vec::new(), Vec::new()));
            return Ticket(Weak::new());
        }
        let shared = self.shared.clone();
        let bytes: usize = texts.iter().map(|text| text.len() + 256).sum();
        if let Err(error) = shared.admit(bytes) {
            completion(Outcome::Failed(error.with_path(path.as_path())));
            return Ticket(Weak::new());
        }
        // Counted out after the completion, also when that panics.
        let counted = Counted { shared, bytes };
        let completion = Box::new(move |outcome| {
            let _counted = counted;
            completion(outcome);
        });
        let request = Arc::new(Request::new(texts, single, options, completion));
        let ticket = Ticket(Arc::downgrade(&request));
        self.writer(path).submit(request);
        self.keep_sweeping();
        ticket
    }

    /// Appends the JSON texts and waits.
    ///
    /// # Errors
    /// As [`crate::append`].
    pub fn append(
        &self,
        path: &ChroniclePath,
        texts: Vec<Vec<u8>>,
        single: bool,
        options: AppendOptions,
    ) -> Result<(Vec<Receipt>, Vec<crate::request::Warning>)> {
        let (sender, receiver) = mpsc::channel();
        let completion = Box::new(move |outcome| {
            let _ = sender.send(outcome);
        });
        self.submit(path, texts, single, options, completion);
        match receiver.recv() {
            Ok(Outcome::Done(receipts, warnings)) => Ok((receipts, warnings)),
            Ok(Outcome::Failed(error)) => Err(error),
            Ok(Outcome::Cancelled) | Err(_) => {
                let lost = std::io::Error::other("the append was dropped");
                Err(Error::io("append was not settled", "append", lost)
                    .with_path(path.as_path())
                    .with_written(Written::Unknown))
            }
        }
    }

    /// What this process did, by this registry and the lock sessions beside it.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits until nothing is pending in this registry; false when something still is after `timeout`.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.shared.flush(timeout)
    }

    fn writer(&self, path: &ChroniclePath) -> Arc<Writer> {
        let mut writers = locked(&self.writers);
        if let Some(writer) = writers.get(path.as_path()) {
            return writer.clone();
        }
        let writer = Writer::new(path.clone(), self.shared.clone());
        writers.insert(path.as_path().to_owned(), writer.clone());
        writer
    }

    fn keep_sweeping(&self) {
        let mut sweeping = locked(&self.sweeping);
        if *sweeping {
            return;
        }
        let me = self.me.clone();
        let sweep = move || {
            let job = move || {
                if let Some(registry) = me.upgrade() {
                    registry.sweep();
                }
            };
            // Closing may sync: not for the clock thread. Without a worker there is nothing to close.
            let _ = pool::run(Box::new(job));
        };
        *sweeping = pool::alarm(Instant::now() + SWEEP, Box::new(sweep)).is_ok();
    }

    fn sweep(&self) {
        *locked(&self.sweeping) = false;
        let open = self.shared.close_idle();
        let mut writers = locked(&self.writers);
        writers.retain(|_, writer| Arc::strong_count(writer) > 1 || !writer.is_forgettable(FORGET));
        let more = open > 0 || !writers.is_empty();
        drop(writers);
        if more {
            self.keep_sweeping();
        }
    }
}
