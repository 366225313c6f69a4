//! Bounds on concurrent work. Later requests wait in a queue, not in a thread.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use crate::mutex::locked;

/// Readers with an open file. With the writers' descriptors this stays below 256.
pub(crate) static READS: Semaphore = Semaphore::new(40);
/// Logs being rewritten, with three descriptors each.
pub(crate) static REPAIRS: Semaphore = Semaphore::new(6);

type Waiter = Box<dyn FnOnce(Permit) + Send>;

/// A bound on the number of permits in use.
pub(crate) struct Semaphore {
    limit: usize,
    state: Mutex<SemaphoreState>,
}

struct SemaphoreState {
    used: usize,
    waiting: VecDeque<Waiter>,
    /// Set while a thread hands free permits to waiters. A waiter may drop its permit at once, on
    /// that thread. The loop then continues, instead of one nested call for each of thousands.
    is_handing_out: bool,
}

/// The right to be one of the users; dropping it admits the next one.
pub(crate) struct Permit(&'static Semaphore);

impl Semaphore {
    const fn new(limit: usize) -> Self {
        let state = SemaphoreState { used: 0, waiting: VecDeque::new(), is_handing_out: false };
        Semaphore { limit, state: Mutex::new(state) }
    }

    /// Calls `then` with a permit, at once or when one is free.
    pub(crate) fn acquire(&'static self, then: Waiter) {
        let mut state = locked(&self.state);
        if state.used < self.limit && state.waiting.is_empty() {
            state.used += 1;
            drop(state);
            then(Permit(self));
        } else {
            state.waiting.push_back(then);
        }
    }

    fn give_back(&'static self) {
        let mut state = locked(&self.state);
        state.used -= 1;
        if state.is_handing_out {
            return;
        }
        state.is_handing_out = true;
        while state.used < self.limit
            && let Some(next) = state.waiting.pop_front()
        {
            state.used += 1;
            drop(state);
            // A panic drops the permit and blocks no other waiter.
            let _ = catch_unwind(AssertUnwindSafe(|| next(Permit(self))));
            state = locked(&self.state);
        }
        state.is_handing_out = false;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::sync::{Arc, mpsc};

    #[test]
    fn a_hundred_thousand_waiters_that_give_their_permit_back_at_once_take_little_stack() {
        static TWO: Semaphore = Semaphore::new(2);
        let (sender, served) = mpsc::channel();
        let held: Arc<Mutex<Vec<Permit>>> = Arc::default();
        for _ in 0..2 {
            let held = held.clone();
            TWO.acquire(Box::new(move |permit| held.lock().unwrap().push(permit)));
        }
        for number in 0..100_000 {
            let sender = sender.clone();
            TWO.acquire(Box::new(move |permit| {
                drop(permit);
                assert!(number != 7, "a panic on purpose");
                sender.send(()).unwrap();
            }));
        }
        drop(sender);
        let first = held.clone();
        assert!(served.try_recv().is_err());
        std::thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(move || drop(first.lock().unwrap().pop().unwrap()))
            .unwrap()
            .join()
            .unwrap();
        assert_eq!(served.iter().count(), 100_000 - 1);
        assert_eq!(locked(&TWO.state).used, 1);
    }

    #[test]
    fn no_more_than_the_bound_are_under_way() {
        static THREE: Semaphore = Semaphore::new(3);
        let (sender, given) = mpsc::channel();
        for _ in 0..5 {
            let sender = sender.clone();
            THREE.acquire(Box::new(move |permit| sender.send(permit).unwrap()));
        }
        let mut held: Vec<Permit> = given.try_iter().collect();
        assert_eq!(held.len(), 3);
        held.pop();
        let mut more: Vec<Permit> = given.try_iter().collect();
        assert_eq!(more.len(), 1);
        more.pop();
        assert_eq!(given.try_iter().count(), 1, "the last one");
    }
}
