//! What the write job keeps from one batch to the next: the open file, and what is known of it.

use std::path::Path;
use std::time::Instant;

use crate::append::request::Warning;
use crate::dedup::index_file::SideIndex;
use crate::dedup::log_view::LogView;
use crate::storage::Stat;
use crate::writer::Writer;
use crate::writer::written::Descriptor;

/// What only the write job uses.
pub(crate) struct State {
    pub(crate) open: Option<Open>,
    /// The file whose entry in its folder was made durable last.
    pub(crate) entered: Option<Stat>,
    /// The file that `history` is about.
    pub(crate) known: Option<Stat>,
    pub(crate) history: LogView,
    /// How far was scanned ahead; a tail that is not ended stays behind it.
    pub(crate) looked_to: u64,
    /// The index was asked since the last batch: what came meanwhile is scanned, however much it is, because that takes less time.
    pub(crate) asked_index: bool,
    /// So many of the next batches take in one request only.
    pub(crate) one_by_one: usize,
    pub(crate) attempts: u32,
    is_waiting: bool,
    /// When the lock was first tried for the next batch.
    pub(crate) tried_at: Option<Instant>,
    pub(crate) warnings: Vec<Warning>,
}

pub(crate) struct Open {
    pub(crate) descriptor: Descriptor,
    /// The last page was not read from the disk yet.
    pub(crate) fresh: bool,
}

impl State {
    pub(crate) fn new() -> Self {
        State {
            open: None,
            entered: None,
            known: None,
            history: LogView::new(),
            looked_to: 0,
            asked_index: false,
            one_by_one: 0,
            attempts: 0,
            is_waiting: false,
            tried_at: None,
            warnings: Vec::new(),
        }
    }

    pub(crate) fn has_descriptor(&self) -> bool {
        self.open.is_some()
    }

    pub(crate) fn descriptor(&self) -> Option<Descriptor> {
        self.open.as_ref().map(|open| open.descriptor.clone())
    }

    pub(crate) fn close(&mut self, writer: &Writer) {
        self.open = None;
        self.history.close_side();
        writer.shared.closed(writer);
    }

    /// Leaves what a side index covers to it, if it is about the open file.
    pub(crate) fn adopt(&mut self, side: SideIndex, of: &Stat) {
        let Some(open) = &self.open else { return };
        if self.known.is_some_and(|known| known.is_same_file(of)) {
            // It stays in memory when that fails.
            let _ = self.history.install_index(&*open.descriptor.storage, side);
        }
    }

    /// How far a side index reaches, and which file is open.
    pub(crate) fn covered(&self) -> Option<(u64, Stat)> {
        Some((self.history.covered(), self.known?))
    }

    /// Forgets all that a side index said which could not be read. The log is scanned again, without the lock.
    pub(crate) fn discard_side(&mut self, log: &Path) {
        if let Some(side) = self.history.failed_side() {
            side.discard(log);
        }
        self.history.clear();
        self.looked_to = 0;
    }

    /// Forgets everything, after a panic.
    pub(crate) fn reset(&mut self, writer: &Writer) {
        self.close(writer);
        self.known = None;
        self.history.clear();
        self.waits(writer, false);
    }

    pub(crate) fn waits(&mut self, writer: &Writer, waits: bool) {
        if self.is_waiting != waits {
            self.is_waiting = waits;
            writer.shared.waits(waits);
        }
    }
}
