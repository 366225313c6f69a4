//! The dedup index: a hash of every id and key in the log, and the offset of its record. It only
//! proposes: each hit is checked in the log.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::hint::black_box;

use siphasher::sip::SipHasher13;

/// Entries kept for one hash, the earliest ones. A foreign writer may repeat an id without end, and
/// receipts name the first record.
pub(crate) const MAX_PER_HASH: usize = 4;

/// The key of the hash. It is random, so that nobody can craft ids that collide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HashKey(pub(crate) u64, pub(crate) u64);

impl HashKey {
    pub(crate) fn random() -> Self {
        let random = || RandomState::new().build_hasher().finish();
        HashKey(random(), random())
    }

    /// SipHash-1-3.
    pub(crate) fn hash(self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(bytes);
        hasher.finish()
    }
}

/// The number of tables in an index. Each grows alone, so that the old and the new memory of a long
/// log do not exist together.
const TABLES: usize = 16;

/// Hashes with the offsets of their records: 16 bytes for an entry, 22 to 43 bytes for an id.
#[derive(Debug, Clone)]
pub(crate) struct DedupIndex {
    tables: [Table; TABLES],
    keys: HashKey,
}

/// A hash table with open addressing.
#[derive(Debug, Clone, Default)]
struct Table {
    entries: Vec<Entry>,
    used: usize,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry {
    pub(crate) hash: u64,
    /// The offset of the record plus one; 0 means a free entry.
    pub(crate) offset_plus_one: u64,
}

impl DedupIndex {
    /// An empty index.
    pub(crate) fn new() -> Self {
        Self::with_keys(HashKey::random())
    }

    /// An empty index whose hashes have the same key as another one's.
    pub(crate) fn with_keys(keys: HashKey) -> Self {
        DedupIndex { tables: Default::default(), keys }
    }

    pub(crate) fn keys(&self) -> HashKey {
        self.keys
    }

    /// Moves its entries, in no order, to `entries`.
    pub(crate) fn drain_into(&mut self, entries: &mut Vec<Entry>) {
        entries.reserve_exact(self.tables.iter().map(|table| table.used).sum());
        for table in &mut self.tables {
            entries.extend(table.entries.iter().filter(|entry| entry.offset_plus_one != 0));
            table.entries.fill(Entry::default());
            table.used = 0;
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.tables = Default::default();
    }

    /// Adds the record at `offset`, which carries `id`.
    pub(crate) fn insert(&mut self, id: &[u8], offset: u64) {
        self.put(Entry { hash: self.keys.hash(id), offset_plus_one: offset + 1 });
    }

    /// Adds an entry of another index with the same key. Of equal hashes the entry of the earlier
    /// record must come first.
    pub(crate) fn put(&mut self, entry: Entry) {
        if let Some(table) = self.tables.get_mut(table_of(entry.hash)) {
            table.insert(entry);
        }
    }

    /// Adds ids by their hashes, with the offsets of their records.
    pub(crate) fn insert_hashes(&mut self, names: impl Iterator<Item = (u64, u64)>) {
        let mut names = names.peekable();
        let mut group = [Entry::default(); 32];
        while names.peek().is_some() {
            let mut count = 0;
            let mut touched = 0;
            for (entry, (hash, offset)) in group.iter_mut().zip(names.by_ref()) {
                *entry = Entry { hash, offset_plus_one: offset + 1 };
                // Each entry of a long index is outside the processor's caches. Reads that do not
                // depend on each other run concurrently, which halves the time of an insertion.
                touched ^= self.tables.get(table_of(hash)).map_or(0, |table| table.home(hash));
                count += 1;
            }
            black_box(touched);
            for entry in group.iter().take(count) {
                if let Some(table) = self.tables.get_mut(table_of(entry.hash)) {
                    table.insert(*entry);
                }
            }
        }
    }

    /// Reserves room for more ids, so that the tables do not grow step by step.
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

    /// Removes the records at `offset` and after it.
    pub(crate) fn truncate(&mut self, offset: u64) {
        self.keep(|place| place <= offset);
    }

    /// Removes the records before `offset`.
    pub(crate) fn forget_before(&mut self, offset: u64) {
        self.keep(|place| place > offset);
    }

    fn keep(&mut self, wanted: impl Fn(u64) -> bool) {
        for table in &mut self.tables {
            table.keep(&wanted);
        }
    }
}

/// The low bits of a hash choose the entry, the high ones the table.
fn table_of(hash: u64) -> usize {
    (hash >> (u64::BITS - TABLES.ilog2())) as usize
}

impl Table {
    fn insert(&mut self, new: Entry) {
        self.reserve(1);
        let mask = self.entries.len().wrapping_sub(1);
        let mut at = new.hash as usize & mask;
        let mut same = 0;
        while let Some(entry) = self.entries.get_mut(at) {
            if entry.offset_plus_one == 0 {
                *entry = new;
                self.used += 1;
                return;
            }
            same += usize::from(entry.hash == new.hash);
            if same == MAX_PER_HASH {
                return;
            }
            at = (at + 1) & mask;
        }
    }

    fn reserve(&mut self, more: usize) {
        // A quarter stays free.
        if (self.used + more) * 4 > self.entries.len() * 3 {
            let needed = (self.used + more).saturating_mul(4).div_ceil(3);
            self.resize(needed.next_power_of_two().max(8));
        }
    }

    /// The entry at which the search for a hash begins.
    #[inline]
    fn home(&self, hash: u64) -> u64 {
        let at = hash as usize & self.entries.len().wrapping_sub(1);
        self.entries.get(at).map_or(0, |entry| entry.offset_plus_one)
    }

    fn keep(&mut self, wanted: impl Fn(u64) -> bool) {
        let mut kept = std::mem::take(&mut self.entries);
        kept.retain(|entry| entry.offset_plus_one != 0 && wanted(entry.offset_plus_one));
        self.used = 0;
        if !kept.is_empty() {
            self.resize((kept.len() * 2).next_power_of_two().max(8));
        }
        for entry in kept {
            self.place(entry);
        }
    }

    fn places(&self, hash: u64) -> impl Iterator<Item = u64> {
        self.probe(hash)
            .filter_map(|at| self.entries.get(at))
            .take_while(|entry| entry.offset_plus_one != 0)
            .filter(move |entry| entry.hash == hash)
            .map(|entry| entry.offset_plus_one)
    }

    fn place(&mut self, new: Entry) {
        let free = self
            .probe(new.hash)
            .find(|at| self.entries.get(*at).is_some_and(|entry| entry.offset_plus_one == 0));
        if let Some(entry) = free.and_then(|at| self.entries.get_mut(at)) {
            *entry = new;
            self.used += 1;
        }
    }

    fn probe(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let size = self.entries.len();
        let mask = size.wrapping_sub(1);
        let start = hash as usize;
        (0..size).map(move |step| start.wrapping_add(step) & mask)
    }

    fn resize(&mut self, size: usize) {
        let old = std::mem::replace(&mut self.entries, vec![Entry::default(); size]);
        self.used = 0;
        for entry in old.into_iter().filter(|entry| entry.offset_plus_one != 0) {
            self.place(entry);
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
    fn candidates_are_in_file_order_however_often_the_table_was_rebuilt() {
        let mut index = DedupIndex::with_keys(HashKey(1, 2));
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
