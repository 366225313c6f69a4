//! One scenario. Each of its operations fails once, or from then on, until a run meets no fault.

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
    EIO, ENOSPC, Kind, Machine, PATH, Process, Verdict, When, alone, count_of, event, line_of,
    named, options, os, within,
};
use sage_chronicle::{AppendOptions, Result, Rules, Written};

/// The outcomes that the callers received.
#[derive(Default)]
struct Outcomes {
    /// These events are durable.
    acknowledged: Vec<String>,
    /// None of these events is there, unless another append wrote it.
    refused: Vec<String>,
    /// Each of these events may be there.
    tried: Vec<String>,
}

impl Outcomes {
    fn note<T>(&mut self, events: &[&str], outcome: &Result<T>) {
        let events = events.iter().map(|event| (*event).to_owned());
        match outcome {
            Ok(_) => self.acknowledged.extend(events),
            Err(error) if error.written() == Some(Written::No) => self.refused.extend(events),
            Err(error) => {
                assert_eq!(error.written(), Some(Written::Unknown), "{error}");
                self.tried.extend(events);
            }
        }
    }
}

fn append(outcomes: &mut Outcomes, process: &Process, event: &str, options: AppendOptions) {
    let outcome = process.append_with(event, options);
    outcomes.note(&[event], &outcome);
}

fn chained() -> AppendOptions {
    let rules = Rules { chain: true, ..Rules::default() };
    AppendOptions { rules, ..options() }
}

/// Two processes, a torn tail, batches, duplicates, chains, conflicts, and a third process that
/// starts late.
fn scenario(machine: &Arc<Machine>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let first = machine.start();
    append(&mut outcomes, &first, &event(1), options());
    let second = machine.start();
    append(&mut outcomes, &second, &event(2), options());
    append(&mut outcomes, &first, &event(2), options());
    let [three, four] = [event(3), named("event-4", &"x".repeat(5000))];
    let batch = [&*three, &*four, &*three];
    let outcome = first.append_all(&batch, options());
    outcomes.note(&batch[..2], &outcome);
    append(&mut outcomes, &second, &four, options());
    machine.stranger_appends(br#"{"type":"torn","te"#);
    // This event may be lost with a later sync.
    let _ = second.append_with(&event(5), os());
    outcomes.tried.push(event(5));
    append(&mut outcomes, &first, &event(6), options());
    let chain = first
        .append_with(r#"{"type":"X","timestamp":"t","actor":{"agent":"a","id":"b"}}"#, chained());
    assert!(chain.is_ok_and(|receipt| receipt.event_id.is_some()) || machine.injected() > 0);
    let empty = AppendOptions { expected_tail: Some(None), ..options() };
    second.append_with(&event(7), empty).unwrap_err();
    drop(second);
    let third = machine.start();
    append(&mut outcomes, &third, &event(1), options());
    append(&mut outcomes, &third, &event(8), options());
    outcomes
}

/// Every record, and every line that is no record, must be accounted for.
fn check(log: &[u8], acknowledged: &[String], context: &str) {
    let text = log.escape_ascii();
    for event in acknowledged {
        assert_eq!(count_of(log, event), 1, "{context}: {event}\n{text}");
    }
    for line in log.split(|byte| *byte == b'\n') {
        let records = line.windows(8).filter(|at| at == br#"{"type":"#).count();
        let glued = records > 1;
        assert!(!glued, "{context}: {}", line.escape_ascii());
    }
    for n in 0..10 {
        let id = format!(r#""eventId":"event-{n}""#);
        let has = |line: &&[u8]| {
            line.ends_with(b"}") && line.windows(id.len()).any(|at| at == id.as_bytes())
        };
        let records = log.split(|byte| *byte == b'\n').filter(has).count();
        assert!(records <= 1, "{context}: {id} {records} times\n{text}");
    }
}

/// Fails the Nth operation for every N. Returns the number of runs with a fault.
fn fail_every(when: fn(When) -> When, verdict: Verdict, kind: Option<Kind>) -> usize {
    for n in 0.. {
        let machine = Machine::new();
        let context = format!("{verdict:?} {kind:?} at {n}");
        let every = kind.map_or(When::any(), When::next);
        machine.inject(when(every.after(n)), verdict);
        let outcomes = scenario(&machine);
        if machine.injected() == 0 {
            assert_eq!(outcomes.acknowledged.len(), 9);
            return n;
        }
        check(&machine.content_or_nothing(PATH), &outcomes.acknowledged, &context);
        for event in &outcomes.refused {
            let elsewhere = outcomes.acknowledged.contains(event) || outcomes.tried.contains(event);
            let there = count_of(&machine.content_or_nothing(PATH), event);
            assert!(elsewhere || there == 0, "{context}: {event} was written after all");
        }
        machine.heal();
        // Everything is appended again, by a process that was there and by a new one.
        let process = machine.start();
        let events: Vec<String> = (1..9)
            .map(|n| match n {
                4 => named("event-4", &"x".repeat(5000)),
                n => event(n),
            })
            .collect();
        for event in &events {
            process.append_with(event, within(60_000)).unwrap();
        }
        check(&machine.content(PATH), &events, &context);
        let after = machine.after_power_cut().content(PATH);
        check(&after, &events, &context);
    }
    0
}

#[test]
fn any_operation_may_fail_once() {
    let _alone = alone();
    assert!(fail_every(|when| when, Verdict::Fail(EIO), None) > 100);
}

#[test]
fn any_operation_may_fail_from_then_on() {
    let _alone = alone();
    assert!(fail_every(When::always, Verdict::Fail(ENOSPC), None) > 100);
}

#[test]
fn operations_of_one_kind_may_fail_from_then_on() {
    let _alone = alone();
    for kind in Kind::ALL {
        fail_every(When::always, Verdict::Fail(EIO), Some(kind));
    }
}

#[test]
fn any_write_may_be_short() {
    let _alone = alone();
    for count in [0, 1, 40] {
        assert!(fail_every(|when| when, Verdict::Short(count), Some(Kind::Append)) > 5);
    }
    assert!(fail_every(When::always, Verdict::Short(7), Some(Kind::Append)) > 5);
    assert_eq!(line_of(&event(1)).matches('\n').count(), 1);
}
