//! Power cuts: whatever the disk holds afterwards, every acknowledged event is there once, and a
//! second append completes the rest.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod common;

use std::collections::HashMap;

use common::{ENOSPC, Kind, Machine, PATH, Verdict, When, alone, count_of, event, named, options};

fn events() -> Vec<String> {
    (0..7)
        .map(|n| match n {
            3 => named("event-3", &"x".repeat(6000)),
            n => event(n),
        })
        .collect()
}

/// Appends all events. Returns the last operation before each acknowledgement.
fn run(machine: &std::sync::Arc<Machine>) -> Vec<(usize, usize)> {
    let events = events();
    let mut acknowledged = Vec::new();
    machine.record_crashes();
    let processes = [machine.start(), machine.start()];
    for n in [0, 1] {
        processes[n].append(&events[n]).unwrap();
        acknowledged.push((n, machine.clock()));
    }
    let batch: Vec<&str> = events[2..5].iter().map(String::as_str).collect();
    processes[0].append_all(&batch, options()).unwrap();
    acknowledged.extend((2..5).map(|n| (n, machine.clock())));
    machine.inject(When::next(Kind::Append), Verdict::Short(30));
    machine.inject(When::next(Kind::Append), Verdict::Fail(ENOSPC));
    processes[1].append(&events[5]).unwrap_err();
    for (n, process) in [(5, 0), (6, 1)] {
        processes[process].append(&events[n]).unwrap();
        acknowledged.push((n, machine.clock()));
    }
    acknowledged
}

/// All possible contents of a file on the disk: the durable part, with any of the rest that the
/// system may have written.
fn states(image: &common::Image) -> Vec<Vec<u8>> {
    let unsynced = image.unsynced();
    let durable = &image.disk[..];
    let mut states = vec![durable.to_vec(), image.cached.clone()];
    if image.cached.len() < durable.len() {
        return states;
    }
    let fine = |at: &usize| {
        *at < unsynced.start + 300 || at.is_multiple_of(512) || at + 200 > unsynced.end
    };
    for cut in unsynced.clone().filter(fine) {
        let begun = &image.cached[..cut];
        // In turn: torn, NULs instead of the rest, NULs and the end of the record, torn with a
        // newline behind.
        states.push(begun.to_vec());
        let mut nul = begun.to_vec();
        nul.resize(unsynced.end, 0);
        states.push(nul.clone());
        if let Some(last) = nul.last_mut() {
            *last = b'\n';
        }
        states.push(nul);
        states.push([begun, b"\n"].concat());
        let hole = cut - cut % 512..cut;
        let mut holed = image.cached.clone();
        let from = hole.start.max(unsynced.start);
        holed[from..hole.end].fill(0);
        states.push(holed);
    }
    states
}

#[test]
fn whatever_a_power_cut_leaves_the_acknowledged_is_there_once_and_a_retry_completes_the_rest() {
    let _alone = alone();
    let events = events();
    let machine = Machine::new();
    let acknowledged = run(&machine);
    // The latest moment with this content of the disk: the one with the most acknowledgements.
    let mut looks: HashMap<Option<Vec<u8>>, usize> = HashMap::new();
    for (moment, crash) in machine.crashes().into_iter().enumerate() {
        match crash.image {
            None => {
                looks.insert(None, moment);
            }
            Some(image) => {
                for state in states(&image) {
                    looks.insert(Some(state), moment);
                }
            }
        }
    }
    assert!(looks.len() > 1000, "{} states", looks.len());
    for (look, moment) in looks {
        let there = look.clone().unwrap_or_default();
        let shown = || format!("before operation {moment}: {}", there.escape_ascii());
        for (n, at) in &acknowledged {
            if *at <= moment {
                assert_eq!(count_of(&there, &events[*n]), 1, "event {n}, {}", shown());
            }
        }
        let after = look.map_or_else(Machine::new, |bytes| Machine::holding(&bytes));
        let process = after.start();
        let texts: Vec<&str> = events.iter().map(String::as_str).collect();
        let receipts = process.append_all(&texts, options()).unwrap();
        let found = after.after_power_cut().content(PATH);
        for (event, receipt) in events.iter().zip(receipts) {
            assert_eq!(count_of(&found, event), 1, "{}", shown());
            let from = usize::try_from(receipt.offset).unwrap();
            let record = &found[from..from + usize::try_from(receipt.length).unwrap()];
            assert_eq!(record, common::line_of(event).trim_end().as_bytes());
            assert!(receipt.durable);
        }
        assert!(found.starts_with(&there), "no byte was taken away: {}", shown());
    }
}

#[test]
fn without_a_sync_a_power_cut_would_lose_the_record() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    process.append(&event(0)).unwrap();
    let receipt = process.append_with(&event(1), common::os()).unwrap();
    assert!(!receipt.durable);
    let found = machine.after_power_cut().content(PATH);
    assert_eq!(count_of(&found, &event(0)), 1);
    assert_eq!(count_of(&found, &event(1)), 0);
}
