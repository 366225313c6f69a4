//! Long work on one log, page by page: one page for each request.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::failure;
use super::outcome;
use super::port::{PortState, start};
use crate::error::{Code, Error, Result};
use crate::mutex::locked;
use crate::threads::pool;
use crate::threads::semaphore;

/// Work on a log that is done in pages.
pub(super) trait PagedWork: Send + 'static {
    /// The arguments of the work. Paths are resolved, because the current directory may change
    /// before the file is opened.
    type Order: Clone + Send + 'static;
    /// Opens the log.
    fn begin(order: &Self::Order) -> Result<Self>
    where
        Self: Sized;
    /// Does the next page.
    fn next(&mut self, order: &Self::Order) -> Result<PageText>;
    /// Whether the caller may take any time between two pages.
    ///
    /// Such work is not counted among the reads that may be open at a time, because other reads
    /// would wait for it.
    fn is_paced_by_caller(_order: &Self::Order) -> bool {
        false
    }
}

/// The outcome of a page, and the text that crosses separately. `done`: it is the last page.
pub(super) struct PageText {
    pub(super) outcome: String,
    pub(super) text: Option<String>,
    pub(super) done: bool,
}

/// Work under way. Nothing is opened before the first page is requested.
pub(super) struct Paging<W: PagedWork> {
    port_state: Rc<RefCell<PortState>>,
    order: Result<W::Order>,
    state: Arc<Mutex<PagingState<W>>>,
}

struct PagingState<W> {
    work: Option<W>,
    permit: Option<semaphore::Permit>,
    closed: bool,
}

impl<W: PagedWork> Paging<W> {
    pub(super) fn new(port_state: Rc<RefCell<PortState>>, order: Result<W::Order>) -> Self {
        let state = PagingState { work: None, permit: None, closed: false };
        Paging { port_state, order, state: Arc::new(Mutex::new(state)) }
    }

    /// Does the next page. Callers request one page at a time.
    pub(super) fn next(&self, id: u32) {
        let deferred = self.port_state.borrow_mut().cancellable(id);
        let order = match &self.order {
            Ok(order) => order.clone(),
            Err(error) => return deferred.settle(failure::error(error), None),
        };
        let is_paced_by_caller = W::is_paced_by_caller(&order);
        let state = self.state.clone();
        if locked(&state).work.is_some() {
            return start(&deferred, move || next(&state, &order));
        }
        let begin = move |permit| {
            start(&deferred, move || {
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

    /// Closes the descriptor after the page under way, then settles the request, if any.
    pub(super) fn close(&self, id: Option<u32>) {
        // The JavaScript thread must not wait for the page under way.
        let state = self.state.clone();
        let close = move || {
            *locked(&state) = PagingState { work: None, permit: None, closed: true };
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
