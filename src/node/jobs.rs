//! Analyzing and repairing: one request each, done in turns on the pool.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use napi_derive::napi;

use super::listing::{Entries, Listing};
use super::options::{ReadOptionsJson, RepairOptionsJson};
use super::outcome::{self, CANCELLED};
use super::port::{Deferred, Port};
use crate::check::analyze::{Analysis, Analyzer};
use crate::error::Result;
use crate::mutex::locked;
use crate::repair::{Repair, Report};
use crate::threads::resumable::{self, Resumable, Resumed};
use crate::threads::semaphore::{Permit, READS, REPAIRS, Semaphore};

type ListSlot = Arc<Mutex<Option<Box<dyn Entries>>>>;

/// Counts what a log holds. `links` gets all broken links, of which the outcome has the first.
#[napi(catch_unwind)]
pub fn analyze(
    port: &Port,
    id: u32,
    path: String,
    options: Option<String>,
    links: Option<&Listing>,
) {
    let analyzer = ReadOptionsJson::parse(options.as_deref())
        .and_then(|options| options.path(&path))
        .map(Analyzer::new);
    let links = links.map(Listing::place);
    let made = move |analysis: Analysis| {
        let text = outcome::analysis(&analysis);
        list(links, analysis.broken_links);
        text
    };
    begin(port, id, &READS, analyzer, made);
}

/// Rewrites a log, or says what a rewrite would do. `removed` gets all lines moved out, of which the outcome has the first.
#[napi(catch_unwind)]
pub fn repair(
    port: &Port,
    id: u32,
    path: String,
    options: Option<String>,
    removed: Option<&Listing>,
) {
    let repair = RepairOptionsJson::parse(options.as_deref())
        .and_then(|options| Ok(Repair::new(options.path(&path)?, options.into_core()?)));
    let removed = removed.map(Listing::place);
    let made = move |report: Report| {
        let text = outcome::report(&report);
        list(removed, report.removed);
        text
    };
    begin(port, id, &REPAIRS, repair, made);
}

fn list(place: Option<ListSlot>, entries: impl Entries + 'static) {
    if let Some(place) = place {
        *locked(&place) = Some(Box::new(entries));
    }
}

/// Work that has its permit.
struct Permitted<W> {
    work: W,
    _permit: Permit,
}

impl<W: Resumable> Resumable for Permitted<W> {
    type Output = W::Output;

    fn resume(&mut self) -> Result<Resumed<W::Output>> {
        self.work.resume()
    }
}

fn begin<W: Resumable>(
    port: &Port,
    id: u32,
    permits: &'static Semaphore,
    work: Result<W>,
    made: impl FnOnce(W::Output) -> String + Send + 'static,
) {
    let (slot, begun) = port.desk.borrow_mut().stoppable(id);
    match work {
        Ok(work) => permits.acquire(Box::new(move |permit| {
            if begun.begin() {
                run(&slot, begun.stop.clone(), Permitted { work, _permit: permit }, made);
            } else {
                // The call that gave it up may not have settled it yet, and can no more once this is dropped.
                slot.settle(CANCELLED.into(), None);
            }
        })),
        Err(error) => slot.settle(outcome::error(&error), None),
    }
}

fn run<W: Resumable>(
    slot: &Arc<Deferred>,
    stop: Arc<AtomicBool>,
    work: W,
    made: impl FnOnce(W::Output) -> String + Send + 'static,
) {
    let settled = slot.clone();
    let started = resumable::run(work, stop, move |done| {
        let outcome = match done {
            None => CANCELLED.into(),
            Some(Ok(output)) => made(output),
            Some(Err(error)) => outcome::error(&error),
        };
        settled.settle(outcome, None);
    });
    if let Err(error) = started {
        slot.settle(outcome::error(&error), None);
    }
}
