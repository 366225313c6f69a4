//! A run of a side index: the entries of one range of the log, sorted by hash, in blocks.
//! `FORMAT.md` has the layout.
//!
//! Header and meta are checked when the run is loaded, a block when it is read.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::dedup::scan_state::{ScanState, SparseEntry};
use crate::dedup::table::{Entry, HashKey, MAX_PER_HASH};
use crate::event::Id;
use crate::os;
use crate::storage::Stat;

const MAGIC: &[u8; 8] = b"SAGECHIX";
const VERSION: u64 = 2;
const BLOCK_BYTES: usize = 4096;
const ENTRY_BYTES: usize = 16;
const ENTRIES_PER_BLOCK: usize = (BLOCK_BYTES - ENTRY_BYTES) / ENTRY_BYTES;
const CHECKED_BYTES: usize = ENTRIES_PER_BLOCK * ENTRY_BYTES;
const DIGEST_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + 11 * 8 + 2 * DIGEST_BYTES;
/// Ids, record numbers and directory of a run that is worth loading.
const MAX_META_BYTES: u64 = 1 << 30;

/// A run whose header and meta are complete.
#[derive(Debug)]
pub(crate) struct SortedRun {
    /// The range of the log.
    pub(crate) covers: Range<u64>,
    /// Records of the log before the end of the range.
    pub(crate) records: u64,
    pub(crate) keys: HashKey,
    /// Contains digests of the header and of meta: no two runs have the same header.
    pub(crate) header: [u8; HEADER_BYTES],
    /// The range of the run in the file.
    pub(crate) place: Range<u64>,
    salt: u64,
    /// The first hash of each block.
    directory: Vec<u64>,
    /// The filter of each block whose checksum was verified. Complete blocks are never rewritten,
    /// and a check takes three times as long as a read.
    filters: Vec<Option<Box<BloomFilter>>>,
}

/// Bloom filter, three bits per hash, 3 % false positives. Spares most new ids a block read, a
/// quarter of the writer's time in batches. A filter takes 264 bytes, once its block was read.
#[derive(Debug)]
struct BloomFilter {
    bits: [u64; 32],
    /// The verified checksum. Another checksum means another block, of a run that replaced this
    /// one.
    checksum: u64,
}

/// What a run states about the log at the end of its range.
pub(crate) struct RunSummary {
    pub(crate) tail_id: Option<Id>,
    pub(crate) last_id: Option<Id>,
    /// The record numbers of its range.
    pub(crate) sparse: Vec<SparseEntry>,
    /// SHA-256 of the last bytes covered.
    pub(crate) tail_digest: Vec<u8>,
}

/// What a run is to contain.
pub(crate) struct RunContents<'a> {
    pub(crate) stat: Stat,
    pub(crate) from: u64,
    pub(crate) scan_state: &'a ScanState,
    pub(crate) sparse: &'a [SparseEntry],
    pub(crate) keys: HashKey,
}

impl SortedRun {
    /// Reads the run at `at` in a file of `length` bytes, if it is complete and about the log
    /// `stat`.
    pub(crate) fn read(
        file: &File,
        at: u64,
        length: u64,
        stat: &Stat,
    ) -> Option<(SortedRun, RunSummary)> {
        let mut header = [0; HEADER_BYTES];
        os::read_exact_at(file, &mut header, at).ok()?;
        let mut fields = Fields(&header);
        if fields.take(MAGIC.len())? != MAGIC || fields.number()? != VERSION {
            return None;
        }
        let bound = [fields.number()?, fields.number()?];
        let [end, records, blocks, meta_length] =
            [fields.number()?, fields.number()?, fields.number()?, fields.number()?];
        let keys = HashKey(fields.number()?, fields.number()?);
        let [start, salt] = [fields.number()?, fields.number()?];
        let tail_digest = fields.take(DIGEST_BYTES)?.to_vec();
        let digest = fields.take(DIGEST_BYTES)?;
        // Nothing is checked yet: the number can be any.
        let blocks_length = blocks.checked_add(1)?.checked_mul(BLOCK_BYTES as u64)?;
        let meta_at = at.checked_add(blocks_length)?;
        let place = at..meta_at.checked_add(meta_length)?;
        let fits = bound == [stat.device, stat.inode]
            && meta_length <= MAX_META_BYTES
            && place.end <= length;
        if !fits {
            return None;
        }
        let mut meta = vec![0; usize::try_from(meta_length).ok()?];
        os::read_exact_at(file, &mut meta, meta_at).ok()?;
        let signed = header.get(..HEADER_BYTES - DIGEST_BYTES)?;
        if Sha256::new().chain_update(signed).chain_update(&meta).finalize()[..] != *digest {
            return None;
        }
        let mut fields = Fields(&meta);
        let tail_id = fields.id()?;
        let last_id = fields.id()?;
        let sparse = (0..fields.number()?)
            .map(|_| Some(SparseEntry { offset: fields.number()?, records: fields.number()? }))
            .collect::<Option<Vec<SparseEntry>>>()?;
        let directory = (0..blocks).map(|_| fields.number()).collect::<Option<Vec<u64>>>()?;
        // Version 0.1.0 wrote NULs or nothing here, and reads nothing.
        let born = fields.number().filter(|born| *born > 0);
        if born.is_some_and(|born| stat.born.is_some_and(|here| here != born)) {
            return None;
        }
        let filters = directory.iter().map(|_| None).collect();
        let covers = start..end;
        let part = SortedRun { covers, records, keys, header, place, salt, directory, filters };
        Some((part, RunSummary { tail_id, last_id, sparse, tail_digest }))
    }

    /// Adds the offsets of the records that may have an id with this hash, in file order.
    pub(crate) fn find(&mut self, file: &File, hash: u64, found: &mut Vec<u64>) -> io::Result<()> {
        let after = self.directory.partition_point(|first| *first < hash);
        let mut bytes = [0; BLOCK_BYTES];
        for at in after.saturating_sub(1)..self.directory.len() {
            if self.directory.get(at).is_some_and(|first| *first > hash) {
                break;
            }
            let filter = self.filters.get(at).and_then(Option::as_ref);
            if filter.is_some_and(|filter| !filter.may_have(hash)) {
                continue;
            }
            let known = filter.map(|filter| filter.checksum);
            let checksum = self.read_block(file, at as u64, &mut bytes, known)?;
            if let Some(filter) = self.filters.get_mut(at).filter(|_| known.is_none()) {
                *filter = Some(Box::new(BloomFilter::of(&bytes, checksum)));
            }
            let same = entries_of(&bytes).skip_while(|entry| entry.hash < hash);
            found.extend(
                same.take_while(|entry| entry.hash == hash).map(|entry| entry.offset_plus_one - 1),
            );
        }
        Ok(())
    }

    /// Calls `take` with each entry in order.
    pub(crate) fn each(
        &self,
        file: &File,
        mut take: impl FnMut(Entry) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut bytes = [0; BLOCK_BYTES];
        for at in 0..self.directory.len() as u64 {
            self.read_block(file, at, &mut bytes, None)?;
            entries_of(&bytes).try_for_each(&mut take)?;
        }
        Ok(())
    }

    /// An upper bound on the entries.
    pub(crate) fn most_entries(&self) -> usize {
        self.directory.len() * ENTRIES_PER_BLOCK
    }

    /// Takes over the filters of the same run.
    pub(crate) fn checked_like(&mut self, other: &mut SortedRun) {
        if self.header == other.header {
            self.filters = std::mem::take(&mut other.filters);
        }
    }

    /// Reads a block and returns its checksum. The checksum is verified unless it is the known one.
    fn read_block(
        &self,
        file: &File,
        at: u64,
        bytes: &mut [u8; BLOCK_BYTES],
        known: Option<u64>,
    ) -> io::Result<u64> {
        os::read_exact_at(file, bytes, self.place.start + BLOCK_BYTES as u64 * (1 + at))?;
        let (entries, trailer) = bytes.split_at(CHECKED_BYTES);
        let there = Fields(trailer).number().unwrap_or_default();
        if known == Some(there) || there == checksum(self.keys, self.salt, at, entries) {
            return Ok(there);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "a block of the side index is damaged"))
    }
}

impl BloomFilter {
    fn of(block: &[u8; BLOCK_BYTES], checksum: u64) -> Self {
        let mut filter = BloomFilter { bits: [0; 32], checksum };
        for (word, bit) in entries_of(block).flat_map(|entry| Self::bits(entry.hash)) {
            if let Some(bits) = filter.bits.get_mut(word) {
                *bits |= bit;
            }
        }
        filter
    }

    fn may_have(&self, hash: u64) -> bool {
        let is_set = |(word, bit)| self.bits.get(word).is_some_and(|bits| bits & bit != 0);
        Self::bits(hash).all(is_set)
    }

    /// Uses the low bits: the high ones are nearly the same in a whole block.
    fn bits(hash: u64) -> impl Iterator<Item = (usize, u64)> {
        [hash, hash >> 11, hash >> 22].into_iter().map(|bits| {
            let (word, bit) = (bits / 64 % 32, bits % 64);
            (word as usize, 1 << bit)
        })
    }
}

/// Writes a run at `at` except its header, which is returned: without a header there is no run.
/// `fill` adds the entries, sorted by hash and offset.
pub(crate) fn write(
    mut file: &File,
    at: u64,
    covered: &RunContents<'_>,
    fill: impl FnOnce(&mut BlockWriter<'_>) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at + BLOCK_BYTES as u64))?;
    let keys = covered.keys;
    let HashKey(salt, _) = HashKey::random();
    let out = io::BufWriter::with_capacity(1 << 18, file);
    let directory = Vec::new();
    let mut blocks = BlockWriter { keys, salt, directory, held: Vec::new(), last: (0, 0), out };
    fill(&mut blocks)?;
    blocks.end()?;
    let BlockWriter { directory, mut out, .. } = blocks;

    let mut meta = Vec::new();
    let scan_state = covered.scan_state;
    for id in [&scan_state.tail_id, &scan_state.last_id] {
        let bytes = id.as_ref().map_or(&[][..], Id::as_bytes);
        number(&mut meta, bytes.len() as u64);
        meta.extend_from_slice(bytes);
    }
    number(&mut meta, covered.sparse.len() as u64);
    for entry in covered.sparse {
        number(&mut meta, entry.offset);
        number(&mut meta, entry.records);
    }
    for first in &directory {
        number(&mut meta, *first);
    }
    number(&mut meta, covered.stat.born.unwrap_or_default());
    meta.resize(meta.len().next_multiple_of(BLOCK_BYTES), 0);
    out.write_all(&meta)?;
    out.flush()?;

    let mut header = MAGIC.to_vec();
    let numbers = [
        VERSION,
        covered.stat.device,
        covered.stat.inode,
        scan_state.offset,
        scan_state.records,
        directory.len() as u64,
        meta.len() as u64,
        keys.0,
        keys.1,
        covered.from,
        salt,
    ];
    numbers.into_iter().for_each(|value| number(&mut header, value));
    header.extend_from_slice(&Sha256::digest(scan_state.tail_bytes()));
    let digest = Sha256::new().chain_update(&header).chain_update(&meta).finalize();
    header.extend_from_slice(&digest);
    Ok(header)
}

/// Collects entries into blocks.
pub(crate) struct BlockWriter<'a> {
    keys: HashKey,
    salt: u64,
    directory: Vec<u64>,
    held: Vec<u8>,
    /// The last hash and how often it occurred.
    last: (u64, usize),
    out: io::BufWriter<&'a File>,
}

impl BlockWriter<'_> {
    pub(crate) fn put(&mut self, entry: Entry) -> io::Result<()> {
        let times = if entry.hash == self.last.0 { self.last.1 + 1 } else { 1 };
        self.last = (entry.hash, times);
        if times > MAX_PER_HASH {
            return Ok(());
        }
        if self.held.is_empty() {
            self.directory.push(entry.hash);
        }
        number(&mut self.held, entry.hash);
        number(&mut self.held, entry.offset_plus_one);
        if self.held.len() == CHECKED_BYTES { self.end() } else { Ok(()) }
    }

    fn end(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.held.resize(CHECKED_BYTES, 0);
        let at = self.directory.len() as u64 - 1;
        let sum = checksum(self.keys, self.salt, at, &self.held);
        number(&mut self.held, sum);
        self.held.resize(BLOCK_BYTES, 0);
        self.out.write_all(&self.held)?;
        self.held.clear();
        Ok(())
    }
}

/// The entries of a block, sorted by hash.
fn entries_of(block: &[u8; BLOCK_BYTES]) -> impl Iterator<Item = Entry> {
    let (entries, _) = block.as_chunks::<ENTRY_BYTES>();
    let entry = |bytes: &[u8; ENTRY_BYTES]| {
        let mut fields = Fields(bytes);
        Entry {
            hash: fields.number().unwrap_or_default(),
            offset_plus_one: fields.number().unwrap_or_default(),
        }
    };
    entries.iter().take(ENTRIES_PER_BLOCK).map(entry).take_while(|entry| entry.offset_plus_one != 0)
}

/// Each run has its own salt. A process that knew the run before at this place rejects the blocks
/// of the new one.
fn checksum(keys: HashKey, salt: u64, at: u64, entries: &[u8]) -> u64 {
    HashKey(keys.0 ^ salt, keys.1 ^ at).hash(entries)
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Little-endian fields, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn id(&mut self) -> Option<Option<Id>> {
        let length = usize::try_from(self.number()?).ok()?;
        Some(Id::new(self.take(length)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_lets_every_hash_of_its_block_pass_and_few_others() {
        let hash = |n: u64| HashKey(1, 2).hash(&n.to_le_bytes());
        let mut block = Vec::new();
        for n in 0..ENTRIES_PER_BLOCK as u64 {
            number(&mut block, hash(n));
            number(&mut block, n + 1);
        }
        block.resize(BLOCK_BYTES, 0);
        let filter = BloomFilter::of(block.as_slice().try_into().unwrap(), 0);
        assert!((0..ENTRIES_PER_BLOCK as u64).all(|n| filter.may_have(hash(n))));
        let others = (1_000..11_000).filter(|n| filter.may_have(hash(*n))).count();
        assert!((1..600).contains(&others), "{others} of 10,000");
    }

    #[test]
    fn a_block_of_another_run_at_the_same_place_is_rejected_however_often_this_one_was_read() {
        let file = tempfile::tempfile().unwrap();
        let stat = Stat { device: 1, inode: 2, length: 100, links: 1, born: Some(3) };
        let scan_state = ScanState::new(100, 1, None, None, Vec::new());
        let keys = HashKey(5, 6);
        let entry = |offset_plus_one| Entry { hash: 7, offset_plus_one };
        let put = |place| {
            let covered = RunContents { stat, from: 0, scan_state: &scan_state, sparse: &[], keys };
            let header = write(&file, 0, &covered, |blocks| blocks.put(entry(place))).unwrap();
            os::write_all_at(&file, &header, 0).unwrap();
        };
        put(1);
        let length = file.metadata().unwrap().len();
        let (mut part, _) = SortedRun::read(&file, 0, length, &stat).unwrap();
        for _ in 0..3 {
            let mut found = Vec::new();
            part.find(&file, 7, &mut found).unwrap();
            assert_eq!(found, [0]);
        }
        put(50);
        let error = part.find(&file, 7, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);

        // The birth time of the log is compared where both have one.
        for (born, fits) in [(Some(3), true), (None, true), (Some(4), false)] {
            let read = SortedRun::read(&file, 0, length, &Stat { born, ..stat });
            assert_eq!(read.is_some(), fits, "{born:?}");
        }
    }
}
