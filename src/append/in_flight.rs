//! How much waits to be settled, and waiting until what is pending now is settled.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::mutex::locked;

/// Counts requests and their bytes. Atomics, because the thread that submits and those that settle use it at the same time for each event.
///
/// Requests are counted in two generations, so that a thread can wait for those of now while others
/// keep coming: only the present generation and the one before it have requests, and the next one
/// begins when the one before is settled. This is how the kernel's SRCU waits for its readers.
#[derive(Default)]
pub(crate) struct Pending {
    generation: AtomicU64,
    /// Of even generations, of odd ones.
    requests: [AtomicUsize; 2],
    bytes: AtomicUsize,
    /// Threads that wait: waking nobody costs a system call.
    waiting: AtomicUsize,
    gate: Mutex<()>,
    settled: Condvar,
}

/// With which requests one was counted in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Parity(bool);

impl Pending {
    /// Counts a request in, unless there are more than `most` bytes with it.
    pub(crate) fn admit(&self, bytes: usize, most: usize) -> Option<Parity> {
        let with = |now: usize| now.checked_add(bytes).filter(|sum| *sum <= most);
        self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, with).ok()?;
        let parity = Parity(self.generation.load(Ordering::SeqCst) % 2 == 1);
        self.of(parity).fetch_add(1, Ordering::SeqCst);
        Some(parity)
    }

    /// Counts a settled request out.
    pub(crate) fn discharge(&self, parity: Parity, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        // Who waits says so before it looks at the count: either it sees this, or this sees it.
        let was_last = self.of(parity).fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last && self.waiting.load(Ordering::SeqCst) > 0 {
            drop(locked(&self.gate));
            self.settled.notify_all();
        }
    }

    /// Requests and bytes.
    pub(crate) fn now(&self) -> (usize, usize) {
        let requests = self.requests.iter().map(|count| count.load(Ordering::Acquire)).sum();
        (requests, self.bytes.load(Ordering::Acquire))
    }

    /// Waits until all that is pending at the call is settled; false when some of it is not after `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let mut gate = locked(&self.gate);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let present = self.generation.load(Ordering::SeqCst);
        let is_settled = loop {
            if self.is_settled(present) {
                break true;
            }
            let left = deadline.map_or(timeout, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break false;
            }
            let woken = self.settled.wait_timeout(gate, left);
            gate = woken.unwrap_or_else(PoisonError::into_inner).0;
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        is_settled
    }

    /// Whether the requests of this generation and those before it are settled. Begins the next generation where it can, which
    /// only threads that hold the gate do.
    fn is_settled(&self, generation: u64) -> bool {
        let count = |generation: u64| self.of(Parity(generation % 2 == 1)).load(Ordering::SeqCst);
        let now = self.generation.load(Ordering::SeqCst);
        if now == generation {
            if count(generation + 1) > 0 {
                return false;
            }
            self.generation.store(generation + 1, Ordering::SeqCst);
            // Others may wait for this step too.
            self.settled.notify_all();
        } else if now > generation + 1 {
            return true;
        }
        count(generation) == 0
    }

    fn of(&self, Parity(is_odd): Parity) -> &AtomicUsize {
        let [even, odd] = &self.requests;
        if is_odd { odd } else { even }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    const HANG: Duration = Duration::from_secs(30);

    #[test]
    fn what_would_be_too_much_is_not_counted() {
        let pending = Pending::default();
        let first = pending.admit(60, 100).unwrap();
        assert!(pending.admit(41, 100).is_none());
        assert!(pending.admit(usize::MAX, 100).is_none());
        assert_eq!(pending.now(), (1, 60));
        assert!(pending.admit(40, 100).is_some());
        pending.discharge(first, 60);
        assert_eq!(pending.now(), (1, 40));
    }

    #[test]
    fn a_thread_that_waits_is_woken_by_the_last_one() {
        for _ in 0..200 {
            let pending = Arc::new(Pending::default());
            let parities: Vec<_> = (0..4).map(|_| pending.admit(1, 10).unwrap()).collect();
            let settling = pending.clone();
            let thread = std::thread::spawn(move || {
                parities.into_iter().for_each(|parity| settling.discharge(parity, 1));
            });
            assert!(pending.wait(HANG));
            assert!(thread.join().is_ok());
        }
        let pending = Pending::default();
        assert!(pending.admit(1, 10).is_some());
        assert!(!pending.wait(Duration::ZERO));
    }

    #[test]
    fn a_thread_waits_for_what_is_pending_now_although_more_comes_all_the_time() {
        let pending = Arc::new(Pending::default());
        let is_over = Arc::new(AtomicBool::new(false));
        // At each moment at least one request of each of these threads is pending.
        let busy = || {
            let (pending, is_over) = (pending.clone(), is_over.clone());
            std::thread::spawn(move || {
                let mut last = pending.admit(1, 1000).unwrap();
                while !is_over.load(Ordering::Relaxed) {
                    let next = pending.admit(1, 1000).unwrap();
                    pending.discharge(last, 1);
                    last = next;
                }
                pending.discharge(last, 1);
            })
        };
        let threads: Vec<_> = (0..3).map(|_| busy()).collect();
        let waits = || {
            let pending = pending.clone();
            std::thread::spawn(move || (0..50).all(|_| pending.wait(HANG)))
        };
        let waiting: Vec<_> = (0..3).map(|_| waits()).collect();
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap()));
        // A request that stays keeps each later wait, and none of them keeps others from ending.
        let stays = pending.admit(1, 1000).unwrap();
        for _ in 0..3 {
            assert!(!pending.wait(Duration::from_millis(5)));
        }
        pending.discharge(stays, 1);
        assert!(pending.wait(HANG));
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(pending.now(), (0, 0));
    }
}
