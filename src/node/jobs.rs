//! Analyses and repairs: one request each, run in steps on the pool.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use napi_derive::napi;

use super::failure;
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

/// Counts the contents of a log. `links` gets all broken links, the outcome only the first ones.
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
    let links = links.map(Listing::slot);
    let to_text = move |analysis: Analysis| {
        let text = outcome::analysis(&analysis);
        list(links, analysis.broken_links);
        text
    };
    begin(port, id, &READS, analyzer, to_text);
}

/// Repairs a log, or returns the plan. `removed` gets all lines moved out, the outcome only the
/// first ones.
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
    let removed = removed.map(Listing::slot);
    let to_text = move |report: Report| {
        let text = outcome::report(&report);
        list(removed, report.removed);
        text
    };
    begin(port, id, &REPAIRS, repair, to_text);
}

fn list(slot: Option<ListSlot>, entries: impl Entries + 'static) {
    if let Some(slot) = slot {
        *locked(&slot) = Some(Box::new(entries));
    }
}

/// Work with its permit.
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
    to_text: impl FnOnce(W::Output) -> String + Send + 'static,
) {
    let (deferred, flag) = port.port_state.borrow_mut().stoppable(id);
    match work {
        Ok(work) => permits.acquire(Box::new(move |permit| {
            if flag.begin() {
                run(&deferred, flag.stop.clone(), Permitted { work, _permit: permit }, to_text);
            } else {
                // The cancelling call may still have to settle the request, and cannot once this is
                // dropped.
                deferred.settle(CANCELLED.into(), None);
            }
        })),
        Err(error) => deferred.settle(failure::error(&error), None),
    }
}

fn run<W: Resumable>(
    deferred: &Arc<Deferred>,
    stop: Arc<AtomicBool>,
    work: W,
    to_text: impl FnOnce(W::Output) -> String + Send + 'static,
) {
    let settled = deferred.clone();
    let started = resumable::run(work, stop, move |done| {
        let outcome = match done {
            None => CANCELLED.into(),
            Some(Ok(output)) => to_text(output),
            Some(Err(error)) => failure::error(&error),
        };
        settled.settle(outcome, None);
    });
    if let Err(error) = started {
        deferred.settle(failure::error(&error), None);
    }
}
