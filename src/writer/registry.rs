//! All logs of a process: one writer for each path, shared by every caller and every worker thread.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, Weak, mpsc};
use std::time::{Duration, Instant};

use crate::append::process::ProcessContext;
use crate::append::queue::{Next, RequestQueue, ServesQueue};
use crate::append::request::{AppendOptions, Completion, Outcome, Receipt, Request, Texts};
use crate::append::stats::Stats;
use crate::error::{Error, Result, Written};
use crate::mutex::locked;
use crate::path::ChroniclePath;
use crate::storage::descriptors::{Descriptors, HoldsDescriptor};
use crate::storage::{Disk, FileDisk, Stat};
use crate::threads::pool::{self, Alarm};
use crate::writer::sync_job::SyncJob;
use crate::writer::write_job::WriteJob;

/// How often unused descriptors and writers are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);
/// A descriptor unused for so long is closed.
const MAX_IDLE_TIME: Duration = Duration::from_secs(3);
/// What a writer knows of its log is kept for so long after its last use.
const FORGET_AFTER: Duration = Duration::from_secs(120);

/// The writers of a process. [`Registry::global`] is the one that real programs use.
pub struct Registry {
    disk: Arc<dyn Disk>,
    process: Arc<ProcessContext>,
    descriptors: Arc<Descriptors>,
    writers: Mutex<HashMap<PathBuf, Arc<Writer>>>,
    /// Until the next look at what is unused.
    sweeping: Mutex<Option<Alarm>>,
    me: Weak<Registry>,
}

/// The writer of one path: a queue and the two jobs that serve it.
struct Writer {
    queue: Arc<RequestQueue>,
    write_job: Arc<WriteJob>,
    sync_job: Arc<SyncJob>,
    disk: Arc<dyn Disk>,
    me: Weak<Writer>,
}

impl Writer {
    fn new(path: &ChroniclePath, registry: &Registry) -> Arc<Writer> {
        let Registry { disk, process, descriptors, .. } = registry;
        Arc::new_cyclic(|me: &Weak<Writer>| {
            let server: Weak<dyn ServesQueue> = me.clone();
            let queue = RequestQueue::new(path.clone(), server);
            let sync_job = SyncJob::new(path.clone(), process.clone(), queue.clone());
            let sync_job = Arc::new(sync_job);
            let write_job = WriteJob::new(
                path.clone(),
                disk.clone(),
                process.clone(),
                descriptors.clone(),
                queue.clone(),
                sync_job.clone(),
            );
            Writer { queue, write_job, sync_job, disk: disk.clone(), me: me.clone() }
        })
    }

    /// The write job, followed by the sync of what it wrote.
    fn run(&self) {
        let next = self.write_job.run();
        // Requests in the queue are served by another thread while this one syncs.
        let _ = self.serve(next);
        self.sync_job.run(|| self.write_job.build_index());
        self.queue.touch();
    }

    /// Whether all of it may be forgotten: nothing queued, no descriptor, no job, no bytes to be
    /// verified, unused for `idle`.
    fn is_forgettable(&self, idle: Duration) -> bool {
        // Closes nothing: a descriptor is never idle for so long.
        let has_no_descriptor = || self.write_job.close_descriptor(Duration::MAX);
        self.queue.is_idle()
            && self.queue.last_used().elapsed() >= idle
            && Arc::strong_count(&self.write_job) == 1
            && has_no_descriptor()
            && self.sync_job.is_settled()
    }
}

impl ServesQueue for Writer {
    fn serve(&self, next: Next) -> Result<()> {
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

    fn lock_holder(&self) -> (Option<Stat>, Option<u32>) {
        let busy = self.sync_job.ledger().last_seen();
        (busy, busy.and_then(|stat| self.disk.lock_holder(&stat)))
    }
}

/// A way to cancel an append before its batch begins.
///
/// The ticket keeps the memory of the append. A thread that submits appends and drops their tickets
/// also frees their memory: glibc's `free` of another thread's memory waits for the lock of that
/// thread's arena. With a thousand appends in flight that was a fifth of all processor time.
pub struct Ticket {
    request: Weak<Request>,
    _texts: Option<Texts>,
}

impl Ticket {
    /// Of an append that is settled.
    fn none() -> Ticket {
        Ticket { request: Weak::new(), _texts: None }
    }

    /// Settles the append with [`Outcome::Cancelled`] unless its batch is being written or the
    /// append is settled already.
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
        GLOBAL.get_or_init(|| {
            let process = Arc::new(ProcessContext::of_process());
            Registry::over(Arc::new(FileDisk), process, Arc::default())
        })
    }

    /// A registry of its own over `disk`: for tests with failing storage.
    pub fn new(disk: Arc<dyn Disk>) -> Arc<Registry> {
        Registry::over(disk, Arc::default(), Arc::default())
    }

    /// Another registry over `disk`, whose appends count as pending here too and whose writers hold
    /// `descriptors`.
    pub(crate) fn with_disk(
        &self,
        disk: Arc<dyn Disk>,
        descriptors: Arc<Descriptors>,
    ) -> Arc<Registry> {
        Registry::over(disk, self.process.clone(), descriptors)
    }

    fn over(
        disk: Arc<dyn Disk>,
        process: Arc<ProcessContext>,
        descriptors: Arc<Descriptors>,
    ) -> Arc<Registry> {
        Arc::new_cyclic(|me| Registry {
            disk,
            process,
            descriptors,
            writers: Mutex::default(),
            sweeping: Mutex::default(),
            me: me.clone(),
        })
    }

    /// Submits the JSON texts of one append, which succeed or fail together. Returns at once;
    /// `completion` is called exactly once, on another thread or on this one.
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
            completion.complete(Outcome::Done(Vec::new(), Vec::new()));
            return Ticket::none();
        }
        let bytes = texts.bytes();
        let pending = match self.process.admit(bytes) {
            Ok(pending) => pending,
            Err(error) => {
                completion.complete(Outcome::Failed(error.with_path(path.as_path())));
                return Ticket::none();
            }
        };
        let options = options.into();
        let request = Request::new(texts.clone(), single, options, completion, pending, bytes);
        let request = Arc::new(request);
        let ticket = Ticket { request: Arc::downgrade(&request), _texts: Some(texts) };
        self.writer(path).queue.submit(request);
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
        self.process.stats()
    }

    pub(crate) fn process(&self) -> &Arc<ProcessContext> {
        &self.process
    }

    /// Waits until all that is pending at the call is settled; false when some of it is not after
    /// `timeout`. What is submitted meanwhile is not waited for.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.process.flush(timeout)
    }

    fn writer(&self, path: &ChroniclePath) -> Arc<Writer> {
        let mut writers = locked(&self.writers);
        if let Some(writer) = writers.get(path.as_path()) {
            return writer.clone();
        }
        let writer = Writer::new(path, self);
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
            // Closing may sync: not for the clock thread. Without a worker there is nothing to
            // close.
            let _ = pool::run(Box::new(job));
        };
        *sweeping = pool::call_at(Instant::now() + SWEEP_INTERVAL, Box::new(sweep)).ok();
    }

    fn sweep(&self) {
        *locked(&self.sweeping) = None;
        let open = self.descriptors.close_unused(MAX_IDLE_TIME);
        let mut writers = locked(&self.writers);
        writers.retain(|_, writer| {
            Arc::strong_count(writer) > 1 || !writer.is_forgettable(FORGET_AFTER)
        });
        let more = open > 0 || !writers.is_empty();
        drop(writers);
        if more {
            self.keep_sweeping();
        }
    }
}
