//! The ids and keys that a check has read, each with its first line.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::hint::black_box;
use std::num::NonZeroU128;

use siphasher::sip128::SipHasher13;

/// Hashes ids and keys with a random key, so that no two can be made to collide.
#[derive(Clone, Copy)]
pub(crate) struct IdHasher(SipHasher13);

/// 88 bits of the hash of an id or key. In a log of a billion records, two collide with a
/// probability of 10^-9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdHash(NonZeroU128);

/// The hashes, each with its first line and whether it is an event id.
///
/// An open table of 16 bytes a hash: one cache line for each look-up, and a quarter of the memory
/// of a `HashMap`.
pub(crate) struct SeenIds {
    /// Hash, then first line (0 if none), then "has a successor", then "is an event id"; 0 is free.
    ///
    /// At least three of eight slots are free.
    slots: Vec<u128>,
    count: usize,
}

/// Slots of a page of memory.
const PAGE: usize = 4096 / size_of::<u128>();
const LINE_BITS: u32 = 38;
const MAX_LINES: u64 = (1 << LINE_BITS) - 1;
const BELOW_HASH: u128 = (1 << (LINE_BITS + 2)) - 1;
const IS_EVENT_ID: u128 = 1;
const HAS_SUCCESSOR: u128 = 2;
/// The lowest hash, in place of 0.
const LOWEST: NonZeroU128 = NonZeroU128::MIN.saturating_add(BELOW_HASH);

impl IdHasher {
    pub(crate) fn new() -> IdHasher {
        let random = || RandomState::new().build_hasher().finish();
        IdHasher(SipHasher13::new_with_keys(random(), random()))
    }

    pub(crate) fn hash(&self, text: &[u8]) -> IdHash {
        IdHash::of(self.0.hash(text).as_u128())
    }
}

impl IdHash {
    fn of(hash: u128) -> IdHash {
        let hash = NonZeroU128::new(hash & !BELOW_HASH);
        IdHash(hash.unwrap_or(LOWEST))
    }
}

impl SeenIds {
    pub(crate) fn new() -> SeenIds {
        SeenIds { slots: vec![0; 1 << 10], count: 0 }
    }

    /// Prefetches the slots of the hashes into the processor's caches.
    ///
    /// No read depends on the one before, so the processor overlaps them.
    pub(crate) fn touch(&self, id_hashes: impl Iterator<Item = IdHash>) {
        let home =
            |id_hash: IdHash| self.slots.get(self.home(id_hash)).copied().unwrap_or_default();
        black_box(id_hashes.fold(0, |all, id_hash| all ^ home(id_hash)));
    }

    /// The first line with the hash.
    pub(crate) fn line(&self, id_hash: IdHash) -> Option<u64> {
        let found = self.slots.get(self.place(id_hash)).copied().unwrap_or_default();
        let line = u64::try_from((found & BELOW_HASH) >> 2).unwrap_or_default();
        (line > 0).then_some(line)
    }

    /// Whether a record has it as its event id, not only as its key.
    pub(crate) fn is_event_id(&self, id_hash: IdHash) -> bool {
        self.slots.get(self.place(id_hash)).is_some_and(|found| found & IS_EVENT_ID != 0)
    }

    /// Adds a line with the hash.
    pub(crate) fn note(&mut self, id_hash: IdHash, line: u64, is_event_id: bool) {
        let is_noted = self.line(id_hash).is_some();
        self.set(id_hash, |slot| {
            if !is_noted {
                *slot |= u128::from(line.clamp(1, MAX_LINES)) << 2;
            }
            *slot |= if is_event_id { IS_EVENT_ID } else { 0 };
        });
    }

    /// Notes that a record has it as its `prevEventId`. Returns whether an earlier one had.
    pub(crate) fn note_successor(&mut self, id_hash: IdHash) -> bool {
        let mut had_one = false;
        self.set(id_hash, |slot| {
            had_one = *slot & HAS_SUCCESSOR != 0;
            *slot |= HAS_SUCCESSOR;
        });
        had_one
    }

    fn set(&mut self, id_hash: IdHash, change: impl FnOnce(&mut u128)) {
        let place = self.place(id_hash);
        let Some(slot) = self.slots.get_mut(place) else { return };
        self.count += usize::from(*slot == 0);
        *slot |= id_hash.0.get();
        change(slot);
        if self.count > self.slots.len() / 8 * 5 {
            self.grow();
        }
    }

    /// The slot where the search for a hash begins.
    #[inline]
    fn home(&self, id_hash: IdHash) -> usize {
        (id_hash.0.get() >> 64) as usize & (self.slots.len() - 1)
    }

    /// The slot of the hash, or the free slot for it.
    fn place(&self, id_hash: IdHash) -> usize {
        let mask = self.slots.len() - 1;
        let mut place = self.home(id_hash);
        while let Some(slot) = self.slots.get(place)
            && *slot != 0
            && *slot & !BELOW_HASH != id_hash.0.get()
        {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        let mut larger = vec![0; self.slots.len() * 2];
        // A page that is read before it is written is mapped twice, and the second time interrupts
        // every thread.
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
    fn the_first_line_of_each_id_is_kept_while_the_table_grows() {
        let hasher = IdHasher::new();
        let mut seen = SeenIds::new();
        let mut expected = HashMap::new();
        for line in 1..200_000_u64 {
            // Many names repeat, as id or as key.
            let name = (line * line % 70_001).to_string();
            let is_event_id = line % 3 == 0;
            let id_hash = hasher.hash(name.as_bytes());
            let known = expected.entry(name).or_insert((line, false));
            let (first, is_known) = *known;
            assert_eq!(seen.line(id_hash), (first < line).then_some(first));
            assert_eq!(seen.is_event_id(id_hash), is_known);
            seen.note(id_hash, line, is_event_id);
            known.1 |= is_event_id;
        }
        for (name, (line, is_event_id)) in expected {
            let id_hash = hasher.hash(name.as_bytes());
            assert_eq!((seen.line(id_hash), seen.is_event_id(id_hash)), (Some(line), is_event_id));
        }
    }

    #[test]
    fn hashes_with_the_same_place_are_distinguished() {
        let mut seen = SeenIds::new();
        let id_hashes: Vec<IdHash> = (1..=500).map(|n| IdHash::of(n << 100)).collect();
        for (line, id_hash) in id_hashes.iter().enumerate() {
            seen.note(*id_hash, line as u64 + 1, false);
        }
        for (line, id_hash) in id_hashes.iter().enumerate() {
            assert_eq!(seen.line(*id_hash), Some(line as u64 + 1));
        }
        assert_eq!(seen.line(IdHash::of(501 << 100)), None);
    }

    #[test]
    fn a_line_beyond_what_is_kept_is_reported_as_the_last_one_that_is() {
        let mut seen = SeenIds::new();
        let id_hash = IdHasher::new().hash(b"a");
        seen.note(id_hash, u64::MAX, true);
        assert_eq!((seen.line(id_hash), seen.is_event_id(id_hash)), (Some(MAX_LINES), true));
    }
}
