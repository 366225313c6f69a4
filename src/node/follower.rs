//! Following a log, look by look.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError, Weak};
use std::time::{Duration, Instant};

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use super::follows::{Follows, PendingBatch};
use super::memory::{Memory, disk_of};
use super::options::ReadOptionsJson;
use super::outcome;
use super::port::{Deferred, Port, PortState, serve, start};
use crate::ChroniclePath;
use crate::error::{Code, Error, Result};
use crate::mutex::locked;
use crate::threads::pool;

/// The time between two looks at the path while the caller is busy with what it was given.
const GLANCE: Duration = Duration::from_millis(200);

/// One log that is followed.
#[napi]
pub struct Follower {
    desk: Rc<RefCell<PortState>>,
    opened: Result<Arc<OpenFollow>>,
}

struct OpenFollow {
    path: ChroniclePath,
    follower: Mutex<Option<Follows>>,
    lines: PendingBatch,
    /// The request for a look whose time has not come.
    waiting: Mutex<Option<Arc<Deferred>>>,
    /// Something changed since the last look began.
    is_nudged: AtomicBool,
    /// When the path was looked at last; nothing before the first look.
    looked: Mutex<Option<Instant>>,
}

#[napi]
impl Follower {
    /// Opens nothing yet. Where it begins at the end, one look at the path fixes that.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        port: &Port,
        path: String,
        options: Option<String>,
        memory: Option<&Memory>,
    ) -> Follower {
        let open = || {
            let (path, selection, selected) = ReadOptionsJson::order(&path, options.as_deref())?;
            let mut follower = Follows::new(disk_of(memory), selection, &selected);
            follower.fix_end(&path);
            Ok(Arc::new(OpenFollow {
                path,
                follower: Mutex::new(Some(follower)),
                lines: PendingBatch::default(),
                waiting: Mutex::default(),
                is_nudged: AtomicBool::new(false),
                looked: Mutex::default(),
            }))
        };
        Follower { desk: port.desk.clone(), opened: open() }
    }

    /// Looks after so many milliseconds, or when it is nudged.
    #[napi(catch_unwind)]
    pub fn look(&self, id: u32, delay_ms: u32) {
        let slot = self.desk.borrow_mut().cancellable(id);
        let opened = match &self.opened {
            Ok(opened) => opened.clone(),
            Err(error) => return slot.settle(outcome::error(error), None),
        };
        *locked(&opened.waiting) = Some(slot.clone());
        let at = Instant::now() + Duration::from_millis(delay_ms.into());
        let is_due = delay_ms == 0 || opened.is_nudged.load(Ordering::Relaxed);
        let job = Box::new(move || opened.look());
        let run = if is_due { pool::run(job) } else { pool::run_at(at, job) };
        if let Err(error) = run {
            slot.settle(outcome::error(&error), None);
        }
    }

    /// Looks now, if a look is waited for; else the next one does not wait.
    #[napi(catch_unwind)]
    pub fn nudge(&self) {
        let Ok(opened) = &self.opened else { return };
        opened.is_nudged.store(true, Ordering::Relaxed);
        if locked(&opened.waiting).is_some() {
            let opened = opened.clone();
            // Without a thread the look comes at its time.
            let _ = pool::run(Box::new(move || opened.look()));
        }
    }

    /// The lines of the batch that the look before found, once.
    #[napi(catch_unwind)]
    pub fn take_lines(&self) -> Option<Buffer> {
        let lines = locked(&self.opened.as_ref().ok()?.lines).take()?;
        Some(lines.into())
    }

    /// Closes the descriptor, then settles.
    #[napi(catch_unwind)]
    pub fn close(&self, id: Option<u32>) {
        let opened = self.opened.as_ref().ok().cloned();
        let close = move || {
            if let Some(opened) = opened {
                *locked(&opened.follower) = None;
            }
        };
        match id {
            Some(id) => {
                let slot = self.desk.borrow_mut().cancellable(id);
                start(&slot, move || {
                    close();
                    Ok((outcome::ok(&()), None))
                });
            }
            // Without a thread the descriptor is closed when all this is collected.
            None => drop(pool::run(Box::new(close))),
        }
    }
}

impl OpenFollow {
    /// Serves the request that waits; there is none when another job was faster.
    fn look(self: &Arc<Self>) {
        let Some(slot) = locked(&self.waiting).take() else { return };
        serve(&slot, || {
            // Before the look: what changes meanwhile may not be seen by it.
            self.is_nudged.store(false, Ordering::Relaxed);
            if locked(&self.looked).replace(Instant::now()).is_none() {
                OpenFollow::glance_at(Instant::now() + GLANCE, Arc::downgrade(self));
            }
            match &mut *locked(&self.follower) {
                Some(follower) => follower.look(&self.path, &self.lines),
                None => Err(Error::new(Code::Closed, "it was closed")),
            }
        });
    }

    /// Looks at the path while no look is asked for, until the follow is closed or dropped.
    fn glance_at(at: Instant, opened: Weak<OpenFollow>) {
        let glance = move || {
            let Some(this) = opened.upgrade() else { return };
            if let Some(at) = this.glance() {
                OpenFollow::glance_at(at, opened);
            }
        };
        // Without a thread only the looks see what stands at the path.
        drop(pool::run_at(at, Box::new(glance)));
    }

    /// When to look again; nothing if the follow is over.
    fn glance(&self) -> Option<Instant> {
        let now = Instant::now();
        let due = locked(&self.looked).map_or(now, |looked| looked + GLANCE);
        let mut follower = match self.follower.try_lock() {
            Ok(follower) => follower,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // A look is under way.
            Err(TryLockError::WouldBlock) => return Some(now + GLANCE),
        };
        let follower = follower.as_mut()?;
        if due > now {
            return Some(due);
        }
        follower.glance(&self.path);
        *locked(&self.looked) = Some(now);
        Some(now + GLANCE)
    }
}
