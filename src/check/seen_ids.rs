//! Which ids and keys a check has met, and where first.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::hint::black_box;
use std::num::NonZeroU128;

use siphasher::sip128::SipHasher13;

/// Hashes ids and keys with a key that nobody knows, so that nobody can make two of them collide.
#[derive(Clone, Copy)]
pub(crate) struct IdHasher(SipHasher13);

/// An id or key: 88 bits of its hash are kept, so that in a log of a billion records two differ by 10^-9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdHash(NonZeroU128);

/// The id_hashes, each with the first line that has it and whether some record has it as its id. Sixteen bytes for each, in an open table:
/// a line of the processor's cache for each look, and a quarter of what a `HashMap` takes.
pub(crate) struct SeenIds {
    /// The mark above, then the line, or 0 where no record has it, then whether some record names it as the one before, then whether it
    /// is an id; 0 is free. At least three in eight are.
    slots: Vec<u128>,
    count: usize,
}

/// Slots of a page of memory.
const PAGE: usize = 4096 / size_of::<u128>();
const LINE_BITS: u32 = 38;
const MAX_LINES: u64 = (1 << LINE_BITS) - 1;
const BELOW_MARK: u128 = (1 << (LINE_BITS + 2)) - 1;
const IS_EVENT_ID: u128 = 1;
const HAS_SUCCESSOR: u128 = 2;
/// The lowest mark, for the hash that would be 0.
const LOWEST: NonZeroU128 = NonZeroU128::MIN.saturating_add(BELOW_MARK);

impl IdHasher {
    pub(crate) fn new() -> IdHasher {
        let random = || RandomState::new().build_hasher().finish();
        IdHasher(SipHasher13::new_with_keys(random(), random()))
    }

    pub(crate) fn mark(&self, text: &[u8]) -> IdHash {
        IdHash::of(self.0.hash(text).as_u128())
    }
}

impl IdHash {
    fn of(hash: u128) -> IdHash {
        let hash = NonZeroU128::new(hash & !BELOW_MARK);
        IdHash(hash.unwrap_or(LOWEST))
    }
}

impl SeenIds {
    pub(crate) fn new() -> SeenIds {
        SeenIds { slots: vec![0; 1 << 10], count: 0 }
    }

    /// Brings the places of id_hashes into the processor's caches. Read one after the other, with nothing that waits for what is there, they come
    /// all at once.
    pub(crate) fn touch(&self, id_hashes: impl Iterator<Item = IdHash>) {
        let home = |mark: IdHash| self.slots.get(self.home(mark)).copied().unwrap_or_default();
        black_box(id_hashes.fold(0, |all, mark| all ^ home(mark)));
    }

    /// The first line that has it.
    pub(crate) fn line(&self, mark: IdHash) -> Option<u64> {
        let found = self.slots.get(self.place(mark)).copied().unwrap_or_default();
        let line = u64::try_from((found & BELOW_MARK) >> 2).unwrap_or_default();
        (line > 0).then_some(line)
    }

    /// Whether a record has it as its id, not only as its key.
    pub(crate) fn is_event_id(&self, mark: IdHash) -> bool {
        self.slots.get(self.place(mark)).is_some_and(|found| found & IS_EVENT_ID != 0)
    }

    /// Notes that a line has it.
    pub(crate) fn note(&mut self, mark: IdHash, line: u64, is_event_id: bool) {
        let is_noted = self.line(mark).is_some();
        self.set(mark, |slot| {
            if !is_noted {
                *slot |= u128::from(line.clamp(1, MAX_LINES)) << 2;
            }
            *slot |= if is_event_id { IS_EVENT_ID } else { 0 };
        });
    }

    /// Notes that a record names it as the one before. Says whether another one did before.
    pub(crate) fn note_successor(&mut self, mark: IdHash) -> bool {
        let mut had_one = false;
        self.set(mark, |slot| {
            had_one = *slot & HAS_SUCCESSOR != 0;
            *slot |= HAS_SUCCESSOR;
        });
        had_one
    }

    fn set(&mut self, mark: IdHash, change: impl FnOnce(&mut u128)) {
        let place = self.place(mark);
        let Some(slot) = self.slots.get_mut(place) else { return };
        self.count += usize::from(*slot == 0);
        *slot |= mark.0.get();
        change(slot);
        if self.count > self.slots.len() / 8 * 5 {
            self.grow();
        }
    }

    /// Where the search for a mark begins.
    #[inline]
    fn home(&self, mark: IdHash) -> usize {
        (mark.0.get() >> 64) as usize & (self.slots.len() - 1)
    }

    /// The slot that has the mark, or the free one for it.
    fn place(&self, mark: IdHash) -> usize {
        let mask = self.slots.len() - 1;
        let mut place = self.home(mark);
        while let Some(slot) = self.slots.get(place)
            && *slot != 0
            && *slot & !BELOW_MARK != mark.0.get()
        {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        let mut larger = vec![0; self.slots.len() * 2];
        // A page that is read before it is written is mapped twice, and the second time interrupts every thread.
        larger.iter_mut().step_by(PAGE).for_each(|slot| *slot = black_box(0));
        for slot in std::mem::replace(&mut self.slots, larger) {
            if slot != 0 {
                let place = self.place(IdHash::of(slot));
                if let Some(to) = self.slots.get_mut(place) {
                    *to = slot;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn the_first_line_of_each_mark_is_kept_while_the_table_grows() {
        let keyed = IdHasher::new();
        let mut seen = SeenIds::new();
        let mut expected = HashMap::new();
        for line in 1..200_000_u64 {
            // Many come again, as id or as key.
            let name = (line * line % 70_001).to_string();
            let is_event_id = line % 3 == 0;
            let mark = keyed.mark(name.as_bytes());
            let known = expected.entry(name).or_insert((line, false));
            let (first, is_known) = *known;
            assert_eq!(seen.line(mark), (first < line).then_some(first));
            assert_eq!(seen.is_event_id(mark), is_known);
            seen.note(mark, line, is_event_id);
            known.1 |= is_event_id;
        }
        for (name, (line, is_event_id)) in expected {
            let mark = keyed.mark(name.as_bytes());
            assert_eq!((seen.line(mark), seen.is_event_id(mark)), (Some(line), is_event_id));
        }
    }

    #[test]
    fn marks_with_the_same_place_are_told_apart() {
        let mut seen = SeenIds::new();
        let id_hashes: Vec<IdHash> = (1..=500).map(|n| IdHash::of(n << 100)).collect();
        for (line, mark) in id_hashes.iter().enumerate() {
            seen.note(*mark, line as u64 + 1, false);
        }
        for (line, mark) in id_hashes.iter().enumerate() {
            assert_eq!(seen.line(*mark), Some(line as u64 + 1));
        }
        assert_eq!(seen.line(IdHash::of(501 << 100)), None);
    }

    #[test]
    fn a_line_beyond_what_is_kept_is_told_as_the_last_one_that_is() {
        let mut seen = SeenIds::new();
        let mark = IdHasher::new().mark(b"a");
        seen.note(mark, u64::MAX, true);
        assert_eq!((seen.line(mark), seen.is_event_id(mark)), (Some(MAX_LINES), true));
    }
}
