//! Lock sessions: several files locked together for as long as the caller likes, and appending to them meanwhile.
//!
//! Besides each file its lock file is locked, which no editor replaces: so two sessions exclude each other also between the
//! moment in which one of the files is replaced by a rename and the one in which its session sees that and locks the new one.

mod kept_lock;
mod files;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::{Duration, Instant};

use crate::append::request::{AppendOptions, Completion, Outcome, Receipt, Texts, later};
use crate::error::{Code, Error, Result, Written};
use crate::mutex::locked;
use crate::path::{ChroniclePath, lock_file_of};
use crate::session::files::{Files, LentDisk, Place};
use crate::session::kept_lock::Held;
use crate::storage::{self, Stat, lock_timeout};

pub use crate::session::kept_lock::LockMode;
use crate::threads::pool::{self, Alarm};
use crate::writer::acquire::{cannot_lock, dishonoured};
use crate::writer::registry::{Registry, Ticket};
use crate::writer::shared::Shared;

/// How often the paths are looked at for files that took the place of the locked ones.
const LOOK: Duration = Duration::from_millis(200);
/// Times the file at a path may be another one than was opened before this is taken for a file system without stable
/// inode numbers.
const MAX_REOPENS: u32 = 100;
/// A first try has so much time also where the caller gives none.
const GRACE: Duration = Duration::from_millis(250);
/// The last try has so much time after the deadline, unless every thread is stuck.
const LAST_TRY: Duration = Duration::from_millis(100);

/// Locked files. Dropping it releases them, once the appends that it accepted are settled.
pub struct Session(Arc<Inner>);

/// How the search for locks ended.
pub enum Sought {
    /// All are held.
    Held(Session),
    /// None is.
    Failed(Error),
    /// It was given up; none is.
    Cancelled,
}

/// Called once with what came of it, on a thread of the pool.
pub type Found = Box<dyn FnOnce(Sought) + Send>;

/// A way to give the search up.
#[derive(Clone)]
pub struct Search(Weak<Quest>);

struct Inner {
    files: Arc<Files>,
    registry: Arc<Registry>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    appends: usize,
    is_closing: bool,
    is_released: bool,
    waiting: Vec<Box<dyn FnOnce() + Send>>,
}

/// An append that a session accepted and that is not settled.
struct Accepted(Arc<Inner>);

impl Session {
    /// Locks all of `paths` or none, whatever their suffix; makes those that are missing. Each inode is locked once, in the order
    /// of devices and inodes. While one of them is not free none is held. Returns at once; `found` is called exactly once.
    pub fn seek(
        paths: Vec<ChroniclePath>,
        mode: LockMode,
        timeout: Duration,
        found: Found,
    ) -> Search {
        let begun = Instant::now();
        let shared = Registry::global().shared().clone();
        shared.waits(true);
        let quest = Arc::new(Quest {
            paths,
            mode,
            shared,
            begun,
            deadline: later(begun, timeout),
            attempts: AtomicU32::new(0),
            busy: Mutex::default(),
            found: Mutex::new(Some(found)),
            alarm: Mutex::default(),
        });
        let search = Search(Arc::downgrade(&quest));
        let at = quest.deadline.max(begun + GRACE) + LAST_TRY;
        let late = search.clone();
        let ring = move || {
            if let Some(quest) = late.0.upgrade() {
                quest.time_out();
            }
        };
        let job = quest.clone();
        let started = pool::call_at(at, Box::new(ring)).and_then(|alarm| {
            *locked(&quest.alarm) = Some(alarm);
            pool::run(Box::new(move || job.run()))
        });
        if let Err(error) = started {
            quest.settle(Sought::Failed(Error::io("cannot start a thread", "clone", error)));
        }
        search
    }

    /// [`Session::seek`], waiting.
    ///
    /// # Errors
    /// `ELOCK_TIMEOUT`: not all were free in time. `EVALIDATION`: one is no regular file. `EIO`, `EUNSUPPORTED`: as an append.
    pub fn lock(paths: Vec<ChroniclePath>, mode: LockMode, timeout: Duration) -> Result<Session> {
        let (sender, receiver) = mpsc::channel();
        let found = Box::new(move |sought| {
            let _ = sender.send(sought);
        });
        Session::seek(paths, mode, timeout, found);
        match receiver.recv() {
            Ok(Sought::Held(session)) => Ok(session),
            Ok(Sought::Failed(error)) => Err(error),
            Ok(Sought::Cancelled) | Err(_) => Err(abandoned()),
        }
    }

    /// Appends to one of the files while they are locked, as [`Registry::submit`] does to others.
    ///
    /// # Errors
    /// `ECLOSED` after [`Session::release`]. `EVALIDATION`: the lock is shared, or `path` is not the path of one of its files.
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
            completion.tell(outcome);
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

    /// Takes no more appends, waits for those that were accepted, gives the locks back, and calls `then`, on a thread of the pool or on this one.
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

    fn new(places: Vec<Place>, mode: LockMode) -> Session {
        let files = Arc::new(Files::new(places, mode));
        let disk = Arc::new(LentDisk::new(files.clone()));
        let registry = Registry::global().with_disk(disk);
        let inner = Arc::new(Inner { files, registry, state: Mutex::default() });
        watch(Arc::downgrade(&inner));
        Session(inner)
    }

    fn accept(&self, path: &ChroniclePath) -> Result<Accepted> {
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
        Ok(Accepted(self.0.clone()))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.release(Box::new(|| {}));
    }
}

impl Drop for Accepted {
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

impl Inner {
    /// Gives the locks back: on a worker, because closing may sync.
    fn end(self: &Arc<Self>) {
        let me = self.clone();
        if pool::run(Box::new(move || me.give_back())).is_err() {
            self.give_back();
        }
    }

    fn give_back(&self) {
        self.files.release();
        let waiting = {
            let mut state = locked(&self.state);
            state.is_released = true;
            std::mem::take(&mut state.waiting)
        };
        for then in waiting {
            then();
        }
        self.registry.shared().close_all();
    }
}

/// Looks at the paths again and again while the session lives.
fn watch(session: Weak<Inner>) {
    let job = move || {
        let is_held = session.upgrade().is_some_and(|inner| inner.files.look());
        if is_held {
            watch(session);
        }
    };
    // There is a worker: one of them made the session.
    let _ = pool::run_at(Instant::now() + LOOK, Box::new(job));
}

/// A search for locks. Dropped unsettled, it says that something went wrong.
struct Quest {
    paths: Vec<ChroniclePath>,
    mode: LockMode,
    shared: Arc<Shared>,
    begun: Instant,
    deadline: Instant,
    attempts: AtomicU32,
    /// The file whose lock was not free when it was tried last.
    busy: Mutex<Option<(PathBuf, Stat)>>,
    found: Mutex<Option<Found>>,
    /// Rings at the deadline. Gone once it is settled: a lock that was got at once would keep it until then.
    alarm: Mutex<Option<Alarm>>,
}

enum Tried {
    Taken(Vec<Place>),
    Busy(PathBuf, Stat),
    /// A path names another file than was opened.
    Moved,
}

impl Search {
    /// Settles it with [`Sought::Cancelled`] unless it is settled.
    pub fn cancel(&self) {
        if let Some(quest) = self.0.upgrade() {
            quest.settle(Sought::Cancelled);
        }
    }
}

impl Quest {
    fn run(self: Arc<Self>) {
        for _ in 0..MAX_REOPENS {
            if locked(&self.found).is_none() {
                return;
            }
            match self.try_all() {
                Ok(Tried::Moved) => {}
                Ok(Tried::Taken(places)) => {
                    self.shared.counters().waited(self.begun.elapsed());
                    return self.settle(Sought::Held(Session::new(places, self.mode)));
                }
                Ok(Tried::Busy(path, stat)) => {
                    *locked(&self.busy) = Some((path, stat));
                    return self.try_later();
                }
                Err(error) => return self.settle(Sought::Failed(error)),
            }
        }
        let message = "the file system has no stable inode numbers";
        self.settle(Sought::Failed(Error::new(Code::Unsupported, message)));
    }

    /// Holds neither a thread nor a lock until the next try, the last of which is at the deadline.
    fn try_later(self: Arc<Self>) {
        let now = Instant::now();
        if now >= self.deadline {
            return self.time_out();
        }
        let attempts = self.attempts.fetch_add(1, Ordering::Relaxed);
        let at = (now + self.shared.pause(attempts)).min(self.deadline);
        let job = self.clone();
        if let Err(error) = pool::run_at(at, Box::new(move || job.run())) {
            self.settle(Sought::Failed(Error::io("cannot start a thread", "clone", error)));
        }
    }

    fn time_out(&self) {
        let busy = locked(&self.busy).take();
        let stat = busy.as_ref().map(|(_, stat)| stat);
        let first = self.paths.first().map_or(Path::new(""), ChroniclePath::as_path);
        let path = busy.as_ref().map_or(first, |(path, _)| path);
        let holder = stat.and_then(|stat| self.shared.disk.lock_holder(stat));
        self.settle(Sought::Failed(lock_timeout::timeout(
            path,
            stat,
            holder,
            self.begun.elapsed(),
        )));
    }

    fn settle(&self, sought: Sought) {
        let found = locked(&self.found).take();
        let alarm = locked(&self.alarm).take();
        drop(alarm);
        if let Some(found) = found {
            self.shared.waits(false);
            found(sought);
        }
    }

    /// Tries once for all locks. Those that were got are given back when one is not free.
    fn try_all(&self) -> Result<Tried> {
        // By device and inode: two names of one file are one lock, and all take locks in the same order.
        let mut files: BTreeMap<(u64, u64), (Arc<Held>, &Path)> = BTreeMap::new();
        let mut places = Vec::new();
        for path in &self.paths {
            let name = path.as_path();
            let data = storage::open_or_make(name)?.lent();
            let real = storage::real_path(name).map_err(|error| cannot(name, "realpath", error))?;
            let Some(side_path) = real.map(|real| lock_file_of(&real)) else {
                return Ok(Tried::Moved);
            };
            let side = storage::open_lock_file(&side_path, &data)?;
            let mut once = |file| {
                let held =
                    Held::new(file, self.mode).map_err(|error| cannot(name, "fstat", error))?;
                let key = (held.stat.device, held.stat.inode);
                Ok(files.entry(key).or_insert((held, name)).0.clone())
            };
            places.push(Place {
                path: path.clone(),
                data: once(data)?,
                side: once(side)?,
                side_path,
            });
        }
        for (held, name) in files.values() {
            let kept = held.keep().map_err(|error| cannot_lock(&error).with_path(name))?;
            if !kept {
                return Ok(Tried::Busy(name.to_path_buf(), held.stat));
            }
        }
        for place in &places {
            let name = place.path.as_path();
            let is_there =
                |place: &Place| place.is_there().map_err(|error| cannot(name, "stat", error));
            if !is_there(place)? {
                return Ok(Tried::Moved);
            }
            let device = place.data.stat.device;
            let honoured = self
                .shared
                .honours_lock(device, || self.shared.disk.honours_lock(name))
                .map_err(|error| cannot(name, "flock", error))?;
            if !honoured {
                if !is_there(place)? {
                    return Ok(Tried::Moved);
                }
                self.shared.refuse(device);
                return Err(dishonoured().with_path(name));
            }
            place.mark();
        }
        Ok(Tried::Taken(places))
    }
}

impl Drop for Quest {
    fn drop(&mut self) {
        self.settle(Sought::Failed(abandoned()));
    }
}

fn cannot(path: &Path, operation: &'static str, error: io::Error) -> Error {
    Error::io("cannot lock", operation, error).with_path(path)
}

fn abandoned() -> Error {
    Error::io("lock was abandoned", "panic", io::Error::other("the locking thread panicked"))
}
