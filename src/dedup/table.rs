//! The dedup index: a hash of every id and key in the log, and the offset of its record. It only proposes; each hit
//! is checked in the log.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::hint::black_box;

use siphasher::sip::SipHasher13;

/// Entries kept for one hash, the earliest ones: a foreign writer may repeat an id without end, and receipts
/// name the first record.
pub(crate) const MOST_PER_HASH: usize = 4;

/// The key of the hash. Random, so that crafted ids cannot collide on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keys(pub(crate) u64, pub(crate) u64);

impl Keys {
    pub(crate) fn random() -> Self {
        let random = || RandomState::new().build_hasher().finish();
        Keys(random(), random())
    }

    /// SipHash-1-3.
    pub(crate) fn hash(self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(bytes);
        hasher.finish()
    }
}

/// Tables of an index. Each grows alone, so that the old and the new one of a long log are not in memory together.
const TABLES: usize = 16;

/// The hashes and the offsets that belong to them, 16 bytes a slot: 22 to 43 bytes for an id.
#[derive(Debug, Clone)]
pub(crate) struct DedupIndex {
    tables: [Table; TABLES],
    keys: Keys,
}

/// A hash table with open addressing.
#[derive(Debug, Clone, Default)]
struct Table {
    slots: Vec<Slot>,
    used: usize,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Slot {
    pub(crate) hash: u64,
    /// Offset of the record plus one; 0 marks a free slot.
    pub(crate) place: u64,
}

impl DedupIndex {
    /// An empty index.
    pub(crate) fn new() -> Self {
        Self::with_keys(Keys::random())
    }

    /// An empty index whose hashes fit those of another one.
    pub(crate) fn with_keys(keys: Keys) -> Self {
        DedupIndex { tables: Default::default(), keys }
    }

    pub(crate) fn keys(&self) -> Keys {
        self.keys
    }

    /// Takes its entries out, in no order, and adds them to `slots`.
    pub(crate) fn drain_into(&mut self, slots: &mut Vec<Slot>) {
        slots.reserve_exact(self.tables.iter().map(|table| table.used).sum());
        for table in &mut self.tables {
            slots.extend(table.slots.iter().filter(|slot| slot.place != 0));
            table.slots.fill(Slot::default());
            table.used = 0;
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.tables = Default::default();
    }

    /// Remembers that the record at `offset` carries `id`.
    pub(crate) fn insert(&mut self, id: &[u8], offset: u64) {
        self.put(Slot { hash: self.keys.hash(id), place: offset + 1 });
    }

    /// Remembers an entry of another index with the same keys. Of equal hashes the one that stands first in the log has to come first.
    pub(crate) fn put(&mut self, slot: Slot) {
        if let Some(table) = self.tables.get_mut(table_of(slot.hash)) {
            table.insert(slot);
        }
    }

    /// Remembers names by their hashes, with the offsets of their records.
    pub(crate) fn insert_hashes(&mut self, names: impl Iterator<Item = (u64, u64)>) {
        let mut names = names.peekable();
        let mut group = [Slot::default(); 32];
        while names.peek().is_some() {
            let mut count = 0;
            let mut touched = 0;
            for (slot, (hash, offset)) in group.iter_mut().zip(names.by_ref()) {
                *slot = Slot { hash, place: offset + 1 };
                // Each place of a long index is out of the processor's caches. Read one after the other, with nothing that waits for what
                // is there, they come all at once: that halves the time of an insertion.
                touched ^= self.tables.get(table_of(hash)).map_or(0, |table| table.home(hash));
                count += 1;
            }
            black_box(touched);
            for slot in group.iter().take(count) {
                if let Some(table) = self.tables.get_mut(table_of(slot.hash)) {
                    table.insert(*slot);
                }
            }
        }
    }

    /// Makes room for so many more names, so that the tables need not be made anew for them.
    pub(crate) fn reserve(&mut self, names: usize) {
        let each = names.div_ceil(TABLES);
        for table in &mut self.tables {
            table.reserve(each + each / 32);
        }
    }

    /// The offsets of the records that may carry `id`, in file order.
    pub(crate) fn candidates(&self, id: &[u8]) -> Vec<u64> {
        let hash = self.keys.hash(id);
        let places = self.tables.get(table_of(hash)).into_iter().flat_map(|it| it.places(hash));
        let mut offsets: Vec<u64> = places.map(|place| place - 1).collect();
        offsets.sort_unstable();
        offsets
    }

    /// Forgets the records at `offset` and after it.
    pub(crate) fn truncate(&mut self, offset: u64) {
        self.keep(|place| place <= offset);
    }

    /// Forgets the records before `offset`.
    pub(crate) fn forget_before(&mut self, offset: u64) {
        self.keep(|place| place > offset);
    }

    fn keep(&mut self, wanted: impl Fn(u64) -> bool) {
        for table in &mut self.tables {
            table.keep(&wanted);
        }
    }
}

/// The low bits of a hash choose the slot, so the high ones choose the table.
fn table_of(hash: u64) -> usize {
    (hash >> (u64::BITS - TABLES.ilog2())) as usize
}

impl Table {
    fn insert(&mut self, new: Slot) {
        self.reserve(1);
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = new.hash as usize & mask;
        let mut same = 0;
        while let Some(slot) = self.slots.get_mut(at) {
            if slot.place == 0 {
                *slot = new;
                self.used += 1;
                return;
            }
            same += usize::from(slot.hash == new.hash);
            if same == MOST_PER_HASH {
                return;
            }
            at = (at + 1) & mask;
        }
    }

    fn reserve(&mut self, more: usize) {
        // A quarter stays free.
        if (self.used + more) * 4 > self.slots.len() * 3 {
            let needed = (self.used + more).saturating_mul(4).div_ceil(3);
            self.resize(needed.next_power_of_two().max(8));
        }
    }

    /// What is at the place where the search for a hash begins.
    #[inline]
    fn home(&self, hash: u64) -> u64 {
        let at = hash as usize & self.slots.len().wrapping_sub(1);
        self.slots.get(at).map_or(0, |slot| slot.place)
    }

    fn keep(&mut self, wanted: impl Fn(u64) -> bool) {
        let mut kept = std::mem::take(&mut self.slots);
        kept.retain(|slot| slot.place != 0 && wanted(slot.place));
        self.used = 0;
        if !kept.is_empty() {
            self.resize((kept.len() * 2).next_power_of_two().max(8));
        }
        for slot in kept {
            self.place(slot);
        }
    }

    fn places(&self, hash: u64) -> impl Iterator<Item = u64> {
        self.probe(hash)
            .filter_map(|at| self.slots.get(at))
            .take_while(|slot| slot.place != 0)
            .filter(move |slot| slot.hash == hash)
            .map(|slot| slot.place)
    }

    fn place(&mut self, new: Slot) {
        let free =
            self.probe(new.hash).find(|at| self.slots.get(*at).is_some_and(|slot| slot.place == 0));
        if let Some(slot) = free.and_then(|at| self.slots.get_mut(at)) {
            *slot = new;
            self.used += 1;
        }
    }

    fn probe(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let size = self.slots.len();
        let mask = size.wrapping_sub(1);
        let start = hash as usize;
        (0..size).map(move |step| start.wrapping_add(step) & mask)
    }

    fn resize(&mut self, size: usize) {
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); size]);
        self.used = 0;
        for slot in old.into_iter().filter(|slot| slot.place != 0) {
            self.place(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_inserted_id_is_found_and_no_other() {
        let mut index = DedupIndex::new();
        for n in 0..10_000_u64 {
            index.insert(format!("id-{n}").as_bytes(), n * 10);
        }
        for n in 0..10_000_u64 {
            assert_eq!(index.candidates(format!("id-{n}").as_bytes()), [n * 10]);
        }
        let strangers =
            (0..10_000).filter(|n| !index.candidates(format!("x-{n}").as_bytes()).is_empty());
        assert_eq!(strangers.count(), 0);
    }

    #[test]
    fn no_two_indexes_hash_alike_so_that_nobody_can_choose_ids_that_collide() {
        let [one, other] = [DedupIndex::new(), DedupIndex::new()];
        assert_ne!(one.keys(), other.keys());
        assert_ne!(one.keys().hash(b"id"), other.keys().hash(b"id"));
    }

    #[test]
    fn a_repeated_id_keeps_its_first_records_and_stays_cheap() {
        let mut index = DedupIndex::new();
        for n in 0..100_000_u64 {
            index.insert(b"same", n);
        }
        assert_eq!(index.candidates(b"same"), [0, 1, 2, 3]);
    }

    #[test]
    fn candidates_stand_in_file_order_however_often_the_table_was_made_anew() {
        let mut index = DedupIndex::with_keys(Keys(1, 2));
        for n in 0..6_000_u64 {
            index.insert(format!("id-{}", n % 2_000).as_bytes(), n);
        }
        index.truncate(5_999);
        for n in 0..1_999_u64 {
            let expected = [n, n + 2_000, n + 4_000];
            assert_eq!(index.candidates(format!("id-{n}").as_bytes()), expected);
        }
    }

    #[test]
    fn truncating_forgets_only_what_lies_behind() {
        let mut index = DedupIndex::new();
        for n in 0..1_000_u64 {
            index.insert(format!("id-{n}").as_bytes(), n);
        }
        index.truncate(500);
        for n in 0..1_000_u64 {
            let expected: &[u64] = if n < 500 { &[n] } else { &[] };
            assert_eq!(index.candidates(format!("id-{n}").as_bytes()), expected);
        }
    }
}
