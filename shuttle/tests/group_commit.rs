//! The group commit under shuttle: callers, write jobs and sync jobs in thousands of schedules,
//! with one operation of the machine failing. In each schedule every call settles. Each
//! acknowledged event is in the file once, also after a power cut, and the next append works.
//! Where a thread waits for ever, shuttle reports a deadlock.
//!
//! The code is that of the core from `Registry::submit` down to the storage: queue, batches,
//! ledger, durable ranges. Not covered are:
//!
//! - the pool, in whose place each job has a thread of its own;
//! - deadlines, whose alarms never ring;
//! - reorderings of relaxed atomics, which shuttle takes for sequentially consistent;
//! - panics, which end the run under shuttle: `tests/group_commit.rs` of the crate has those, with
//!   real threads.

#[path = "../../tests/common/mod.rs"]
mod common;

use std::sync::Arc;

use common::{
    EIO, ENOSPC, Kind, Machine, OTHER_NAME, PATH, Process, Verdict, When, count_of, event, options,
    os,
};
use sage_chronicle::internals::request::Completion;
use sage_chronicle::{AppendOptions, ChroniclePath, Outcome, Rules};
use shuttle::sync::mpsc::{Receiver, channel};
use shuttle::thread;

const SCHEDULES: usize = 1000;

fn submit(process: &Process, n: usize, options: AppendOptions) -> Receiver<Outcome> {
    submit_to(process, PATH, event(n), options)
}

fn submit_to(
    process: &Process,
    path: &str,
    event: String,
    options: AppendOptions,
) -> Receiver<Outcome> {
    let (sender, outcome) = channel();
    let completion = Completion::once(move |outcome| sender.send(outcome).unwrap());
    let path = ChroniclePath::parse(path).unwrap();
    process.registry.submit(&path, vec![event.into_bytes()], true, options, completion);
    outcome
}

/// Whether the append was acknowledged.
fn append(process: &Process, n: usize, options: AppendOptions) -> bool {
    match submit(process, n, options).recv().unwrap() {
        Outcome::Done(receipts, _) => {
            assert_eq!(receipts.len(), 1);
            true
        }
        Outcome::Failed(error) => {
            assert!(error.written().is_some(), "{error}");
            false
        }
        Outcome::Cancelled => panic!("nobody cancelled it"),
    }
}

/// Four callers of one process and one of another append while something goes wrong.
fn scenario(fault: Option<(Kind, usize, Verdict)>) {
    let machine = Machine::new();
    let ours = Arc::new(machine.start());
    let other = Arc::new(machine.start());
    assert!(append(&ours, 0, options()));
    if let Some((kind, skip, verdict)) = fault {
        machine.inject(When::next(kind).after(skip), verdict);
    }
    let callers: Vec<_> = [(1, &ours), (2, &ours), (3, &ours), (4, &ours), (5, &other)]
        .map(|(n, process)| {
            let process = process.clone();
            // One of them requests no sync.
            let options = if n == 3 { os() } else { options() };
            thread::spawn(move || (n, append(&process, n, options)))
        })
        .into();
    let told: Vec<(usize, bool)> =
        callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    let now = machine.content(PATH);
    let after_cut = machine.after_power_cut().content(PATH);
    for (n, acknowledged) in &told {
        if *acknowledged && *n != 3 {
            assert_eq!(count_of(&now, &event(*n)), 1, "{n} was acknowledged");
            assert_eq!(count_of(&after_cut, &event(*n)), 1, "{n} is not durable");
        }
    }
    assert_eq!(count_of(&after_cut, &event(0)), 1);
    if fault.is_none() {
        assert!(told.iter().all(|(_, acknowledged)| *acknowledged));
    }
    machine.heal();
    // A caller that failed tries again. Each process reports a failed sync once.
    for n in 1..6 {
        for process in [&ours, &other] {
            let done = (0..4).any(|_| append(process, n, options()));
            assert!(done, "{n} is never accepted");
        }
    }
    let after_cut = machine.after_power_cut().content(PATH);
    for n in 0..6 {
        assert_eq!(count_of(&after_cut, &event(n)), 1, "{n}");
    }
}

/// Callers of a lock session append by two names of one file while an operation fails. Some events
/// have no id.
fn two_names(fault: Option<(Kind, usize, Verdict)>) {
    let machine = Machine::new();
    let session = Arc::new(machine.start_session());
    assert!(append(&session, 0, options()));
    if let Some((kind, skip, verdict)) = fault {
        machine.inject(When::next(kind).after(skip), verdict);
    }
    let callers: Vec<_> = [(1, PATH), (2, OTHER_NAME), (3, PATH), (4, OTHER_NAME)]
        .map(|(n, path)| {
            let session = session.clone();
            thread::spawn(move || {
                let rules = Rules { compute_id: n < 3, ..Rules::default() };
                let options = AppendOptions { rules, ..options() };
                let event = if n < 3 { event(n) } else { nameless(n) };
                let sent = submit_to(&session, path, event, options).recv().unwrap();
                (n, matches!(sent, Outcome::Done(..)))
            })
        })
        .into();
    let ended: Vec<(usize, bool)> =
        callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    let after_cut = machine.after_power_cut().content(PATH);
    for (n, acknowledged) in ended.iter().filter(|(_, acknowledged)| *acknowledged) {
        let count = if *n < 3 {
            count_of(&after_cut, &event(*n))
        } else {
            String::from_utf8_lossy(&after_cut).matches(&nameless(*n)).count()
        };
        assert_eq!(count, usize::from(*acknowledged), "{n} is not durable, or is there twice");
    }
    assert!(fault.is_some() || ended.iter().all(|(_, acknowledged)| *acknowledged));
    machine.heal();
    for (n, path) in [(1, OTHER_NAME), (2, PATH), (5, OTHER_NAME)] {
        let again = || submit_to(&session, path, event(n), options()).recv().unwrap();
        assert!((0..4).any(|_| matches!(again(), Outcome::Done(..))), "{n} is never accepted");
        let after_cut = machine.after_power_cut().content(PATH);
        assert_eq!(count_of(&after_cut, &event(n)), 1, "{n}");
    }
}

fn nameless(n: usize) -> String {
    format!(r#"{{"type":"TICK","timestamp":"t","actor":{{"agent":"a","id":"b"}},"n":{n}}}"#)
}

#[test]
fn two_names_of_a_file_share_its_failures_in_every_schedule() {
    shuttle::check_random(|| two_names(None), SCHEDULES / 5);
    let faults = [
        (Kind::Sync, Verdict::Fail(EIO)),
        (Kind::Append, Verdict::Fail(ENOSPC)),
        (Kind::DropCached, Verdict::Fail(EIO)),
        (Kind::Stat, Verdict::Fail(EIO)),
    ];
    for (kind, verdict) in faults {
        for skip in 0..3 {
            let fault = Some((kind, skip, verdict));
            shuttle::check_random(move || two_names(fault), SCHEDULES / 5);
        }
    }
}

fn check(faults: &[(Kind, Verdict)]) {
    for (kind, verdict) in faults {
        for skip in 0..3 {
            let (kind, verdict) = (*kind, *verdict);
            shuttle::check_random(move || scenario(Some((kind, skip, verdict))), SCHEDULES / 10);
        }
    }
}

#[test]
fn without_a_fault_every_caller_is_acknowledged() {
    shuttle::check_random(|| scenario(None), SCHEDULES);
    shuttle::check_pct(|| scenario(None), SCHEDULES, 3);
}

#[test]
fn a_leader_that_fails_tells_its_followers() {
    check(&[
        (Kind::Append, Verdict::Fail(ENOSPC)),
        (Kind::Read, Verdict::Fail(EIO)),
        (Kind::Stat, Verdict::Fail(EIO)),
        (Kind::Open, Verdict::Fail(EIO)),
        (Kind::TryLock, Verdict::Fail(EIO)),
        (Kind::Unlock, Verdict::Fail(EIO)),
    ]);
}

#[test]
fn a_lock_that_is_busy_is_tried_again() {
    check(&[(Kind::TryLock, Verdict::Refuse)]);
}

#[test]
fn a_failed_sync_tells_all_who_wait_for_it() {
    check(&[(Kind::Sync, Verdict::Fail(EIO)), (Kind::DropCached, Verdict::Fail(EIO))]);
}

#[test]
fn a_registry_that_is_dropped_settles_what_it_accepted() {
    let closed = || {
        let machine = Machine::new();
        let process = machine.start();
        let pending: Vec<_> = (0..3).map(|n| submit(&process, n, options())).collect();
        drop(process);
        for one in pending {
            assert!(matches!(one.recv().unwrap(), Outcome::Done(..)));
        }
        let found = machine.after_power_cut().content(PATH);
        assert!((0..3).all(|n| count_of(&found, &event(n)) == 1));
    };
    shuttle::check_random(closed, SCHEDULES);
}
