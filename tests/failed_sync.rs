//! The meaning of a failed sync: the appends that get the error, the bytes that stay trusted, and
//! the state after a power cut.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod common;

use std::time::Duration;

use common::{
    EIO, Kind, Machine, PATH, Pending, Verdict, When, alone, count_of, event, line_of, named,
    options, os, settle,
};
use sage_chronicle::{Code, Outcome, Written};

fn assert_unknown(pending: Pending) {
    let error = settle(pending).unwrap_err();
    assert_eq!(error.code(), Code::Io);
    assert_eq!(error.written(), Some(Written::Unknown));
    let cause = error.cause().unwrap();
    assert_eq!((cause.operation, cause.code()), ("fdatasync", Some("EIO")));
}

#[test]
fn a_failed_sync_rejects_every_batch_whose_write_began_before_it_returned() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let sync = machine.hold(When::next(Kind::Sync));
    let first = process.submit(&event(1));
    sync.arrived();
    let second = process.submit(&event(2));
    machine.wait_until(|log| log.iter().filter(|seen| seen.kind == Kind::Unlock).count() == 2);
    let append = machine.hold(When::next(Kind::Append));
    let third = process.submit_to(PATH, &[&event(3)], os());
    append.arrived();

    sync.release(Verdict::Fail(EIO));
    assert_unknown(first);
    assert_unknown(second);
    append.release(Verdict::Go);
    assert_unknown(third);
    assert_eq!(machine.injected(), 1);
}

#[test]
fn nothing_is_acknowledged_until_the_bytes_were_read_again_from_the_disk() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    process.append(&event(0)).unwrap();
    let proved = machine.content(PATH).len() as u64;
    machine.inject(When::next(Kind::Sync), Verdict::Fail(EIO));
    assert_unknown(process.submit(&event(1)));
    let length = machine.content(PATH).len() as u64;

    let before = machine.clock();
    process.append(&event(2)).unwrap();
    let log = &machine.log()[before..];
    let at = |kind| log.iter().position(|seen| seen.kind == kind).unwrap();
    assert!(at(Kind::TryLock) < at(Kind::Sync), "under the lock");
    assert!(at(Kind::Sync) < at(Kind::DropCached));
    assert!(at(Kind::DropCached) < at(Kind::Append));
    let dropped = &log[at(Kind::DropCached)];
    assert!(dropped.offset <= proved && dropped.offset + dropped.length == length);
    let read = log[at(Kind::DropCached)..at(Kind::Append)].iter();
    let mut read = read.filter(|seen| seen.kind == Kind::Read);
    assert!(read.any(|seen| seen.offset <= proved && seen.offset + seen.length >= length));
}

#[test]
fn what_is_acknowledged_after_a_failed_sync_survives_the_power_cut() {
    let _alone = alone();
    for text in [10, 3000, 4096, 9000].map(|length| "x".repeat(length)) {
        let machine = Machine::new();
        let process = machine.start();
        let [lost, new, stranger] = ["lost", "new", "stranger"].map(|id| named(id, &text));
        process.append(&event(0)).unwrap();
        machine.inject(When::next(Kind::Sync), Verdict::Fail(EIO));
        assert_unknown(process.submit(&lost));

        // A process that opens the file only now gets no error.
        let other = machine.start();
        other.append(&stranger).unwrap();
        let retried = other.append(&lost).unwrap();
        let again = process.append(&lost).unwrap();
        assert_eq!((again.seq, again.offset), (retried.seq, retried.offset));
        process.append(&new).unwrap();

        let after = machine.after_power_cut();
        let found = after.content(PATH);
        for event in [&event(0), &lost, &new, &stranger] {
            assert_eq!(count_of(&found, event), 1, "{}", found.escape_ascii());
        }
    }
}

#[test]
fn the_retry_of_a_lost_append_is_an_ordinary_append() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    process.append(&event(0)).unwrap();
    machine.inject(When::next(Kind::Sync), Verdict::Fail(EIO));
    assert_unknown(process.submit(&event(1)));
    let receipt = process.append(&event(1)).unwrap();
    assert!(!receipt.duplicate && receipt.durable);
    assert_eq!(receipt.seq, 2, "what was lost is no record");
    assert_eq!(count_of(&machine.after_power_cut().content(PATH), &event(1)), 1);
}

#[test]
fn while_syncs_fail_appends_keep_rejecting_and_afterwards_they_work() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    process.append(&event(0)).unwrap();
    machine.inject(When::next(Kind::Sync).always(), Verdict::Fail(EIO));
    for n in 1..20 {
        let pending: Vec<Pending> =
            (0..3).map(|more| process.submit(&event(n * 3 + more))).collect();
        for pending in pending {
            assert!(matches!(pending.outcome(), Outcome::Failed(_)));
        }
    }
    assert!(machine.injected() >= 19);
    machine.heal();
    for n in 0..60 {
        process.append(&event(n)).unwrap();
    }
    let found = machine.after_power_cut().content(PATH);
    for n in 0..60 {
        assert_eq!(count_of(&found, &event(n)), 1);
    }
}

#[test]
fn pages_that_cannot_be_dropped_after_a_failed_sync_keep_appends_rejected() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    machine.inject(When::next(Kind::Sync), Verdict::Fail(EIO));
    assert_unknown(process.submit(&event(1)));
    for verdict in [Verdict::Refuse, Verdict::Fail(EIO)] {
        machine.inject(When::next(Kind::DropCached), verdict);
        let error = process.append(&event(2)).unwrap_err();
        assert_eq!(error.written(), Some(Written::No));
    }
    assert_eq!(machine.count(Kind::Append), 1, "nothing was written");
    process.append(&event(2)).unwrap();
    assert_eq!(count_of(&machine.after_power_cut().content(PATH), &event(2)), 1);
}

#[test]
fn what_was_lost_is_searched_for_from_the_last_durable_byte_on() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let large = named("large", &"x".repeat(12_000));
    let sync = machine.hold(When::next(Kind::Sync));
    let pending = process.submit(&large);
    sync.arrived();
    // The device accepts the last pages and fails on the first one.
    machine.change(PATH, |image| {
        image.write_back();
        image.disk[..4096].fill(0);
    });
    sync.release(Verdict::Fail(EIO));
    assert_unknown(pending);
    let receipt = process.append(&large).unwrap();
    assert_eq!((receipt.seq, receipt.duplicate), (1, false));
}

#[test]
fn a_file_has_one_sync_at_a_time() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let first = machine.hold(When::next(Kind::Sync));
    let synced = process.submit(&event(1));
    first.arrived();
    // Taking back a part of a write needs a sync too.
    let second = machine.hold(When::next(Kind::Sync));
    machine.inject(When::next(Kind::Append), Verdict::Short(9));
    machine.inject(When::next(Kind::Append), Verdict::Fail(EIO));
    let failed = process.submit(&event(2));
    assert!(!second.is_reached_within(Duration::from_millis(200)));
    first.release(Verdict::Go);
    second.arrived();
    second.release(Verdict::Go);
    settle(synced).unwrap();
    assert_eq!(settle(failed).unwrap_err().written(), Some(Written::No));
}

#[test]
fn a_failed_sync_of_one_log_does_not_concern_another() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    machine.inject(When::next(Kind::Sync), Verdict::Fail(EIO));
    assert_unknown(process.submit(&event(1)));
    let before = machine.clock();
    settle(process.submit_to("/machine/other.sage", &[&event(1)], options())).unwrap();
    let kinds = machine.kinds_since(before);
    assert!(!kinds.contains(&Kind::DropCached));
}

#[test]
fn a_batch_that_begins_while_a_sync_fails_is_not_acknowledged_before_the_bytes_were_read_again() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let sync = machine.hold(When::next(Kind::Sync));
    let first = process.submit(&event(1));
    sync.arrived();
    let read = machine.hold(When::next(Kind::Read));
    let second = process.submit(&event(2));
    read.arrived();
    sync.release(Verdict::Fail(EIO));
    settle(first).unwrap_err();
    read.release(Verdict::Go);
    if settle(second).is_ok() {
        let found = machine.after_power_cut().content(PATH);
        assert_eq!(count_of(&found, &event(2)), 1, "{}", found.escape_ascii());
    }
}

#[test]
fn a_failed_sync_also_rejects_what_waits_on_a_descriptor_that_was_replaced_meanwhile() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let sync = machine.hold(When::next(Kind::Sync));
    let first = process.submit(&event(1));
    sync.arrived();
    let second = process.submit(&event(2));
    machine.wait_until(|log| log.iter().filter(|seen| seen.kind == Kind::Unlock).count() == 2);
    machine.rename(PATH, "/machine/rotated.sage");
    let third = process.submit(&event(3));
    machine.wait_until(|log| {
        log.iter().filter(|seen| seen.kind == Kind::Append && seen.good.is_some()).count() == 3
    });
    sync.release(Verdict::Fail(EIO));
    settle(first).unwrap_err();
    settle(third).unwrap();
    if settle(second).is_ok() {
        let after = machine.after_power_cut();
        let found = after.content("/machine/rotated.sage");
        assert_eq!(count_of(&found, &event(2)), 1, "{}", found.escape_ascii());
    }
}

#[test]
fn what_a_failed_sync_made_suspect_stays_so_when_the_file_is_opened_again() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    process.append(&event(0)).unwrap();
    machine.inject(When::next(Kind::Sync), Verdict::Fail(EIO));
    process.append(&named("lost", &"x".repeat(6000))).unwrap_err();
    machine.stranger_appends(line_of(&named("rest", &"y".repeat(9000))).as_bytes());
    machine.change(PATH, common::write_back);
    // Its bytes cannot be read again. Its descriptor is closed because the lock cannot be released.
    machine.inject(When::next(Kind::DropCached), Verdict::Refuse);
    machine.inject(When::next(Kind::Unlock), Verdict::Fail(EIO));
    process.append(&event(1)).unwrap_err();
    assert_eq!(machine.descriptors(), 0);
    assert_eq!(process.append(&event(1)).unwrap().seq, 2, "what was lost does not count");
}
