//! Which bytes of an open log are proved to be on the disk, and by what.

use std::collections::BTreeMap;
use std::ops::Range;

/// Stretches remembered at most; past that they are forgotten, which only costs reading again.
const MAX_STRETCHES: usize = 4096;

/// The proved bytes of one descriptor.
///
/// A good sync proves only what came into the file after the descriptor was opened: an earlier failure may have been
/// reported to somebody else, after which Linux takes the failed pages for clean. Bytes that were there
/// already are proved by reading them again from the disk.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    opened_at: u64,
    synced_to: u64,
    reread: BTreeMap<u64, u64>,
}

impl Proof {
    /// Nothing is proved of a file that had `length` bytes when it was opened.
    pub(crate) fn new(length: u64) -> Self {
        Proof { opened_at: length, synced_to: length, reread: BTreeMap::new() }
    }

    /// Bytes in the file when it was opened.
    pub(crate) fn opened_at(&self) -> u64 {
        self.opened_at
    }

    /// A good sync began when the file had `end` bytes.
    pub(crate) fn synced(&mut self, end: u64) {
        self.synced_to = self.synced_to.max(end);
    }

    /// `range` was dropped from the page cache after a good sync and read again.
    pub(crate) fn reread(&mut self, range: Range<u64>) {
        if self.reread.len() >= MAX_STRETCHES {
            self.reread.clear();
        }
        let Range { mut start, mut end } = range;
        let touching: Vec<u64> = self
            .reread
            .range(..=end)
            .rev()
            .take_while(|(_, stretch_end)| **stretch_end >= start)
            .map(|(stretch_start, _)| *stretch_start)
            .collect();
        for summary in touching {
            if let Some(stretch_end) = self.reread.remove(&summary) {
                start = start.min(summary);
                end = end.max(stretch_end);
            }
        }
        self.reread.insert(start, end);
    }

    /// Whether every byte of `range` is proved.
    pub(crate) fn covers(&self, range: &Range<u64>) -> bool {
        let by_sync = range.start >= self.opened_at && range.end <= self.synced_to;
        by_sync
            || self
                .reread
                .range(..=range.start)
                .next_back()
                .is_some_and(|(_, stretch_end)| *stretch_end >= range.end)
    }

    /// Where the proved bytes end that begin at `offset`; `None` where that byte is not proved.
    pub(crate) fn proved_from(&self, offset: u64) -> Option<u64> {
        if (self.opened_at..self.synced_to).contains(&offset) {
            return Some(self.synced_to);
        }
        let (_, end) = self.reread.range(..=offset).next_back()?;
        Some(*end).filter(|end| *end > offset)
    }

    /// The file became shorter: what comes behind `length` is new.
    pub(crate) fn cut(&mut self, length: u64) {
        self.opened_at = self.opened_at.min(length);
        self.synced_to = self.synced_to.min(length);
        self.reread.retain(|start, _| *start < length);
        if let Some(mut last) = self.reread.last_entry() {
            let end = (*last.get()).min(length);
            last.insert(end);
        }
    }

    /// A sync failed since: of the first `length` bytes only those stay proved that were so before.
    pub(crate) fn doubt(&mut self, length: u64) {
        if self.synced_to > self.opened_at {
            self.reread(self.opened_at..self.synced_to);
        }
        self.opened_at = length;
        self.synced_to = length;
    }

    /// Whether a good sync alone will prove `range`.
    pub(crate) fn needs_only_a_sync(&self, range: &Range<u64>) -> bool {
        range.start >= self.opened_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_proves_only_what_came_after_the_open() {
        let mut proof = Proof::new(100);
        assert!(!proof.covers(&(0..50)));
        assert!(!proof.covers(&(100..150)));
        proof.synced(200);
        assert!(proof.covers(&(100..200)));
        assert!(!proof.covers(&(99..200)));
        assert!(!proof.covers(&(150..201)));
        assert!(!proof.covers(&(0..50)));
    }

    #[test]
    fn after_a_failed_sync_only_what_was_proved_before_stays_proved() {
        let mut proof = Proof::new(100);
        proof.reread(0..60);
        proof.synced(200);
        proof.doubt(300);
        assert_eq!(proof.proved_from(0), Some(60));
        assert_eq!(proof.proved_from(60), None);
        assert_eq!(proof.proved_from(100), Some(200));
        assert_eq!(proof.proved_from(200), None);
        proof.synced(310);
        assert_eq!(proof.proved_from(299), None);
        assert_eq!(proof.proved_from(300), Some(310));
        proof.reread(60..100);
        assert_eq!(proof.proved_from(0), Some(200));
    }

    #[test]
    fn what_comes_behind_a_cut_is_not_proved_by_what_stood_there() {
        let mut proof = Proof::new(100);
        proof.reread(0..100);
        proof.synced(200);
        proof.cut(150);
        assert_eq!(proof.proved_from(100), Some(150));
        assert_eq!(proof.proved_from(150), None);
        proof.cut(70);
        assert_eq!(proof.proved_from(69), Some(70));
        assert_eq!(proof.proved_from(70), None);
        proof.synced(90);
        assert_eq!(proof.proved_from(70), Some(90));
    }

    #[test]
    fn stretches_read_again_grow_together() {
        let mut proof = Proof::new(1000);
        proof.reread(0..10);
        proof.reread(20..30);
        assert!(!proof.covers(&(0..30)));
        proof.reread(10..20);
        assert!(proof.covers(&(0..30)));
        proof.reread(5..40);
        assert!(proof.covers(&(0..40)));
        assert!(!proof.covers(&(0..41)));
    }

    #[test]
    fn too_many_stretches_are_forgotten_never_invented() {
        let mut proof = Proof::new(1_000_000);
        for n in 0..MAX_STRETCHES as u64 + 10 {
            proof.reread(n * 10..n * 10 + 5);
            assert!(proof.covers(&(n * 10..n * 10 + 5)));
            assert!(!proof.covers(&(n * 10..n * 10 + 6)));
        }
        assert!(proof.reread.len() < MAX_STRETCHES);
    }
}
