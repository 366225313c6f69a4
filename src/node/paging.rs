//! Long work on one log, slice by slice: one request, one slice.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::outcome;
use super::port::{PortState, start};
use crate::error::{Code, Error, Result};
use crate::mutex::locked;
use crate::threads::pool;
use crate::threads::semaphore;

/// What is done to a log in slices.
pub(super) trait PagedWork: Send + 'static {
    /// What is needed to begin. Paths in it are resolved: the current directory may change before the file is opened.
    type Order: Clone + Send + 'static;
    /// Opens the log.
    fn begin(order: &Self::Order) -> Result<Self>
    where
        Self: Sized;
    /// The next slice.
    fn next(&mut self, order: &Self::Order) -> Result<PageText>;
    /// Whether its caller may take any time between two slices. Others would wait for that if such work were counted among the
    /// readers that may be open at a time.
    fn is_paced_by_caller(_order: &Self::Order) -> bool {
        false
    }
}

/// The outcome of a slice and the text that crosses as it is; `done` when nothing comes after.
pub(super) struct PageText {
    pub(super) outcome: String,
    pub(super) text: Option<String>,
    pub(super) done: bool,
}

/// One such work. Nothing is opened before the first slice is asked for.
pub(super) struct Paging<W: PagedWork> {
    desk: Rc<RefCell<PortState>>,
    order: Result<W::Order>,
    state: Arc<Mutex<PagingState<W>>>,
}

struct PagingState<W> {
    work: Option<W>,
    permit: Option<semaphore::Permit>,
    closed: bool,
}

impl<W: PagedWork> Paging<W> {
    pub(super) fn new(desk: Rc<RefCell<PortState>>, order: Result<W::Order>) -> Self {
        let state = PagingState { work: None, permit: None, closed: false };
        Paging { desk, order, state: Arc::new(Mutex::new(state)) }
    }

    /// Does the next slice. One at a time: the caller waits for it.
    pub(super) fn next(&self, id: u32) {
        let slot = self.desk.borrow_mut().cancellable(id);
        let order = match &self.order {
            Ok(order) => order.clone(),
            Err(error) => return slot.settle(outcome::error(error), None),
        };
        let is_paced_by_caller = W::is_paced_by_caller(&order);
        let state = self.state.clone();
        if locked(&state).work.is_some() {
            return start(&slot, move || next(&state, &order));
        }
        let begin = move |permit| {
            start(&slot, move || {
                begin(&state, &order, permit)?;
                next(&state, &order)
            });
        };
        if is_paced_by_caller {
            begin(None);
        } else {
            semaphore::READS.acquire(Box::new(move |permit| begin(Some(permit))));
        }
    }

    /// Closes the descriptor, after the slice that is under way, and settles the request if there is one.
    pub(super) fn close(&self, id: Option<u32>) {
        // This thread must not wait for that.
        let state = self.state.clone();
        let close = move || {
            *locked(&state) = PagingState { work: None, permit: None, closed: true };
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

fn begin<W: PagedWork>(
    state: &Mutex<PagingState<W>>,
    order: &W::Order,
    permit: Option<semaphore::Permit>,
) -> Result<()> {
    let mut state = locked(state);
    if !state.closed {
        state.work = Some(W::begin(order)?);
        state.permit = permit;
    }
    Ok(())
}

fn next<W: PagedWork>(
    state: &Mutex<PagingState<W>>,
    order: &W::Order,
) -> Result<(String, Option<String>)> {
    let mut state = locked(state);
    let Some(work) = &mut state.work else {
        return Err(Error::new(Code::Closed, "it was closed"));
    };
    let part = work.next(order)?;
    if part.done {
        state.work = None;
        state.permit = None;
    }
    Ok((part.outcome, part.text))
}
