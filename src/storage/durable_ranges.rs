//! Which bytes of an open log are durable for certain, and how that is known. No I/O.

use std::collections::BTreeMap;
use std::ops::Range;

/// Verified ranges remembered at most. Past that all are forgotten, which only costs reading again.
const MAX_RANGES: usize = 4096;

/// The durable bytes of one descriptor.
///
/// A good sync makes durable only what came into the file after the descriptor was opened. An
/// earlier failure may have been reported to another descriptor; after that Linux takes the failed
/// pages for clean. Bytes that were there already are verified: dropped from the page cache after a
/// good sync and read again from the disk.
#[derive(Debug, Default)]
pub(crate) struct DurableRanges {
    opened_at: u64,
    synced_to: u64,
    /// Ends of ranges by their starts. No two touch.
    verified: BTreeMap<u64, u64>,
}

impl DurableRanges {
    /// Nothing is durable for certain in a file that had `length` bytes when it was opened.
    pub(crate) fn new(length: u64) -> Self {
        DurableRanges { opened_at: length, synced_to: length, verified: BTreeMap::new() }
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
    pub(crate) fn verified(&mut self, range: Range<u64>) {
        if self.verified.len() >= MAX_RANGES {
            self.verified.clear();
        }
        let Range { mut start, mut end } = range;
        let touching: Vec<u64> = self
            .verified
            .range(..=end)
            .rev()
            .take_while(|(_, other_end)| **other_end >= start)
            .map(|(other_start, _)| *other_start)
            .collect();
        for other_start in touching {
            if let Some(other_end) = self.verified.remove(&other_start) {
                start = start.min(other_start);
                end = end.max(other_end);
            }
        }
        self.verified.insert(start, end);
    }

    /// Whether every byte of `range` is durable.
    pub(crate) fn covers(&self, range: &Range<u64>) -> bool {
        let by_sync = range.start >= self.opened_at && range.end <= self.synced_to;
        by_sync
            || self
                .verified
                .range(..=range.start)
                .next_back()
                .is_some_and(|(_, verified_end)| *verified_end >= range.end)
    }

    /// Where the durable bytes end that begin at `offset`; `None` where that byte is in doubt.
    pub(crate) fn durable_from(&self, offset: u64) -> Option<u64> {
        if (self.opened_at..self.synced_to).contains(&offset) {
            return Some(self.synced_to);
        }
        let (_, end) = self.verified.range(..=offset).next_back()?;
        Some(*end).filter(|end| *end > offset)
    }

    /// The file became shorter: what comes behind `length` is new.
    pub(crate) fn cut(&mut self, length: u64) {
        self.opened_at = self.opened_at.min(length);
        self.synced_to = self.synced_to.min(length);
        self.verified.retain(|start, _| *start < length);
        if let Some(mut last) = self.verified.last_entry() {
            let end = (*last.get()).min(length);
            last.insert(end);
        }
    }

    /// A sync failed since: of the first `length` bytes only those stay durable that were so
    /// before.
    pub(crate) fn sync_failed(&mut self, length: u64) {
        if self.synced_to > self.opened_at {
            self.verified(self.opened_at..self.synced_to);
        }
        self.opened_at = length;
        self.synced_to = length;
    }

    /// Whether a good sync alone will make `range` durable.
    pub(crate) fn needs_only_a_sync(&self, range: &Range<u64>) -> bool {
        range.start >= self.opened_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_makes_durable_only_what_came_after_the_open() {
        let mut ranges = DurableRanges::new(100);
        assert!(!ranges.covers(&(0..50)));
        assert!(!ranges.covers(&(100..150)));
        ranges.synced(200);
        assert!(ranges.covers(&(100..200)));
        assert!(!ranges.covers(&(99..200)));
        assert!(!ranges.covers(&(150..201)));
        assert!(!ranges.covers(&(0..50)));
    }

    #[test]
    fn after_a_failed_sync_only_what_was_durable_before_stays_durable() {
        let mut ranges = DurableRanges::new(100);
        ranges.verified(0..60);
        ranges.synced(200);
        ranges.sync_failed(300);
        assert_eq!(ranges.durable_from(0), Some(60));
        assert_eq!(ranges.durable_from(60), None);
        assert_eq!(ranges.durable_from(100), Some(200));
        assert_eq!(ranges.durable_from(200), None);
        ranges.synced(310);
        assert_eq!(ranges.durable_from(299), None);
        assert_eq!(ranges.durable_from(300), Some(310));
        ranges.verified(60..100);
        assert_eq!(ranges.durable_from(0), Some(200));
    }

    #[test]
    fn what_comes_behind_a_cut_is_not_durable_by_what_stood_there() {
        let mut ranges = DurableRanges::new(100);
        ranges.verified(0..100);
        ranges.synced(200);
        ranges.cut(150);
        assert_eq!(ranges.durable_from(100), Some(150));
        assert_eq!(ranges.durable_from(150), None);
        ranges.cut(70);
        assert_eq!(ranges.durable_from(69), Some(70));
        assert_eq!(ranges.durable_from(70), None);
        ranges.synced(90);
        assert_eq!(ranges.durable_from(70), Some(90));
    }

    #[test]
    fn ranges_read_again_grow_together() {
        let mut ranges = DurableRanges::new(1000);
        ranges.verified(0..10);
        ranges.verified(20..30);
        assert!(!ranges.covers(&(0..30)));
        ranges.verified(10..20);
        assert!(ranges.covers(&(0..30)));
        ranges.verified(5..40);
        assert!(ranges.covers(&(0..40)));
        assert!(!ranges.covers(&(0..41)));
    }

    #[test]
    fn too_many_ranges_are_forgotten_never_invented() {
        let mut ranges = DurableRanges::new(1_000_000);
        for n in 0..MAX_RANGES as u64 + 10 {
            ranges.verified(n * 10..n * 10 + 5);
            assert!(ranges.covers(&(n * 10..n * 10 + 5)));
            assert!(!ranges.covers(&(n * 10..n * 10 + 6)));
        }
        assert!(ranges.verified.len() < MAX_RANGES);
    }
}
