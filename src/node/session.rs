//! Logs that JavaScript keeps locked.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use napi_derive::napi;

use super::failure;
use super::options::{self, LockOptionsJson};
use super::outcome;
use super::port::{AppendArgs, Port, PortState};
use super::text::{TextArgument, texts};
use crate::ChroniclePath;
use crate::error::{Code, Error, Result, Written};
use crate::event::MAX_ADDED_BYTES;
use crate::mutex::locked;
use crate::session::{LockOutcome, Session as CoreSession};

/// Logs locked together. They are released when the object is collected, or when its environment
/// ends.
#[napi]
pub struct Session {
    port_state: Rc<RefCell<PortState>>,
    wanted: Result<(Vec<ChroniclePath>, LockOptionsJson)>,
    held: Arc<Mutex<Option<Arc<CoreSession>>>>,
}

#[napi]
impl Session {
    /// Locks nothing yet. `paths` is the JSON text of an array.
    #[napi(constructor, catch_unwind)]
    pub fn new(port: &Port, paths: String, options: Option<String>) -> Session {
        // Resolved during the call, because the current directory may change before the files are
        // opened.
        let wanted = || {
            let names: Vec<String> = serde_json::from_str(&paths)
                .map_err(|error| Error::validation(format!("bad paths: {error}")))?;
            let paths =
                names.iter().map(|name| options::path(name, true)).collect::<Result<_>>()?;
            Ok((paths, LockOptionsJson::parse(options.as_deref())?))
        };
        Session { port_state: port.port_state.clone(), wanted: wanted(), held: Arc::default() }
    }

    /// Locks all logs.
    #[napi(catch_unwind)]
    pub fn acquire(&self, id: u32) {
        let mut port_state = self.port_state.borrow_mut();
        let wanted =
            self.wanted.clone().and_then(|(paths, lock)| Ok((paths, lock, lock.timeout()?)));
        let (paths, lock, timeout) = match wanted {
            Ok(wanted) => wanted,
            Err(error) => return port_state.deferred(id).settle(failure::error(&error), None),
        };
        let held = Arc::downgrade(&self.held);
        port_state.seek(id, |deferred| {
            let on_locked = move |outcome| match outcome {
                LockOutcome::Failed(error) => deferred.settle(failure::error(&error), None),
                LockOutcome::Cancelled => deferred.settle("{\"cancelled\":true}".into(), None),
                LockOutcome::Held(session) => {
                    // If the object was collected meanwhile, dropping the session releases it.
                    if let Some(held) = held.upgrade() {
                        *locked(&held) = Some(Arc::new(session));
                    }
                    deferred.settle(outcome::ok(&()), None);
                }
            };
            CoreSession::lock_async(paths, lock.mode, timeout, Box::new(on_locked))
        });
    }

    /// Appends events, JSON texts joined by newlines, to one of the logs.
    #[napi(catch_unwind)]
    pub fn append(
        &self,
        id: u32,
        #[napi(ts_arg_type = "string")] path: TextArgument,
        #[napi(ts_arg_type = "string")] events: TextArgument,
        #[napi(ts_arg_type = "string | undefined | null")] options: Option<TextArgument>,
    ) -> napi::Result<()> {
        let session = self.session();
        let texts = texts(events.to_vec(MAX_ADDED_BYTES)?);
        let args = AppendArgs { path, options, any_extension: true };
        self.port_state.borrow_mut().append(id, args, |path, options, completion| {
            session?.submit(path, texts, false, options, completion)
        })
    }

    /// Releases all logs once the accepted appends are settled.
    #[napi(catch_unwind)]
    pub fn release(&self, id: u32) {
        let deferred = self.port_state.borrow_mut().deferred(id);
        let then = Box::new(move || deferred.settle(outcome::ok(&()), None));
        match self.session() {
            Ok(session) => session.release(then),
            Err(_) => then(),
        }
    }

    /// The numbers of the locked descriptors, for programs that inherit them.
    #[napi(catch_unwind)]
    pub fn descriptors(&self) -> Vec<i32> {
        self.session().map_or(Vec::new(), |session| session.descriptors())
    }

    fn session(&self) -> Result<Arc<CoreSession>> {
        let none = || Error::new(Code::Closed, "the lock is not held").with_written(Written::No);
        locked(&self.held).clone().ok_or_else(none)
    }
}
