//! A process that appends, and the events that it appends.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sage_chronicle::internals::request::Completion;
use sage_chronicle::registry::{Registry, Ticket};
use sage_chronicle::{
    AppendOptions, ChroniclePath, Durability, Error, Event, Outcome, Receipt, Result, Rules,
    Written,
};

use super::machine::PATH;

/// An operation that takes longer hangs.
pub const HANG: Duration = Duration::from_secs(60);

/// All processes of a test binary share its threads, and some tests block them: one test at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static BUILD_LOCK: Mutex<()> = Mutex::new(());
    BUILD_LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A registry of its own, with descriptors of its own.
pub struct Process {
    pub registry: Arc<Registry>,
    pub id: u32,
}

/// An append that is running.
pub struct Pending {
    outcome: Receiver<Outcome>,
    pub ticket: Ticket,
}

impl Process {
    pub fn submit_to(&self, path: &str, events: &[&str], options: AppendOptions) -> Pending {
        let (sender, outcome) = channel();
        let texts = events.iter().map(|text| text.as_bytes().to_vec());
        let completion = Completion::once(move |outcome| {
            let _ = sender.send(outcome);
        });
        let ticket = self.registry.submit(
            &ChroniclePath::parse(path).unwrap(),
            texts.collect::<Vec<_>>(),
            events.len() == 1,
            options,
            completion,
        );
        Pending { outcome, ticket }
    }

    pub fn submit(&self, event: &str) -> Pending {
        self.submit_to(PATH, &[event], options())
    }

    pub fn append(&self, event: &str) -> Result<Receipt> {
        self.append_with(event, options())
    }

    pub fn append_with(&self, event: &str, options: AppendOptions) -> Result<Receipt> {
        let mut receipts = settle(self.submit_to(PATH, &[event], options))?;
        assert_eq!(receipts.len(), 1);
        Ok(receipts.remove(0))
    }

    pub fn append_all(&self, events: &[&str], options: AppendOptions) -> Result<Vec<Receipt>> {
        settle(self.submit_to(PATH, events, options))
    }
}

impl Pending {
    /// Waits for the outcome.
    pub fn outcome(self) -> Outcome {
        let outcome = self.outcome.recv_timeout(HANG);
        outcome.expect("an append was never settled")
    }

    /// Whether the append is settled already.
    pub fn is_settled(&mut self) -> bool {
        match self.outcome.try_recv() {
            Ok(outcome) => {
                let (sender, again) = channel();
                sender.send(outcome).unwrap();
                self.outcome = again;
                true
            }
            Err(_) => false,
        }
    }
}

/// Waits for the receipts.
pub fn settle(pending: Pending) -> Result<Vec<Receipt>> {
    match pending.outcome() {
        Outcome::Done(receipts, _) => Ok(receipts),
        Outcome::Failed(error) => Err(error),
        Outcome::Cancelled => panic!("nobody cancelled it"),
    }
}

/// What the error says about bytes in the file.
pub fn written(error: &Error) -> Option<Written> {
    error.written()
}

/// The default options, with a deadline that only a hang can meet.
pub fn options() -> AppendOptions {
    AppendOptions { lock_timeout: HANG, ..AppendOptions::default() }
}

/// The same with this deadline in milliseconds.
pub fn within(milliseconds: u64) -> AppendOptions {
    AppendOptions { lock_timeout: Duration::from_millis(milliseconds), ..AppendOptions::default() }
}

/// The same for a record without a sync.
pub fn os() -> AppendOptions {
    AppendOptions { durability: Durability::Os, ..options() }
}

pub fn log_path() -> ChroniclePath {
    ChroniclePath::parse(PATH).unwrap()
}

/// The `n`th event of a test.
pub fn event(n: usize) -> String {
    named(&format!("event-{n}"), "")
}

/// An event with an id and a text.
pub fn named(id: &str, text: &str) -> String {
    format!(
        r#"{{"type":"X","eventId":"{id}","timestamp":"t","actor":{{"agent":"a","id":"b"}},"text":"{text}"}}"#
    )
}

/// The line that an event is written as, with its newline.
pub fn line_of(event: &str) -> String {
    let event = Event::parse(event.as_bytes(), &Rules::default()).unwrap();
    format!("{}\n", String::from_utf8(event.line().to_vec()).unwrap())
}

/// The number of lines in `log` that are this event.
pub fn count_of(log: &[u8], event: &str) -> usize {
    let line = line_of(event);
    let line = line.trim_end().as_bytes();
    log.split(|byte| *byte == b'\n').filter(|other| *other == line).count()
}

pub fn seqs(receipts: &[Receipt]) -> Vec<u64> {
    receipts.iter().map(|receipt| receipt.seq).collect()
}

/// Whether an outcome arrives within `time`.
pub fn is_settled_by(pending: &Pending, time: Duration) -> bool {
    pending.outcome.recv_timeout(time).is_ok()
}
