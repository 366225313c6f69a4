//! Lines that are returned only once they are durable.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod common;

use std::sync::Arc;

use common::{EIO, Kind, Machine, PATH, Verdict, When, alone, event, line_of, log_path, named, os};
use sage_chronicle::{BatchFollower, BatchLimits, Error, Place, Selection};

/// A reader that follows the log of a machine.
struct Reader {
    machine: Arc<Machine>,
    follower: BatchFollower,
    given: Vec<u8>,
}

impl Reader {
    fn synced(machine: &Arc<Machine>) -> Reader {
        Reader::from(machine, Place::Start)
    }

    fn from(machine: &Arc<Machine>, from: Place) -> Reader {
        let selection = Selection { from, ..Selection::default() };
        let follower = BatchFollower::synced(machine.disk(), selection, BatchLimits::default());
        Reader { machine: machine.clone(), follower, given: Vec::new() }
    }

    /// The control: a reader that takes its bytes for durable.
    fn trusting(machine: &Arc<Machine>) -> Reader {
        let (selection, limits) = (Selection::default(), BatchLimits::default());
        let follower = BatchFollower::new(machine.disk(), selection, limits);
        Reader { machine: machine.clone(), follower, given: Vec::new() }
    }

    /// Looks until nothing is left. Everything returned so far is checked against a power cut.
    fn read(&mut self) -> Result<(), Error> {
        loop {
            let look = self.follower.look(&log_path())?;
            if let Some(batch) = look.batch {
                self.given.extend(&batch.bytes);
                let lost = self.lost();
                assert!(lost.is_empty(), "given and not on the disk: {lost:?}");
            }
            if look.is_idle {
                return Ok(());
            }
        }
    }

    /// Returned lines that a power cut removes.
    fn lost(&self) -> Vec<String> {
        let disk = self.machine.after_power_cut().content_or_nothing(PATH);
        let lines = |bytes: &[u8]| -> Vec<Vec<u8>> {
            bytes
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(<[u8]>::to_vec)
                .collect()
        };
        let there = lines(&disk);
        let lost = lines(&self.given).into_iter().filter(|line| !there.contains(line));
        lost.map(|line| line.escape_ascii().to_string().chars().take(60).collect()).collect()
    }

    fn has(&self, event: &str) -> bool {
        let line = line_of(event);
        self.given.windows(line.len()).any(|bytes| bytes == line.as_bytes())
    }
}

/// A log with a record that is only in the page cache, because a sync failed and another descriptor
/// received the error.
fn with_lost(lost: &str) -> Arc<Machine> {
    let machine = Machine::new();
    let writer = machine.start();
    writer.append(&event(0)).unwrap();
    machine.inject(When::next(Kind::Sync), Verdict::Fail(EIO));
    writer.append(lost).unwrap_err();
    assert_eq!(machine.injected(), 1);
    machine
}

#[test]
fn what_no_writer_synced_is_synced_before_it_is_given() {
    let _alone = alone();
    let machine = Machine::new();
    let writer = machine.start();
    let mut reader = Reader::synced(&machine);
    for n in 0..40 {
        writer.append_with(&named(&format!("{n}"), &"x".repeat(n * 50)), os()).unwrap();
        if n % 3 == 0 {
            reader.read().unwrap();
        }
    }
    reader.read().unwrap();
    assert_eq!(reader.given, machine.content(PATH));
}

#[test]
fn a_log_that_does_not_grow_is_synced_once() {
    let _alone = alone();
    let machine = Machine::holding(line_of(&event(0)).as_bytes());
    let mut reader = Reader::synced(&machine);
    reader.read().unwrap();
    let count = machine.count(Kind::Sync);
    for _ in 0..5 {
        reader.read().unwrap();
    }
    assert_eq!((count, machine.count(Kind::Sync)), (1, 1));
    assert!(reader.has(&event(0)));
}

#[test]
fn a_record_that_is_only_in_the_page_cache_is_not_given() {
    let _alone = alone();
    for length in [10, 4096, 6000, 2_500_000] {
        let lost = named("lost", &"x".repeat(length));
        let machine = with_lost(&lost);

        let mut trusting = Reader::trusting(&machine);
        while let Some(batch) = trusting.follower.look(&log_path()).unwrap().batch {
            trusting.given.extend(batch.bytes);
        }
        assert!(trusting.has(&lost), "in the cache");
        assert_eq!(trusting.lost().len(), 1, "so the test can fail");

        let mut reader = Reader::synced(&machine);
        reader.read().unwrap();
        assert!(reader.has(&event(0)) && !reader.has(&lost));
        machine.start().append(&event(1)).unwrap();
        reader.read().unwrap();
        assert!(reader.has(&event(1)));
    }
}

#[test]
fn after_a_failed_sync_of_its_own_nothing_is_given_that_the_disk_lacks() {
    let _alone = alone();
    for length in [10, 4096, 6000, 20_000] {
        let machine = Machine::new();
        let writer = machine.start();
        writer.append(&event(0)).unwrap();
        let mut reader = Reader::synced(&machine);
        reader.read().unwrap();
        let lost = named("lost", &"x".repeat(length));
        writer.append_with(&lost, os()).unwrap();
        machine.inject(When::next(Kind::Sync), Verdict::Fail(EIO));
        let error = reader.read().unwrap_err();
        assert_eq!(machine.injected(), 1);
        assert_eq!((error.code().as_str(), error.cause().unwrap().operation), ("EIO", "fdatasync"));
        assert_eq!(error.path(), Some(log_path().as_path()));
        machine.heal();

        let before = machine.clock();
        reader.read().unwrap();
        assert!(machine.kinds_since(before).contains(&Kind::DropCached));
        assert!(!reader.has(&lost));
        machine.start().append(&event(1)).unwrap();
        reader.read().unwrap();
        assert!(reader.has(&event(0)) && reader.has(&event(1)));

        // The same holds for a reader that begins again.
        let mut again = Reader::synced(&machine);
        again.read().unwrap();
        assert!(again.has(&event(0)) && again.has(&event(1)) && !again.has(&lost));
    }
}

#[test]
fn while_the_disk_fails_nothing_is_given_and_afterwards_all_that_it_holds() {
    let _alone = alone();
    let machine = Machine::new();
    let writer = machine.start();
    writer.append(&event(0)).unwrap();
    let mut reader = Reader::synced(&machine);
    reader.read().unwrap();
    writer.append_with(&event(1), os()).unwrap();
    machine.inject(When::next(Kind::Sync).always(), Verdict::Fail(EIO));
    for _ in 0..3 {
        reader.read().unwrap_err();
    }
    assert_eq!(machine.injected(), 3);
    machine.heal();
    reader.read().unwrap();
    machine.start().append(&event(2)).unwrap();
    reader.read().unwrap();
    assert!(reader.has(&event(0)) && reader.has(&event(2)));
    assert_eq!(reader.given.iter().filter(|byte| **byte == b'\n').count(), 2);
}

#[test]
fn pages_of_a_failed_sync_that_stay_in_the_cache_are_not_given() {
    let _alone = alone();
    let machine = Machine::new();
    let writer = machine.start();
    writer.append(&event(0)).unwrap();
    let mut reader = Reader::synced(&machine);
    reader.read().unwrap();
    writer.append_with(&event(1), os()).unwrap();
    machine.inject(When::next(Kind::Sync), Verdict::Fail(EIO));
    reader.read().unwrap_err();
    machine.heal();
    machine.inject(When::next(Kind::DropCached).always(), Verdict::Refuse);
    for _ in 0..2 {
        let error = reader.read().unwrap_err();
        assert_eq!(error.cause().unwrap().operation, "posix_fadvise");
        // Nor by a reader that begins again.
        let error = Reader::synced(&machine).read().unwrap_err();
        assert_eq!(error.cause().unwrap().operation, "posix_fadvise");
    }
    machine.heal();
    reader.read().unwrap();
    assert!(reader.has(&event(0)) && !reader.has(&event(1)));
}

#[test]
fn a_torn_line_that_is_taken_back_proves_nothing_of_what_comes_in_its_place() {
    let _alone = alone();
    let machine = Machine::holding(line_of(&event(0)).as_bytes());
    let mut reader = Reader::synced(&machine);
    reader.read().unwrap();
    machine.stranger_appends(&line_of(&named("torn", &"x".repeat(9000))).as_bytes()[..9000]);
    reader.read().unwrap();
    machine.change(PATH, |image| image.set_len(line_of(&event(0)).len()));
    reader.read().unwrap();
    machine.start().append_with(&event(1), os()).unwrap();
    machine.inject(When::next(Kind::Sync), Verdict::Fail(EIO));
    reader.read().unwrap_err();
    assert_eq!(machine.injected(), 1);
    reader.read().unwrap();
    machine.start().append(&event(2)).unwrap();
    reader.read().unwrap();
    assert!(reader.has(&event(0)) && !reader.has(&event(1)) && reader.has(&event(2)));
}

/// Appends, failed syncs of writers and of the reader, refused drops, and readers that begin again
/// from a cursor.
#[test]
fn in_any_order_of_faults_nothing_is_given_that_a_power_cut_takes() {
    let _alone = alone();
    let mut failures = 0;
    for seed in 1..60_u64 {
        let mut random = seed;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) % below
        };
        let machine = Machine::new();
        let mut writer = machine.start();
        let mut reader = Reader::synced(&machine);
        for n in 0..40 {
            let text = "x".repeat(draw(6000) as usize);
            match draw(8) {
                0 => machine.inject(When::next(Kind::Sync), Verdict::Fail(EIO)),
                1 => drop(writer.append(&named(&format!("{n}"), &text))),
                2 => writer = machine.start(),
                3 => reader = Reader::synced(&machine),
                4 => machine.inject(When::next(Kind::DropCached), Verdict::Refuse),
                5 | 6 => drop(writer.append_with(&named(&format!("{n}"), &text), os())),
                _ => machine.stranger_appends(line_of(&named(&format!("{n}"), &text)).as_bytes()),
            }
            if draw(3) > 0 {
                failures += usize::from(reader.read().is_err());
            }
        }
        machine.heal();
        machine.start().append(&event(0)).unwrap();
        // The failed sync of a writer is reported to each descriptor once.
        let _ = reader.read();
        reader.read().unwrap();
        assert!(reader.has(&event(0)), "{seed}");
    }
    assert!(failures > 20, "only {failures} reads failed");
}
