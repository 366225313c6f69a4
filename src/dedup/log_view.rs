//! What a writer knows of the log's past: the dedup index, how far it reaches, and the number of each record.
//!
//! Nothing in here is true by itself after the lock was released: [`LogView::catch_up`] comes first each time.

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

/// A record number is remembered about every so many bytes; those between are counted when asked for.
const MARK_EVERY: u64 = 32 * 1024;
/// After so many look-ups the runs of the side index are taken into memory. Each look-up reads a block of every run, together as long as a
/// hundred entries are taken in; a process that appends a few events never takes in any.
const FEW_LOOKUPS: u32 = 32;
/// From so many bytes on a scan is a sweep: with less another thread is hardly awake before it is over.
const LONG_SCAN: u64 = 1 << 20;
/// Entries for which room is made in advance, at the most: what follows may be other than what came.
const MAX_RESERVED: usize = 1 << 20;

/// What stands behind the last newline.
#[derive(Debug, Default)]
pub(crate) struct OpenTail {
    /// Its bytes; none when the file ends with a newline.
    pub(crate) length: u64,
    /// The record that it is, if it is one.
    pub(crate) record: Option<OpenRecord>,
}

/// What a catch-up found.
#[derive(Debug, Default)]
pub(crate) struct CaughtUp {
    pub(crate) tail: OpenTail,
    /// What was known did not fit the file, and it was scanned from its beginning.
    pub(crate) restarted: bool,
}

/// The writer's knowledge of one log.
#[derive(Debug)]
pub(crate) struct LogView {
    /// The records from `in_memory_from` on.
    index: DedupIndex,
    /// What stands before is asked of the side index.
    in_memory_from: u64,
    /// Boxed, because a process may have ten thousand writers, most of them of short logs.
    side: Option<Box<SideIndex>>,
    /// Look-ups for which runs of the side index were asked.
    lookups: u32,
    side_failed: bool,
    scan_state: ScanState,
    sparse: Vec<SparseEntry>,
    /// Where the last search for a number ended: the duplicates of a repeated batch stand behind each other.
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

    /// What a side index says, to be extended by scanning on.
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

    /// Leaves the prefix that `side` covers to it. False, and nothing changes, when both do not agree.
    /// What is in memory stays there but for what its table covers.
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

    /// Takes the runs of the side index into memory.
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

    /// Gives the descriptor of the side index up.
    pub(crate) fn close_side(&mut self) {
        if let Some(side) = &mut self.side {
            side.close();
        }
    }

    /// Opens the side index again. False: it is gone, and what it would have said is not known.
    pub(crate) fn reopen_side(&mut self) -> bool {
        self.side.as_mut().is_none_or(|side| side.reopen())
    }

    /// How much of the log the side index covers.
    pub(crate) fn covered(&self) -> u64 {
        self.side.as_ref().map_or(0, |side| side.scan_state().offset)
    }

    /// The side index could not be read: what it would have said is not known.
    pub(crate) fn side_failed(&self) -> bool {
        self.side_failed
    }

    /// The side index that could not be read.
    pub(crate) fn failed_side(&self) -> Option<&SideIndex> {
        self.side.as_deref().filter(|_| self.side_failed)
    }

    /// Takes out the entries after the side index and adds them to `entries`.
    pub(crate) fn drain_into(&mut self, entries: &mut Vec<Entry>) {
        self.index.drain_into(entries);
    }

    /// The side index it began with.
    pub(crate) fn into_side(self) -> Option<SideIndex> {
        self.side.map(|side| *side)
    }

    /// The side index it began with, the key of the hashes, how far it reaches, and the sparse.
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

    /// Goes back to an earlier state of the same log.
    pub(crate) fn roll_back(&mut self, to: ScanState) {
        if to.offset < self.covered() {
            return self.clear();
        }
        self.index.truncate(to.offset);
        self.sparse.retain(|mark| mark.offset <= to.offset);
        self.last_counted = SparseEntry::default();
        self.scan_state = to;
    }

    /// Scans what was appended since the last time, after checking that what was scanned then is still there.
    pub(crate) fn catch_up(&mut self, storage: &dyn Storage, length: u64) -> io::Result<CaughtUp> {
        let restarted = self.check(storage, length)?;
        let tail = self.scan_to(storage, length)?;
        Ok(CaughtUp { tail, restarted })
    }

    /// Forgets everything if what was scanned is not there any more, and says so.
    pub(crate) fn check(&mut self, storage: &dyn Storage, length: u64) -> io::Result<bool> {
        let holds = self.scan_state.still_matches(storage, length)?;
        if !holds {
            self.clear();
        }
        Ok(!holds)
    }

    /// Takes in whole lines that stand at the scan_state.
    fn apply(&mut self, bytes: &[u8], summaries: &[ChunkSummary]) {
        let mut base = self.scan_state.offset;
        for summary in summaries {
            let names = summary.names.iter();
            self.index.insert_hashes(names.map(|(hash, start)| (*hash, base + *start as u64)));
            for (start, records) in &summary.counts {
                self.mark(base + *start as u64, self.scan_state.records + records);
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

    /// Takes in whole lines that were just written at the scan_state: `records` are all of them, so that they need not be read again.
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
            self.mark(offset, self.scan_state.records);
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

    /// Remembers the number of the records before `offset`, if that is due.
    fn mark(&mut self, offset: u64, records: u64) {
        if offset >= self.sparse.last().map_or(0, |mark| mark.offset) + MARK_EVERY {
            self.sparse.push(SparseEntry { offset, records });
        }
    }

    /// The first record in file order that carries `id` as its id or key, read from the log.
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
            if self.lookups > FEW_LOOKUPS {
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
        let after = self.sparse.partition_point(|mark| mark.offset <= offset);
        let mark = after.checked_sub(1).and_then(|at| self.sparse.get(at)).copied();
        let known = [mark, Some(self.last_counted)].into_iter().flatten();
        let nearest = known.filter(|mark| mark.offset <= offset).max_by_key(|mark| mark.offset);
        let SparseEntry { offset: from, records } = nearest.unwrap_or_default();
        let records = records + lookup::count_records(storage, from, offset)?;
        self.last_counted = SparseEntry { offset, records };
        Ok(records + 1)
    }

    /// Scans from the scan_state to `end` and returns what is behind the last newline.
    fn scan_to(&mut self, storage: &dyn Storage, end: u64) -> io::Result<OpenTail> {
        let mut lines = LineReader::new(self.scan_state.offset, end);
        loop {
            let left = end.saturating_sub(self.scan_state.offset);
            match lines.next(storage)? {
                LineChunk::Whole { bytes, .. } if left < LONG_SCAN => {
                    self.apply(bytes, &[ChunkSummary::of(bytes, self.index.keys(), None)]);
                }
                LineChunk::Whole { bytes, .. } => {
                    let length = bytes.len();
                    let keys = self.index.keys();
                    let mut is_first = true;
                    let swept =
                        parallel_scan::whole_lines(&mut lines, length, storage, keys, |piece| {
                            if std::mem::take(&mut is_first) {
                                self.index.reserve(piece.names_in(left).min(MAX_RESERVED));
                            }
                            self.apply(piece.lines(), piece.summaries());
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
        let mut history = LogView::new();
        storage.append(&lines(0..100)).unwrap();
        history.catch_up(&*storage, 100 * LINE).unwrap();
        let proved = history.scan_state().clone();
        storage.append(&lines(100..300)).unwrap();
        history.catch_up(&*storage, 300 * LINE).unwrap();
        for n in [7, 8, 250, 3, 4, 299, 150, 151, 299] {
            assert_eq!(history.seq_of(&*storage, n * LINE).unwrap(), n + 1);
        }
        // Other bytes come to stand behind what was proved, a bad line among them.
        storage.set_len(100 * LINE).unwrap();
        let bad = [vec![b'?'; LINE as usize - 1], vec![b'\n']].concat();
        storage.append(&[bad, lines(500..700)].concat()).unwrap();
        history.roll_back(proved);
        history.catch_up(&*storage, 301 * LINE).unwrap();
        assert_eq!(history.seq_of(&*storage, 300 * LINE).unwrap(), 300);
    }

    /// Records with ids and keys, and what a log has besides, of all lengths, so that the parts of a piece end everywhere.
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

    /// Scans to `length` step by step, each too short to be a sweep.
    fn step_to(history: &mut LogView, storage: &dyn Storage, length: u64) {
        let mut seen = history.scan_state.offset;
        while seen < length {
            seen = (seen + LONG_SCAN / 3).min(length);
            history.catch_up(storage, seen).unwrap();
        }
    }

    fn in_steps(storage: &dyn Storage, keys: HashKey, length: u64) -> LogView {
        let mut history = LogView::new();
        history.index = DedupIndex::with_keys(keys);
        step_to(&mut history, storage, length);
        history
    }

    fn assert_same(storage: &dyn Storage, mut one: LogView, mut other: LogView) {
        let parts = |history: &LogView| {
            let ScanState { offset, records, tail_id, last_id, .. } = history.scan_state.clone();
            (offset, records, tail_id, last_id, history.scan_state.tail_bytes().to_vec())
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
            let mut history = LogView::new();
            let tail = history.catch_up(&*storage, length).unwrap().tail;
            assert_eq!(tail.length, tails[seed as usize].len() as u64);
            assert_eq!(tail.record.is_some(), seed == 0);
            let steps = in_steps(&*storage, history.index.keys(), length);
            assert_same(&*storage, history, steps);
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
        let mut history = LogView::new();
        assert_eq!(history.catch_up(&*storage, 2 * half).unwrap().tail.length, 0);
        let mut steps = in_steps(&*storage, history.index.keys(), around.len() as u64);
        steps.catch_up(&*storage, half).unwrap();
        step_to(&mut steps, &*storage, half + around.len() as u64);
        steps.catch_up(&*storage, 2 * half).unwrap();
        assert_same(&*storage, history, steps);
    }

    #[test]
    fn a_log_cut_during_a_long_scan_is_an_error_and_what_was_scanned_stays_right() {
        let storage = MemoryDisk::default().open(Path::new("/log")).unwrap();
        let bytes = mixed_lines(5, 4 << 20);
        storage.append(&bytes).unwrap();
        let mut history = LogView::new();
        let error = history.catch_up(&*storage, bytes.len() as u64 + 9).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        history.catch_up(&*storage, bytes.len() as u64).unwrap();
        let steps = in_steps(&*storage, history.index.keys(), bytes.len() as u64);
        assert_same(&*storage, history, steps);
    }
}
