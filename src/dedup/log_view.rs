//! A writer's view of the log: the dedup index, how far it reaches, and the number of each record.
//!
//! Nothing in the view holds after the lock was released. [`LogView::catch_up`] comes first each
//! time.

use std::io;

use crate::dedup::chunk_summary::ChunkSummary;
use crate::dedup::index_file::SideIndex;
use crate::dedup::lookup::{self, FoundRecord, NewRecord, OpenRecord};
use crate::dedup::parallel_scan;
use crate::dedup::scan_state::{ScanState, SparseEntry};
use crate::dedup::table::{DedupIndex, Entry, HashKey};
use crate::event::Id;
use crate::record::classify::{self, Tail};
use crate::record::lines::{LineChunk, LineReader};
use crate::storage::Storage;

/// Distance between the record numbers that are kept. Numbers between them are counted on demand.
const SPARSE_EVERY_BYTES: u64 = 32 * 1024;
/// After this many look-ups the runs of the side index are loaded into memory. Each look-up reads a
/// block of every run, as long as loading a hundred entries takes. A process that appends a few
/// events never loads any.
const MAX_LOOKUPS_IN_RUNS: u32 = 32;
/// A scan of at least this length uses two threads. A shorter one is over before the other thread
/// is awake.
const MIN_PARALLEL_SCAN_BYTES: u64 = 1 << 20;
/// Entries to reserve at most: the rest of the log may differ from the beginning.
const MAX_RESERVED_ENTRIES: usize = 1 << 20;

/// The bytes behind the last newline.
#[derive(Debug, Default)]
pub(crate) struct OpenTail {
    /// In bytes; 0 if the file ends with a newline.
    pub(crate) length: u64,
    /// The record in the tail, if it is one.
    pub(crate) record: Option<OpenRecord>,
}

/// The result of a catch-up.
#[derive(Debug, Default)]
pub(crate) struct CaughtUp {
    pub(crate) tail: OpenTail,
    /// The view did not match the file, which was scanned from its beginning.
    pub(crate) restarted: bool,
}

/// A writer's view of one log.
#[derive(Debug)]
pub(crate) struct LogView {
    /// The records from `in_memory_from` on.
    index: DedupIndex,
    /// Records before this offset are in the side index.
    in_memory_from: u64,
    /// Boxed, because a process may have ten thousand writers, most of them of short logs.
    side: Option<Box<SideIndex>>,
    /// Look-ups that read runs of the side index.
    lookups: u32,
    side_failed: bool,
    scan_state: ScanState,
    sparse: Vec<SparseEntry>,
    /// The place of the last count. The duplicates of a repeated batch are in order.
    last_counted: SparseEntry,
}

impl Default for LogView {
    fn default() -> Self {
        LogView::new()
    }
}

impl LogView {
    pub(crate) fn new() -> Self {
        LogView {
            index: DedupIndex::new(),
            in_memory_from: 0,
            side: None,
            lookups: 0,
            side_failed: false,
            scan_state: ScanState::default(),
            sparse: Vec::new(),
            last_counted: SparseEntry::default(),
        }
    }

    /// The view of a side index, to be extended by a scan.
    pub(crate) fn from_side(side: SideIndex) -> Self {
        LogView {
            index: DedupIndex::with_keys(side.keys()),
            in_memory_from: side.scan_state().offset,
            lookups: 0,
            scan_state: side.scan_state().clone(),
            sparse: side.sparse().to_vec(),
            side: Some(Box::new(side)),
            side_failed: false,
            last_counted: SparseEntry::default(),
        }
    }

    /// Installs a side index for the prefix that it covers. False, and nothing changes, if it does
    /// not match the view. Only the entries that its table covers leave the memory.
    pub(crate) fn install_index(
        &mut self,
        storage: &dyn Storage,
        mut side: SideIndex,
    ) -> io::Result<bool> {
        let covered = side.scan_state();
        if covered.offset > self.scan_state.offset
            || covered.offset < self.in_memory_from
            || self.seq_of(storage, covered.offset)? != covered.records + 1
        {
            return Ok(false);
        }
        if let Some(before) = &mut self.side {
            side.checked_like(before);
        }
        if side.table_end() > self.in_memory_from {
            self.in_memory_from = side.table_end();
            self.index.forget_before(self.in_memory_from);
        }
        self.side = Some(Box::new(side));
        Ok(true)
    }

    /// Loads the runs of the side index into memory.
    fn load_runs(&mut self) -> io::Result<()> {
        let Some(side) = &self.side else { return Ok(()) };
        let mut later = Vec::new();
        self.index.drain_into(&mut later);
        later.sort_unstable_by_key(|entry| entry.offset_plus_one);
        side.each_of_runs(self.in_memory_from, |entry| {
            self.index.put(entry);
            Ok(())
        })?;
        later.into_iter().for_each(|entry| self.index.put(entry));
        self.in_memory_from = side.table_end();
        Ok(())
    }

    /// Closes the descriptor of the side index.
    pub(crate) fn close_side(&mut self) {
        if let Some(side) = &mut self.side {
            side.close();
        }
    }

    /// Opens the side index again. False: it is gone, and its entries are unknown.
    pub(crate) fn reopen_side(&mut self) -> bool {
        self.side.as_mut().is_none_or(|side| side.reopen())
    }

    /// The end of the side index in the log.
    pub(crate) fn covered(&self) -> u64 {
        self.side.as_ref().map_or(0, |side| side.scan_state().offset)
    }

    /// The side index could not be read, and its entries are unknown.
    pub(crate) fn side_failed(&self) -> bool {
        self.side_failed
    }

    /// The side index that could not be read.
    pub(crate) fn failed_side(&self) -> Option<&SideIndex> {
        self.side.as_deref().filter(|_| self.side_failed)
    }

    /// Moves the entries behind the side index to `entries`.
    pub(crate) fn drain_into(&mut self, entries: &mut Vec<Entry>) {
        self.index.drain_into(entries);
    }

    /// The side index of the view.
    pub(crate) fn into_side(self) -> Option<SideIndex> {
        self.side.map(|side| *side)
    }

    /// The side index, the key of the hashes, the scan state and the record numbers.
    pub(crate) fn parts(&self) -> (Option<&SideIndex>, HashKey, &ScanState, &[SparseEntry]) {
        (self.side.as_deref(), self.index.keys(), &self.scan_state, &self.sparse)
    }

    pub(crate) fn scan_state(&self) -> &ScanState {
        &self.scan_state
    }

    /// Forgets everything: another file is at the path, or this one was rewritten.
    pub(crate) fn clear(&mut self) {
        self.index.clear();
        self.in_memory_from = 0;
        self.side = None;
        self.lookups = 0;
        self.side_failed = false;
        self.scan_state = ScanState::default();
        self.sparse.clear();
        self.last_counted = SparseEntry::default();
    }

    /// Returns to an earlier state of the same log.
    pub(crate) fn roll_back(&mut self, to: ScanState) {
        if to.offset < self.covered() {
            return self.clear();
        }
        self.index.truncate(to.offset);
        self.sparse.retain(|entry| entry.offset <= to.offset);
        self.last_counted = SparseEntry::default();
        self.scan_state = to;
    }

    /// Checks that the scanned bytes are still there, then scans what was appended since.
    pub(crate) fn catch_up(&mut self, storage: &dyn Storage, length: u64) -> io::Result<CaughtUp> {
        let restarted = self.check(storage, length)?;
        let tail = self.scan_to(storage, length)?;
        Ok(CaughtUp { tail, restarted })
    }

    /// Forgets everything if the scanned bytes are gone; returns whether it did.
    pub(crate) fn check(&mut self, storage: &dyn Storage, length: u64) -> io::Result<bool> {
        let holds = self.scan_state.still_matches(storage, length)?;
        if !holds {
            self.clear();
        }
        Ok(!holds)
    }

    /// Adds whole lines that begin at the scan state.
    fn apply(&mut self, bytes: &[u8], summaries: &[ChunkSummary]) {
        let mut base = self.scan_state.offset;
        for summary in summaries {
            let names = summary.names.iter();
            self.index.insert_hashes(names.map(|(hash, start)| (*hash, base + *start as u64)));
            for (start, records) in &summary.counts {
                self.keep_count(base + *start as u64, self.scan_state.records + records);
            }
            self.scan_state.records += summary.records;
            if let Some(id) = &summary.tail_id {
                self.scan_state.tail_id.clone_from(id);
            }
            if summary.last_id.is_some() {
                self.scan_state.last_id.clone_from(&summary.last_id);
            }
            base += summary.length as u64;
        }
        self.scan_state.advance(bytes);
    }

    /// Adds whole lines that were just written at the scan state. `records` are all of their
    /// records, so that the lines are not read again.
    pub(crate) fn apply_written<'a>(
        &mut self,
        bytes: &[u8],
        records: impl Iterator<Item = NewRecord<'a>>,
    ) {
        let base = self.scan_state.offset;
        let mut tail = None;
        for NewRecord { start, id, key } in records {
            debug_assert!(
                lookup::is_as_read(bytes, start, [id, key]),
                "a record is what a reader sees"
            );
            let offset = base + start;
            self.keep_count(offset, self.scan_state.records);
            for name in [id, key].into_iter().flatten() {
                self.index.insert(name.as_bytes(), offset);
            }
            self.scan_state.records += 1;
            if id.is_some() {
                self.scan_state.last_id = id.cloned();
            }
            tail = Some(id);
        }
        if let Some(id) = tail {
            self.scan_state.tail_id = id.cloned();
        }
        self.scan_state.advance(bytes);
    }

    /// Keeps the number of records before `offset`, if one is due.
    fn keep_count(&mut self, offset: u64, records: u64) {
        if offset >= self.sparse.last().map_or(0, |entry| entry.offset) + SPARSE_EVERY_BYTES {
            self.sparse.push(SparseEntry { offset, records });
        }
    }

    /// The first record in file order that has `id` as its id or key, read from the log.
    pub(crate) fn find(
        &mut self,
        storage: &dyn Storage,
        id: &Id,
    ) -> io::Result<Option<FoundRecord>> {
        let covered = self.ask_side(id);
        self.side_failed |= covered.is_err();
        let mut offsets = covered?;
        offsets.extend(self.index.candidates(id.as_bytes()));
        for offset in offsets {
            let found = lookup::read_record(storage, offset, self.scan_state.offset)?;
            if let Some(found) = found.filter(|found| found.carries(id)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn ask_side(&mut self, id: &Id) -> io::Result<Vec<u64>> {
        if self.side.as_ref().is_some_and(|side| side.has_runs_before(self.in_memory_from)) {
            self.lookups += 1;
            if self.lookups > MAX_LOOKUPS_IN_RUNS {
                self.load_runs()?;
            }
        }
        let Some(side) = &mut self.side else {
            return Ok(Vec::new());
        };
        side.candidates(id.as_bytes(), self.in_memory_from)
    }

    /// The number of the record that begins at `offset`, counted from 1.
    pub(crate) fn seq_of(&mut self, storage: &dyn Storage, offset: u64) -> io::Result<u64> {
        let after = self.sparse.partition_point(|entry| entry.offset <= offset);
        let entry = after.checked_sub(1).and_then(|at| self.sparse.get(at)).copied();
        let known = [entry, Some(self.last_counted)].into_iter().flatten();
        let nearest = known.filter(|entry| entry.offset <= offset).max_by_key(|entry| entry.offset);
        let SparseEntry { offset: from, records } = nearest.unwrap_or_default();
        let records = records + lookup::count_records(storage, from, offset)?;
        self.last_counted = SparseEntry { offset, records };
        Ok(records + 1)
    }

    /// Scans from the scan state to `end` and returns the tail.
    fn scan_to(&mut self, storage: &dyn Storage, end: u64) -> io::Result<OpenTail> {
        let mut lines = LineReader::new(self.scan_state.offset, end);
        loop {
            let left = end.saturating_sub(self.scan_state.offset);
            match lines.next(storage)? {
                LineChunk::Whole { bytes, .. } if left < MIN_PARALLEL_SCAN_BYTES => {
                    self.apply(bytes, &[ChunkSummary::of(bytes, self.index.keys(), None)]);
                }
                LineChunk::Whole { bytes, .. } => {
                    let length = bytes.len();
                    let keys = self.index.keys();
                    let mut is_first = true;
                    let swept =
                        parallel_scan::whole_lines(&mut lines, length, storage, keys, |chunk| {
                            if std::mem::take(&mut is_first) {
                                self.index.reserve(chunk.names_in(left).min(MAX_RESERVED_ENTRIES));
                            }
                            self.apply(chunk.lines(), chunk.summaries());
                        });
                    if let Some(end) = swept? {
                        self.scan_state.pass_too_long(storage, end)?;
                    }
                }
                LineChunk::TooLong { offset, length } => {
                    self.scan_state.pass_too_long(storage, offset + length + 1)?;
                }
                LineChunk::Tail { bytes, length, .. } => {
                    let record = match classify::classify_tail(bytes) {
                        Tail::Record(keys) => Some(OpenRecord::new(&keys, bytes)),
                        Tail::Clean | Tail::Torn { .. } => None,
                    };
                    return Ok(OpenTail { length, record });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::record::classify::MAX_LINE_BYTES;
    use crate::storage::Disk;
    use crate::storage::memory::MemoryDisk;
    use std::path::Path;

    fn lines(names: impl Iterator<Item = u64>) -> Vec<u8> {
        names.flat_map(|n| format!("{{\"eventId\":\"{n:04}\"}}\n").into_bytes()).collect()
    }

    const LINE: u64 = 19;

    #[test]
    fn numbers_are_right_in_any_order_and_after_going_back() {
        let storage = MemoryDisk::default().open(Path::new("/log")).unwrap();
        let mut view = LogView::new();
        storage.append(&lines(0..100)).unwrap();
        view.catch_up(&*storage, 100 * LINE).unwrap();
        let proved = view.scan_state().clone();
        storage.append(&lines(100..300)).unwrap();
        view.catch_up(&*storage, 300 * LINE).unwrap();
        for n in [7, 8, 250, 3, 4, 299, 150, 151, 299] {
            assert_eq!(view.seq_of(&*storage, n * LINE).unwrap(), n + 1);
        }
        // Other bytes follow what was durable, with a bad line among them.
        storage.set_len(100 * LINE).unwrap();
        let bad = [vec![b'?'; LINE as usize - 1], vec![b'\n']].concat();
        storage.append(&[bad, lines(500..700)].concat()).unwrap();
        view.roll_back(proved);
        view.catch_up(&*storage, 301 * LINE).unwrap();
        assert_eq!(view.seq_of(&*storage, 300 * LINE).unwrap(), 300);
    }

    /// Records with ids and keys, and other lines, of all lengths, so that chunks end everywhere.
    fn mixed_lines(seed: u64, length: usize) -> Vec<u8> {
        let mut random = seed;
        let mut bytes = Vec::new();
        while bytes.len() < length {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let number = random >> 33;
            let filler = "x".repeat((number % 301) as usize);
            match number % 13 {
                0 => bytes.extend(b"{\"eventId\":\"torn"),
                1 => bytes.extend(b"\0\0\0\0"),
                2 => bytes.extend(b" \t\r"),
                3 => bytes.extend(b"{\"eventId\":\"\xff\"}"),
                4 => bytes.extend(format!("{{\"n\":[{{\"eventId\":\"{filler}\"}}]}}").bytes()),
                5 => bytes.extend(format!("{{\"idempotencyKey\":\"k{number}\"}}\r").bytes()),
                6 => bytes.extend(format!("{{\"eventId\":\"\\u00e9\u{e9}{number}\"}}").bytes()),
                7 => bytes.extend(b"{}".repeat(20_000 * usize::from(number.is_multiple_of(97)))),
                _ => {
                    let known = number % 5000;
                    bytes.extend(
                        format!("{{\"type\":\"{filler}\",\"eventId\":\"{known}\"}}").bytes(),
                    );
                }
            }
            bytes.push(b'\n');
        }
        bytes
    }

    /// Scans to `length` in steps that are too short for two threads.
    fn step_to(view: &mut LogView, storage: &dyn Storage, length: u64) {
        let mut seen = view.scan_state.offset;
        while seen < length {
            seen = (seen + MIN_PARALLEL_SCAN_BYTES / 3).min(length);
            view.catch_up(storage, seen).unwrap();
        }
    }

    fn in_steps(storage: &dyn Storage, keys: HashKey, length: u64) -> LogView {
        let mut view = LogView::new();
        view.index = DedupIndex::with_keys(keys);
        step_to(&mut view, storage, length);
        view
    }

    fn assert_same(storage: &dyn Storage, mut one: LogView, mut other: LogView) {
        let parts = |view: &LogView| {
            let ScanState { offset, records, tail_id, last_id, .. } = view.scan_state.clone();
            (offset, records, tail_id, last_id, view.scan_state.tail_bytes().to_vec())
        };
        assert_eq!(parts(&one), parts(&other));
        let [mut entries, mut others] = [Vec::new(), Vec::new()];
        let places = one.sparse.clone();
        one.drain_into(&mut entries);
        other.drain_into(&mut others);
        let sorted = |mut entries: Vec<Entry>| {
            entries.sort_unstable_by_key(|entry| (entry.hash, entry.offset_plus_one));
            entries.into_iter().map(|entry| (entry.hash, entry.offset_plus_one)).collect::<Vec<_>>()
        };
        assert_eq!(sorted(entries), sorted(others));
        assert!(places.len() > 10);
        for SparseEntry { offset, records } in places {
            assert_eq!(other.seq_of(storage, offset).unwrap(), records + 1);
        }
    }

    #[test]
    fn a_log_scanned_by_two_threads_is_known_as_one_scanned_by_one() {
        for seed in 0..4 {
            let storage = MemoryDisk::default().open(Path::new("/log")).unwrap();
            let tails = [&b"{\"eventId\":\"last\"}"[..], b"", b"{\"eve", b"\0\0"];
            let bytes = [&mixed_lines(seed, 5 << 20), tails[seed as usize]].concat();
            storage.append(&bytes).unwrap();
            let length = bytes.len() as u64;
            let mut view = LogView::new();
            let tail = view.catch_up(&*storage, length).unwrap().tail;
            assert_eq!(tail.length, tails[seed as usize].len() as u64);
            assert_eq!(tail.record.is_some(), seed == 0);
            let steps = in_steps(&*storage, view.index.keys(), length);
            assert_same(&*storage, view, steps);
        }
    }

    #[test]
    fn a_line_too_long_ends_no_scan_by_two_threads() {
        let storage = MemoryDisk::default().open(Path::new("/log")).unwrap();
        let around = mixed_lines(9, 2 << 20);
        let long =
            [b"{\"eventId\":\"", &*vec![b'x'; MAX_LINE_BYTES + (3 << 20)], b"\"}\n"].concat();
        for bytes in [&around, &long, &around, &long] {
            storage.append(bytes).unwrap();
        }
        let half = (around.len() + long.len()) as u64;
        let mut view = LogView::new();
        assert_eq!(view.catch_up(&*storage, 2 * half).unwrap().tail.length, 0);
        let mut steps = in_steps(&*storage, view.index.keys(), around.len() as u64);
        steps.catch_up(&*storage, half).unwrap();
        step_to(&mut steps, &*storage, half + around.len() as u64);
        steps.catch_up(&*storage, 2 * half).unwrap();
        assert_same(&*storage, view, steps);
    }

    #[test]
    fn a_log_cut_during_a_long_scan_is_an_error_and_what_was_scanned_stays_right() {
        let storage = MemoryDisk::default().open(Path::new("/log")).unwrap();
        let bytes = mixed_lines(5, 4 << 20);
        storage.append(&bytes).unwrap();
        let mut view = LogView::new();
        let error = view.catch_up(&*storage, bytes.len() as u64 + 9).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        view.catch_up(&*storage, bytes.len() as u64).unwrap();
        let steps = in_steps(&*storage, view.index.keys(), bytes.len() as u64);
        assert_same(&*storage, view, steps);
    }
}
