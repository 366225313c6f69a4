//! How much waits to be settled, and waiting until nothing does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::pool::locked;

/// Counts requests and their bytes. Atomics, because the thread that submits and those that settle are at it at the same time for each event.
#[derive(Default)]
pub(crate) struct Pending {
    requests: AtomicUsize,
    bytes: AtomicUsize,
    /// Threads that wait until nothing is pending: telling nobody costs a system call.
    waiting: AtomicUsize,
    gate: Mutex<()>,
    none: Condvar,
}

impl Pending {
    /// Counts a request in, unless there are more than `most` bytes with it.
    pub(crate) fn admit(&self, bytes: usize, most: usize) -> bool {
        let with = |now: usize| now.checked_add(bytes).filter(|sum| *sum <= most);
        let admitted = self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, with).is_ok();
        if admitted {
            self.requests.fetch_add(1, Ordering::SeqCst);
        }
        admitted
    }

    /// Counts a settled request out.
    pub(crate) fn discharge(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        // Who waits says so before it looks at the count: either it sees this, or this sees it.
        let was_last = self.requests.fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last && self.waiting.load(Ordering::SeqCst) > 0 {
            drop(locked(&self.gate));
            self.none.notify_all();
        }
    }

    /// Requests and bytes.
    pub(crate) fn now(&self) -> (usize, usize) {
        (self.requests.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire))
    }

    /// Waits until nothing is pending; false when something still is after `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let mut gate = locked(&self.gate);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while self.requests.load(Ordering::SeqCst) > 0 {
            let left = deadline.map_or(timeout, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            let woken = self.none.wait_timeout(gate, left);
            gate = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.requests.load(Ordering::SeqCst) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_would_be_too_much_is_not_counted() {
        let pending = Pending::default();
        assert!(pending.admit(60, 100));
        assert!(!pending.admit(41, 100));
        assert!(!pending.admit(usize::MAX, 100));
        assert_eq!(pending.now(), (1, 60));
        assert!(pending.admit(40, 100));
        pending.discharge(60);
        assert_eq!(pending.now(), (1, 40));
    }

    #[test]
    fn whoever_waits_is_woken_by_the_last_one() {
        for _ in 0..200 {
            let pending = Arc::new(Pending::default());
            (0..4).for_each(|_| assert!(pending.admit(1, 10)));
            let settling = pending.clone();
            let thread = std::thread::spawn(move || (0..4).for_each(|_| settling.discharge(1)));
            assert!(pending.wait(Duration::from_secs(30)));
            assert!(thread.join().is_ok());
        }
        let pending = Pending::default();
        assert!(pending.admit(1, 10));
        assert!(!pending.wait(Duration::ZERO));
    }
}
