//! What is in the file and waits for its sync.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::append::batch::Decision;
use crate::append::request::{BatchFacts, Outcome, Receipt, Request, Warning};
use crate::append::stats::Counters;
use crate::dedup::scan_state::ScanState;
use crate::event::Event;
use crate::storage::Storage;
use crate::storage::durable_ranges::Proof;
use crate::storage::syncs::Syncs;

/// An open file, the syncs of its description, and which descriptor of its writer it is.
#[derive(Clone)]
pub(crate) struct Descriptor {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) syncs: Arc<Syncs>,
    /// Counted from 1.
    pub(crate) generation: u64,
}

/// A batch that is in the file and waits for its sync.
pub(crate) struct WrittenBatch {
    pub(crate) descriptor: Descriptor,
    /// Syncs of the description that had failed when the batch began: one more, and it may be lost.
    pub(crate) failures: u64,
    pub(crate) rewrites: u64,
    /// The log after the batch.
    pub(crate) end: ScanState,
    /// Bytes in the file after the batch.
    pub(crate) file_end: u64,
    /// Another program had begun a line, and the first line of the batch is the rest of it: the batch is decided once more.
    pub(crate) is_glued: bool,
    pub(crate) groups: Vec<Group>,
}

/// One request of a batch and what was decided for it.
pub(crate) struct Group {
    pub(crate) request: Arc<Request>,
    pub(crate) decisions: Vec<Decision>,
    /// Where the batch begins in the file, and how many records come before it.
    pub(crate) begin: u64,
    pub(crate) records_before: u64,
    pub(crate) warnings: Vec<Warning>,
    /// For its observer, if it is the first one with this observer in its batch.
    pub(crate) facts: Option<BatchFacts>,
}

impl Group {
    pub(crate) fn wrote(&self) -> bool {
        self.decisions.iter().any(|decision| !decision.duplicate)
    }

    pub(crate) fn settle(
        mut self,
        counters: &Counters,
        synced: Option<Duration>,
        durable: impl Fn(&Decision) -> bool,
    ) {
        let receipts: Vec<Receipt> = (self.decisions.iter().enumerate())
            .map(|(index, decision)| self.receipt(index, decision, durable(decision)))
            .collect();
        let duplicates = receipts.iter().filter(|receipt| receipt.duplicate).count();
        counters.appends.fetch_add((receipts.len() - duplicates) as u64, Ordering::Relaxed);
        counters.duplicates.fetch_add(duplicates as u64, Ordering::Relaxed);
        if let Some((facts, observer)) =
            self.facts.as_mut().zip(self.request.options.observer.as_ref())
        {
            facts.sync = synced;
            observer.tell(facts);
        }
        self.request.settle(Outcome::Done(receipts, self.warnings));
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

    pub(crate) fn range(&self, decision: &Decision) -> Range<u64> {
        let offset = decision.receipt(self.begin, self.records_before, false).offset;
        offset..offset + decision.length + 1
    }

    /// Whether its receipts can be given with `proof` as it is.
    pub(crate) fn is_proved(&self, proof: &Proof) -> bool {
        self.decisions.iter().all(|decision| proof.covers(&self.range(decision)))
    }

    /// Whether its events can be decided once more although they were written: a copy of an event that
    /// has neither id nor key is not recognised.
    pub(crate) fn can_run_again(&self) -> bool {
        let is_named = |(event, decision): (&Event, &Decision)| {
            decision.duplicate || event.id().is_some() || event.key().is_some()
        };
        self.request.events().zip(&self.decisions).all(is_named)
    }

    /// Has the request remember which of its events were written.
    pub(crate) fn mark_written(&self) {
        if self.wrote() {
            let written = self.decisions.iter().map(|decision| !decision.duplicate);
            self.request.mark_written(written.collect());
        }
    }
}
