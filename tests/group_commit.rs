//! Many callers, one writer: they share batches and syncs, and every caller gets an outcome.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::{
    EIO, ENOSPC, Kind, Machine, PATH, Pending, Verdict, When, alone, count_of, event, line_of,
    options, os, settle,
};
use sage_chronicle::{Outcome, Written};

#[test]
fn callers_that_wait_for_a_sync_share_the_next_batch_and_the_next_sync() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let sync = machine.hold(When::next(Kind::Sync));
    let first = process.submit(&event(0));
    sync.arrived();
    let append = machine.hold(When::next(Kind::Append));
    let second = process.submit(&event(1));
    append.arrived();
    let rest: Vec<Pending> = (2..500).map(|n| process.submit(&event(n))).collect();
    append.release(Verdict::Go);
    machine.wait_until(|log| log.iter().filter(|seen| seen.kind == Kind::Unlock).count() == 3);
    sync.release(Verdict::Go);
    let mut receipts = Vec::new();
    for pending in [first, second].into_iter().chain(rest) {
        receipts.extend(settle(pending).unwrap());
    }
    assert_eq!(machine.count(Kind::Append), 3, "498 callers shared one write");
    assert!(machine.count(Kind::Sync) <= 3);
    let text = machine.text();
    for (n, receipt) in receipts.iter().enumerate() {
        assert_eq!(receipt.seq, n as u64 + 1);
        let from = usize::try_from(receipt.offset).unwrap();
        assert!(text[from..].starts_with(&line_of(&event(n))));
        assert_eq!(receipt.length + 1, line_of(&event(n)).len() as u64);
    }
}

#[test]
fn many_threads_get_right_receipts_from_one_writer() {
    let _alone = alone();
    let machine = Machine::new();
    let processes = [machine.start(), machine.start()];
    let receipts: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let process = &processes[caller % 2];
                scope.spawn(move || {
                    let append = |n| (n, process.append(&event(n)).unwrap());
                    (0..50).map(|n| append(caller * 100 + n)).collect::<Vec<_>>()
                })
            })
            .collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    let text = machine.text();
    assert_eq!(text.lines().count(), 400);
    let mut seqs = HashSet::new();
    for (n, receipt) in receipts {
        assert!(seqs.insert(receipt.seq) && receipt.seq <= 400);
        let line = line_of(&event(n));
        assert_eq!(
            text.lines().nth(usize::try_from(receipt.seq).unwrap() - 1),
            Some(line.trim_end())
        );
        let from = usize::try_from(receipt.offset).unwrap();
        assert!(text[from..].starts_with(&line));
    }
    let found = machine.after_power_cut().content(PATH);
    assert_eq!(found, text.as_bytes());
}

#[test]
fn equal_events_of_many_callers_are_written_once() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let pending: Vec<Pending> = (0..100).map(|n| process.submit(&event(n % 5))).collect();
    let receipts: Vec<_> = pending.into_iter().map(|one| settle(one).unwrap().remove(0)).collect();
    assert_eq!(machine.text().lines().count(), 5);
    assert_eq!(receipts.iter().filter(|receipt| receipt.duplicate).count(), 95);
    for (n, receipt) in receipts.iter().enumerate() {
        assert_eq!(receipt.offset, receipts[n % 5].offset);
        assert_eq!(receipt.seq, receipts[n % 5].seq);
        assert!(receipt.durable);
    }
}

#[test]
fn a_failing_leader_fails_its_followers_and_the_next_append_works() {
    let _alone = alone();
    for (kind, code) in [(Kind::Append, ENOSPC), (Kind::Sync, EIO), (Kind::Read, EIO)] {
        let machine = Machine::new();
        let process = machine.start();
        process.append(&event(100)).unwrap();
        let lock = machine.hold(When::next(Kind::TryLock));
        let pending: Vec<Pending> = (0..50).map(|n| process.submit(&event(n))).collect();
        lock.arrived();
        machine.inject(When::next(kind).always(), Verdict::Fail(code));
        lock.release(Verdict::Go);
        for one in pending {
            assert!(matches!(one.outcome(), Outcome::Failed(_)), "{kind:?}");
        }
        machine.heal();
        for n in 0..50 {
            process.append(&event(n)).unwrap();
        }
        let found = machine.after_power_cut().content(PATH);
        assert!((0..50).all(|n| count_of(&found, &event(n)) == 1));
    }
}

#[test]
fn a_panic_in_any_operation_settles_every_caller_and_the_next_append_works() {
    let _alone = alone();
    for kind in Kind::ALL {
        for skip in 0..3 {
            let machine = Machine::holding(line_of(&event(100)).as_bytes());
            let process = machine.start();
            let needs_short = kind == Kind::SetLen;
            machine.inject(When::next(kind).after(skip), Verdict::Panic);
            if needs_short {
                machine.inject(When::next(Kind::Append), Verdict::Short(9));
                machine.inject(When::next(Kind::Append), Verdict::Fail(ENOSPC));
            }
            let pending: Vec<Pending> = (0..10)
                .map(|n| {
                    let durability = if n % 3 == 0 { os() } else { options() };
                    process.submit_to(PATH, &[&event(n)], durability)
                })
                .collect();
            let mut kept = Vec::new();
            for (n, one) in pending.into_iter().enumerate() {
                match one.outcome() {
                    Outcome::Done(..) => kept.push(n),
                    Outcome::Failed(error) => assert!(error.written().is_some()),
                    Outcome::Cancelled => panic!("nobody cancelled it"),
                }
            }
            machine.heal();
            // The append may have started before the thread finished its panic, and then fails with
            // that batch.
            let _ = process.append(&event(10));
            for n in 0..11 {
                process.append(&event(n)).unwrap();
            }
            let text = machine.content(PATH);
            for n in kept.into_iter().chain(0..11) {
                assert_eq!(count_of(&text, &event(n)), 1, "{kind:?} {skip} {n}");
            }
        }
    }
}

#[test]
fn a_batch_fails_as_a_whole_and_its_neighbours_do_not() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let lock = machine.hold(When::next(Kind::TryLock));
    let warm = process.submit(&event(0));
    lock.arrived();
    let wrong = process.submit_to(PATH, &[&event(1), "{}"], options());
    let expected_tail = Some(None);
    let conflict = process.submit_to(
        PATH,
        &[&event(2), &event(3)],
        sage_chronicle::AppendOptions { expected_tail, ..options() },
    );
    let good = process.submit_to(PATH, &[&event(4), &event(5)], options());
    lock.release(Verdict::Go);
    settle(warm).unwrap();
    let error = settle(wrong).unwrap_err();
    assert_eq!((error.index(), error.written()), (Some(1), Some(Written::No)));
    let error = settle(conflict).unwrap_err();
    assert_eq!(
        (error.code(), error.written()),
        (sage_chronicle::Code::Conflict, Some(Written::No))
    );
    assert_eq!(common::seqs(&settle(good).unwrap()), [2, 3]);
    let lines = [0, 4, 5].map(|n| line_of(&event(n))).concat();
    assert_eq!(machine.text(), lines);
}

#[test]
fn a_panic_in_a_sync_leaves_no_later_batch_waiting() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let sync = machine.hold(When::next(Kind::Sync));
    let first = process.submit(&event(1));
    sync.arrived();
    let second = process.submit(&event(2));
    machine.wait_until(|log| log.iter().filter(|seen| seen.kind == Kind::Unlock).count() == 2);
    // The write job of a third batch begins only after the second was handed over.
    let lock = machine.hold(When::next(Kind::TryLock));
    let third = process.submit(&event(3));
    lock.arrived();
    sync.release(Verdict::Panic);
    assert!(matches!(first.outcome(), Outcome::Failed(_)));
    let settled = common::is_settled_by(&second, Duration::from_secs(5));
    lock.release(Verdict::Go);
    assert!(settled, "the second batch hangs");
    drop(third);
}

#[test]
fn a_panic_under_the_lock_gives_it_back_although_a_sync_keeps_the_descriptor() {
    let _alone = alone();
    let machine = Machine::new();
    let [process, other] = [machine.start(), machine.start()];
    process.append(&event(0)).unwrap();
    let sync = machine.hold(When::next(Kind::Sync).of(process.id));
    let first = process.submit(&event(1));
    sync.arrived();
    machine.inject(When::next(Kind::Append).of(process.id), Verdict::Panic);
    let error = settle(process.submit(&event(2))).unwrap_err();
    assert_eq!(error.written(), Some(Written::Unknown));
    assert_eq!(other.append(&event(3)).unwrap().seq, 3);
    sync.release(Verdict::Go);
    settle(first).unwrap();
    assert_eq!(process.append(&event(2)).unwrap().seq, 4);
}

#[test]
fn a_panic_in_a_sync_does_not_keep_later_syncs_from_being_made() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    machine.inject(When::next(Kind::Sync), Verdict::Panic);
    process.append(&event(1)).unwrap_err();
    for n in 1..4 {
        let pending = process.submit(&event(n));
        assert!(common::is_settled_by(&pending, Duration::from_secs(20)), "append {n} hangs");
    }
}
