//! All logs of a process: one writer for each path, shared by every caller and every worker thread.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, Weak, mpsc};
use std::time::{Duration, Instant};

use crate::append::request::{AppendOptions, Completion, Outcome, Receipt, Request, Texts};
use crate::append::stats::Stats;
use crate::error::{Error, Result, Written};
use crate::mutex::locked;
use crate::path::ChroniclePath;
use crate::storage::{Disk, FileDisk};
use crate::threads::pool::{self, Alarm};
use crate::writer::Writer;
use crate::writer::shared::Shared;

/// How often unused descriptors and writers are looked for.
const SWEEP: Duration = Duration::from_secs(2);
/// What a writer knows of its log is kept for so long after its last use.
const FORGET: Duration = Duration::from_secs(120);

/// The writers of a process. [`Registry::global`] is the one that real programs use.
pub struct Registry {
    shared: Arc<Shared>,
    writers: Mutex<HashMap<PathBuf, Arc<Writer>>>,
    /// Until the next look at what is unused.
    sweeping: Mutex<Option<Alarm>>,
    me: Weak<Registry>,
}

/// A way to take an append back before its batch is begun. It keeps the memory of the append, so that the thread frees it that made it, if it
/// also drops this: glibc's `free` of another thread's memory waits for the lock of that thread's arena. With a thousand appends in flight
/// that was a fifth of all processor time.
pub struct Ticket {
    request: Weak<Request>,
    _texts: Option<Texts>,
}

impl Ticket {
    /// Of an append that is settled.
    fn none() -> Ticket {
        Ticket { request: Weak::new(), _texts: None }
    }

    /// Settles the append with [`Outcome::Cancelled`] unless its batch is being written or it is settled already.
    pub fn cancel(&self) {
        if let Some(request) = self.request.upgrade() {
            request.cancel();
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
        texts: impl Into<Texts>,
        single: bool,
        options: impl Into<Arc<AppendOptions>>,
        completion: Completion,
    ) -> Ticket {
        let texts = texts.into();
        if texts.is_empty() {
            completion.tell(Outcome::Done(Vec::new(), Vec::new()));
            return Ticket::none();
        }
        let bytes = texts.bytes();
        let pending = match self.shared.admit(bytes) {
            Ok(pending) => pending,
            Err(error) => {
                completion.tell(Outcome::Failed(error.with_path(path.as_path())));
                return Ticket::none();
            }
        };
        let options = options.into();
        let request = Request::new(texts.clone(), single, options, completion, pending, bytes);
        let request = Arc::new(request);
        let ticket = Ticket { request: Arc::downgrade(&request), _texts: Some(texts) };
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
        texts: impl Into<Texts>,
        single: bool,
        options: AppendOptions,
    ) -> Result<(Vec<Receipt>, Vec<crate::append::request::Warning>)> {
        let (sender, receiver) = mpsc::channel();
        let completion = Completion::once(move |outcome| {
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

    /// Waits until all that is pending at the call is settled; false when some of it is not after `timeout`. What is submitted
    /// meanwhile is not waited for.
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
        if sweeping.is_some() {
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
        *sweeping = pool::call_at(Instant::now() + SWEEP, Box::new(sweep)).ok();
    }

    fn sweep(&self) {
        *locked(&self.sweeping) = None;
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
