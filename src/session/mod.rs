//! Lock sessions: several files locked together for as long as the caller likes, and appending to
//! them meanwhile.
//!
//! Besides each file its lock file is locked, which no editor replaces. A rename may replace a
//! locked file before its session sees that and locks the new one. Two sessions exclude each other
//! also in that time.
//!
//! **Shared between processes**: the locks of the files and of their lock files. **Local to the
//! process**: which batch of the session is under way (`kept_lock`), and the appends that a
//! session accepted. A session never writes by itself: its appends are those of writers over
//! `files::SessionDisk`.

mod kept_lock;
mod files;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::{Duration, Instant};

use crate::append::process::ProcessContext;
use crate::append::request::{AppendOptions, Completion, Outcome, Receipt, Texts, later};
use crate::error::{Code, Error, Result, Written};
use crate::mutex::locked;
use crate::path::{ChroniclePath, lock_file_of};
use crate::session::files::{LockedPath, SessionDisk, SessionFiles};
use crate::session::kept_lock::KeptLock;
use crate::storage::descriptors::Descriptors;
use crate::storage::locked_log::{CountedWaiter, Reopens, cannot_lock, is_locked_at};
use crate::storage::{self, Disk, FileDisk, Stat, lock_timeout};

pub use crate::session::kept_lock::LockMode;
use crate::threads::pool::{self, Alarm};
use crate::writer::registry::{Registry, Ticket};

/// How often the paths are looked at for files that took the place of the locked ones.
const RELOCK_INTERVAL: Duration = Duration::from_millis(200);
/// A first try has so much time also where the caller gives none.
const FIRST_TRY_TIME: Duration = Duration::from_millis(250);
/// The last try has so much time after the deadline, unless every thread is stuck.
const LAST_TRY_TIME: Duration = Duration::from_millis(100);

/// Locked files. Dropping it releases them, once the appends that it accepted are settled.
pub struct Session(Arc<SessionInner>);

/// How a request for locks ended.
pub enum LockOutcome {
    /// All are held.
    Held(Session),
    /// None is.
    Failed(Error),
    /// The request was cancelled; none is.
    Cancelled,
}

/// Called once with the outcome, on a thread of the pool.
pub type OnLocked = Box<dyn FnOnce(LockOutcome) + Send>;

/// A way to cancel a request for locks.
#[derive(Clone)]
pub struct LockTicket(Weak<LockRequest>);

struct SessionInner {
    files: Arc<SessionFiles>,
    registry: Arc<Registry>,
    /// Those of the session's writers.
    descriptors: Arc<Descriptors>,
    state: Mutex<SessionState>,
}

#[derive(Default)]
struct SessionState {
    appends: usize,
    is_closing: bool,
    is_released: bool,
    waiting: Vec<Box<dyn FnOnce() + Send>>,
}

/// An append that a session accepted and that is not settled.
struct AcceptedAppend(Arc<SessionInner>);

impl Session {
    /// Locks all of `paths` or none, whatever their suffix; makes those that are missing. Each
    /// inode is locked once, in the order of devices and inodes. While one of them is not free none
    /// is held. Returns at once; `on_locked` is called exactly once.
    pub fn lock_async(
        paths: Vec<ChroniclePath>,
        mode: LockMode,
        timeout: Duration,
        on_locked: OnLocked,
    ) -> LockTicket {
        let begun = Instant::now();
        let process = Registry::global().process().clone();
        let waiter = process.locks().count_waiter();
        let request = Arc::new(LockRequest {
            paths,
            mode,
            process,
            begun,
            deadline: later(begun, timeout),
            attempts: AtomicU32::new(0),
            busy: Mutex::default(),
            on_locked: Mutex::new(Some((on_locked, waiter))),
            alarm: Mutex::default(),
        });
        let ticket = LockTicket(Arc::downgrade(&request));
        let at = request.deadline.max(begun + FIRST_TRY_TIME) + LAST_TRY_TIME;
        let late = ticket.clone();
        let ring = move || {
            if let Some(request) = late.0.upgrade() {
                request.time_out();
            }
        };
        let job = request.clone();
        let started = pool::call_at(at, Box::new(ring)).and_then(|alarm| {
            *locked(&request.alarm) = Some(alarm);
            pool::run(Box::new(move || job.run()))
        });
        if let Err(error) = started {
            request.settle(LockOutcome::Failed(error));
        }
        ticket
    }

    /// [`Session::lock_async`], waiting.
    ///
    /// # Errors
    /// `ELOCK_TIMEOUT`: not all were free in time. `EVALIDATION`: one is no regular file. `EIO`,
    /// `EUNSUPPORTED`: as an append.
    pub fn lock(paths: Vec<ChroniclePath>, mode: LockMode, timeout: Duration) -> Result<Session> {
        let (sender, receiver) = mpsc::channel();
        let on_locked = Box::new(move |outcome| {
            let _ = sender.send(outcome);
        });
        Session::lock_async(paths, mode, timeout, on_locked);
        match receiver.recv() {
            Ok(LockOutcome::Held(session)) => Ok(session),
            Ok(LockOutcome::Failed(error)) => Err(error),
            Ok(LockOutcome::Cancelled) | Err(_) => Err(abandoned()),
        }
    }

    /// Appends to one of the files while they are locked, as [`Registry::submit`] does to others.
    ///
    /// # Errors
    /// `ECLOSED` after [`Session::release`]. `EVALIDATION`: the lock is shared, or `path` is not
    /// the path of one of its files.
    pub fn submit(
        &self,
        path: &ChroniclePath,
        texts: impl Into<Texts>,
        single: bool,
        options: impl Into<Arc<AppendOptions>>,
        completion: Completion,
    ) -> Result<Ticket> {
        let accepted = self
            .accept(path)
            .map_err(|error| error.with_path(path.as_path()).with_written(Written::No))?;
        let completion = Completion::once(move |outcome| {
            let _accepted = accepted;
            completion.complete(outcome);
        });
        Ok(self.0.registry.submit(path, texts, single, options, completion))
    }

    /// [`Session::submit`] for the JSON texts of one append, waiting.
    ///
    /// # Errors
    /// As [`Session::submit`] and [`crate::append`].
    pub fn append(
        &self,
        path: &ChroniclePath,
        texts: Vec<Vec<u8>>,
        options: AppendOptions,
    ) -> Result<Vec<Receipt>> {
        let (sender, receiver) = mpsc::channel();
        let completion = Completion::once(move |outcome| {
            let _ = sender.send(outcome);
        });
        let single = texts.len() == 1;
        self.submit(path, texts, single, options, completion)?;
        match receiver.recv() {
            Ok(Outcome::Done(receipts, _)) => Ok(receipts),
            Ok(Outcome::Failed(error)) => Err(error),
            Ok(Outcome::Cancelled) | Err(_) => Err(abandoned().with_written(Written::Unknown)),
        }
    }

    /// Takes no more appends, waits for those that were accepted, releases the locks, and calls
    /// `then`, on a thread of the pool or on this one.
    pub fn release(&self, then: Box<dyn FnOnce() + Send>) {
        let mut state = locked(&self.0.state);
        if state.is_released {
            drop(state);
            return then();
        }
        state.waiting.push(then);
        let is_first = !std::mem::replace(&mut state.is_closing, true);
        let is_idle = state.appends == 0;
        drop(state);
        if is_first && is_idle {
            self.0.end();
        }
    }

    /// The locked descriptors: of the files and of their lock files. None after the release.
    pub fn descriptors(&self) -> Vec<i32> {
        self.0.files.descriptors()
    }

    fn new(held: Vec<LockedPath>, mode: LockMode) -> Session {
        let files = Arc::new(SessionFiles::new(held, mode));
        let disk = Arc::new(SessionDisk::new(files.clone()));
        let descriptors = Arc::<Descriptors>::default();
        let registry = Registry::global().with_disk(disk, descriptors.clone());
        let state = Mutex::default();
        let inner = Arc::new(SessionInner { files, registry, descriptors, state });
        watch(Arc::downgrade(&inner));
        Session(inner)
    }

    fn accept(&self, path: &ChroniclePath) -> Result<AcceptedAppend> {
        let mut state = locked(&self.0.state);
        if state.is_closing {
            return Err(Error::new(Code::Closed, "the lock was released"));
        }
        if self.0.files.mode() == LockMode::Shared {
            return Err(Error::validation("a shared lock does not append, take an exclusive one"));
        }
        if !self.0.files.has(path) {
            let message = format!("{} is no file of this lock", path.as_path().display());
            return Err(Error::validation(message));
        }
        state.appends += 1;
        Ok(AcceptedAppend(self.0.clone()))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.release(Box::new(|| {}));
    }
}

impl Drop for AcceptedAppend {
    fn drop(&mut self) {
        let mut state = locked(&self.0.state);
        state.appends -= 1;
        let is_last = state.appends == 0 && state.is_closing;
        drop(state);
        if is_last {
            self.0.end();
        }
    }
}

impl SessionInner {
    /// Releases the locks: on a worker, because closing may sync.
    fn end(self: &Arc<Self>) {
        let me = self.clone();
        if pool::run(Box::new(move || me.release_locks())).is_err() {
            self.release_locks();
        }
    }

    fn release_locks(&self) {
        self.files.release();
        let waiting = {
            let mut state = locked(&self.state);
            state.is_released = true;
            std::mem::take(&mut state.waiting)
        };
        for then in waiting {
            then();
        }
        self.descriptors.close_unused(Duration::ZERO);
    }
}

/// Looks at the paths again and again while the session lives.
fn watch(session: Weak<SessionInner>) {
    let job = move || {
        let is_held = session.upgrade().is_some_and(|inner| inner.files.relock_replaced());
        if is_held {
            watch(session);
        }
    };
    // There is a worker: one of them made the session.
    let _ = pool::run_at(Instant::now() + RELOCK_INTERVAL, Box::new(job));
}

/// A request for locks. Dropped unsettled, it settles itself with an error.
struct LockRequest {
    paths: Vec<ChroniclePath>,
    mode: LockMode,
    process: Arc<ProcessContext>,
    begun: Instant,
    deadline: Instant,
    attempts: AtomicU32,
    /// The file whose lock was not free when it was tried last.
    busy: Mutex<Option<(PathBuf, Stat)>>,
    /// None once it is settled.
    on_locked: Mutex<Option<(OnLocked, CountedWaiter)>>,
    /// Rings at the deadline. Dropped when the request is settled: an alarm would keep it in memory
    /// until then.
    alarm: Mutex<Option<Alarm>>,
}

/// How one try for all locks ended.
enum Attempt {
    Held(Vec<LockedPath>),
    Busy(PathBuf, Stat),
    /// A path names another file than was opened.
    Moved,
}

impl LockTicket {
    /// Settles the request with [`LockOutcome::Cancelled`] unless it is settled.
    pub fn cancel(&self) {
        if let Some(request) = self.0.upgrade() {
            request.settle(LockOutcome::Cancelled);
        }
    }
}

impl LockRequest {
    fn run(self: Arc<Self>) {
        let mut reopens = Reopens::default();
        while locked(&self.on_locked).is_some() {
            match self.try_all() {
                Ok(Attempt::Held(held)) => {
                    self.process.counters().waited(self.begun.elapsed());
                    return self.settle(LockOutcome::Held(Session::new(held, self.mode)));
                }
                Ok(Attempt::Busy(path, stat)) => {
                    *locked(&self.busy) = Some((path, stat));
                    return self.try_later();
                }
                Ok(Attempt::Moved) => {
                    if let Err(error) = reopens.count() {
                        return self.settle(LockOutcome::Failed(error));
                    }
                }
                Err(error) => return self.settle(LockOutcome::Failed(error)),
            }
        }
    }

    /// Holds neither a thread nor a lock until the next try, the last of which is at the deadline.
    fn try_later(self: Arc<Self>) {
        let now = Instant::now();
        if now >= self.deadline {
            return self.time_out();
        }
        let attempts = self.attempts.fetch_add(1, Ordering::Relaxed);
        let at = (now + self.process.locks().pause(attempts)).min(self.deadline);
        let job = self.clone();
        if let Err(error) = pool::run_at(at, Box::new(move || job.run())) {
            self.settle(LockOutcome::Failed(error));
        }
    }

    fn time_out(&self) {
        let busy = locked(&self.busy).take();
        let stat = busy.as_ref().map(|(_, stat)| stat);
        let first = self.paths.first().map_or(Path::new(""), ChroniclePath::as_path);
        let path = busy.as_ref().map_or(first, |(path, _)| path);
        let holder = stat.and_then(|stat| FileDisk.lock_holder(stat));
        let error = lock_timeout::timeout(path, stat, holder, self.begun.elapsed());
        self.settle(LockOutcome::Failed(error));
    }

    fn settle(&self, outcome: LockOutcome) {
        let on_locked = locked(&self.on_locked).take();
        let alarm = locked(&self.alarm).take();
        drop(alarm);
        if let Some((on_locked, waiter)) = on_locked {
            drop(waiter);
            on_locked(outcome);
        }
    }

    /// Tries once for all locks. Those that were taken are released when one is not free.
    fn try_all(&self) -> Result<Attempt> {
        // By device and inode: two names of one file are one lock, and all requests take locks in
        // the same order.
        let mut files: BTreeMap<(u64, u64), (Arc<KeptLock>, &Path)> = BTreeMap::new();
        let mut held = Vec::new();
        for path in &self.paths {
            let name = path.as_path();
            let data = storage::open_or_make(name)?.held_by_session();
            let real = storage::real_path(name).map_err(|error| cannot(name, "realpath", error))?;
            let Some(side_path) = real.map(|real| lock_file_of(&real)) else {
                return Ok(Attempt::Moved);
            };
            let side = storage::open_lock_file(&side_path, &data)?;
            let mut once = |file| {
                let lock =
                    KeptLock::new(file, self.mode).map_err(|error| cannot(name, "fstat", error))?;
                let key = (lock.stat.device, lock.stat.inode);
                Ok(files.entry(key).or_insert((lock, name)).0.clone())
            };
            held.push(LockedPath {
                path: path.clone(),
                data: once(data)?,
                side: once(side)?,
                side_path,
            });
        }
        for (lock, name) in files.values() {
            let is_kept = lock.keep().map_err(|error| cannot_lock(&error).with_path(name))?;
            if !is_kept {
                return Ok(Attempt::Busy(name.to_path_buf(), lock.stat));
            }
        }
        for path in &held {
            let (name, locks) = (path.path.as_path(), self.process.locks());
            let is_held = is_locked_at(name, &path.data.stat, &FileDisk, locks, || path.is_there())
                .map_err(|failure| {
                    let cannot = |operation, error| cannot(name, operation, error);
                    failure.into_error(cannot).with_path(name)
                })?;
            if !is_held {
                return Ok(Attempt::Moved);
            }
            path.mark();
        }
        Ok(Attempt::Held(held))
    }
}

impl Drop for LockRequest {
    fn drop(&mut self) {
        self.settle(LockOutcome::Failed(abandoned()));
    }
}

fn cannot(path: &Path, operation: &'static str, error: io::Error) -> Error {
    Error::io("cannot lock", operation, error).with_path(path)
}

fn abandoned() -> Error {
    Error::io("lock was abandoned", "panic", io::Error::other("the locking thread panicked"))
}
