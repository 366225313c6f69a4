//! Batches that are decided more than once: the file was deleted before the sync, another program
//! wrote in between, or a write failed.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod common;

use std::sync::Arc;

use common::{
    EIO, Kind, Machine, PATH, Pending, Process, Verdict, When, alone, count_of, event, line_of,
    options, settle, within,
};
use sage_chronicle::{AppendOptions, Code, Outcome, Rules, Written};

const NAMELESS: &str = r#"{"type":"TICK","timestamp":"t","actor":{"agent":"a","id":"b"}}"#;

fn without_id() -> AppendOptions {
    AppendOptions { rules: Rules { compute_id: false, ..Rules::default() }, ..options() }
}

/// An append. While its sync waits, another program replaces the file by a copy or an empty one.
fn replaced_meanwhile(
    event: &str,
    options: AppendOptions,
    is_copied: bool,
) -> (Arc<Machine>, Process, Pending, common::Gate) {
    let machine = Machine::new();
    let process = machine.start();
    process.append(&common::event(0)).unwrap();
    let sync = machine.hold(When::next(Kind::Sync));
    let pending = process.submit_to(PATH, &[event], options);
    sync.arrived();
    let there = machine.content(PATH);
    machine.unlink(PATH);
    machine.put(PATH, if is_copied { &there } else { b"" });
    (machine, process, pending, sync)
}

#[test]
fn an_event_without_id_and_key_is_not_written_to_a_second_file() {
    let _alone = alone();
    for is_copied in [true, false] {
        let (machine, _process, pending, sync) =
            replaced_meanwhile(NAMELESS, without_id(), is_copied);
        sync.release(Verdict::Go);
        let error = settle(pending).unwrap_err();
        assert_eq!((error.code(), error.written()), (Code::Io, Some(Written::Unknown)));
        let found = machine.text().matches(NAMELESS).count();
        assert_eq!(found, usize::from(is_copied), "{}", machine.text());
    }
}

#[test]
fn an_event_that_came_into_the_new_file_with_a_copy_is_no_duplicate_for_its_caller() {
    let _alone = alone();
    for is_copied in [true, false] {
        let (machine, _process, pending, sync) =
            replaced_meanwhile(&event(1), options(), is_copied);
        sync.release(Verdict::Go);
        let receipt = settle(pending).unwrap().remove(0);
        assert!(!receipt.duplicate && receipt.identical && receipt.durable);
        assert_eq!(count_of(&machine.content(PATH), &event(1)), 1);
    }
}

#[test]
fn an_append_that_was_written_once_is_not_cancelled_and_its_failure_is_unknown() {
    let _alone = alone();
    let (machine, _process, pending, sync) = replaced_meanwhile(&event(1), within(300), true);
    let lock = machine.stranger_locks(PATH);
    let tries = machine.count(Kind::TryLock);
    sync.release(Verdict::Go);
    machine.wait_until(|log| log.iter().filter(|seen| seen.kind == Kind::TryLock).count() > tries);
    pending.ticket.cancel();
    let error = settle(pending).unwrap_err();
    assert_eq!((error.code(), error.written()), (Code::LockTimeout, Some(Written::Unknown)));
    drop(lock);
}

#[test]
fn an_append_that_was_not_written_is_cancelled_while_it_waits() {
    let _alone = alone();
    let machine = Machine::holding(b"");
    let lock = machine.stranger_locks(PATH);
    let pending = machine.start().submit_to(PATH, &[&event(1)], options());
    pending.ticket.cancel();
    assert!(matches!(pending.outcome(), Outcome::Cancelled));
    drop(lock);
}

#[test]
fn a_conflict_with_a_record_of_a_batch_that_is_not_written_is_decided_again() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let tail = process.append(&event(0)).unwrap().event_id;
    // Both are in one batch, which is held back until both are queued.
    let lock = machine.stranger_locks(PATH);
    let written = process.submit(&event(1));
    let expecting = AppendOptions { expected_tail: Some(tail), ..options() };
    let asked = process.submit_to(PATH, &[&event(2)], expecting);
    let tries = machine.count(Kind::TryLock);
    machine
        .wait_until(|log| log.iter().filter(|seen| seen.kind == Kind::TryLock).count() > tries + 2);
    // Both are tried together, then each by itself. The first event fails each time.
    let no_space = common::ENOSPC;
    machine.inject(When::next(Kind::Append), Verdict::Fail(no_space));
    machine.inject(When::next(Kind::Append), Verdict::Fail(no_space));
    drop(lock);
    assert_eq!(settle(written).unwrap_err().written(), Some(Written::No));
    let receipt = settle(asked).unwrap().remove(0);
    assert_eq!(receipt.seq, 2, "the last record was the expected one all the time");
    assert_eq!(machine.injected(), 2);
}

#[test]
fn a_line_glued_to_a_strangers_fragment_is_written_again() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    process.append(&event(0)).unwrap();
    for (event, options) in [(event(1), options()), (NAMELESS.to_owned(), without_id())] {
        let write = machine.hold(When::next(Kind::Append));
        let pending = process.submit_to(PATH, &[&event], options);
        write.arrived();
        machine.stranger_appends(b"{\"type\":\"half");
        write.release(Verdict::Go);
        match settle(pending) {
            Ok(receipts) => {
                let receipt = &receipts[0];
                assert!(!receipt.duplicate && receipt.durable);
                let found = machine.content(PATH);
                let at = usize::try_from(receipt.offset).unwrap();
                assert_eq!(found[at - 1], b'\n', "{}", found.escape_ascii());
                assert!(
                    found[at..].starts_with(line_of(&event).as_bytes()),
                    "{}",
                    found.escape_ascii()
                );
            }
            Err(error) => {
                assert_eq!(event, NAMELESS);
                assert_eq!((error.code(), error.written()), (Code::Io, Some(Written::Unknown)));
            }
        }
    }
    assert_eq!(process.append(&event(2)).unwrap().seq, 3, "glued lines are no records");
}

#[test]
fn after_a_failed_sync_what_stood_in_the_file_at_the_open_is_not_read_again() {
    let _alone = alone();
    let lines: String = (0..2000).map(|n| line_of(&event(n)) + "\n").collect();
    let machine = Machine::holding(lines.as_bytes());
    let process = machine.start();
    machine.inject(When::next(Kind::Sync).after(1), Verdict::Fail(EIO));
    process.append(&event(5000)).unwrap_err();
    assert_eq!(machine.injected(), 1, "the first sync is that of the last page");
    let before = machine.clock();
    let receipt = process.append(&event(5000)).unwrap();
    assert_eq!((receipt.seq, receipt.duplicate), (2001, false));
    let log = machine.log();
    let dropped = log[before..].iter().find(|seen| seen.kind == Kind::DropCached).unwrap();
    assert!(dropped.offset + 8192 > lines.len() as u64, "{} bytes were there", lines.len());
    assert_eq!(count_of(&machine.after_power_cut().content(PATH), &event(5000)), 1);
}
