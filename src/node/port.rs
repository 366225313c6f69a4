//! The way of all asynchronous work: requests go in with a number, settlements come out in bulk.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use napi::JsString;
use napi::bindgen_prelude::{Either3, Env, Function, Null, Uint8ArraySlice};
use napi_derive::napi;

use super::inbox::{HandedOver, Settlement, SettlementQueue};
use super::memory::{Memory, registry_of};
use super::options::AppendOptionsJson;
use super::outcome::{self, CANCELLED};
use super::text::{Text, texts};
use super::wake::{Hold, waker};
use crate::append::in_flight::{Parity, Pending};
use crate::append::request::{BatchFacts, Completion, Observer, Outcome, OutcomeSink, Texts};
use crate::error::{Error, Result, Written};
use crate::event::ROOM;
use crate::session::LockTicket;
use crate::threads::pool;
use crate::writer::registry::{Registry, Ticket};
use crate::{AppendOptions, ChroniclePath};

/// One request's right to settle, used at most once; dropped unused, it settles with an error.
pub(super) struct Deferred {
    inbox: Arc<SettlementQueue>,
    id: u32,
    settled: AtomicBool,
}

enum Cancel {
    Append(Ticket),
    Lock(LockTicket),
    Other(Arc<Deferred>),
    /// Work in turns, which settles itself once it has stopped; before its first one it is over at once.
    Stop(Arc<StopFlag>, Weak<Deferred>),
}

/// How far work in turns is.
#[derive(Default)]
pub(super) struct StopFlag {
    /// It has begun, or never will.
    is: AtomicBool,
    /// It is to stop.
    pub(super) stop: Arc<AtomicBool>,
}

impl StopFlag {
    /// Says that it begins now. False if it was given up before.
    pub(super) fn begin(&self) -> bool {
        !self.is.swap(true, Ordering::AcqRel)
    }
}

/// What only the JavaScript thread uses: what is pending, and whether that keeps the process alive.
pub(super) struct PortState {
    inbox: Arc<SettlementQueue>,
    hold: Hold,
    appends: Arc<Appends>,
    observer: Option<Observer>,
    pending: HashMap<u32, Option<Cancel>, BuildHasherDefault<Number>>,
    /// Numbers of the appends that were handed over last.
    handed: Vec<u32>,
    last: Option<LastAppend>,
}

/// Hashes a request's number, which nobody chooses.
#[derive(Default)]
struct Number(u64);

impl Hasher for Number {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

/// The path and the options of the append before: mostly the next one has the same, and reading them costs as much as all else of handing it over.
struct LastAppend {
    named: AppendKey,
    checked: (ChroniclePath, Arc<AppendOptions>),
}

#[derive(Default)]
struct AppendKey {
    path: String,
    any_extension: bool,
    options: Option<String>,
}

/// How long the end of a worker thread waits for the appends that it had accepted: nothing else keeps the process alive for them.
const AT_END: Duration = Duration::from_secs(5);

/// Appends of one environment, and who hears of their outcomes.
struct Appends {
    inbox: Arc<SettlementQueue>,
    pending: Arc<Pending>,
}

impl OutcomeSink for Appends {
    fn settle(&self, number: u32, outcome: Outcome) {
        let _accepted = CountedAppend(&self.pending);
        self.inbox.push_append(number, &outcome);
    }
}

/// One of them, counted out also when it panics.
struct CountedAppend<'a>(&'a Pending);

impl Drop for CountedAppend<'_> {
    fn drop(&mut self) {
        // The generation changes at the end of the environment, which submits nothing any more.
        self.0.discharge(Parity::default(), 0);
    }
}

/// One for each realm that loaded the package.
#[napi]
pub struct Port {
    pub(super) desk: Rc<RefCell<PortState>>,
}

type Drained<'env> = Vec<Either3<u32, JsString<'env>, Null>>;

#[napi]
impl Port {
    /// `onSettled` is called on this thread when settlements wait.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: Env, on_settled: Function<'_, (), ()>) -> napi::Result<Port> {
        let pending = Arc::new(Pending::default());
        let accepted = pending.clone();
        let at_end = Box::new(move || {
            accepted.wait(AT_END);
        });
        let (waker, hold) = waker(&env, napi::JsValue::raw(&on_settled), at_end)?;
        let inbox = Arc::new(SettlementQueue::new(waker));
        let appends = Arc::new(Appends { inbox: inbox.clone(), pending });
        let pending = HashMap::default();
        let handed = Vec::new();
        let desk = PortState { inbox, hold, appends, observer: None, pending, handed, last: None };
        Ok(Port { desk: Rc::new(RefCell::new(desk)) })
    }

    /// Appends events, JSON texts joined by newlines.
    #[napi(catch_unwind)]
    pub fn append(
        &self,
        id: u32,
        #[napi(ts_arg_type = "string")] path: Text,
        #[napi(ts_arg_type = "string")] events: Text,
        #[napi(ts_arg_type = "string | undefined | null")] options: Option<Text>,
        memory: Option<&Memory>,
    ) -> napi::Result<()> {
        let registry = registry_of(memory);
        let texts = texts(events.to_vec(ROOM)?);
        let asked = AppendArgs { path, options, any_extension: false };
        self.desk.borrow_mut().append(id, asked, |path, options, completion| {
            Ok(registry.submit(path, texts, false, options, completion))
        })
    }

    /// Appends the lines of some bytes, blank ones left out: events, or with `wholeLines` records.
    #[napi(catch_unwind)]
    pub fn append_bytes(
        &self,
        id: u32,
        #[napi(ts_arg_type = "string")] path: Text,
        lines: Uint8ArraySlice<'_>,
        #[napi(ts_arg_type = "string | undefined | null")] options: Option<Text>,
        memory: Option<&Memory>,
    ) -> napi::Result<()> {
        let registry = registry_of(memory);
        let texts = Texts::of_lines(&lines, ROOM);
        let asked = AppendArgs { path, options, any_extension: false };
        self.desk.borrow_mut().append(id, asked, |path, options, completion| {
            Ok(registry.submit(path, texts, false, options, completion))
        })
    }

    /// [`super::append_sync`], of which this port is told while it listens.
    #[napi(catch_unwind)]
    pub fn append_sync(&self, path: String, events: String, options: Option<String>) -> String {
        let observer = self.desk.borrow().observer.clone();
        append_now(&path, events, options.as_deref(), observer)
    }

    /// Whether facts of batches with appends of this port are wanted. They are settlements with the number 0.
    #[napi(catch_unwind)]
    pub fn listen(&self, wanted: bool) {
        let mut desk = self.desk.borrow_mut();
        let inbox = desk.inbox.clone();
        let publish = move |facts: &BatchFacts| inbox.push_facts(outcome::facts(facts));
        desk.observer = wanted.then(|| Observer::new(publish));
        desk.last = None;
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

    /// Takes a bounded part of what is settled: first the appends, number and outcome of each as one JSON array; then number,
    /// outcome and text of each other request; facts of a batch have the number 0 and come first of these. `onSettled` is
    /// called once more when something is left.
    #[napi(catch_unwind, ts_return_type = "Array<number | string | null>")]
    pub fn drain<'env>(&self, env: &'env Env) -> Drained<'env> {
        let mut desk = self.desk.borrow_mut();
        let HandedOver { facts, appends, numbers, others } = desk.inbox.hand_over(env);
        let mut flat = Vec::with_capacity(1 + (facts.len() + others.len()) * 3);
        flat.push(appends.map_or(Either3::C(Null), Either3::B));
        for fact in facts {
            flat.extend([Either3::A(0), Either3::B(fact), Either3::C(Null)]);
        }
        for number in &numbers {
            desk.pending.remove(number);
        }
        for (id, outcome, text) in others {
            desk.pending.remove(&id);
            let text = text.map_or(Either3::C(Null), Either3::B);
            flat.extend([Either3::A(id), Either3::B(outcome), text]);
        }
        desk.handed = numbers;
        let held = !desk.pending.is_empty();
        desk.hold.set(held);
        flat
    }

    /// The numbers of the appends that were handed over last: for a caller that cannot read their text.
    #[napi(catch_unwind)]
    pub fn handed(&self) -> Vec<u32> {
        self.desk.borrow().handed.clone()
    }

    /// Makes one value of the next hand-overs fail, the one behind the first `values`: shows that no
    /// settlement is lost.
    #[napi(catch_unwind)]
    pub fn fail_after(&self, values: u32) {
        self.desk.borrow().inbox.fail_after(values);
    }
}

impl PortState {
    /// Checks an append and hands it over to `submit`.
    pub(super) fn append(
        &mut self,
        id: u32,
        asked: AppendArgs,
        submit: impl FnOnce(&ChroniclePath, Arc<AppendOptions>, Completion) -> Result<Ticket>,
    ) -> napi::Result<()> {
        let asked_before = self.is_last(&asked)?;
        let named = if asked_before { None } else { Some(asked.named()?) };
        self.hold.set(true);
        self.appends.pending.admit(0, usize::MAX);
        let completion = Completion::Of(self.appends.clone(), id);
        let submitted = match self.checked(named) {
            Ok((path, options)) => submit(path, options.clone(), completion),
            Err(error) => Err(error.with_written(Written::No)),
        };
        let cancel = match submitted {
            Ok(ticket) => Some(Cancel::Append(ticket)),
            Err(error) => {
                self.appends.settle(id, Outcome::Failed(error));
                None
            }
        };
        self.pending.insert(id, cancel);
        Ok(())
    }

    fn is_last(&self, asked: &AppendArgs) -> napi::Result<bool> {
        let Some(last) = &self.last else { return Ok(false) };
        // A relative path names another file when the current directory changes.
        let is_path = Path::new(&last.named.path).is_absolute()
            && last.named.any_extension == asked.any_extension
            && asked.path.is(&last.named.path)?;
        let are_options = match (&asked.options, &last.named.options) {
            (Some(options), Some(known)) => options.is(known)?,
            (None, None) => true,
            _ => false,
        };
        Ok(is_path && are_options)
    }

    /// Path and options, or those of the append before.
    fn checked(
        &mut self,
        named: Option<AppendKey>,
    ) -> Result<&(ChroniclePath, Arc<AppendOptions>)> {
        let known = self.last.take();
        let last = match (named, known) {
            (None, Some(last)) => last,
            (named, _) => {
                let named = named.unwrap_or_default();
                let (path, mut options) =
                    check(&named.path, named.options.as_deref(), named.any_extension)?;
                options.observer = self.observer.clone();
                LastAppend { named, checked: (path, Arc::new(options)) }
            }
        };
        Ok(&self.last.insert(last).checked)
    }

    /// Waits for locks that `seek` looks for.
    pub(super) fn seek(&mut self, id: u32, seek: impl FnOnce(Deferred) -> LockTicket) {
        let slot = self.slot(id);
        let search = seek(slot);
        self.pending.insert(id, Some(Cancel::Lock(search)));
    }

    pub(super) fn slot(&mut self, id: u32) -> Deferred {
        self.pending.insert(id, None);
        self.hold.set(true);
        Deferred { inbox: self.inbox.clone(), id, settled: AtomicBool::new(false) }
    }

    fn work(
        &mut self,
        id: u32,
        work: impl FnOnce() -> Result<(String, Option<String>)> + Send + 'static,
    ) {
        start(&self.cancellable(id), work);
    }

    /// A request that is given up between two turns of its work.
    pub(super) fn stoppable(&mut self, id: u32) -> (Arc<Deferred>, Arc<StopFlag>) {
        let slot = Arc::new(self.slot(id));
        let begun = Arc::new(StopFlag::default());
        self.pending.insert(id, Some(Cancel::Stop(begun.clone(), Arc::downgrade(&slot))));
        (slot, begun)
    }

    pub(super) fn cancellable(&mut self, id: u32) -> Arc<Deferred> {
        let slot = Arc::new(self.slot(id));
        self.pending.insert(id, Some(Cancel::Other(slot.clone())));
        slot
    }
}

impl Deferred {
    pub(super) fn settle(&self, outcome: String, text: Option<String>) {
        if !self.settled.swap(true, Ordering::AcqRel) {
            self.inbox.push(Settlement { id: self.id, outcome, text });
        }
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if !*self.settled.get_mut() {
            self.settle(outcome::error(&abandoned()), None);
        }
    }
}

/// Runs `work` on a worker and settles with what it gives.
pub(super) fn start(
    slot: &Arc<Deferred>,
    work: impl FnOnce() -> Result<(String, Option<String>)> + Send + 'static,
) {
    let served = slot.clone();
    if let Err(error) = pool::run(Box::new(move || serve(&served, work))) {
        slot.settle(outcome::error(&error), None);
    }
}

/// Settles with what `work` gives, or with an error when it panics.
pub(super) fn serve(slot: &Arc<Deferred>, work: impl FnOnce() -> Result<(String, Option<String>)>) {
    let guard = SettleOnDrop(slot);
    match work() {
        Ok((outcome, text)) => guard.0.settle(outcome, text),
        Err(error) => guard.0.settle(outcome::error(&error), None),
    }
}

struct SettleOnDrop<'a>(&'a Deferred);

impl Drop for SettleOnDrop<'_> {
    fn drop(&mut self) {
        self.0.settle(outcome::error(&abandoned()), None);
    }
}

fn abandoned() -> Error {
    let cause = std::io::Error::other("the thread that served the request panicked");
    Error::io("request was abandoned", "panic", cause)
}

/// An append as JavaScript hands it over.
pub(super) struct AppendArgs {
    pub(super) path: Text,
    pub(super) options: Option<Text>,
    pub(super) any_extension: bool,
}

impl AppendArgs {
    fn named(&self) -> napi::Result<AppendKey> {
        Ok(AppendKey {
            path: self.path.to_text()?,
            any_extension: self.any_extension,
            options: self.options.as_ref().map(Text::to_text).transpose()?,
        })
    }
}

/// Path and options of an append.
pub(super) fn check(
    path: &str,
    options: Option<&str>,
    any_extension: bool,
) -> Result<(ChroniclePath, AppendOptions)> {
    let parse = || {
        let options = AppendOptionsJson::parse(options)?;
        let path = options.path(path, any_extension)?;
        Ok((path, options.into_core()?))
    };
    parse().map_err(|error: Error| error.with_written(Written::No))
}

/// Appends and waits, reporting the batch to `observer`.
pub(super) fn append_now(
    path: &str,
    events: String,
    options: Option<&str>,
    observer: Option<Observer>,
) -> String {
    let appended = check(path, options, false).and_then(|(path, options)| {
        let options = AppendOptions { observer, ..options };
        Registry::global().append(&path, texts(events.into_bytes()), false, options)
    });
    outcome::append(&match appended {
        Ok((receipts, warnings)) => Outcome::Done(receipts, warnings),
        Err(error) => Outcome::Failed(error),
    })
}
