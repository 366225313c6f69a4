//! The ledger of one writer: an account of which bytes of the open log are durable.
//!
//! The account belongs to one generation, which is one descriptor of the writer from its open to
//! its close. It does no I/O and holds no batch. Both jobs enter what they did ([`LedgerEntry`])
//! and ask what follows from it. The ledger is local to this process; the disk is the truth, and
//! the ledger errs only to the side of reading again.

use std::ops::Range;
use std::sync::Arc;

use crate::dedup::log_view::LogView;
use crate::dedup::scan_state::ScanState;
use crate::error::Error;
use crate::storage::Stat;
use crate::storage::disk::{DescriptorId, OpenFile};
use crate::storage::durable_ranges::DurableRanges;
use crate::storage::syncs::Syncs;

/// What happened to the bytes of the log.
pub(super) enum LedgerEntry<'a> {
    /// A descriptor was opened: a new generation. `is_same_file`: it is of the same file as the
    /// descriptor before, as far as that can be known.
    Opened { file: &'a OpenFile, stat: &'a Stat, is_same_file: bool },
    /// The file was found rewritten in place, with this length now.
    Rewritten { length: u64 },
    /// The log was scanned up to this state, and no batch was written through the descriptor yet.
    Scanned(&'a ScanState),
    /// The range was dropped from the page cache after a good sync and read from the disk.
    Verified { file: &'a OpenFile, range: Range<u64> },
    /// Everything that failed syncs left in doubt was read from the disk. `failures`: the count of
    /// failed syncs before that began.
    VerifiedAll { failures: u64 },
    /// A batch was written, and the file has bytes up to `end`.
    Wrote { file: &'a OpenFile, end: u64 },
    /// A good sync began when the file had bytes up to `end`.
    Synced { file: &'a OpenFile, end: u64 },
    /// All of the log up to the end of a batch is durable. `rewrites`: as when the batch was
    /// written.
    Durable { file: &'a OpenFile, rewrites: u64, view: ScanState },
    /// A record that a duplicate stands for is not on the disk: the view of the log is wrong.
    RecordMissing,
    /// It is not known how a sync of the description ended.
    SyncLost(&'a Error),
}

/// Which bytes of the open log are durable, and what has to be read again.
#[derive(Default)]
pub(super) struct Ledger {
    generation: Option<DescriptorId>,
    /// Of the description that is open.
    syncs: Arc<Syncs>,
    /// Failed syncs of the description after which the file was read from the disk.
    verified_failures: u64,
    /// The descriptor before this one was closed while bytes had to be verified.
    must_verify: bool,
    /// Times the file was found rewritten in place. What was known before does not hold after it.
    rewrites: u64,
    view_is_stale: bool,
    ranges: DurableRanges,
    /// The log as it was at the end of the last durable batch.
    durable_view: Option<ScanState>,
    /// The log as it was when the descriptor was opened: what is verified begins there while no
    /// batch is durable.
    view_at_open: Option<ScanState>,
    written_to: u64,
    synced_to: u64,
    last_seen: Option<Stat>,
}

impl Ledger {
    /// Enters what happened. What concerns an earlier descriptor changes nothing.
    pub(super) fn record(&mut self, entry: LedgerEntry<'_>) {
        match entry {
            LedgerEntry::Opened { file, stat, is_same_file } => {
                let must_verify = is_same_file && self.must_verify();
                *self = Ledger {
                    generation: Some(file.id()),
                    syncs: file.syncs().clone(),
                    verified_failures: file.syncs().failures(),
                    must_verify,
                    rewrites: self.rewrites,
                    ranges: DurableRanges::new(stat.length),
                    last_seen: Some(*stat),
                    ..Ledger::default()
                };
            }
            LedgerEntry::Rewritten { length } => {
                self.rewrites += 1;
                self.ranges = DurableRanges::new(length);
                self.durable_view = None;
                self.view_at_open = None;
            }
            LedgerEntry::Scanned(view) => {
                if self.view_at_open.is_none() && view.offset <= self.ranges.opened_at() {
                    self.view_at_open = Some(view.clone());
                }
            }
            LedgerEntry::Verified { file, range } if self.is_open(file) => {
                self.ranges.verified(range)
            }
            LedgerEntry::VerifiedAll { failures } => {
                self.must_verify = false;
                self.verified_failures = failures;
            }
            LedgerEntry::Wrote { file, end } if self.is_open(file) => {
                self.written_to = self.written_to.max(end);
            }
            LedgerEntry::Synced { file, end } if self.is_open(file) => {
                self.ranges.synced(end);
                self.synced_to = self.synced_to.max(end);
            }
            LedgerEntry::Durable { file, rewrites, view } => {
                let is_current = self.is_open(file) && self.rewrites == rewrites;
                if is_current && !self.must_verify() {
                    self.durable_view = Some(view);
                }
            }
            LedgerEntry::RecordMissing => self.view_is_stale = true,
            LedgerEntry::SyncLost(error) => self.syncs.fail(error),
            LedgerEntry::Verified { .. }
            | LedgerEntry::Wrote { .. }
            | LedgerEntry::Synced { .. } => {}
        }
    }

    fn is_open(&self, file: &OpenFile) -> bool {
        self.generation.as_ref().is_some_and(|open| open.names(file))
    }

    /// Whether bytes behind the last durable view may be gone, because a sync of the description
    /// failed. They are read from the disk before anything is acknowledged.
    pub(super) fn must_verify(&self) -> bool {
        self.must_verify || self.verified_failures != self.syncs.failures()
    }

    /// Begins a catch-up with a file of `length` bytes; clears a view that is stale. Returns how
    /// many syncs had failed, and where the bytes begin that must be verified, if any must.
    pub(super) fn begin_catch_up(
        &mut self,
        view: &mut LogView,
        length: u64,
    ) -> (u64, Option<ScanState>) {
        // Counted first: a sync that fails from here on rejects the batch, or is seen below.
        let failures = self.syncs.failures();
        if std::mem::take(&mut self.view_is_stale) {
            view.clear();
            self.record(LedgerEntry::Rewritten { length });
        }
        let sure = || self.durable_view.clone().or_else(|| self.view_at_open.clone());
        (failures, self.must_verify().then(|| sure().unwrap_or_default()))
    }

    /// Bytes in the file when the descriptor was opened, or since the file was rewritten.
    pub(super) fn opened_at(&self) -> u64 {
        self.ranges.opened_at()
    }

    pub(super) fn rewrites(&self) -> u64 {
        self.rewrites
    }

    /// Whether the range is durable, also by a good sync that began at `synced_to`.
    pub(super) fn is_durable(&self, file: &OpenFile, range: &Range<u64>, synced_to: u64) -> bool {
        let by_sync = self.ranges.needs_only_a_sync(range) && range.end <= synced_to;
        self.is_open(file) && (by_sync || self.ranges.covers(range))
    }

    /// How much of the log is durable for certain.
    pub(super) fn durable_to(&self) -> u64 {
        self.durable_view.as_ref().map_or(0, |view| view.offset)
    }

    /// Whether bytes were written that no sync covers.
    pub(super) fn has_unsynced(&self) -> bool {
        self.synced_to < self.written_to
    }

    /// The file as it was when its descriptor was opened.
    pub(super) fn last_seen(&self) -> Option<Stat> {
        self.last_seen
    }
}
