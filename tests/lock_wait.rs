//! Waiting for the lock: no thread is held, deadlines are kept, and a caller can cancel its append.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod common;

use std::time::{Duration, Instant};

use common::{Kind, Machine, PATH, Pending, Verdict, When, alone, event, line_of, settle, within};
use sage_chronicle::{Code, Outcome, Written};

#[test]
fn files_whose_lock_is_awaited_hold_no_thread() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let paths: Vec<String> = (0..40).map(|n| format!("/machine/{n}.sage")).collect();
    let locks: Vec<_> = paths
        .iter()
        .map(|path| {
            machine.put(path, b"");
            machine.stranger_locks(path)
        })
        .collect();
    let waiting: Vec<Pending> =
        paths.iter().map(|path| process.submit_to(path, &[&event(1)], common::options())).collect();
    let tried = |log: &[common::Operation]| {
        log.iter().filter(|seen| seen.kind == Kind::TryLock).count() >= 200
    };
    machine.wait_until(tried);
    process.append(&event(2)).unwrap();
    drop(locks);
    for pending in waiting {
        settle(pending).unwrap();
    }
}

#[test]
fn files_whose_lock_is_awaited_hold_no_descriptor_beyond_the_bound() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let paths: Vec<String> = (0..400).map(|n| format!("/machine/{n}.sage")).collect();
    let lock = |path: &String| {
        machine.put(path, b"");
        machine.stranger_locks(path)
    };
    let locks: Vec<_> = paths.iter().map(lock).collect();
    let submit = |path: &String| process.submit_to(path, &[&event(1)], common::options());
    let waiting: Vec<Pending> = paths.iter().map(submit).collect();
    machine.wait_until(|log| log.iter().filter(|seen| seen.kind == Kind::Open).count() >= 600);
    let most = machine.descriptors();
    assert!(most <= 200, "{most} descriptors");
    drop(locks);
    for pending in waiting {
        settle(pending).unwrap();
    }
}

#[test]
fn a_lock_that_stays_held_times_out_and_nothing_is_written() {
    let _alone = alone();
    let machine = Machine::holding(line_of(&event(0)).as_bytes());
    let process = machine.start();
    let lock = machine.stranger_locks(PATH);
    let begun = Instant::now();
    let error = process.append_with(&event(1), within(300)).unwrap_err();
    assert_eq!(error.code(), Code::LockTimeout);
    assert_eq!(error.written(), Some(Written::No));
    assert!(begun.elapsed() >= Duration::from_millis(300), "not before the deadline");
    assert!(error.waited().unwrap() >= Duration::from_millis(300));
    assert_eq!(error.holder_pid(), Some(4242));
    assert_eq!(machine.text(), line_of(&event(0)));
    drop(lock);
    process.append(&event(1)).unwrap();
}

#[test]
fn a_timeout_of_zero_tries_once() {
    let _alone = alone();
    let machine = Machine::holding(b"");
    let process = machine.start();
    process.append_with(&event(0), within(0)).unwrap();
    let lock = machine.stranger_locks(PATH);
    let before = machine.clock();
    let error = process.append_with(&event(1), within(0)).unwrap_err();
    assert_eq!(error.code(), Code::LockTimeout);
    let kinds = machine.kinds_since(before);
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::TryLock).count(), 1);
    drop(lock);
    process.append_with(&event(1), within(0)).unwrap();
}

#[test]
fn a_long_scan_before_the_first_append_is_not_taken_for_a_lock_that_is_held() {
    let _alone = alone();
    let mut log = vec![b' '; 5 << 20];
    log.push(b'\n');
    let machine = Machine::holding(&log);
    let process = machine.start();
    let scan = machine.hold(When::next(Kind::Read));
    let pending = process.submit_to(PATH, &[&event(1)], within(50));
    scan.arrived();
    // The clock advances: a later deadline of another caller passes.
    machine.put("/machine/other.sage", b"");
    let lock = machine.stranger_locks("/machine/other.sage");
    let other = process.submit_to("/machine/other.sage", &[&event(2)], within(400));
    assert_eq!(settle(other).unwrap_err().code(), Code::LockTimeout);
    scan.release(Verdict::Go);
    assert_eq!(settle(pending).unwrap()[0].seq, 1);
    drop(lock);
}

#[test]
fn a_caller_that_came_late_to_a_scan_gets_no_more_time_than_it_waited() {
    let _alone = alone();
    let mut log = vec![b' '; 5 << 20];
    log.push(b'\n');
    let machine = Machine::holding(&log);
    let process = machine.start();
    let scan = machine.hold(When::next(Kind::Read));
    let first = process.submit(&event(1));
    scan.arrived();
    // The scan takes long before the second caller comes.
    std::thread::sleep(Duration::from_millis(1000));
    let late = process.submit_to(PATH, &[&event(2)], within(400));
    let lock = machine.stranger_locks(PATH);
    let begun = Instant::now();
    scan.release(Verdict::Go);
    let error = settle(late).unwrap_err();
    assert_eq!(error.code(), Code::LockTimeout);
    assert!(begun.elapsed() < Duration::from_millis(1000), "{:?}", begun.elapsed());
    drop(lock);
    settle(first).unwrap();
}

#[test]
fn each_caller_has_its_own_deadline() {
    let _alone = alone();
    let machine = Machine::holding(b"");
    let process = machine.start();
    let lock = machine.stranger_locks(PATH);
    let patient = process.submit(&event(1));
    let hasty = process.submit_to(PATH, &[&event(2)], within(50));
    assert_eq!(settle(hasty).unwrap_err().code(), Code::LockTimeout);
    drop(lock);
    settle(patient).unwrap();
    assert_eq!(machine.text(), line_of(&event(1)));
}

#[test]
fn deadlines_are_kept_while_every_thread_is_stuck_in_a_sync() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let sync = machine.hold(When::next(Kind::Sync).always());
    let stuck: Vec<Pending> = (0..8)
        .map(|n| process.submit_to(&format!("/machine/{n}.sage"), &[&event(1)], common::options()))
        .collect();
    for _ in 0..6 {
        sync.arrived();
    }
    for timeout in [0, 100] {
        let error = process.append_with(&event(2), within(timeout)).unwrap_err();
        assert_eq!(error.code(), Code::LockTimeout);
        assert_eq!(error.written(), Some(Written::No));
    }
    drop(sync);
    for pending in stuck {
        settle(pending).unwrap();
    }
    process.append(&event(2)).unwrap();
}

#[test]
fn an_append_that_waits_can_be_taken_back() {
    let _alone = alone();
    let machine = Machine::holding(b"");
    let process = machine.start();
    let lock = machine.stranger_locks(PATH);
    let pending = process.submit(&event(1));
    let other = process.submit(&event(2));
    pending.ticket.cancel();
    assert!(matches!(pending.outcome(), Outcome::Cancelled));
    drop(lock);
    settle(other).unwrap();
    assert_eq!(machine.text(), line_of(&event(2)));
}

#[test]
fn an_append_that_is_being_written_has_its_true_outcome() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    for kind in [Kind::Append, Kind::Sync] {
        let gate = machine.hold(When::next(kind));
        let pending = process.submit(&event(kind as usize));
        gate.arrived();
        pending.ticket.cancel();
        gate.release(Verdict::Go);
        settle(pending).unwrap();
    }
}

#[test]
fn a_flush_waits_for_what_is_queued_and_says_when_it_is_not_done() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    assert!(process.registry.flush(Duration::ZERO));
    let sync = machine.hold(When::next(Kind::Sync));
    let pending = process.submit(&event(1));
    sync.arrived();
    assert!(!process.registry.flush(Duration::from_millis(20)));
    sync.release(Verdict::Go);
    assert!(process.registry.flush(common::HANG));
    settle(pending).unwrap();
}

#[test]
fn a_lock_that_cannot_be_released_after_an_error_ends_with_its_descriptor() {
    let _alone = alone();
    let machine = Machine::new();
    let [process, other] = [machine.start(), machine.start()];
    process.append(&event(0)).unwrap();
    machine.inject(When::next(Kind::Lookup), Verdict::Fail(common::EIO));
    machine.inject(When::next(Kind::Unlock), Verdict::Fail(common::EIO));
    process.append(&event(1)).unwrap_err();
    other.append_with(&event(2), within(1000)).unwrap();
}
