//! What a caller asks of the writer, and what it is told.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::append::in_flight::{Parity, Pending};
use crate::error::{Error, Result, Written};
use crate::event::{Event, Id, Rules};
use crate::mutex::locked;
use crate::threads::pool;

/// What is done about an id that is in the log with another content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnIdReuse {
    /// It counts as a duplicate, with `identical: false` in the receipt.
    #[default]
    Accept,
    /// `ECONFLICT`.
    Reject,
}

/// What a receipt waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// `fdatasync(2)`: the record survives kill -9, a crash of the system and a power cut.
    #[default]
    Sync,
    /// `write(2)`: the record survives kill -9 only.
    Os,
}

/// Options of an append.
#[derive(Debug, Clone)]
pub struct AppendOptions {
    /// How long to wait for the queue and the lock; 0 tries once. Default 2 s.
    pub lock_timeout: Duration,
    /// How the event is checked, and which id and key it gets.
    pub rules: Rules,
    /// The id the last record must have; `Some(None)`: there must be no record. Default: not asked. In a batch it is asked
    /// of the record before the first event that is no duplicate.
    pub expected_tail: Option<Option<Id>>,
    /// Default: accept.
    pub on_id_reuse: OnIdReuse,
    /// Default: sync.
    pub durability: Durability,
    /// Is told of the batch. Default: nobody.
    pub observer: Option<Observer>,
}

/// What one batch was and how long it took.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BatchFacts {
    /// The log.
    pub path: PathBuf,
    /// Appends in it.
    pub appends: usize,
    /// Events that were written.
    pub events: usize,
    /// Events that the log had already.
    pub duplicates: usize,
    /// Bytes that were written.
    pub bytes: usize,
    /// How long its lock was waited for.
    pub lock_wait: Duration,
    /// How long its sync took, which it may have shared with others; `None` where nobody waited for one.
    pub sync: Option<Duration>,
}

/// Is called once for each batch with appends of its own, before the first of these is settled; not for batches that fail.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&BatchFacts) + Send + Sync>);

impl Observer {
    /// One that calls `notified`, on a thread of the pool.
    pub fn new(notified: impl Fn(&BatchFacts) + Send + Sync + 'static) -> Self {
        Observer(Arc::new(notified))
    }

    pub(crate) fn notify(&self, facts: &BatchFacts) {
        (self.0)(facts);
    }

    pub(crate) fn is_same(&self, other: &Observer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

impl Default for AppendOptions {
    fn default() -> Self {
        AppendOptions {
            lock_timeout: Duration::from_millis(2000),
            rules: Rules::default(),
            expected_tail: None,
            on_id_reuse: OnIdReuse::default(),
            durability: Durability::default(),
            observer: None,
        }
    }
}

/// What a caller may rely on after an append.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The id of the record in the file, if it has one.
    pub event_id: Option<Id>,
    /// Number of the record in the file, from 1.
    pub seq: u64,
    /// First byte of the record, from 0.
    pub offset: u64,
    /// Its bytes without the newline.
    pub length: u64,
    /// The file had it already; the other fields are those of the record in the file.
    pub duplicate: bool,
    /// Whether the record has the canonical form of the event that was given, and its numbers the
    /// same text.
    pub identical: bool,
    /// Whether it was synced, or proved to be on the disk.
    pub durable: bool,
}

/// How an append ended.
#[derive(Debug)]
pub enum Outcome {
    /// One receipt for each event, in their order.
    Done(Vec<Receipt>, Vec<Warning>),
    /// Nothing may be relied on but what [`Error::written`] says.
    Failed(Error),
    /// Cancelled before its batch was begun; nothing was written.
    Cancelled,
}

/// Something the caller should hear of although the append succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// A stable code.
    pub code: &'static str,
    /// What it is about.
    pub message: String,
}

/// What gets the outcome of an append: once, on a thread of the pool or on the one that submits.
pub enum Completion {
    /// A call.
    Once(Box<dyn FnOnce(Outcome) + Send>),
    /// A sink of many outcomes, and the number of this one: it takes no memory that one thread makes
    /// and another frees.
    Of(Arc<dyn OutcomeSink>, u32),
}

/// Gets the outcomes of appends.
pub trait OutcomeSink: Send + Sync {
    /// The append with this number ended.
    fn settle(&self, number: u32, outcome: Outcome);
}

impl Completion {
    /// A call.
    pub fn once(notified: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Completion::Once(Box::new(notified))
    }

    pub(crate) fn complete(self, outcome: Outcome) {
        match self {
            Completion::Once(notified) => notified(outcome),
            Completion::Of(sink, number) => sink.settle(number, outcome),
        }
    }
}

/// The JSON texts of an append, which become its events, in memory that is freed by whoever has it last: best the thread that made it.
#[derive(Clone)]
pub struct Texts(Arc<[Item]>);

struct Item {
    /// Until it is checked.
    text: Mutex<Vec<u8>>,
    event: OnceLock<Event>,
}

impl Texts {
    fn of(texts: impl Iterator<Item = Vec<u8>>) -> Texts {
        let item = |text| Item { text: Mutex::new(text), event: OnceLock::new() };
        Texts(texts.map(item).collect())
    }

    /// The lines of `bytes`, each with room for `room` more bytes. Those of only spaces, tabs and
    /// `\r` are nothing; a last one needs no newline.
    pub fn of_lines(bytes: &[u8], room: usize) -> Texts {
        let is_blank = |line: &[u8]| line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !is_blank(line));
        Texts::of(lines.map(|line| {
            let mut text = Vec::with_capacity(line.len() + room);
            text.extend_from_slice(line);
            text
        }))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that count as pending.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|item| locked(&item.text).len() + 256).sum()
    }

    fn prepare(&self, index: usize, rules: &Rules) -> Result<()> {
        let Some(item) = self.0.get(index) else { return Err(abandoned()) };
        let text = std::mem::take(&mut *locked(&item.text));
        let _ = item.event.set(Event::made_of(text, rules)?);
        Ok(())
    }
}

const QUEUED: u8 = 0;
const TAKEN: u8 = 1;
const SETTLED: u8 = 2;
/// Queued once more after it was written: it is not cancelled any more.
const AGAIN: u8 = 3;

impl From<Vec<u8>> for Texts {
    fn from(text: Vec<u8>) -> Self {
        Texts::of(std::iter::once(text))
    }
}

impl From<Vec<Vec<u8>>> for Texts {
    fn from(texts: Vec<Vec<u8>>) -> Self {
        Texts::of(texts.into_iter())
    }
}

/// One append under way: one event or the events of a batch that succeed or fail together. Whatever becomes of it, its
/// completion is called exactly once; a request that is dropped unsettled says that something went wrong.
pub(crate) struct Request {
    texts: Texts,
    is_prepared: AtomicBool,
    pub(crate) options: Arc<AppendOptions>,
    /// One event given alone: errors do not name an index.
    single: bool,
    pub(crate) bytes: usize,
    submitted: Instant,
    deadline: Mutex<Instant>,
    state: AtomicU8,
    tried: AtomicBool,
    preparing: AtomicBool,
    completion: Mutex<Option<Completion>>,
    /// Which of its events an earlier run wrote.
    written: OnceLock<Box<[bool]>>,
    /// Where it was counted in, and with which.
    pending: (Arc<Pending>, Parity),
}

impl Request {
    /// One that was counted in with its bytes.
    pub(crate) fn new(
        texts: Texts,
        single: bool,
        options: Arc<AppendOptions>,
        completion: Completion,
        pending: (Arc<Pending>, Parity),
        bytes: usize,
    ) -> Self {
        let now = Instant::now();
        Request {
            bytes,
            texts,
            is_prepared: AtomicBool::new(false),
            deadline: Mutex::new(later(now, options.lock_timeout)),
            options,
            single,
            submitted: now,
            state: AtomicU8::new(QUEUED),
            tried: AtomicBool::new(false),
            preparing: AtomicBool::new(false),
            completion: Mutex::new(Some(completion)),
            written: OnceLock::new(),
            pending,
        }
    }

    /// Checks the events and computes their ids, once.
    pub(crate) fn prepare(&self) -> Result<()> {
        if self.is_prepared() {
            return Ok(());
        }
        let begun = Instant::now();
        self.preparing.store(true, Ordering::Relaxed);
        let (texts, options, single) = (self.texts.clone(), self.options.clone(), self.single);
        let prepared = in_parts(texts.0.len(), move |index| {
            let prepared = texts.prepare(index, &options.rules);
            prepared.map_err(|error| if single { error } else { error.with_index(index) })
        });
        // The deadline covers the queue and the lock, not the hashing of a long event.
        self.extend(begun.elapsed());
        self.preparing.store(false, Ordering::Relaxed);
        prepared.into_iter().collect::<Result<()>>()?;
        self.is_prepared.store(true, Ordering::Release);
        Ok(())
    }

    /// The checked events; none before [`Request::prepare`].
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.texts.0.iter().filter_map(|item| item.event.get())
    }

    pub(crate) fn is_prepared(&self) -> bool {
        self.is_prepared.load(Ordering::Acquire)
    }

    pub(crate) fn is_single(&self) -> bool {
        self.single
    }

    /// Takes it into a batch; from now on it has its true outcome. False: it was settled meanwhile.
    pub(crate) fn take(&self) -> bool {
        self.step(QUEUED, TAKEN) || self.step(AGAIN, TAKEN)
    }

    /// These of its events were written, and it is to run again. From then on it is not cancelled, and a failure of it
    /// is `written: 'unknown'`.
    pub(crate) fn mark_written(&self, which: Box<[bool]>) {
        // The first run counts: what a later one finds is a copy of it.
        let _ = self.written.set(which);
    }

    /// Whether an earlier run wrote this event.
    pub(crate) fn wrote_before(&self, index: usize) -> bool {
        self.written.get().is_some_and(|written| written.get(index).is_some_and(|wrote| *wrote))
    }

    /// Puts it back to be decided again, with its whole lock timeout before it.
    pub(crate) fn put_back(&self) {
        *locked(&self.deadline) = later(Instant::now(), self.options.lock_timeout);
        self.tried.store(false, Ordering::Relaxed);
        let _ = self.step(TAKEN, if self.written.get().is_some() { AGAIN } else { QUEUED });
    }

    /// Time spent on work that the deadline does not cover is given back.
    pub(crate) fn extend(&self, by: Duration) {
        let mut deadline = locked(&self.deadline);
        *deadline = later(*deadline, by);
    }

    /// The lock was tried for it.
    pub(crate) fn mark_tried(&self) {
        self.tried.store(true, Ordering::Relaxed);
    }

    /// When it may be told that the lock was not free: at its deadline, but not before the lock was tried once, unless every thread is stuck.
    pub(crate) fn expires_at(&self) -> Instant {
        const GRACE: Duration = Duration::from_millis(250);
        const LOOK_AGAIN: Duration = Duration::from_millis(50);
        let deadline = *locked(&self.deadline);
        if self.preparing.load(Ordering::Relaxed) {
            return deadline.max(later(Instant::now(), LOOK_AGAIN));
        }
        if self.tried.load(Ordering::Relaxed) {
            deadline
        } else {
            deadline.max(later(self.submitted, GRACE))
        }
    }

    pub(crate) fn is_queued(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), QUEUED | AGAIN)
    }

    pub(crate) fn waited(&self) -> Duration {
        self.submitted.elapsed()
    }

    /// Settles it unless it was taken into a batch. Says whether it did.
    pub(crate) fn settle_queued(&self, outcome: Outcome) -> bool {
        let settled = self.step(QUEUED, SETTLED) || self.step(AGAIN, SETTLED);
        if settled {
            self.complete(outcome);
        }
        settled
    }

    /// Settles it as cancelled unless its batch is being written, or was once.
    pub(crate) fn cancel(&self) {
        if self.step(QUEUED, SETTLED) {
            self.complete(Outcome::Cancelled);
        }
    }

    /// Settles it.
    pub(crate) fn settle(&self, outcome: Outcome) {
        self.state.store(SETTLED, Ordering::Release);
        self.complete(outcome);
    }

    fn step(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn complete(&self, outcome: Outcome) {
        let completion = locked(&self.completion).take();
        if let Some(completion) = completion {
            let _counted = DischargeOnDrop(self);
            let outcome = match outcome {
                Outcome::Failed(error) if self.written.get().is_some() => {
                    Outcome::Failed(error.with_written(Written::Unknown))
                }
                other => other,
            };
            completion.complete(outcome);
        }
    }
}

/// A pending request: counted out after its completion was called, also when that panics.
struct DischargeOnDrop<'a>(&'a Request);

impl Drop for DischargeOnDrop<'_> {
    fn drop(&mut self) {
        let (pending, parity) = &self.0.pending;
        pending.discharge(*parity, self.0.bytes);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let written = match *self.state.get_mut() {
            TAKEN => Written::Unknown,
            _ => Written::No,
        };
        self.complete(Outcome::Failed(abandoned().with_written(written)));
    }
}

/// What `work` makes of each index below `count`, in their order; many are shared with another thread. This and what
/// [`crate::dedup::log_view::LogView::apply_written`] saves took 40 % off a batch of 1,000.
pub(crate) fn in_parts<R: Send + 'static>(
    count: usize,
    work: impl Fn(usize) -> R + Send + Sync + 'static,
) -> Vec<R> {
    const PART: usize = 64;
    if count < 2 * PART {
        return (0..count).map(work).collect();
    }
    let part = move |number: usize| {
        let from = number * PART;
        (from..count.min(from + PART)).map(&work).collect::<Vec<R>>()
    };
    pool::parallel_map(count.div_ceil(PART), part).into_iter().flatten().collect()
}

/// The error of a request whose thread ended before it was settled.
fn abandoned() -> Error {
    Error::io("append was abandoned", "panic", std::io::Error::other("the writing thread panicked"))
}

/// The error of an append for which nothing was written yet.
pub(crate) fn cannot_append(operation: &'static str, error: std::io::Error) -> Error {
    Error::io("cannot append", operation, error).with_written(Written::No)
}

/// `at + by`, as far in the future as the clock goes.
pub(crate) fn later(at: Instant, by: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
    at.checked_add(by.min(FAR)).unwrap_or(at)
}
