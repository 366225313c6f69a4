//! A lock session of two names of one file. Its writers share one open file description, to which
//! the kernel reports a failed write-back once.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod common;

use common::{
    EIO, Kind, Machine, OTHER_NAME, PATH, Verdict, When, alone, count_of, event, named, options,
    settle,
};
use sage_chronicle::Written;
use std::sync::Arc;

/// The session knows both names, each with a record that is durable.
fn session() -> (Arc<Machine>, common::Process) {
    let machine = Machine::holding(b"");
    let session = machine.start_session();
    settle(session.submit_to(PATH, &[&event(1)], options())).unwrap();
    settle(session.submit_to(OTHER_NAME, &[&event(2)], options())).unwrap();
    (machine, session)
}

#[test]
fn a_sync_that_fails_for_one_name_rejects_what_the_other_name_waits_for() {
    let _alone = alone();
    let (machine, session) = session();
    let sync = machine.hold(When::next(Kind::Sync));
    let by_one = session.submit_to(PATH, &[&event(3)], options());
    sync.arrived();
    let before = machine.count(Kind::Unlock);
    let by_other = session.submit_to(OTHER_NAME, &[&event(4)], options());
    machine.wait_until(|log| log.iter().filter(|seen| seen.kind == Kind::Unlock).count() > before);
    sync.release(Verdict::Fail(EIO));
    for pending in [by_one, by_other] {
        assert_eq!(settle(pending).unwrap_err().written(), Some(Written::Unknown));
    }
    assert_eq!(machine.injected(), 1);
}

#[test]
fn after_a_failed_sync_neither_name_acknowledges_what_a_power_cut_takes() {
    let _alone = alone();
    for text in [10, 5000].map(|length| "x".repeat(length)) {
        let (machine, session) = session();
        machine.inject(When::next(Kind::Sync), Verdict::Fail(EIO));
        let lost = named("lost", &text);
        settle(session.submit_to(PATH, &[&lost], options())).unwrap_err();
        // The failure was not reported to the other name, whose writer must verify the file all the
        // same.
        let (again, new) = (named("lost", &text), named("new", &text));
        settle(session.submit_to(OTHER_NAME, &[&again], options())).unwrap();
        settle(session.submit_to(PATH, &[&new], options())).unwrap();
        settle(session.submit_to(OTHER_NAME, &[&event(5)], options())).unwrap();
        let found = machine.after_power_cut().content(PATH);
        for event in [&event(1), &event(2), &again, &new, &event(5)] {
            assert_eq!(count_of(&found, event), 1, "{}", found.escape_ascii());
        }
        assert_eq!(machine.injected(), 1);
    }
}

#[test]
fn two_names_have_one_sync_at_a_time() {
    let _alone = alone();
    let (machine, session) = session();
    let sync = machine.hold(When::next(Kind::Sync));
    let by_one = session.submit_to(PATH, &[&event(3)], options());
    sync.arrived();
    let next = machine.hold(When::next(Kind::Sync));
    let by_other = session.submit_to(OTHER_NAME, &[&event(4)], options());
    assert!(!next.is_reached_within(std::time::Duration::from_millis(200)));
    sync.release(Verdict::Go);
    next.arrived();
    next.release(Verdict::Go);
    settle(by_one).unwrap();
    settle(by_other).unwrap();
}
