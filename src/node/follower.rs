//! Following a log, look by look.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError, Weak};
use std::time::{Duration, Instant};

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use super::failure;
use super::follows::{Follows, PendingBatch};
use super::memory::{Memory, disk_of};
use super::options::ReadOptionsJson;
use super::outcome;
use super::port::{Deferred, Port, PortState, serve, start};
use crate::ChroniclePath;
use crate::error::{Code, Error, Result};
use crate::mutex::locked;
use crate::threads::pool;

/// Time between two checks of the path while JavaScript handles events.
const GLANCE_INTERVAL: Duration = Duration::from_millis(200);

/// One followed log.
#[napi]
pub struct Follower {
    port_state: Rc<RefCell<PortState>>,
    opened: Result<Arc<OpenFollow>>,
}

struct OpenFollow {
    path: ChroniclePath,
    follower: Mutex<Option<Follows>>,
    lines: PendingBatch,
    /// The pending request for a look.
    waiting: Mutex<Option<Arc<Deferred>>>,
    /// The log changed since the last look began.
    is_nudged: AtomicBool,
    /// Time of the last check of the path; `None` before the first look.
    looked: Mutex<Option<Instant>>,
}

#[napi]
impl Follower {
    /// Opens no file. A follow from the end checks the path once, to fix the end.
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
        Follower { port_state: port.port_state.clone(), opened: open() }
    }

    /// Looks after `delayMs` milliseconds, or once it is nudged.
    #[napi(catch_unwind)]
    pub fn look(&self, id: u32, delay_ms: u32) {
        let deferred = self.port_state.borrow_mut().cancellable(id);
        let opened = match &self.opened {
            Ok(opened) => opened.clone(),
            Err(error) => return deferred.settle(failure::error(error), None),
        };
        *locked(&opened.waiting) = Some(deferred.clone());
        let at = Instant::now() + Duration::from_millis(delay_ms.into());
        let is_due = delay_ms == 0 || opened.is_nudged.load(Ordering::Relaxed);
        let job = Box::new(move || opened.look());
        let run = if is_due { pool::run(job) } else { pool::run_at(at, job) };
        if let Err(error) = run {
            deferred.settle(failure::error(&error), None);
        }
    }

    /// Looks now if a look is pending. Otherwise the next look has no delay.
    #[napi(catch_unwind)]
    pub fn nudge(&self) {
        let Ok(opened) = &self.opened else { return };
        opened.is_nudged.store(true, Ordering::Relaxed);
        if locked(&opened.waiting).is_some() {
            let opened = opened.clone();
            // Without a thread the look runs at its time.
            let _ = pool::run(Box::new(move || opened.look()));
        }
    }

    /// The lines of the batch that the last look found. A second call returns none.
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
                let deferred = self.port_state.borrow_mut().cancellable(id);
                start(&deferred, move || {
                    close();
                    Ok((outcome::ok(&()), None))
                });
            }
            // Without a thread, the garbage collector closes the descriptor.
            None => drop(pool::run(Box::new(close))),
        }
    }
}

impl OpenFollow {
    /// Serves the pending request, unless another job already did.
    fn look(self: &Arc<Self>) {
        let Some(deferred) = locked(&self.waiting).take() else { return };
        serve(&deferred, || {
            // Before the look, which may miss a change that comes during it.
            self.is_nudged.store(false, Ordering::Relaxed);
            if locked(&self.looked).replace(Instant::now()).is_none() {
                OpenFollow::glance_at(Instant::now() + GLANCE_INTERVAL, Arc::downgrade(self));
            }
            match &mut *locked(&self.follower) {
                Some(follower) => follower.look(&self.path, &self.lines),
                None => Err(Error::new(Code::Closed, "it was closed")),
            }
        });
    }

    /// Checks the path while no look is pending, until the follow is closed or dropped.
    fn glance_at(at: Instant, opened: Weak<OpenFollow>) {
        let glance = move || {
            let Some(this) = opened.upgrade() else { return };
            if let Some(at) = this.glance() {
                OpenFollow::glance_at(at, opened);
            }
        };
        // Without a thread, only looks check the path.
        drop(pool::run_at(at, Box::new(glance)));
    }

    /// The time of the next check; `None` once the follow is closed.
    fn glance(&self) -> Option<Instant> {
        let now = Instant::now();
        let due = locked(&self.looked).map_or(now, |looked| looked + GLANCE_INTERVAL);
        let mut follower = match self.follower.try_lock() {
            Ok(follower) => follower,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // A look is under way.
            Err(TryLockError::WouldBlock) => return Some(now + GLANCE_INTERVAL),
        };
        let follower = follower.as_mut()?;
        if due > now {
            return Some(due);
        }
        follower.glance(&self.path);
        *locked(&self.looked) = Some(now);
        Some(now + GLANCE_INTERVAL)
    }
}
