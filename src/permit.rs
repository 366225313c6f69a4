//! The bound on descriptors that readers hold: those who come later wait in a queue, not in a thread.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::pool::locked;

/// Readers with an open file at a time. With the writers' descriptors this stays below 256.
const MOST_READERS: usize = 40;

type Waiter = Box<dyn FnOnce(Permit) + Send>;

static STATE: Mutex<State> = Mutex::new(State {
    used: 0,
    waiting: VecDeque::new(),
});

struct State {
    used: usize,
    waiting: VecDeque<Waiter>,
}

/// The right to hold one descriptor; dropping it lets the next one in.
pub(crate) struct Permit(());

/// Calls `then` with a permit, at once or when one is free.
pub(crate) fn acquire(then: Waiter) {
    let mut state = locked(&STATE);
    if state.used < MOST_READERS {
        state.used += 1;
        drop(state);
        then(Permit(()));
    } else {
        state.waiting.push_back(then);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = locked(&STATE);
        match state.waiting.pop_front() {
            Some(next) => {
                drop(state);
                next(Permit(()));
            }
            None => state.used -= 1,
        }
    }
}
