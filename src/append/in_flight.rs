//! Counts of unsettled requests and their bytes, and the wait until the present ones are settled.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::mutex::locked;

/// Counts requests and their bytes. Submitting and settling threads update it for each event, hence
/// the atomics.
///
/// Requests are counted in two generations, so that a thread can wait for the present ones while
/// new ones arrive. Only the present generation and the one before it have requests. The next
/// generation starts once the one before is settled. The kernel's SRCU waits for its readers the
/// same way.
#[derive(Default)]
pub(crate) struct Pending {
    generation: AtomicU64,
    /// Counts of even and of odd generations.
    requests: [AtomicUsize; 2],
    bytes: AtomicUsize,
    /// Threads in [`Pending::wait`]: without any, no thread is woken, which saves a system call.
    waiting: AtomicUsize,
    gate: Mutex<()>,
    settled: Condvar,
}

/// The generation of a request: even or odd.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Parity(bool);

impl Pending {
    /// Counts a request in. Returns `None` if the sum of the bytes would be over `max_bytes`.
    pub(crate) fn admit(&self, bytes: usize, max_bytes: usize) -> Option<Parity> {
        let with = |now: usize| now.checked_add(bytes).filter(|sum| *sum <= max_bytes);
        self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, with).ok()?;
        let parity = Parity(self.generation.load(Ordering::SeqCst) % 2 == 1);
        self.of(parity).fetch_add(1, Ordering::SeqCst);
        Some(parity)
    }

    /// Counts a settled request out.
    pub(crate) fn discharge(&self, parity: Parity, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        // A waiting thread increments `waiting` before it reads the count, so either it sees this
        // decrement or this thread sees it wait.
        let was_last = self.of(parity).fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last && self.waiting.load(Ordering::SeqCst) > 0 {
            drop(locked(&self.gate));
            self.settled.notify_all();
        }
    }

    /// The number of requests and of their bytes.
    pub(crate) fn now(&self) -> (usize, usize) {
        let requests = self.requests.iter().map(|count| count.load(Ordering::Acquire)).sum();
        (requests, self.bytes.load(Ordering::Acquire))
    }

    /// Waits until all requests that are pending at the call are settled. Returns false after
    /// `timeout`.
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

    /// Whether the requests of this generation and of the earlier ones are settled.
    ///
    /// Starts the next generation where possible. Callers hold `gate`, so only one thread does it.
    fn is_settled(&self, generation: u64) -> bool {
        let count = |generation: u64| self.of(Parity(generation % 2 == 1)).load(Ordering::SeqCst);
        let now = self.generation.load(Ordering::SeqCst);
        if now == generation {
            if count(generation + 1) > 0 {
                return false;
            }
            self.generation.store(generation + 1, Ordering::SeqCst);
            // Other threads may wait for the same generation to start.
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
        // A request that is never settled makes each later wait time out, one after another.
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
