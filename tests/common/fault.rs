//! Faults: which operation fails, how it fails, and how a test holds one until it releases it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// `EIO`.
pub const EIO: i32 = 5;
/// `ENOSPC`.
pub const ENOSPC: i32 = 28;

/// The operations that a writer requests of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Open,
    Lookup,
    SyncDirectory,
    ProbeLock,
    Stat,
    Read,
    Append,
    SetLen,
    Sync,
    DropCached,
    TryLock,
    Unlock,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::Open,
        Kind::Lookup,
        Kind::SyncDirectory,
        Kind::ProbeLock,
        Kind::Stat,
        Kind::Read,
        Kind::Append,
        Kind::SetLen,
        Kind::Sync,
        Kind::DropCached,
        Kind::TryLock,
        Kind::Unlock,
    ];
}

/// The outcome of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It succeeds.
    Go,
    /// It fails. A sync then loses the pages that it had to write.
    Fail(i32),
    /// An append takes only this many bytes.
    Short(usize),
    /// A lock is busy; pages stay in the cache.
    Refuse,
    /// The thread panics.
    Panic,
}

/// One operation as the machine saw it.
#[derive(Debug, Clone)]
pub struct Operation {
    pub process: u32,
    pub descriptor: u64,
    pub kind: Kind,
    pub offset: u64,
    pub length: u64,
    /// Whether it succeeded; `None` while it is running.
    pub good: Option<bool>,
}

/// Selects operations.
#[derive(Debug, Clone, Copy)]
pub struct When {
    kind: Option<Kind>,
    process: Option<u32>,
    skip: usize,
    times: usize,
}

impl When {
    /// The next operation of this kind.
    pub fn next(kind: Kind) -> Self {
        When { kind: Some(kind), process: None, skip: 0, times: 1 }
    }

    /// The next operation of any kind.
    pub fn any() -> Self {
        When { kind: None, ..When::next(Kind::Open) }
    }

    /// Only operations of this process.
    pub fn of(self, process: u32) -> Self {
        When { process: Some(process), ..self }
    }

    /// Skips the first `skip` operations.
    pub fn after(self, skip: usize) -> Self {
        When { skip, ..self }
    }

    /// All selected operations from there on.
    pub fn always(self) -> Self {
        When { times: usize::MAX, ..self }
    }
}

/// A verdict, and the operations that get it.
pub struct Rule {
    when: When,
    effect: Effect,
}

#[derive(Clone)]
pub enum Effect {
    Say(Verdict),
    Hold(Sender<()>, Arc<Mutex<Receiver<Verdict>>>),
}

impl Rule {
    pub fn new(when: When, verdict: Verdict) -> Rule {
        let effect = Effect::Say(verdict);
        Rule { when, effect }
    }

    pub fn hold(when: When) -> (Rule, Gate) {
        let (arrive, arrived) = channel();
        let (release, released) = channel();
        let effect = Effect::Hold(arrive, Arc::new(Mutex::new(released)));
        (Rule { when, effect }, Gate { arrived, release })
    }

    /// The effect on this operation, if it is selected.
    pub fn meets(&mut self, process: u32, kind: Kind) -> Option<Effect> {
        let when = &mut self.when;
        let meant = when.kind.is_none_or(|wanted| wanted == kind)
            && when.process.is_none_or(|wanted| wanted == process);
        if !meant || when.times == 0 {
            return None;
        }
        if when.skip > 0 {
            when.skip -= 1;
            return None;
        }
        if when.times != usize::MAX {
            when.times -= 1;
        }
        Some(self.effect.clone())
    }
}

impl Effect {
    /// Waits for the verdict.
    pub fn verdict(self) -> Verdict {
        match self {
            Effect::Say(verdict) => verdict,
            Effect::Hold(arrive, released) => {
                let _ = arrive.send(());
                let released = released.lock().unwrap();
                released.recv().unwrap_or(Verdict::Go)
            }
        }
    }
}

/// The place where an operation waits for the test. Dropping it releases every operation.
pub struct Gate {
    arrived: Receiver<()>,
    release: Sender<Verdict>,
}

impl Gate {
    /// Waits until an operation is at the gate.
    pub fn arrived(&self) {
        let waited = self.arrived.recv_timeout(super::HANG);
        waited.expect("no operation came to the gate");
    }

    /// Whether an operation reaches the gate within `time`.
    pub fn is_reached_within(&self, time: Duration) -> bool {
        self.arrived.recv_timeout(time).is_ok()
    }

    /// Releases the operation at the gate, or the next one.
    pub fn release(&self, verdict: Verdict) {
        let _ = self.release.send(verdict);
    }
}
