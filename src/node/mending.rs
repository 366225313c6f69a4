//! Analyzing and repairing: one request each, done in turns on the pool.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use napi_derive::napi;

use super::options::{Read, Repair as Options};
use super::outcome;
use super::port::{CANCELLED, Port, Slot};
use crate::analyze::Analyzer;
use crate::error::{Error, Result};
use crate::permit::{MENDING, Permit, Permits, READING};
use crate::repair::Repair;
use crate::turns::{self, Step, Turns};

/// Counts what a log holds.
#[napi(catch_unwind)]
pub fn analyze(port: &Port, id: u32, path: String, options: Option<String>) {
    let analyzer =
        Read::parse(options.as_deref()).and_then(|options| options.path(&path)).map(Analyzer::new);
    begin(port, id, &READING, analyzer, outcome::analysis);
}

/// Rewrites a log, or says what a rewrite would do.
#[napi(catch_unwind)]
pub fn repair(port: &Port, id: u32, path: String, options: Option<String>) {
    let repair = Options::parse(options.as_deref())
        .and_then(|options| Ok(Repair::new(options.path(&path)?, options.into_core()?)));
    begin(port, id, &MENDING, repair, outcome::report);
}

/// Work that has its permit.
struct Permitted<W> {
    work: W,
    _permit: Permit,
}

impl<W: Turns> Turns for Permitted<W> {
    type Output = W::Output;

    fn turn(&mut self) -> Result<Step<W::Output>> {
        self.work.turn()
    }
}

fn begin<W: Turns>(
    port: &Port,
    id: u32,
    permits: &'static Permits,
    work: Result<W>,
    told: fn(&W::Output) -> String,
) {
    let (slot, begun) = port.desk.borrow_mut().stoppable(id);
    match work {
        Ok(work) => permits.acquire(Box::new(move |permit| {
            if begun.begin() {
                run(&slot, begun.stop.clone(), Permitted { work, _permit: permit }, told);
            } else {
                // Whoever gave it up may not have come to settle it, and this may be the last to know of it.
                slot.settle(CANCELLED.into(), None);
            }
        })),
        Err(error) => slot.settle(outcome::error(&error), None),
    }
}

fn run<W: Turns>(slot: &Arc<Slot>, stop: Arc<AtomicBool>, work: W, told: fn(&W::Output) -> String) {
    let settled = slot.clone();
    let started = turns::run(work, stop, move |done| {
        let outcome = match done {
            None => CANCELLED.into(),
            Some(Ok(output)) => told(&output),
            Some(Err(error)) => outcome::error(&error),
        };
        settled.settle(outcome, None);
    });
    if let Err(error) = started {
        let error = Error::io("cannot start a thread", "clone", error);
        slot.settle(outcome::error(&error), None);
    }
}
