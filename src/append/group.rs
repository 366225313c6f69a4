//! One request of a batch: what was decided for it, where its lines are in the file, and how it
//! ends.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::append::batch::{Decision, Location};
use crate::append::request::{
    BatchFacts, Durability, Observer, Outcome, Receipt, Request, Warning,
};
use crate::append::stats::Counters;
use crate::error::{Error, Written};
use crate::event::{Event, Id};

/// One request of a batch and what was decided for it.
pub(crate) struct Group {
    request: Arc<Request>,
    decisions: Vec<Decision>,
    /// Where the batch begins in the file, and how many records come before it.
    begin: u64,
    records_before: u64,
    warnings: Vec<Warning>,
    /// For the observer of the request, if this is the first group with that observer in its batch.
    facts: Option<BatchFacts>,
}

/// A record that the file had before the batch.
pub(crate) struct OriginalRecord<'a> {
    pub(crate) offset: u64,
    /// Its bytes with the newline.
    pub(crate) range: Range<u64>,
    /// What the duplicate was recognised by.
    pub(crate) known_by: Option<&'a Id>,
}

impl Group {
    /// A request with its decisions and with the warnings that wait for the next receipt.
    pub(crate) fn new(
        request: Arc<Request>,
        decisions: Vec<Decision>,
        waiting: &mut Vec<Warning>,
    ) -> Group {
        let mut warnings = std::mem::take(waiting);
        warnings.extend(decisions.iter().filter_map(Decision::warning));
        Group { request, decisions, begin: 0, records_before: 0, warnings, facts: None }
    }

    /// Notes where the batch is in the file.
    pub(crate) fn place(&mut self, begin: u64, records_before: u64) {
        self.begin = begin;
        self.records_before = records_before;
    }

    pub(crate) fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// Whether any of its events was written.
    pub(crate) fn wrote(&self) -> bool {
        self.decisions.iter().any(|decision| !decision.duplicate)
    }

    /// Whether its receipts have to wait for durable bytes.
    pub(crate) fn needs_sync(&self) -> bool {
        self.request.options.durability != Durability::Os
    }

    /// Whether every record of its receipts is in a range for which `is_durable` holds.
    pub(crate) fn is_durable(&self, is_durable: impl Fn(&Range<u64>) -> bool) -> bool {
        self.decisions.iter().all(|decision| is_durable(&self.range(decision)))
    }

    /// The records that its duplicates stand for and that were in the file before.
    pub(crate) fn originals(&self) -> impl Iterator<Item = OriginalRecord<'_>> {
        self.decisions.iter().filter_map(|decision| {
            let Location::Old { offset, .. } = decision.place else { return None };
            let range = self.range(decision);
            Some(OriginalRecord { offset, range, known_by: decision.known_by.as_ref() })
        })
    }

    /// Settles the request with receipts. `synced`: time of the sync, if the request waited for it.
    pub(crate) fn settle(mut self, counters: &Counters, synced: Option<Duration>, durable: bool) {
        let receipts: Vec<Receipt> = (self.decisions.iter().enumerate())
            .map(|(index, decision)| self.receipt(index, decision, durable))
            .collect();
        let duplicates = receipts.iter().filter(|receipt| receipt.duplicate).count();
        counters.appends.fetch_add((receipts.len() - duplicates) as u64, Ordering::Relaxed);
        counters.duplicates.fetch_add(duplicates as u64, Ordering::Relaxed);
        if let Some((facts, observer)) =
            self.facts.as_mut().zip(self.request.options.observer.as_ref())
        {
            facts.sync = synced;
            observer.notify(facts);
        }
        self.request.settle(Outcome::Done(receipts, self.warnings));
    }

    /// Settles the request with an error.
    pub(crate) fn reject(self, path: &Path, error: &Error) {
        let written = if self.wrote() { Written::Unknown } else { Written::No };
        let error = error.clone().with_path(path).with_written(written);
        self.request.settle(Outcome::Failed(error));
    }

    /// The request, for which nothing was written.
    pub(crate) fn into_request(self) -> Arc<Request> {
        self.request
    }

    /// Whether its events can be decided once more although they were written: a copy of an event
    /// that has neither id nor key is not recognised.
    pub(crate) fn can_run_again(&self) -> bool {
        let is_named = |(event, decision): (&Event, &Decision)| {
            decision.duplicate || event.id().is_some() || event.key().is_some()
        };
        self.request.events().zip(&self.decisions).all(is_named)
    }

    /// The request, to be decided once more. It remembers which of its events were written.
    pub(crate) fn into_rerun(self) -> Arc<Request> {
        if self.wrote() {
            let written = self.decisions.iter().map(|decision| !decision.duplicate);
            self.request.mark_written(written.collect());
        }
        self.request
    }

    /// The receipt of one event. A record that an earlier run of this request wrote, and that came
    /// into the file at the path with a copy, is no duplicate for its caller.
    fn receipt(&self, index: usize, decision: &Decision, durable: bool) -> Receipt {
        let mut receipt = decision.receipt(self.begin, self.records_before, durable);
        if receipt.duplicate && receipt.identical && self.request.wrote_before(index) {
            receipt.duplicate = false;
        }
        receipt
    }

    fn range(&self, decision: &Decision) -> Range<u64> {
        let offset = match decision.place {
            Location::Old { offset, .. } => offset,
            Location::New { start, .. } => self.begin + start,
        };
        offset..offset + decision.length + 1
    }
}

/// Has each observer informed of the batch, with the first of its appends.
pub(crate) fn observe(groups: &mut [Group], path: &Path, bytes: usize, lock_wait: Duration) {
    if groups.iter().all(|group| group.request.options.observer.is_none()) {
        return;
    }
    let decisions = || groups.iter().flat_map(|group| &group.decisions);
    let duplicates = decisions().filter(|decision| decision.duplicate).count();
    let facts = BatchFacts {
        path: path.to_owned(),
        appends: groups.len(),
        events: decisions().count() - duplicates,
        duplicates,
        bytes,
        lock_wait,
        sync: None,
    };
    let mut informed: Vec<Observer> = Vec::new();
    for group in groups {
        if let Some(observer) = &group.request.options.observer
            && !informed.iter().any(|other| other.is_same(observer))
        {
            group.facts = Some(facts.clone());
            informed.push(observer.clone());
        }
    }
}
