//! The port of a JavaScript realm: requests go in with a number, settlements come out in bulk.

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

use super::failure;
use super::memory::{Memory, registry_of};
use super::options::AppendOptionsJson;
use super::outcome::{self, CANCELLED};
use super::settlement_queue::{HandedOver, Settlement, SettlementQueue};
use super::text::{TextArgument, texts};
use super::wake::{Hold, waker};
use crate::append::in_flight::{Parity, Pending};
use crate::append::request::{BatchFacts, Completion, Observer, Outcome, OutcomeSink, Texts};
use crate::error::{Error, Result, Written};
use crate::event::MAX_ADDED_BYTES;
use crate::session::LockTicket;
use crate::threads::pool;
use crate::writer::registry::{Registry, Ticket};
use crate::{AppendOptions, ChroniclePath};

/// The right to settle one request, used at most once. Dropped unused, it settles with an error.
pub(super) struct Deferred {
    queue: Arc<SettlementQueue>,
    id: u32,
    settled: AtomicBool,
}

enum Cancel {
    Append(Ticket),
    Lock(LockTicket),
    Other(Arc<Deferred>),
    /// Work in steps, which settles itself once it has stopped. Before its first step it settles at
    /// once.
    Stop(Arc<StopFlag>, Weak<Deferred>),
}

/// Whether work in steps has begun, and whether it is to stop.
#[derive(Default)]
pub(super) struct StopFlag {
    /// The work has begun, or never will.
    has_begun: AtomicBool,
    /// The work is to stop.
    pub(super) stop: Arc<AtomicBool>,
}

impl StopFlag {
    /// Marks the work as begun. Returns false if it was cancelled before.
    pub(super) fn begin(&self) -> bool {
        !self.has_begun.swap(true, Ordering::AcqRel)
    }
}

/// The part of a port that only the JavaScript thread uses: pending requests, and the reference
/// that keeps the process alive.
pub(super) struct PortState {
    queue: Arc<SettlementQueue>,
    hold: Hold,
    appends: Arc<Appends>,
    observer: Option<Observer>,
    pending: HashMap<u32, Option<Cancel>, BuildHasherDefault<NumberHasher>>,
    /// Numbers of the appends in the last part.
    last_part: Vec<u32>,
    last: Option<LastAppend>,
}

/// Hashes the number of a request. Callers do not choose the numbers.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
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

/// Path and options of the append before.
///
/// The next append mostly has the same ones. To read them again costs as much as the rest of the
/// submission.
struct LastAppend {
    key: AppendKey,
    checked: (ChroniclePath, Arc<AppendOptions>),
}

#[derive(Default)]
struct AppendKey {
    path: String,
    any_extension: bool,
    options: Option<String>,
}

/// How long the end of a worker thread waits for accepted appends. Nothing else keeps the process
/// alive for them.
const MAX_END_WAIT: Duration = Duration::from_secs(5);

/// The pending appends of one environment, and the sink of their outcomes.
struct Appends {
    queue: Arc<SettlementQueue>,
    pending: Arc<Pending>,
}

impl OutcomeSink for Appends {
    fn settle(&self, number: u32, outcome: Outcome) {
        let _accepted = CountedAppend(&self.pending);
        self.queue.push_append(number, &outcome);
    }
}

/// An accepted append, counted out even after a panic.
struct CountedAppend<'a>(&'a Pending);

impl Drop for CountedAppend<'_> {
    fn drop(&mut self) {
        // Only the end of the environment changes the generation, and no append is submitted after
        // it.
        self.0.discharge(Parity::default(), 0);
    }
}

/// One for each realm that loaded the package.
#[napi]
pub struct Port {
    pub(super) port_state: Rc<RefCell<PortState>>,
}

type Drained<'env> = Vec<Either3<u32, JsString<'env>, Null>>;

#[napi]
impl Port {
    /// `onSettled` is called on this thread when there are settlements.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: Env, on_settled: Function<'_, (), ()>) -> napi::Result<Port> {
        let pending = Arc::new(Pending::default());
        let accepted = pending.clone();
        let at_end = Box::new(move || {
            accepted.wait(MAX_END_WAIT);
        });
        let (waker, hold) = waker(&env, napi::JsValue::raw(&on_settled), at_end)?;
        let queue = Arc::new(SettlementQueue::new(waker));
        let appends = Arc::new(Appends { queue: queue.clone(), pending });
        let pending = HashMap::default();
        let last_part = Vec::new();
        let port_state =
            PortState { queue, hold, appends, observer: None, pending, last_part, last: None };
        Ok(Port { port_state: Rc::new(RefCell::new(port_state)) })
    }

    /// Appends events, JSON texts joined by newlines.
    #[napi(catch_unwind)]
    pub fn append(
        &self,
        id: u32,
        #[napi(ts_arg_type = "string")] path: TextArgument,
        #[napi(ts_arg_type = "string")] events: TextArgument,
        #[napi(ts_arg_type = "string | undefined | null")] options: Option<TextArgument>,
        memory: Option<&Memory>,
    ) -> napi::Result<()> {
        let registry = registry_of(memory);
        let texts = texts(events.to_vec(MAX_ADDED_BYTES)?);
        let args = AppendArgs { path, options, any_extension: false };
        self.port_state.borrow_mut().append(id, args, |path, options, completion| {
            Ok(registry.submit(path, texts, false, options, completion))
        })
    }

    /// Appends the lines of a buffer, blank ones left out: events, or records with `wholeLines`.
    #[napi(catch_unwind)]
    pub fn append_bytes(
        &self,
        id: u32,
        #[napi(ts_arg_type = "string")] path: TextArgument,
        lines: Uint8ArraySlice<'_>,
        #[napi(ts_arg_type = "string | undefined | null")] options: Option<TextArgument>,
        memory: Option<&Memory>,
    ) -> napi::Result<()> {
        let registry = registry_of(memory);
        let texts = Texts::of_lines(&lines, MAX_ADDED_BYTES);
        let args = AppendArgs { path, options, any_extension: false };
        self.port_state.borrow_mut().append(id, args, |path, options, completion| {
            Ok(registry.submit(path, texts, false, options, completion))
        })
    }

    /// [`super::append_sync`], with facts of the batch for this port while it listens.
    #[napi(catch_unwind)]
    pub fn append_sync(&self, path: String, events: String, options: Option<String>) -> String {
        let observer = self.port_state.borrow().observer.clone();
        append_now(&path, events, options.as_deref(), observer)
    }

    /// Sets whether the port receives facts of batches with its appends. They are settlements with
    /// the number 0.
    #[napi(catch_unwind)]
    pub fn listen(&self, wanted: bool) {
        let mut port_state = self.port_state.borrow_mut();
        let queue = port_state.queue.clone();
        let publish = move |facts: &BatchFacts| queue.push_facts(outcome::facts(facts));
        port_state.observer = wanted.then(|| Observer::new(publish));
        port_state.last = None;
    }

    /// Panics on a worker thread, for the test that a panic becomes a rejected promise.
    #[napi(catch_unwind)]
    #[allow(clippy::panic, reason = "its purpose")]
    pub fn panic(&self, id: u32) {
        self.port_state.borrow_mut().work(id, || panic!("on purpose"));
    }

    /// Settles a request as cancelled unless its batch is being written.
    #[napi(catch_unwind)]
    pub fn cancel(&self, id: u32) {
        match self.port_state.borrow().pending.get(&id) {
            Some(Some(Cancel::Append(ticket))) => ticket.cancel(),
            Some(Some(Cancel::Lock(search))) => search.cancel(),
            Some(Some(Cancel::Other(deferred))) => deferred.settle(CANCELLED.into(), None),
            Some(Some(Cancel::Stop(flag, deferred))) => {
                flag.stop.store(true, Ordering::Relaxed);
                if !flag.has_begun.swap(true, Ordering::AcqRel)
                    && let Some(deferred) = deferred.upgrade()
                {
                    deferred.settle(CANCELLED.into(), None);
                }
            }
            Some(None) | None => {}
        }
    }

    /// Takes a bounded part of the settlements, in a flat array.
    ///
    /// First come the appends: numbers and outcomes in one JSON array. Then come number, outcome
    /// and text of each other settlement. Facts of batches have the number 0 and come before other
    /// requests. If settlements are left, `onSettled` is called again.
    #[napi(catch_unwind, ts_return_type = "Array<number | string | null>")]
    pub fn drain<'env>(&self, env: &'env Env) -> Drained<'env> {
        let mut port_state = self.port_state.borrow_mut();
        let HandedOver { facts, appends, numbers, others } = port_state.queue.hand_over(env);
        let mut flat = Vec::with_capacity(1 + (facts.len() + others.len()) * 3);
        flat.push(appends.map_or(Either3::C(Null), Either3::B));
        for fact in facts {
            flat.extend([Either3::A(0), Either3::B(fact), Either3::C(Null)]);
        }
        for number in &numbers {
            port_state.pending.remove(number);
        }
        for (id, outcome, text) in others {
            port_state.pending.remove(&id);
            let text = text.map_or(Either3::C(Null), Either3::B);
            flat.extend([Either3::A(id), Either3::B(outcome), text]);
        }
        port_state.last_part = numbers;
        let held = !port_state.pending.is_empty();
        port_state.hold.set(held);
        flat
    }

    /// The numbers of the appends in the last part, for a caller that cannot parse their text.
    #[napi(catch_unwind)]
    pub fn handed(&self) -> Vec<u32> {
        self.port_state.borrow().last_part.clone()
    }

    /// Lets the value behind the first `values` fail, for the test that no settlement is lost.
    #[napi(catch_unwind)]
    pub fn fail_after(&self, values: u32) {
        self.port_state.borrow().queue.fail_after(values);
    }
}

impl PortState {
    /// Checks an append and passes it to `submit`.
    pub(super) fn append(
        &mut self,
        id: u32,
        args: AppendArgs,
        submit: impl FnOnce(&ChroniclePath, Arc<AppendOptions>, Completion) -> Result<Ticket>,
    ) -> napi::Result<()> {
        let is_last = self.is_last(&args)?;
        let key = if is_last { None } else { Some(args.key()?) };
        self.hold.set(true);
        self.appends.pending.admit(0, usize::MAX);
        let completion = Completion::Of(self.appends.clone(), id);
        let submitted = match self.checked(key) {
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

    fn is_last(&self, args: &AppendArgs) -> napi::Result<bool> {
        let Some(last) = &self.last else { return Ok(false) };
        // A relative path names another file once the current directory changes.
        let is_path = Path::new(&last.key.path).is_absolute()
            && last.key.any_extension == args.any_extension
            && args.path.is(&last.key.path)?;
        let are_options = match (&args.options, &last.key.options) {
            (Some(options), Some(known)) => options.is(known)?,
            (None, None) => true,
            _ => false,
        };
        Ok(is_path && are_options)
    }

    /// Path and options, or those of the append before.
    fn checked(&mut self, key: Option<AppendKey>) -> Result<&(ChroniclePath, Arc<AppendOptions>)> {
        let known = self.last.take();
        let last = match (key, known) {
            (None, Some(last)) => last,
            (key, _) => {
                let key = key.unwrap_or_default();
                let (path, mut options) =
                    check(&key.path, key.options.as_deref(), key.any_extension)?;
                options.observer = self.observer.clone();
                LastAppend { key, checked: (path, Arc::new(options)) }
            }
        };
        Ok(&self.last.insert(last).checked)
    }

    /// Registers a request for locks, which can be cancelled.
    pub(super) fn seek(&mut self, id: u32, seek: impl FnOnce(Deferred) -> LockTicket) {
        let deferred = self.deferred(id);
        let search = seek(deferred);
        self.pending.insert(id, Some(Cancel::Lock(search)));
    }

    pub(super) fn deferred(&mut self, id: u32) -> Deferred {
        self.pending.insert(id, None);
        self.hold.set(true);
        Deferred { queue: self.queue.clone(), id, settled: AtomicBool::new(false) }
    }

    fn work(
        &mut self,
        id: u32,
        work: impl FnOnce() -> Result<(String, Option<String>)> + Send + 'static,
    ) {
        start(&self.cancellable(id), work);
    }

    /// A request whose work can be cancelled between two steps.
    pub(super) fn stoppable(&mut self, id: u32) -> (Arc<Deferred>, Arc<StopFlag>) {
        let deferred = Arc::new(self.deferred(id));
        let flag = Arc::new(StopFlag::default());
        self.pending.insert(id, Some(Cancel::Stop(flag.clone(), Arc::downgrade(&deferred))));
        (deferred, flag)
    }

    pub(super) fn cancellable(&mut self, id: u32) -> Arc<Deferred> {
        let deferred = Arc::new(self.deferred(id));
        self.pending.insert(id, Some(Cancel::Other(deferred.clone())));
        deferred
    }
}

impl Deferred {
    pub(super) fn settle(&self, outcome: String, text: Option<String>) {
        if !self.settled.swap(true, Ordering::AcqRel) {
            self.queue.push(Settlement { id: self.id, outcome, text });
        }
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if !*self.settled.get_mut() {
            self.settle(failure::error(&abandoned()), None);
        }
    }
}

/// Runs `work` on a worker and settles with its result.
pub(super) fn start(
    deferred: &Arc<Deferred>,
    work: impl FnOnce() -> Result<(String, Option<String>)> + Send + 'static,
) {
    let served = deferred.clone();
    if let Err(error) = pool::run(Box::new(move || serve(&served, work))) {
        deferred.settle(failure::error(&error), None);
    }
}

/// Settles with the result of `work`, or with an error if it panics.
pub(super) fn serve(
    deferred: &Arc<Deferred>,
    work: impl FnOnce() -> Result<(String, Option<String>)>,
) {
    let guard = SettleOnDrop(deferred);
    match work() {
        Ok((outcome, text)) => guard.0.settle(outcome, text),
        Err(error) => guard.0.settle(failure::error(&error), None),
    }
}

struct SettleOnDrop<'a>(&'a Deferred);

impl Drop for SettleOnDrop<'_> {
    fn drop(&mut self) {
        self.0.settle(failure::error(&abandoned()), None);
    }
}

fn abandoned() -> Error {
    let cause = std::io::Error::other("the thread that served the request panicked");
    Error::io("request was abandoned", "panic", cause)
}

/// The arguments of an append, unread.
pub(super) struct AppendArgs {
    pub(super) path: TextArgument,
    pub(super) options: Option<TextArgument>,
    pub(super) any_extension: bool,
}

impl AppendArgs {
    fn key(&self) -> napi::Result<AppendKey> {
        Ok(AppendKey {
            path: self.path.to_text()?,
            any_extension: self.any_extension,
            options: self.options.as_ref().map(TextArgument::to_text).transpose()?,
        })
    }
}

/// Parses the path and the options of an append.
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

/// Appends and waits. The batch is reported to `observer`.
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
