//! The way of all asynchronous work: requests go in with a number, settlements come out in bulk.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use napi::bindgen_prelude::{Either3, Env, Function, Null};
use napi_derive::napi;

use super::memory::{Memory, registry_of};
use super::options::Append;
use super::outcome;
use super::wake::{Hold, Waker, waker};
use crate::error::{Error, Result, Written};
use crate::pool::{self, locked};
use crate::registry::Ticket;
use crate::request::{BatchFacts, Completion, Observer};
use crate::session::Search;
use crate::{AppendOptions, ChroniclePath};

/// Where settlements are collected until the JavaScript thread takes them.
pub(super) struct Inbox {
    settled: Mutex<Vec<Settlement>>,
    waker: Waker,
}

struct Settlement {
    id: u32,
    outcome: String,
    text: Option<String>,
}

/// One request's right to settle, used at most once; dropped unused, it settles with an error.
pub(super) struct Slot {
    inbox: Arc<Inbox>,
    id: u32,
    settled: AtomicBool,
}

enum Cancel {
    Append(Ticket),
    Lock(Search),
    Other(Arc<Slot>),
    /// Work in turns, which settles itself once it has stopped; before its first one it is over at once.
    Stop(Arc<Begun>, Weak<Slot>),
}

/// How far work in turns is.
#[derive(Default)]
pub(super) struct Begun {
    /// It has begun, or never will.
    is: AtomicBool,
    /// It is to stop.
    pub(super) stop: Arc<AtomicBool>,
}

impl Begun {
    /// Says that it begins now. False if it was given up before.
    pub(super) fn begin(&self) -> bool {
        !self.is.swap(true, Ordering::AcqRel)
    }
}

/// What only the JavaScript thread uses: what is pending, and whether that keeps the process alive.
pub(super) struct Desk {
    inbox: Arc<Inbox>,
    hold: Hold,
    appends: Arc<Appends>,
    observer: Option<Observer>,
    pending: HashMap<u32, Option<Cancel>>,
}

/// The outcome of a request that was given up.
pub(super) const CANCELLED: &str = "{\"cancelled\":true}";

/// How long the end of a worker thread waits for the appends that it had accepted: nothing else keeps the process alive for them.
const AT_END: Duration = Duration::from_secs(5);

/// Appends of one environment that are not settled.
#[derive(Default)]
struct Appends {
    count: Mutex<Count>,
    none: Condvar,
}

#[derive(Default)]
struct Count {
    appends: usize,
    /// The environment ends and waits for them: telling nobody costs a system call.
    ending: bool,
}

impl Appends {
    fn wait(&self, timeout: Duration) {
        let mut count = locked(&self.count);
        count.ending = true;
        let waited = self.none.wait_timeout_while(count, timeout, |count| count.appends > 0);
        drop(waited);
    }
}

/// One of them.
struct Accepted(Arc<Appends>);

impl Accepted {
    fn new(appends: &Arc<Appends>) -> Self {
        locked(&appends.count).appends += 1;
        Accepted(appends.clone())
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        let mut count = locked(&self.0.count);
        count.appends -= 1;
        if count.appends == 0 && count.ending {
            self.0.none.notify_all();
        }
    }
}

/// One for each realm that loaded the package.
#[napi]
pub struct Port {
    pub(super) desk: Rc<RefCell<Desk>>,
}

type Drained = Vec<Either3<u32, String, Null>>;

#[napi]
impl Port {
    /// `onSettled` is called on this thread when settlements wait.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: Env, on_settled: Function<'_, (), ()>) -> napi::Result<Port> {
        let appends = Arc::new(Appends::default());
        let pending = appends.clone();
        let at_end = Box::new(move || pending.wait(AT_END));
        let (waker, hold) = waker(&env, napi::JsValue::raw(&on_settled), at_end)?;
        let inbox = Arc::new(Inbox { settled: Mutex::default(), waker });
        let desk = Desk { inbox, hold, appends, observer: None, pending: HashMap::new() };
        Ok(Port { desk: Rc::new(RefCell::new(desk)) })
    }

    /// Appends events, JSON texts joined by newlines.
    #[napi(catch_unwind)]
    pub fn append(
        &self,
        id: u32,
        path: String,
        events: String,
        options: Option<String>,
        memory: Option<&Memory>,
    ) {
        let prepared = prepare(&path, events, options.as_deref(), false);
        let registry = registry_of(memory);
        self.desk.borrow_mut().append(id, prepared, |path, texts, options, completion| {
            Ok(registry.submit(path, texts, false, options, completion))
        });
    }

    /// [`super::append_sync`], of which this port is told while it listens.
    #[napi(catch_unwind)]
    pub fn append_sync(&self, path: String, events: String, options: Option<String>) -> String {
        let observer = self.desk.borrow().observer.clone();
        super::append_now(&path, events, options.as_deref(), observer)
    }

    /// Whether facts of batches with appends of this port are wanted. They are settlements with the number 0.
    #[napi(catch_unwind)]
    pub fn listen(&self, wanted: bool) {
        let mut desk = self.desk.borrow_mut();
        let inbox = desk.inbox.clone();
        let hear = move |facts: &BatchFacts| {
            inbox.push(Settlement { id: 0, outcome: outcome::facts(facts), text: None });
        };
        desk.observer = wanted.then(|| Observer::new(hear));
    }

    /// Panics on a worker thread: shows that a panic becomes a rejected promise.
    #[napi(catch_unwind)]
    #[allow(clippy::panic, reason = "its purpose")]
    pub fn panic(&self, id: u32) {
        self.desk.borrow_mut().work(id, || panic!("on purpose"));
    }

    /// Settles a request as cancelled unless its batch is being written.
    #[napi(catch_unwind)]
    pub fn cancel(&self, id: u32) {
        match self.desk.borrow().pending.get(&id) {
            Some(Some(Cancel::Append(ticket))) => ticket.cancel(),
            Some(Some(Cancel::Lock(search))) => search.cancel(),
            Some(Some(Cancel::Other(slot))) => slot.settle(CANCELLED.into(), None),
            Some(Some(Cancel::Stop(begun, slot))) => {
                begun.stop.store(true, Ordering::Relaxed);
                if !begun.is.swap(true, Ordering::AcqRel)
                    && let Some(slot) = slot.upgrade()
                {
                    slot.settle(CANCELLED.into(), None);
                }
            }
            Some(None) | None => {}
        }
    }

    /// Takes what is settled: id, outcome and text of each, one after the other.
    #[napi(catch_unwind, ts_return_type = "Array<number | string | null>")]
    pub fn drain(&self) -> Drained {
        let mut desk = self.desk.borrow_mut();
        let settled = std::mem::take(&mut *locked(&desk.inbox.settled));
        let mut flat = Vec::with_capacity(settled.len() * 3);
        for Settlement { id, outcome, text } in settled {
            desk.pending.remove(&id);
            flat.push(Either3::A(id));
            flat.push(Either3::B(outcome));
            flat.push(text.map_or(Either3::C(Null), Either3::B));
        }
        let held = !desk.pending.is_empty();
        desk.hold.set(held);
        flat
    }
}

impl Desk {
    /// Hands a checked append over to `submit`.
    pub(super) fn append(
        &mut self,
        id: u32,
        prepared: Result<Prepared>,
        submit: impl FnOnce(&ChroniclePath, Texts, AppendOptions, Completion) -> Result<Ticket>,
    ) {
        let slot = Arc::new(self.slot(id));
        let accepted = Accepted::new(&self.appends);
        let told = slot.clone();
        let completion = Box::new(move |done| {
            let _accepted = accepted;
            told.settle(outcome::append(&done), None);
        });
        let submitted = prepared.and_then(|(path, texts, mut options)| {
            options.observer = self.observer.clone();
            submit(&path, texts, options, completion)
        });
        match submitted {
            Ok(ticket) => {
                self.pending.insert(id, Some(Cancel::Append(ticket)));
            }
            Err(error) => slot.settle(outcome::error(&error), None),
        }
    }

    /// Waits for locks that `seek` looks for.
    pub(super) fn seek(&mut self, id: u32, seek: impl FnOnce(Slot) -> Search) {
        let slot = self.slot(id);
        let search = seek(slot);
        self.pending.insert(id, Some(Cancel::Lock(search)));
    }

    pub(super) fn slot(&mut self, id: u32) -> Slot {
        self.pending.insert(id, None);
        self.hold.set(true);
        Slot { inbox: self.inbox.clone(), id, settled: AtomicBool::new(false) }
    }

    fn work(
        &mut self,
        id: u32,
        work: impl FnOnce() -> Result<(String, Option<String>)> + Send + 'static,
    ) {
        start(&self.cancellable(id), work);
    }

    /// A request that is given up between two turns of its work.
    pub(super) fn stoppable(&mut self, id: u32) -> (Arc<Slot>, Arc<Begun>) {
        let slot = Arc::new(self.slot(id));
        let begun = Arc::new(Begun::default());
        self.pending.insert(id, Some(Cancel::Stop(begun.clone(), Arc::downgrade(&slot))));
        (slot, begun)
    }

    pub(super) fn cancellable(&mut self, id: u32) -> Arc<Slot> {
        let slot = Arc::new(self.slot(id));
        self.pending.insert(id, Some(Cancel::Other(slot.clone())));
        slot
    }
}

impl Inbox {
    fn push(&self, settlement: Settlement) {
        let mut settled = locked(&self.settled);
        settled.push(settlement);
        let first = settled.len() == 1;
        drop(settled);
        if first {
            self.waker.wake();
        }
    }
}

impl Slot {
    pub(super) fn settle(&self, outcome: String, text: Option<String>) {
        if !self.settled.swap(true, Ordering::AcqRel) {
            self.inbox.push(Settlement { id: self.id, outcome, text });
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !*self.settled.get_mut() {
            self.settle(outcome::error(&abandoned()), None);
        }
    }
}

/// Runs `work` on a worker and settles with what it gives.
pub(super) fn start(
    slot: &Arc<Slot>,
    work: impl FnOnce() -> Result<(String, Option<String>)> + Send + 'static,
) {
    let served = slot.clone();
    if let Err(error) = pool::run(Box::new(move || serve(&served, work))) {
        let error = Error::io("cannot start a thread", "clone", error);
        slot.settle(outcome::error(&error), None);
    }
}

/// Settles with what `work` gives, or with an error when it panics.
pub(super) fn serve(slot: &Arc<Slot>, work: impl FnOnce() -> Result<(String, Option<String>)>) {
    let guard = SettleOnDrop(slot);
    match work() {
        Ok((outcome, text)) => guard.0.settle(outcome, text),
        Err(error) => guard.0.settle(outcome::error(&error), None),
    }
}

struct SettleOnDrop<'a>(&'a Slot);

impl Drop for SettleOnDrop<'_> {
    fn drop(&mut self) {
        self.0.settle(outcome::error(&abandoned()), None);
    }
}

fn abandoned() -> Error {
    let cause = std::io::Error::other("the thread that served the request panicked");
    Error::io("request was abandoned", "panic", cause)
}

type Texts = Vec<Vec<u8>>;

/// A checked append: path, the JSON texts of its events, options.
type Prepared = (ChroniclePath, Texts, AppendOptions);

pub(super) fn prepare(
    path: &str,
    events: String,
    options: Option<&str>,
    any_extension: bool,
) -> Result<Prepared> {
    let parse = || {
        let options = Append::parse(options)?;
        let path = options.path(path, any_extension)?;
        Ok((path, super::texts(events), options.into_core()?))
    };
    parse().map_err(|error: Error| error.with_written(Written::No))
}
