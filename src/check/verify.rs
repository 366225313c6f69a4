//! Checking a log: every line and every record of the file as it was when the check began.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::IntoIter;

use crate::check::line_check::{CheckedLine, LineChecker, LineFacts, Record};
use crate::check::seen_ids::{IdHasher, SeenIds};
use crate::error::Result;
use crate::event::Id;
use crate::event::envelope::Envelope;
use crate::event::timestamp::Timestamp;
use crate::json::excerpt::excerpt;
use crate::mutex::locked;
use crate::path::ChroniclePath;
use crate::record::classify::MAX_LINE_BYTES;
use crate::record::classify::{self, Tail, Verdict};
use crate::record::lines::{self, LineReader};
use crate::storage::{Disk, FileDisk, OpenFile, Storage, cannot_read, is_cut, read_exact_at};
use crate::threads::pool;

/// ChunkContent can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// ChunkContent stands behind the last newline is no record, and nobody is writing it.
    Torn,
    /// A complete line is no JSON object, or too long.
    Malformed,
    /// A complete line is no JSON object and has 0x00 bytes.
    Nul,
    /// A byte order mark stands before a JSON object.
    ByteOrderMark,
    /// An `eventId` of 64 hexadecimal digits is the hash of neither canonical form of its record.
    IdMismatch,
    /// An earlier record has the id or the key as id or key.
    Duplicate,
    /// No earlier record has the `prevEventId` as id.
    BrokenChain,
    /// Another record, which stands before, has the same `prevEventId`.
    Fork,
    /// The timestamp is earlier than that of the record before.
    OutOfOrder,
    /// The timestamp cannot be read as a point in time: no search by time finds the record.
    NoTime,
}

impl FindingKind {
    /// The word callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingKind::Torn => "torn",
            FindingKind::Malformed => "malformed",
            FindingKind::Nul => "nul",
            FindingKind::ByteOrderMark => "bom",
            FindingKind::IdMismatch => "id-mismatch",
            FindingKind::Duplicate => "duplicate",
            FindingKind::BrokenChain => "broken-chain",
            FindingKind::Fork => "fork",
            FindingKind::OutOfOrder => "out-of-order",
            FindingKind::NoTime => "no-time",
        }
    }

    /// Whether a log that has it is still good: a crash leaves a torn tail, clocks differ, and a time may be in words.
    pub fn is_harmless(self) -> bool {
        matches!(self, FindingKind::Torn | FindingKind::OutOfOrder | FindingKind::NoTime)
    }
}

/// One thing that is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// ChunkContent.
    pub kind: FindingKind,
    /// Line number, from 1.
    pub line: u64,
    /// First byte of the line, from 0.
    pub offset: u64,
    /// Bytes without the newline.
    pub length: u64,
    /// The record's id, if it has one.
    pub event_id: Option<Id>,
    /// ChunkContent is wrong, in words.
    pub details: String,
}

/// How far a check has got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// No finding so far but harmless ones.
    pub ok: bool,
    /// Bytes checked so far.
    pub bytes: u64,
    /// Bytes that the file had when the check began.
    pub total: u64,
    /// Lines so far, blank ones and an unterminated last one included.
    pub lines: u64,
    /// Records so far.
    pub records: u64,
    /// ChunkContent was found since the last slice, in file order.
    pub findings: Vec<Finding>,
    /// Nothing comes after.
    pub done: bool,
}

/// Bytes checked in a slice at most, about: what two threads do in some milliseconds. The first slices are shorter.
const CHUNK_BYTES: usize = 4 << 20;
/// Bytes of findings in a slice, about: JavaScript parses them in one piece.
const MAX_SLICE_FINDINGS_BYTES: usize = 256 << 10;
/// Bytes checked in a slice at most where there is about a finding for each line.
const SHORT_SLICE: usize = 64 << 10;
/// Lines whose marks are looked up together.
const PARTS_AT_ONCE: usize = 32;
/// Bytes of lines that one thread looks at before it takes the next.
const PART_BYTES: usize = 64 << 10;

/// Checks a log from its beginning to where it ended when the check began, in slices. It keeps 16 to 52 bytes for each id and key, and
/// nothing else that grows with the file. It never writes, and takes no lock but for a moment when the file ends in a torn tail.
///
/// There are three stages, each at work on another piece of the file: reading, looking at each line by itself, and judging the records
/// in their order. So neither of two threads waits for the other but for a moment at the end of a piece: where they read and checked
/// in turn, the other one was idle for a third of the time.
pub struct Verifier {
    stages: Arc<Stages>,
    /// To be looked at.
    read: Option<VerifyChunk>,
    /// To be checked.
    looked: Option<(VerifyChunk, Vec<CheckedLines>)>,
    /// Its memory is to be used again.
    checked: Option<Arc<(VerifyChunk, Vec<CheckedLines>)>>,
    is_read: bool,
    /// Findings of a slice that are not handed over yet, and what was known at its end.
    left: Option<(Progress, IntoIter<Finding>)>,
}

/// The lines of a part, where they are in their piece.
type CheckedLines = Vec<CheckedLine>;

struct Stages {
    /// Nothing when there is no file, or nothing more to be done with it.
    storage: Mutex<Option<OpenFile>>,
    lines: Mutex<LineReader>,
    /// Bytes to be read at a time, at most: few until the first piece was checked, and where many findings are in them.
    piece: AtomicUsize,
    /// Memory for the next piece.
    spare: Mutex<Vec<u8>>,
    id_hasher: IdHasher,
    /// Each thread takes one for a part, with the memory and what it knows of kinds of lines.
    checkers: Mutex<Vec<LineChecker>>,
    order: Mutex<OrderChecker>,
}

/// A summary of the file.
#[derive(Clone)]
struct VerifyChunk {
    offset: u64,
    what: ChunkContent,
    /// ChunkContent of the file is checked with it.
    end: u64,
    is_last: bool,
}

#[derive(Clone)]
enum ChunkContent {
    /// Whole lines, the last of which may be without its newline: the bytes from `offset` to `end`, and others behind them.
    Lines(Arc<Vec<u8>>),
    TooLong {
        length: u64,
    },
    Torn {
        length: u64,
        nul: bool,
    },
    /// The end of a file that somebody cut.
    Cut,
}

enum VerifyTask {
    Check,
    Read,
    Look(Range<usize>),
}

enum TaskResult {
    Checked(Result<Progress>),
    Read(Result<VerifyChunk>),
    Looked(CheckedLines),
}

impl Verifier {
    /// Opens the log; one that does not exist is empty.
    ///
    /// # Errors
    /// `EVALIDATION` for what is no regular file, `EIO`.
    pub fn open(path: &ChroniclePath) -> Result<Verifier> {
        Self::open_on(&FileDisk, path)
    }

    pub(crate) fn open_on(disk: &dyn Disk, path: &ChroniclePath) -> Result<Verifier> {
        let storage = disk.open_for_reading(path.as_path())?;
        let stat = storage.as_ref().map(|storage| storage.stat()).transpose();
        let total = stat
            .map_err(|error| cannot_read(path.as_path(), "fstat", error))?
            .map_or(0, |stat| stat.length);
        let progress = Progress { ok: true, total, ..Progress::default() };
        let stages = Stages {
            storage: Mutex::new(storage),
            lines: Mutex::new(LineReader::new(0, total)),
            piece: AtomicUsize::new(SHORT_SLICE),
            spare: Mutex::default(),
            id_hasher: IdHasher::new(),
            checkers: Mutex::default(),
            order: Mutex::new(OrderChecker { progress, seen: SeenIds::new(), last: None }),
        };
        Ok(Verifier {
            stages: Arc::new(stages),
            read: None,
            looked: None,
            checked: None,
            is_read: false,
            left: None,
        })
    }

    /// Checks some mebibytes, or a single longer line, and tells how far that is and what was found in it.
    ///
    /// # Errors
    /// `EIO`.
    pub fn next_page(&mut self, path: &ChroniclePath) -> Result<Progress> {
        if let Some(progress) = self.next_findings() {
            return Ok(progress);
        }
        while locked(&self.stages.storage).is_some() {
            if let Some(progress) = self.step(path)? {
                if progress.done {
                    self.close();
                }
                let Progress { findings, .. } = progress;
                let progress = Progress { findings: Vec::new(), ..progress };
                self.left = Some((progress.clone(), findings.into_iter()));
                return Ok(self.next_findings().unwrap_or(progress));
            }
        }
        let mut order = locked(&self.stages.order);
        order.progress.findings.clear();
        order.progress.done = true;
        Ok(order.progress.clone())
    }

    /// The next of the findings that are left, as many as are handed over at a time.
    fn next_findings(&mut self) -> Option<Progress> {
        let (progress, left) = self.left.as_mut()?;
        let mut findings = Vec::new();
        let mut weight = 0;
        while weight < MAX_SLICE_FINDINGS_BYTES
            && let Some(finding) = left.next()
        {
            weight += finding.weight();
            findings.push(finding);
        }
        let is_last = left.len() == 0;
        let done = progress.done && is_last;
        let progress = Progress { findings, done, ..progress.clone() };
        if is_last {
            self.left = None;
        }
        Some(progress)
    }

    /// Takes each stage one piece further. Nothing as long as none was checked.
    fn step(&mut self, path: &ChroniclePath) -> Result<Option<Progress>> {
        let read = self.read.take();
        let bytes = match &read {
            Some(VerifyChunk { what: ChunkContent::Lines(bytes), .. }) => bytes.clone(),
            _ => Arc::default(),
        };
        let length = read.as_ref().map_or(0, |piece| piece.end.saturating_sub(piece.offset));
        let length = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        let looked = self.looked.take().map(Arc::new);
        let checked_piece = looked.clone();
        // The long ones first, so that both threads end at the same time.
        let mut tasks = Vec::new();
        tasks.extend(looked.is_some().then_some(VerifyTask::Check));
        tasks.extend((!self.is_read).then_some(VerifyTask::Read));
        let whole = bytes.get(..length).unwrap_or_default();
        tasks.extend(lines::parts_of(whole, PART_BYTES).into_iter().map(VerifyTask::Look));
        let (stages, path) = (self.stages.clone(), path.clone());
        let done = pool::parallel_map(tasks.len(), move |number| {
            match (tasks.get(number), looked.as_deref()) {
                (Some(VerifyTask::Check), Some((piece, looks))) => {
                    TaskResult::Checked(stages.check(piece, looks, &path))
                }
                (Some(VerifyTask::Look(part)), _) => {
                    TaskResult::Looked(stages.look(&bytes, part.clone()))
                }
                _ => TaskResult::Read(stages.read(&path)),
            }
        });
        let mut looks = Vec::new();
        let mut checked = None;
        for done in done {
            match done {
                TaskResult::Checked(progress) => checked = Some(progress?),
                TaskResult::Read(piece) => {
                    let piece = piece?;
                    self.is_read = piece.is_last;
                    self.read = Some(piece);
                }
                TaskResult::Looked(part) => looks.push(part),
            }
        }
        self.looked = read.map(|piece| (piece, looks));
        // Memory that is used again needs not be cleared by the system. The other thread may have what was checked just now still, but
        // not what was before.
        let before = std::mem::replace(&mut self.checked, checked_piece).and_then(Arc::into_inner);
        if let Some((VerifyChunk { what: ChunkContent::Lines(bytes), .. }, _)) = before {
            *locked(&self.stages.spare) = Arc::into_inner(bytes).unwrap_or_default();
        }
        Ok(checked)
    }

    /// Closes the file also while the other thread has not left the last piece yet, and gives back what was remembered of the records.
    fn close(&mut self) {
        locked(&self.stages.storage).take();
        locked(&self.stages.order).seen = SeenIds::new();
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.close();
    }
}

impl Stages {
    fn storage(&self) -> io::Result<OpenFile> {
        locked(&self.storage).clone().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn read(&self, path: &ChroniclePath) -> Result<VerifyChunk> {
        let mut lines = locked(&self.lines);
        let piece = self.storage().and_then(|storage| {
            let (offset, length, is_last) = match lines.next(&*storage)? {
                lines::LineChunk::TooLong { offset, length } => {
                    let (what, end) = (ChunkContent::TooLong { length }, offset + length + 1);
                    return Ok(VerifyChunk { offset, what, end, is_last: false });
                }
                lines::LineChunk::Whole { offset, bytes } => (offset, bytes.len() as u64, false),
                lines::LineChunk::Tail { offset, bytes, length } => {
                    let end = offset + length;
                    if let Tail::Torn { nul } = classify_tail(bytes, length) {
                        let what = ChunkContent::Torn { length, nul };
                        return Ok(VerifyChunk { offset, what, end, is_last: true });
                    }
                    (offset, length, true)
                }
            };
            lines.lengthen(self.piece.load(Ordering::Relaxed));
            let spare = std::mem::take(&mut *locked(&self.spare));
            let what = ChunkContent::Lines(Arc::new(lines.take(spare)));
            Ok(VerifyChunk { offset, what, end: offset + length, is_last })
        });
        match piece {
            Err(error) if is_cut(&error) => {
                Ok(VerifyChunk { offset: 0, what: ChunkContent::Cut, end: 0, is_last: true })
            }
            piece => piece.map_err(|error| cannot_read(path.as_path(), "pread", error)),
        }
    }

    fn look(&self, bytes: &[u8], part: Range<usize>) -> CheckedLines {
        let known = locked(&self.checkers).pop();
        let mut looker = known.unwrap_or_else(|| LineChecker::new(self.id_hasher));
        let looks = looker.look_at_all(bytes, part);
        locked(&self.checkers).push(looker);
        looks
    }

    fn check(
        &self,
        piece: &VerifyChunk,
        looks: &[CheckedLines],
        path: &ChroniclePath,
    ) -> Result<Progress> {
        let mut order = locked(&self.order);
        order.progress.findings.clear();
        match &piece.what {
            ChunkContent::Lines(bytes) => order.check_lines(bytes, looks, piece.offset),
            ChunkContent::TooLong { length } => order.add_too_long(piece.offset, *length),
            ChunkContent::Torn { length, nul } => {
                let stays = self
                    .storage()
                    .and_then(|storage| stays_torn(&storage, piece.offset, *length))
                    .map_err(|error| cannot_read(path.as_path(), "pread", error))?;
                order.add_torn(piece.offset, *length, *nul, stays);
            }
            ChunkContent::Cut => {}
        }
        let progress = &mut order.progress;
        progress.bytes = progress.bytes.max(piece.end);
        progress.done = piece.is_last;
        let findings = std::mem::take(&mut progress.findings);
        let weight: usize = findings.iter().map(Finding::weight).sum();
        let is_heavy = weight > MAX_SLICE_FINDINGS_BYTES;
        self.piece.store(if is_heavy { SHORT_SLICE } else { CHUNK_BYTES }, Ordering::Relaxed);
        Ok(Progress { findings, ..progress.clone() })
    }
}

impl Finding {
    /// How much there is to hand over, about, in bytes.
    fn weight(&self) -> usize {
        let id = self.event_id.as_ref().map_or(0, |id| id.as_bytes().len());
        96 + id + self.details.len()
    }
}

impl Progress {
    fn add(
        &mut self,
        kind: FindingKind,
        place: LinePosition,
        event_id: Option<&[u8]>,
        details: String,
    ) {
        let LinePosition { line, offset, length } = place;
        self.ok &= kind.is_harmless();
        let event_id = event_id.and_then(Id::new);
        self.findings.push(Finding { kind, line, offset, length, event_id, details });
    }
}

#[derive(Clone, Copy)]
struct LinePosition {
    line: u64,
    offset: u64,
    length: u64,
}

/// Judges the records in their order: what is to be known of those before one for that.
struct OrderChecker {
    progress: Progress,
    seen: SeenIds,
    /// The line and the time of the last record.
    last: Option<(u64, Option<Timestamp>)>,
}

impl OrderChecker {
    fn check_lines(&mut self, bytes: &[u8], looks: &[CheckedLines], offset: u64) {
        for looks in looks.iter().flat_map(|looks| looks.chunks(PARTS_AT_ONCE)) {
            self.seen.touch(looks.iter().flat_map(|(_, looked)| looked.id_hashes()));
            for (range, looked) in looks {
                self.check_line(bytes, range, looked, offset);
            }
        }
    }

    fn check_line(&mut self, bytes: &[u8], range: &Range<usize>, looked: &LineFacts, offset: u64) {
        self.progress.lines += 1;
        let place = LinePosition {
            line: self.progress.lines,
            offset: offset + range.start as u64,
            length: range.len() as u64,
        };
        let (kind, details) = match looked {
            LineFacts::Record(record) => {
                self.progress.records += 1;
                return self.check(bytes.get(range.clone()).unwrap_or_default(), record, place);
            }
            LineFacts::Blank => return,
            LineFacts::Malformed => (FindingKind::Malformed, "no JSON object"),
            LineFacts::Nul => (FindingKind::Nul, "no JSON object, with NUL bytes"),
            LineFacts::Marked(record) => {
                let details = "a byte order mark stands before the record, which no reader sees";
                self.progress.add(FindingKind::ByteOrderMark, place, None, details.into());
                let line = bytes.get(range.clone()).unwrap_or_default();
                let line = classify::behind_mark(line).unwrap_or_default();
                return self.check(line, record, place);
            }
        };
        self.progress.add(kind, place, None, details.into());
    }

    fn add_too_long(&mut self, offset: u64, length: u64) {
        self.progress.lines += 1;
        let place = LinePosition { line: self.progress.lines, offset, length };
        let details = format!("longer than {MAX_LINE_BYTES} bytes");
        self.progress.add(FindingKind::Malformed, place, None, details);
    }

    fn add_torn(&mut self, offset: u64, length: u64, nul: bool, stays: bool) {
        self.progress.lines += 1;
        if stays {
            let place = LinePosition { line: self.progress.lines, offset, length };
            let nul = if nul { ", with NUL bytes" } else { "" };
            let details = format!("behind the last newline, no record{nul}");
            self.progress.add(FindingKind::Torn, place, None, details);
        }
    }

    fn check(&mut self, line: &[u8], record: &Record, place: LinePosition) {
        let progress = &mut self.progress;
        let mut add = |kind, details| {
            let Verdict::Record(keys) = classify::classify(line) else { return };
            progress.add(kind, place, keys.event_id.as_deref(), details);
        };
        if record.is_mismatch {
            add(FindingKind::IdMismatch, "eventId is not the hash of the record".into());
        }
        let names = [("eventId", record.event_id), ("idempotencyKey", record.idempotency_key)];
        let earlier = names.iter().find_map(|(name, mark)| {
            let line = self.seen.line((*mark)?)?;
            Some(format!("{name} is that of an earlier record, on line {line}"))
        });
        if let Some(details) = earlier {
            add(FindingKind::Duplicate, details);
        }
        let previous = || {
            let envelope = Envelope::of(line).ok();
            let id = envelope.as_ref().and_then(|envelope| envelope.text("prevEventId"));
            excerpt(&id.unwrap_or_default())
        };
        if let Some(mark) = record.previous {
            if !self.seen.is_event_id(mark) {
                let details = format!("no earlier record has the eventId {}", previous());
                add(FindingKind::BrokenChain, details);
            }
            // The same record once more is a duplicate and no other branch.
            let is_again = record.event_id.is_some_and(|id| self.seen.line(id).is_some());
            let is_circle = record.event_id == Some(mark);
            if !is_again && !is_circle && self.seen.note_successor(mark) {
                let details = format!("an earlier record has the prevEventId {} too", previous());
                add(FindingKind::Fork, details);
            }
        }
        if record.is_timeless {
            add(FindingKind::NoTime, "timestamp cannot be read as a point in time".into());
        }
        if let (Some((last_line, Some(last))), Some(time)) = (self.last, record.time)
            && time < last
        {
            let details = format!("timestamp is earlier than that of line {last_line}");
            add(FindingKind::OutOfOrder, details);
        }
        self.last = Some((place.line, record.time));
        let marks = [(record.event_id, true), (record.idempotency_key, false)];
        for (mark, is_event_id) in marks {
            if let Some(mark) = mark {
                self.seen.note(mark, place.line, is_event_id);
            }
        }
    }
}

/// `bytes` are empty also when the tail is too long to be a record.
fn classify_tail(bytes: &[u8], length: u64) -> Tail<'_> {
    if length > bytes.len() as u64 {
        Tail::Torn { nul: false }
    } else {
        classify::classify_tail(bytes)
    }
}

/// Whether the tail is torn while no writer holds the lock: else it is an append under way, or one that has ended by now.
fn stays_torn(file: &OpenFile, offset: u64, length: u64) -> io::Result<bool> {
    match file.lock().try_lock_shared() {
        Ok(true) => {
            let looked = is_still_torn(&**file, offset, length);
            file.lock().unlock()?;
            looked
        }
        Ok(false) => Ok(false),
        // Where there are no locks nobody holds one.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            is_still_torn(&**file, offset, length)
        }
        Err(error) => Err(error),
    }
}

fn is_still_torn(storage: &dyn Storage, offset: u64, length: u64) -> io::Result<bool> {
    if storage.stat()?.length != offset + length {
        return Ok(false);
    }
    if length > MAX_LINE_BYTES as u64 {
        return Ok(true);
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    match read_exact_at(storage, &mut bytes, offset) {
        Ok(()) => Ok(matches!(classify::classify_tail(&bytes), Tail::Torn { .. })),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
