//! One check of a log, slice by slice.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use napi_derive::napi;

use super::options::Read;
use super::outcome;
use super::port::{Desk, Port, start};
use crate::error::{Code, Error, Result};
use crate::pool::{self, locked};
use crate::verify::Verifier as CoreVerifier;
use crate::{ChroniclePath, permit};

/// One check of a log as it was when the check began.
#[napi]
pub struct Verifier {
    desk: Rc<RefCell<Desk>>,
    path: Result<ChroniclePath>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    verifier: Option<CoreVerifier>,
    permit: Option<permit::Permit>,
    closed: bool,
}

#[napi]
impl Verifier {
    /// Opens nothing yet.
    #[napi(constructor, catch_unwind)]
    pub fn new(port: &Port, path: String, options: Option<String>) -> Verifier {
        // Resolved during the call: the current directory may change before the file is opened.
        let path = Read::parse(options.as_deref()).and_then(|options| options.path(&path));
        Verifier { desk: port.desk.clone(), path, state: Arc::default() }
    }

    /// Checks the next slice.
    #[napi(catch_unwind)]
    pub fn next(&self, id: u32) {
        let slot = self.desk.borrow_mut().cancellable(id);
        let state = self.state.clone();
        let path = match &self.path {
            Ok(path) => path.clone(),
            Err(error) => return slot.settle(outcome::error(error), None),
        };
        if locked(&state).verifier.is_some() {
            return start(&slot, move || next_slice(&state, &path));
        }
        permit::READING.acquire(Box::new(move |permit| {
            start(&slot, move || {
                open(&state, &path, permit)?;
                next_slice(&state, &path)
            });
        }));
    }

    /// Closes the descriptor.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        // A slice may be under way, and this thread must not wait for it.
        let state = self.state.clone();
        let close = move || {
            let mut state = locked(&state);
            *state = State { closed: true, ..State::default() };
        };
        // Without a thread the descriptor is closed when the verifier is collected.
        let _ = pool::run(Box::new(close));
    }
}

fn open(state: &Mutex<State>, path: &ChroniclePath, permit: permit::Permit) -> Result<()> {
    let verifier = CoreVerifier::open(path)?;
    let mut state = locked(state);
    if !state.closed {
        state.verifier = Some(verifier);
        state.permit = Some(permit);
    }
    Ok(())
}

fn next_slice(state: &Mutex<State>, path: &ChroniclePath) -> Result<(String, Option<String>)> {
    let mut state = locked(state);
    let Some(verifier) = &mut state.verifier else {
        return Err(Error::new(Code::Closed, "the verifier was closed"));
    };
    let progress = verifier.next_slice(path)?;
    if progress.done {
        *state = State::default();
    }
    Ok((outcome::progress(&progress), None))
}
