//! Which bytes count as durable, and why: after a sync of this process, or after they were read
//! from the disk.

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
    EIO, Kind, Machine, PATH, Verdict, When, alone, count_of, event, line_of, named, options, os,
};
use sage_chronicle::{AppendOptions, Rules};

/// A log with a record in the page cache that the disk lacks, because a sync failed and another
/// process received the error. With `behind`, durable pages follow.
fn with_lost(lost: &str, behind: bool) -> Arc<Machine> {
    let machine = Machine::new();
    let early = machine.start();
    early.append(&event(0)).unwrap();
    machine.inject(When::next(Kind::Sync), Verdict::Fail(EIO));
    early.append(lost).unwrap_err();
    if behind {
        let rest = line_of(&named("rest", &"r".repeat(9000)));
        machine.stranger_appends(rest.as_bytes());
        machine.change(PATH, common::write_back);
    }
    assert_eq!(count_of(&machine.content(PATH), lost), 1, "in the cache");
    machine
}

#[test]
fn the_first_batch_on_a_descriptor_sees_the_last_page_as_the_disk_holds_it() {
    let _alone = alone();
    for length in [10, 2000, 4096, 6000, 20_000] {
        let lost = named("lost", &"x".repeat(length));
        let machine = with_lost(&lost, false);
        let process = machine.start();
        let receipt = process.append(&event(1)).unwrap();
        let found = machine.after_power_cut().content(PATH);
        assert_eq!(count_of(&found, &event(0)), 1);
        assert_eq!(count_of(&found, &event(1)), 1, "{}", found.escape_ascii());
        let from = usize::try_from(receipt.offset).unwrap();
        assert!(found[from..].starts_with(line_of(&event(1)).as_bytes()));
    }
}

#[test]
fn a_record_that_is_only_in_the_page_cache_is_never_acknowledged_as_a_duplicate() {
    let _alone = alone();
    for length in [10, 4096, 6000, 20_000] {
        for behind in [false, true] {
            let lost = named("lost", &"x".repeat(length));
            let machine = with_lost(&lost, behind);
            let process = machine.start();
            let receipt = process.append(&lost).unwrap();
            let found = machine.after_power_cut().content(PATH);
            assert_eq!(count_of(&found, &lost), 1, "{length} {behind}");
            assert!(!receipt.duplicate, "it is appended anew");
            assert!(process.append(&lost).unwrap().duplicate);
            let before = &found[..usize::try_from(receipt.offset).unwrap()];
            let is_record = |line: &&[u8]| line.starts_with(b"{") && line.ends_with(b"}");
            let lines = before.split(|byte| *byte == b'\n').filter(is_record);
            let records = lines.filter(|line| !line.contains(&0)).count();
            assert_eq!(receipt.seq, records as u64 + 1, "what was lost does not count");
            let seqs = [event(2), event(3)].map(|event| process.append(&event).unwrap().seq);
            assert_eq!(seqs, [receipt.seq + 1, receipt.seq + 2]);
        }
    }
}

#[test]
fn the_pages_of_a_duplicate_are_read_from_the_disk_before_it_resolves() {
    let _alone = alone();
    let [one, two] = ["one", "two"].map(|id| named(id, &"x".repeat(5000)));
    let machine = Machine::holding((line_of(&one) + &line_of(&two)).as_bytes());
    let process = machine.start();
    process.append(&event(0)).unwrap();
    let before = machine.clock();
    let receipt = process.append(&one).unwrap();
    assert!(receipt.duplicate && receipt.durable && receipt.identical);
    assert_eq!((receipt.seq, receipt.offset), (1, 0));
    let log = &machine.log()[before..];
    let at = |kind| log.iter().rposition(|seen| seen.kind == kind).unwrap();
    assert!(at(Kind::Sync) < at(Kind::DropCached));
    assert!(at(Kind::DropCached) < at(Kind::Read));
    let dropped = &log[at(Kind::DropCached)];
    assert_eq!((dropped.offset, dropped.length), (0, line_of(&one).len() as u64));

    let before = machine.clock();
    assert!(process.append(&one).unwrap().durable);
    let kinds = machine.kinds_since(before);
    assert!(!kinds.contains(&Kind::Sync), "it is proved already");
}

#[test]
fn what_came_after_the_descriptor_was_opened_is_proved_by_a_sync() {
    let _alone = alone();
    let machine = Machine::new();
    let [process, other] = [machine.start(), machine.start()];
    process.append(&event(0)).unwrap();
    other.append(&event(1)).unwrap();
    let before = machine.clock();
    let receipt = process.append(&event(1)).unwrap();
    assert!(receipt.duplicate && receipt.durable);
    let kinds = machine.kinds_since(before);
    assert!(kinds.contains(&Kind::Sync) && !kinds.contains(&Kind::DropCached));
}

#[test]
fn another_process_cannot_hide_its_failed_sync_from_a_duplicate() {
    let _alone = alone();
    let machine = Machine::new();
    let [process, other] = [machine.start(), machine.start()];
    process.append(&event(0)).unwrap();
    other.append(&event(1)).unwrap();
    machine.inject(When::next(Kind::Sync).of(other.id), Verdict::Fail(EIO));
    other.append(&event(2)).unwrap_err();
    // The system reports the failure to this descriptor too, once. Then the record is gone.
    process.append(&event(2)).unwrap_err();
    assert!(!process.append(&event(2)).unwrap().duplicate);
    assert_eq!(count_of(&machine.after_power_cut().content(PATH), &event(2)), 1);
}

#[test]
fn a_duplicate_of_what_was_not_synced_is_synced_first() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    assert!(!process.append_with(&event(1), os()).unwrap().durable);
    assert_eq!(machine.count(Kind::Sync), 0);
    let receipt = process.append(&event(1)).unwrap();
    assert!(receipt.duplicate && receipt.durable);
    assert_eq!(count_of(&machine.after_power_cut().content(PATH), &event(1)), 1);
    assert!(process.append_with(&event(1), os()).unwrap().durable);
}

#[test]
fn the_directory_is_synced_before_the_first_receipt_by_any_creator() {
    let _alone = alone();
    let machine = Machine::new();
    let maker = machine.start();
    machine.inject(When::next(Kind::SyncDirectory), Verdict::Fail(EIO));
    maker.append(&event(0)).unwrap_err();
    let process = machine.start();
    process.append(&event(1)).unwrap();
    assert_eq!(count_of(&machine.after_power_cut().content(PATH), &event(1)), 1);
}

#[test]
fn an_event_without_id_is_not_written_twice_because_another_of_its_batch_was_lost() {
    let _alone = alone();
    let machine = Machine::new();
    let lost = named("lost", &"x".repeat(5000));
    let early = machine.start();
    machine.inject(When::next(Kind::Sync), Verdict::Fail(EIO));
    early.append(&lost).unwrap_err();
    // Durable pages behind the record.
    let rest = line_of(&named("rest", &"y".repeat(9000)));
    machine.stranger_appends(rest.as_bytes());
    machine.change(PATH, |image| image.write_back());

    let process = machine.start();
    let anonymous = r#"{"type":"X","timestamp":"t","actor":{"agent":"a","id":"b"},"n":1}"#;
    let rules = Rules { compute_id: false, ..Rules::default() };
    let receipts = process.append_all(&[&lost, anonymous], AppendOptions { rules, ..options() });
    if receipts.is_ok() {
        let text = machine.text();
        assert_eq!(text.matches(anonymous).count(), 1, "{receipts:?}");
    }
}

#[test]
fn the_last_page_of_a_rewritten_file_is_read_from_the_disk() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    process.append(&event(0)).unwrap();
    let lost = line_of(&named("lost", &"x".repeat(2000)));
    machine.change(PATH, |image| {
        image.set_len(0);
        image.write_back();
        image.append(lost.as_bytes());
        image.lose();
    });
    process.append(&event(1)).unwrap();
    let found = machine.after_power_cut().content(PATH);
    assert_eq!(count_of(&found, &event(1)), 1, "{}", found.escape_ascii());
}

#[test]
fn what_a_rewritten_file_holds_is_not_proved_by_a_sync() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    process.append(&event(0)).unwrap();
    let lost = named("lost", &"x".repeat(6000));
    let rest = line_of(&named("rest", &"y".repeat(9000)));
    machine.change(PATH, |image| {
        image.set_len(0);
        image.write_back();
        image.append(line_of(&lost).as_bytes());
        image.lose();
        image.append(rest.as_bytes());
        image.write_back();
    });
    assert!(!process.append(&lost).unwrap().duplicate);
    assert_eq!(count_of(&machine.after_power_cut().content(PATH), &lost), 1);
}

#[test]
fn a_last_page_that_somebody_wrote_into_since_it_was_lost_is_synced_before_it_is_read_again() {
    let _alone = alone();
    let machine = with_lost(&named("lost", &"x".repeat(2000)), false);
    machine.stranger_appends(b"not synced\n");
    machine.start().append(&event(1)).unwrap();
    let found = machine.after_power_cut().content(PATH);
    assert_eq!(count_of(&found, &event(1)), 1, "{}", found.escape_ascii());
}

#[test]
fn what_was_not_synced_is_synced_before_its_descriptor_makes_room_for_another() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    process.append_with(&event(0), os()).unwrap();
    assert_eq!(machine.count(Kind::Sync), 0);
    for n in 0..300 {
        let other = format!("/machine/other-{n}.sage");
        common::settle(process.submit_to(&other, &[&event(n)], os())).unwrap();
    }
    assert!(machine.descriptors() < 256);
    assert_eq!(count_of(&machine.after_power_cut().content(PATH), &event(0)), 1);
}
