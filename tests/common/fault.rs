//! Which operation fails, and how; and how one is held until the test lets it go.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// `EIO`.
pub const EIO: i32 = 5;
/// `ENOSPC`.
pub const ENOSPC: i32 = 28;

/// What a writer asks of the machine.
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

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Go,
    /// It fails. A sync then loses the pages that it was to write.
    Fail(i32),
    /// An append takes only so many bytes.
    Short(usize),
    /// A lock is held by somebody, pages stay in the cache.
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
    /// What came of it; `None` while it is under way.
    pub good: Option<bool>,
}

/// Which operations are meant.
#[derive(Debug, Clone, Copy)]
pub struct When {
    kind: Option<Kind>,
    process: Option<u32>,
    skip: usize,
    times: usize,
}

impl When {
    /// The next one of this kind.
    pub fn next(kind: Kind) -> Self {
        When { kind: Some(kind), process: None, skip: 0, times: 1 }
    }

    /// The next one, whatever it is.
    pub fn any() -> Self {
        When { kind: None, ..When::next(Kind::Open) }
    }

    /// Only of this process.
    pub fn of(self, process: u32) -> Self {
        When { process: Some(process), ..self }
    }

    /// Not before so many of them are past.
    pub fn after(self, skip: usize) -> Self {
        When { skip, ..self }
    }

    /// All from there on.
    pub fn always(self) -> Self {
        When { times: usize::MAX, ..self }
    }
}

/// A verdict, and when it is given.
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

    /// The effect on this operation, if it is meant.
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
    /// The verdict, once it is known.
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

/// Where an operation waits for the test; dropping it lets everything through.
pub struct Gate {
    arrived: Receiver<()>,
    release: Sender<Verdict>,
}

impl Gate {
    /// Waits until an operation stands at the gate.
    pub fn arrived(&self) {
        let waited = self.arrived.recv_timeout(super::HANG);
        waited.expect("no operation came to the gate");
    }

    /// Whether an operation comes to the gate within `time`.
    pub fn is_reached_within(&self, time: Duration) -> bool {
        self.arrived.recv_timeout(time).is_ok()
    }

    /// Lets the operation that stands there go on, or the next one.
    pub fn release(&self, verdict: Verdict) {
        let _ = self.release.send(verdict);
    }
}
