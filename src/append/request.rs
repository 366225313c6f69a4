//! One append: its options, its events, its deadline and its outcome.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::append::in_flight::{Parity, Pending};
use crate::error::{Error, Result, Written};
use crate::event::{Event, Id, Rules};
use crate::mutex::locked;
use crate::threads::pool;

/// What to do with an event whose id belongs to a record with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnIdReuse {
    /// Count the event as a duplicate, with `identical: false` in the receipt.
    #[default]
    Accept,
    /// Fail with `ECONFLICT`.
    Reject,
}

/// The event that a receipt waits for.
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
    /// How long to wait for the queue and the lock; 0 tries once. Default: 2 s.
    pub lock_timeout: Duration,
    /// How the event is checked, and which id and key it gets.
    pub rules: Rules,
    /// The id that the last record must have. `Some(None)`: there must be no record. Default: not
    /// checked.
    ///
    /// A batch checks the record in front of its first event that is no duplicate.
    pub expected_tail: Option<Option<Id>>,
    /// Default: accept.
    pub on_id_reuse: OnIdReuse,
    /// Default: sync.
    pub durability: Durability,
    /// Receives the facts of the batch. Default: none.
    pub observer: Option<Observer>,
}

/// The facts of one batch.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BatchFacts {
    /// The log.
    pub path: PathBuf,
    /// Number of appends in the batch.
    pub appends: usize,
    /// Number of events written.
    pub events: usize,
    /// Number of duplicates.
    pub duplicates: usize,
    /// Number of bytes written.
    pub bytes: usize,
    /// Time spent waiting for the lock.
    pub lock_wait: Duration,
    /// Time of the sync, which several batches may share; `None` if no append waited for a sync.
    pub sync: Option<Duration>,
}

/// Called once for each batch with appends of this observer, before the first of them is settled.
/// Failed batches are not observed.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&BatchFacts) + Send + Sync>);

impl Observer {
    /// An observer that calls `notified` on a thread of the pool.
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

/// The facts that a caller may rely on after an append.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The id of the record in the file, if it has one.
    pub event_id: Option<Id>,
    /// Number of the record in the file, from 1.
    pub seq: u64,
    /// First byte of the record, from 0.
    pub offset: u64,
    /// Bytes of the record without the newline.
    pub length: u64,
    /// The file had the record already. The other fields are those of that record.
    pub duplicate: bool,
    /// Whether the record has the canonical form of the given event, with the same texts of
    /// numbers.
    pub identical: bool,
    /// Whether the record is durable: it was synced, or read again from the disk after a sync.
    pub durable: bool,
}

/// The outcome of an append.
#[derive(Debug)]
pub enum Outcome {
    /// One receipt for each event, in their order.
    Done(Vec<Receipt>, Vec<Warning>),
    /// The append failed. [`Error::written`] is all that is known about the file.
    Failed(Error),
    /// Cancelled before its batch began. Nothing was written.
    Cancelled,
}

/// A fact that the caller should know although the append succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// A stable code.
    pub code: &'static str,
    /// The warning in words.
    pub message: String,
}

/// Receives the outcome of an append, once, on a thread of the pool or on the submitting thread.
pub enum Completion {
    /// A function.
    Once(Box<dyn FnOnce(Outcome) + Send>),
    /// A sink of many outcomes, and the number of this one. No memory is allocated on one thread
    /// and freed on another.
    Of(Arc<dyn OutcomeSink>, u32),
}

/// Receives the outcomes of appends.
pub trait OutcomeSink: Send + Sync {
    /// The append with this number has ended.
    fn settle(&self, number: u32, outcome: Outcome);
}

impl Completion {
    /// A completion that calls a function.
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

/// The JSON texts of an append, which become its events.
///
/// The last owner frees the memory. That should be the allocating thread, which frees it faster.
#[derive(Clone)]
pub struct Texts(Arc<[Item]>);

struct Item {
    /// Empty once the text was checked.
    text: Mutex<Vec<u8>>,
    event: OnceLock<Event>,
}

impl Texts {
    fn of(texts: impl Iterator<Item = Vec<u8>>) -> Texts {
        let item = |text| Item { text: Mutex::new(text), event: OnceLock::new() };
        Texts(texts.map(item).collect())
    }

    /// The lines of `bytes`, each with room for `room` more bytes.
    ///
    /// Lines of only spaces, tabs and `\r` are left out. The last line may lack its newline.
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
/// Queued again after it was written. It can no longer be cancelled.
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

/// One append under way: one event, or the events of a batch that succeed or fail together.
///
/// The completion is called exactly once, in all cases. A request that is dropped before it was
/// settled fails with `EIO`.
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
    /// Events that an earlier run wrote.
    written: OnceLock<Box<[bool]>>,
    /// The counter that has counted the request, and its generation.
    pending: (Arc<Pending>, Parity),
}

impl Request {
    /// A request that was counted in with its bytes.
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

    /// Takes the request into a batch, so that it is no longer cancelled. Returns false if it was
    /// settled before.
    pub(crate) fn take(&self) -> bool {
        self.step(QUEUED, TAKEN) || self.step(AGAIN, TAKEN)
    }

    /// Marks events as written, for a request that runs again.
    ///
    /// From then on the request is not cancelled, and a failure has `written: 'unknown'`.
    pub(crate) fn mark_written(&self, which: Box<[bool]>) {
        // The first run counts: a later run finds its own copy.
        let _ = self.written.set(which);
    }

    /// Whether an earlier run wrote this event.
    pub(crate) fn wrote_before(&self, index: usize) -> bool {
        self.written.get().is_some_and(|written| written.get(index).is_some_and(|wrote| *wrote))
    }

    /// Queues the request again, with its whole lock timeout.
    pub(crate) fn put_back(&self) {
        *locked(&self.deadline) = later(Instant::now(), self.options.lock_timeout);
        self.tried.store(false, Ordering::Relaxed);
        let _ = self.step(TAKEN, if self.written.get().is_some() { AGAIN } else { QUEUED });
    }

    /// Extends the deadline by the time of work that it does not cover.
    pub(crate) fn extend(&self, by: Duration) {
        let mut deadline = locked(&self.deadline);
        *deadline = later(*deadline, by);
    }

    /// Notes that the lock was tried for the request.
    pub(crate) fn mark_tried(&self) {
        self.tried.store(true, Ordering::Relaxed);
    }

    /// Earliest time of a lock timeout: the deadline, but not before one try. `GRACE` bounds the
    /// wait for that try.
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

    /// Settles the request unless a batch has taken it. Returns whether it did.
    pub(crate) fn settle_queued(&self, outcome: Outcome) -> bool {
        let settled = self.step(QUEUED, SETTLED) || self.step(AGAIN, SETTLED);
        if settled {
            self.complete(outcome);
        }
        settled
    }

    /// Settles the request as cancelled, unless its batch is being written or was written.
    pub(crate) fn cancel(&self) {
        if self.step(QUEUED, SETTLED) {
            self.complete(Outcome::Cancelled);
        }
    }

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

/// Counts the request out after its completion was called, even after a panic.
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

/// Calls `work` for each index below `count`. Returns the results in order.
///
/// A large count is shared with other threads. Together with
/// [`crate::dedup::log_view::LogView::apply_written`], this saves 40 % of the time of a batch of
/// 1,000.
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

/// The error of a request whose thread panicked before it was settled.
fn abandoned() -> Error {
    Error::io("append was abandoned", "panic", std::io::Error::other("the writing thread panicked"))
}

/// The error of an append for which nothing was written.
pub(crate) fn cannot_append(operation: &'static str, error: std::io::Error) -> Error {
    Error::io("cannot append", operation, error).with_written(Written::No)
}

/// `at + by`, bounded by the range of the clock.
pub(crate) fn later(at: Instant, by: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
    at.checked_add(by.min(FAR)).unwrap_or(at)
}
