//! The bound on the idle descriptors of all follows of the process.
//!
//! Beyond the bound, the leases that are idle for longest are closed. A follow opens its file again
//! at a look that finds a change.

use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use crate::mutex::locked;
use crate::storage::OpenFile;

/// Idle descriptors at most.
const MAX_IDLE_DESCRIPTORS: usize = 64;

static LEASES: Mutex<Vec<Weak<Lease>>> = Mutex::new(Vec::new());

/// The descriptor of a followed file.
pub(crate) struct Lease(Mutex<LeaseState>);

struct LeaseState {
    storage: Option<OpenFile>,
    /// Time of the last change; `None` during a look.
    idle_since: Option<Instant>,
}

impl Lease {
    pub(crate) fn new(storage: OpenFile) -> Arc<Lease> {
        let state = LeaseState { storage: Some(storage), idle_since: None };
        let lease = Arc::new(Lease(Mutex::new(state)));
        let mut leases = locked(&LEASES);
        leases.retain(|other| other.upgrade().is_some_and(|other| other.is_open()));
        leases.push(Arc::downgrade(&lease));
        drop(leases);
        lease
    }

    fn is_open(&self) -> bool {
        locked(&self.0).storage.is_some()
    }

    fn idle_since(&self) -> Option<Instant> {
        let state = locked(&self.0);
        state.idle_since.filter(|_| state.storage.is_some())
    }

    /// The descriptor for a look; `None` if the lease was closed.
    pub(crate) fn storage(&self) -> Option<OpenFile> {
        let mut state = locked(&self.0);
        state.idle_since = None;
        state.storage.clone()
    }

    /// Allows the lease to be closed, after a look that found nothing.
    pub(crate) fn set_idle(&self, since: Instant) {
        locked(&self.0).idle_since = Some(since);
        close_excess();
    }

    fn close_if_idle(&self) {
        let mut state = locked(&self.0);
        if state.idle_since.is_some() {
            state.storage = None;
        }
    }
}

fn close_excess() {
    let mut leases = locked(&LEASES);
    if leases.len() <= MAX_IDLE_DESCRIPTORS {
        return;
    }
    let mut open: Vec<Arc<Lease>> = leases.iter().filter_map(Weak::upgrade).collect();
    open.retain(|lease| lease.is_open());
    *leases = open.iter().map(Arc::downgrade).collect();
    drop(leases);
    let excess = open.len().saturating_sub(MAX_IDLE_DESCRIPTORS);
    let mut idle: Vec<(Instant, &Arc<Lease>)> =
        open.iter().filter_map(|lease| Some((lease.idle_since()?, lease))).collect();
    idle.sort_by_key(|(since, _)| *since);
    for (_, lease) in idle.into_iter().take(excess) {
        lease.close_if_idle();
    }
}
