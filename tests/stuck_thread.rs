//! A thread that is stuck in a system call delays no other. The test is alone in its file, because
//! it needs a process with one idle thread and no other.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod common;

use std::time::Duration;

use common::{Kind, Machine, Verdict, When, event, is_settled_by, options};

#[test]
fn a_thread_stuck_in_a_dead_device_does_not_delay_another_file() {
    let machine = Machine::new();
    let process = machine.start();
    process.append(&event(0)).unwrap();
    for round in 1..50 {
        let stuck = machine.hold(When::next(Kind::Lookup));
        let both = ["/machine/a.sage", "/machine/b.sage"]
            .map(|path| process.submit_to(path, &[&event(round)], options()));
        stuck.arrived();
        let step = Duration::from_millis(10);
        // Less than the two seconds after which a sweep happens to start another thread.
        let one_settled = || both.iter().any(|pending| is_settled_by(pending, step));
        assert!((0..60).any(|_| one_settled()), "round {round}: both wait, one thread is stuck");
        stuck.release(Verdict::Go);
        for pending in both {
            // The append that was settled first has left nothing behind.
            is_settled_by(&pending, Duration::from_secs(20));
        }
        machine.heal();
    }
}
