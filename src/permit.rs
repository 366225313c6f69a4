//! Bounds on what is under way at a time: those who come later wait in a queue, not in a thread.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::pool::locked;

/// Readers with an open file. With the writers' descriptors this stays below 256.
pub(crate) static READING: Permits = Permits::new(40);
/// Logs being rewritten, with three descriptors each.
pub(crate) static MENDING: Permits = Permits::new(6);

type Waiter = Box<dyn FnOnce(Permit) + Send>;

/// So many at a time.
pub(crate) struct Permits {
    most: usize,
    state: Mutex<State>,
}

struct State {
    used: usize,
    waiting: VecDeque<Waiter>,
}

/// The right to be one of them; dropping it lets the next one in.
pub(crate) struct Permit(&'static Permits);

impl Permits {
    const fn new(most: usize) -> Self {
        Permits { most, state: Mutex::new(State { used: 0, waiting: VecDeque::new() }) }
    }

    /// Calls `then` with a permit, at once or when one is free.
    pub(crate) fn acquire(&'static self, then: Waiter) {
        let mut state = locked(&self.state);
        if state.used < self.most {
            state.used += 1;
            drop(state);
            then(Permit(self));
        } else {
            state.waiting.push_back(then);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = locked(&self.0.state);
        match state.waiting.pop_front() {
            Some(next) => {
                drop(state);
                next(Permit(self.0));
            }
            None => state.used -= 1,
        }
    }
}
