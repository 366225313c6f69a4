//! Changes of the file at the path: nothing learnt before the lock was taken is trusted afterwards.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod common;

use common::{
    Kind, Machine, PATH, Verdict, When, alone, count_of, event, line_of, named, options, os, settle,
};
use sage_chronicle::{ActualTail, AppendOptions, event::Id};

const MOVED: &str = "/machine/moved.sage";

#[test]
fn two_processes_that_take_turns_see_each_others_records() {
    let _alone = alone();
    let machine = Machine::new();
    let processes = [machine.start(), machine.start()];
    let mut expected = String::new();
    for n in 0..20 {
        let receipt = processes[n % 2].append(&event(n)).unwrap();
        assert_eq!((receipt.seq, receipt.offset), (n as u64 + 1, expected.len() as u64));
        expected += &line_of(&event(n));
        let again = processes[(n + 1) % 2].append(&event(n)).unwrap();
        assert!(again.duplicate && again.identical);
        assert_eq!((again.seq, again.offset), (receipt.seq, receipt.offset));
    }
    assert_eq!(machine.text(), expected);
}

#[test]
fn a_file_that_became_shorter_is_scanned_from_its_beginning() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    for n in 0..10 {
        process.append(&event(n)).unwrap();
    }
    let keep = line_of(&event(0)).len() * 3;
    machine.change(PATH, |image| image.set_len(keep));
    let receipt = process.append(&event(5)).unwrap();
    assert_eq!((receipt.seq, receipt.duplicate), (4, false));
    let receipt = process.append(&event(2)).unwrap();
    assert_eq!((receipt.seq, receipt.duplicate), (3, true));
}

#[test]
fn other_content_of_the_same_size_before_the_scanned_offset_is_seen() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    process.append(&named("aaaa", &"x".repeat(3000))).unwrap();
    let there = machine.content(PATH).len();
    let other = line_of(&named("bbbb", &"x".repeat(3000)));
    assert_eq!(other.len(), there);
    machine.change(PATH, |image| image.overwrite(0, other.as_bytes()));
    assert!(process.append(&named("bbbb", &"x".repeat(3000))).unwrap().duplicate);
    let receipt = process.append(&named("aaaa", &"x".repeat(3000))).unwrap();
    assert_eq!((receipt.seq, receipt.duplicate), (2, false));
}

#[test]
fn a_file_put_in_its_place_is_the_log_from_then_on() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    process.append(&event(0)).unwrap();
    let early = machine.content(PATH);
    machine.rename(PATH, MOVED);
    machine.put(PATH, (line_of(&event(1)) + &line_of(&event(2))).as_bytes());
    let receipt = process.append(&event(0)).unwrap();
    assert_eq!((receipt.seq, receipt.duplicate), (3, false));
    assert!(process.append(&event(1)).unwrap().duplicate);
    assert_eq!(machine.content(MOVED), early, "a file renamed away keeps its records");
}

#[test]
fn a_file_put_in_its_place_that_ends_alike_is_scanned_from_its_beginning() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let end = named("end", &"x".repeat(9000));
    for event in [named("aaaa", ""), end.clone()] {
        process.append(&event).unwrap();
    }
    machine.rename(PATH, MOVED);
    machine.put(PATH, (line_of(&named("bbbb", "")) + &line_of(&end)).as_bytes());
    let receipt = process.append(&named("bbbb", "")).unwrap();
    assert_eq!((receipt.seq, receipt.duplicate), (1, true));
    let receipt = process.append(&named("aaaa", "")).unwrap();
    assert_eq!((receipt.seq, receipt.duplicate), (3, false));
}

#[test]
fn a_hit_counts_only_if_its_record_still_carries_the_id() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let [here, gone] = ["here", "gone"].map(|id| named(id, ""));
    process.append(&gone).unwrap();
    // More bytes behind it than a catch-up compares.
    process.append(&named("end", &"x".repeat(9000))).unwrap();
    machine.change(PATH, |image| image.overwrite(0, line_of(&here).as_bytes()));
    let receipt = process.append(&gone).unwrap();
    assert_eq!((receipt.seq, receipt.duplicate), (3, false));
}

#[test]
fn a_file_replaced_while_the_lock_is_taken_is_not_written() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    process.append(&event(0)).unwrap();
    let look = machine.hold(When::next(Kind::TryLock));
    let pending = process.submit(&event(1));
    look.arrived();
    machine.rename(PATH, MOVED);
    look.release(Verdict::Go);
    assert_eq!(settle(pending).unwrap()[0].seq, 1);
    assert_eq!(machine.content(MOVED), line_of(&event(0)).as_bytes());
    assert_eq!(machine.text(), line_of(&event(1)));
}

#[test]
fn a_batch_whose_file_was_deleted_runs_again_on_the_file_now_at_the_path() {
    let _alone = alone();
    let when = [Kind::Append, Kind::Unlock, Kind::Sync];
    for (kind, options) in when.into_iter().flat_map(|kind| [(kind, options()), (kind, os())]) {
        if kind == Kind::Sync && options.durability == sage_chronicle::Durability::Os {
            continue;
        }
        let machine = Machine::new();
        let process = machine.start();
        process.append(&event(0)).unwrap();
        let gate = machine.hold(When::next(kind));
        let pending = process.submit_to(PATH, &[&event(1), &event(0)], options);
        gate.arrived();
        machine.unlink(PATH);
        gate.release(Verdict::Go);
        let receipts = settle(pending).unwrap();
        assert_eq!(common::seqs(&receipts), [1, 2], "{kind:?}");
        assert!(receipts.iter().all(|receipt| !receipt.duplicate));
        assert_eq!(machine.text(), line_of(&event(1)) + &line_of(&event(0)));
    }
}

#[test]
fn a_file_renamed_away_before_the_sync_keeps_what_was_acknowledged() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let sync = machine.hold(When::next(Kind::Sync));
    let first = process.submit(&event(1));
    sync.arrived();
    machine.rename(PATH, MOVED);
    let second = process.submit(&event(2));
    machine.wait_until(|log| log.iter().filter(|seen| seen.kind == Kind::Unlock).count() >= 3);
    sync.release(Verdict::Go);
    settle(first).unwrap();
    settle(second).unwrap();
    let after = machine.after_power_cut();
    assert_eq!(count_of(&after.content(MOVED), &event(1)), 1);
    assert_eq!(count_of(&after.content(PATH), &event(2)), 1);
}

#[test]
fn lines_that_others_append_without_the_lock_do_not_shift_our_receipts() {
    let _alone = alone();
    let stranger = line_of(&named("stranger", "")) + "no object\n" + &line_of(&named("other", ""));
    for tail in ["", "torn", r#"{"open":1}"#] {
        for (kind, before) in [(Kind::Append, true), (Kind::Stat, false)] {
            let machine = Machine::holding((line_of(&event(0)) + tail).as_bytes());
            let process = machine.start();
            assert!(process.append(&event(0)).unwrap().duplicate);
            let skip = usize::from(!before);
            let gate = machine.hold(When::next(kind).after(skip));
            let pending = process.submit_to(PATH, &[&event(1), &event(2)], options());
            gate.arrived();
            machine.stranger_appends(stranger.as_bytes());
            gate.release(Verdict::Go);
            let receipts = settle(pending).unwrap();
            let text = machine.text();
            let lines: Vec<&str> = text.lines().collect();
            for (n, receipt) in receipts.iter().enumerate() {
                let line = line_of(&event(n + 1));
                let from = usize::try_from(receipt.offset).unwrap();
                assert!(text[from..].starts_with(&line), "{tail:?} {kind:?}\n{text}");
                let at = lines.iter().position(|other| *other == line.trim_end()).unwrap();
                let is_record = |line: &&&str| {
                    line.starts_with('{') && line.ends_with('}') && !line.contains("}{")
                };
                let records = lines[..=at].iter().filter(is_record).count();
                assert_eq!(receipt.seq, records as u64, "{tail:?} {kind:?}\n{text}");
            }
            let next = process.append(&event(3)).unwrap();
            assert_eq!(text.len() as u64, next.offset);
            assert!(process.append(&named("other", "")).unwrap().duplicate);
        }
    }
}

#[test]
fn a_tail_torn_at_any_byte_is_ended_and_harms_no_record() {
    let _alone = alone();
    let last = line_of(&event(1));
    for cut in 1..last.len() {
        let begun = line_of(&event(0)) + &last[..cut];
        let machine = Machine::holding(begun.as_bytes());
        let process = machine.start();
        let is_whole = cut == last.len() - 1;
        let receipt = process.append(&event(2)).unwrap();
        assert_eq!(machine.text(), begun.clone() + "\n" + &line_of(&event(2)));
        assert_eq!(receipt.offset, begun.len() as u64 + 1);
        assert_eq!(receipt.seq, if is_whole { 3 } else { 2 });
        assert_eq!(process.append(&event(1)).unwrap().duplicate, is_whole);
    }
}

#[test]
fn an_unterminated_record_is_a_record() {
    let _alone = alone();
    let open = line_of(&event(1)).trim_end().to_owned();
    let begun = line_of(&event(0)) + &open;
    let tail = |id: &str| AppendOptions { expected_tail: Some(Id::new(id)), ..options() };
    let machine = Machine::holding(begun.as_bytes());
    let process = machine.start();
    let receipt = process.append(&event(1)).unwrap();
    assert!(receipt.duplicate && receipt.identical && receipt.durable);
    assert_eq!((receipt.seq, receipt.offset), (2, line_of(&event(0)).len() as u64));
    assert_eq!(machine.text(), begun.clone() + "\n", "it is ended, so that it stays one");

    let machine = Machine::holding(begun.as_bytes());
    let process = machine.start();
    let conflict = process.append_with(&event(2), tail("event-0")).unwrap_err();
    let last = ActualTail { id: Some(b"event-1".to_vec()), seq: 2 };
    assert_eq!(conflict.actual_tail(), Some(&last), "an open record is the last one");
    assert_eq!(machine.text(), begun, "a conflict writes nothing");
    assert_eq!(process.append_with(&event(2), tail("event-1")).unwrap().seq, 3);
}

#[test]
fn nul_bytes_at_the_end_are_ended_too() {
    let _alone = alone();
    for count in [1, 511, 512, 4096, 10_000] {
        let mut begun = line_of(&event(0)).into_bytes();
        begun.extend(vec![0; count]);
        let machine = Machine::holding(&begun);
        let process = machine.start();
        let receipt = process.append(&event(1)).unwrap();
        assert_eq!((receipt.seq, receipt.offset), (2, begun.len() as u64 + 1));
        assert!(machine.content(PATH).starts_with(&begun));
    }
}

#[test]
fn a_line_longer_than_any_record_is_passed_over() {
    let _alone = alone();
    let mut begun = line_of(&event(0)).into_bytes();
    begun.extend(vec![b'x'; (64 << 20) + 10]);
    begun.push(b'\n');
    begun.extend(line_of(&event(1)).bytes());
    let machine = Machine::holding(&begun);
    let process = machine.start();
    assert!(process.append(&event(0)).unwrap().duplicate);
    let receipt = process.append(&event(2)).unwrap();
    assert_eq!((receipt.seq, receipt.offset), (3, begun.len() as u64));
    let again = process.append(&event(1)).unwrap();
    assert_eq!((again.seq, again.duplicate), (2, true));
}

#[test]
fn a_long_unterminated_tail_does_not_stop_appends() {
    let _alone = alone();
    let mut begun = line_of(&event(0)).into_bytes();
    begun.extend(vec![0; 5 << 20]);
    let machine = Machine::holding(&begun);
    let process = machine.start();
    let receipt = process.append(&event(1)).unwrap();
    assert_eq!((receipt.seq, receipt.offset), (2, begun.len() as u64 + 1));
}

#[test]
fn an_unterminated_line_longer_than_any_record_is_ended() {
    let _alone = alone();
    let mut begun = line_of(&event(0)).into_bytes();
    begun.extend(vec![b'x'; (64 << 20) + 10]);
    let machine = Machine::holding(&begun);
    let process = machine.start();
    let receipt = process.append(&event(2)).unwrap();
    assert_eq!((receipt.seq, receipt.offset), (2, begun.len() as u64 + 1));
}
