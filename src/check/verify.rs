//! Checking a log: every line and every record of the file as it was when the check began.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::IntoIter;

use crate::check::line_check::{Look, Looked, Looker, Record};
use crate::check::seen_ids::{Keyed, Seen};
use crate::error::Result;
use crate::event::Id;
use crate::event::envelope::Envelope;
use crate::event::timestamp::Instant;
use crate::json::excerpt::excerpt;
use crate::mutex::locked;
use crate::path::ChroniclePath;
use crate::record::classify::MAX_LINE;
use crate::record::classify::{self, Tail, Verdict};
use crate::record::lines::{self, Lines};
use crate::storage::{Disk, FileDisk, Storage, cannot_read, is_cut, read_exact_at};
use crate::threads::pool;

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// What stands behind the last newline is no record, and nobody is writing it.
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
    /// What.
    pub kind: FindingKind,
    /// Line number, from 1.
    pub line: u64,
    /// First byte of the line, from 0.
    pub offset: u64,
    /// Bytes without the newline.
    pub length: u64,
    /// The record's id, if it has one.
    pub event_id: Option<Id>,
    /// What is wrong, in words.
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
    /// What was found since the last slice, in file order.
    pub findings: Vec<Finding>,
    /// Nothing comes after.
    pub done: bool,
}

/// Bytes checked in a slice at most, about: what two threads do in some milliseconds. The first slices are shorter.
const SLICE: usize = 4 << 20;
/// Bytes of findings in a slice, about: JavaScript parses them in one piece.
const MAX_SLICE_FINDINGS_BYTES: usize = 256 << 10;
/// Bytes checked in a slice at most where there is about a finding for each line.
const SHORT_SLICE: usize = 64 << 10;
/// Lines whose marks are looked up together.
const TOGETHER: usize = 32;
/// Bytes of lines that one thread looks at before it takes the next.
const PART: usize = 64 << 10;

/// Checks a log from its beginning to where it ended when the check began, in slices. It keeps 16 to 52 bytes for each id and key, and
/// nothing else that grows with the file. It never writes, and takes no lock but for a moment when the file ends in a torn tail.
///
/// There are three stages, each at work on another piece of the file: reading, looking at each line by itself, and judging the records
/// in their order. So neither of two threads waits for the other but for a moment at the end of a piece: where they read and judged
/// in turn, the other one was idle for a third of the time.
pub struct Verifier {
    stages: Arc<Stages>,
    /// To be looked at.
    read: Option<Piece>,
    /// To be judged.
    looked: Option<(Piece, Vec<Looks>)>,
    /// Its memory is to be used again.
    judged: Option<Arc<(Piece, Vec<Looks>)>>,
    is_read: bool,
    /// Findings of a slice that are not handed over yet, and what was known at its end.
    left: Option<(Progress, IntoIter<Finding>)>,
}

/// The lines of a part, where they are in their piece.
type Looks = Vec<Look>;

struct Stages {
    /// Nothing when there is no file, or nothing more to be done with it.
    storage: Mutex<Option<Arc<dyn Storage>>>,
    lines: Mutex<Lines>,
    /// Bytes to be read at a time, at most: few until the first piece was judged, and where many findings are in them.
    piece: AtomicUsize,
    /// Memory for the next piece.
    spare: Mutex<Vec<u8>>,
    keyed: Keyed,
    /// Each thread takes one for a part, with the memory and what it knows of kinds of lines.
    lookers: Mutex<Vec<Looker>>,
    judge: Mutex<Judge>,
}

/// A stretch of the file.
#[derive(Clone)]
struct Piece {
    offset: u64,
    what: What,
    /// What of the file is checked with it.
    end: u64,
    is_last: bool,
}

#[derive(Clone)]
enum What {
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

enum Task {
    Judge,
    Read,
    Look(Range<usize>),
}

enum Done {
    Judged(Result<Progress>),
    Read(Result<Piece>),
    Looked(Looks),
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
            lines: Mutex::new(Lines::new(0, total)),
            piece: AtomicUsize::new(SHORT_SLICE),
            spare: Mutex::default(),
            keyed: Keyed::new(),
            lookers: Mutex::default(),
            judge: Mutex::new(Judge { progress, seen: Seen::new(), last: None }),
        };
        Ok(Verifier {
            stages: Arc::new(stages),
            read: None,
            looked: None,
            judged: None,
            is_read: false,
            left: None,
        })
    }

    /// Checks some mebibytes, or a single longer line, and tells how far that is and what was found in it.
    ///
    /// # Errors
    /// `EIO`.
    pub fn next_slice(&mut self, path: &ChroniclePath) -> Result<Progress> {
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
        let mut judge = locked(&self.stages.judge);
        judge.progress.findings.clear();
        judge.progress.done = true;
        Ok(judge.progress.clone())
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

    /// Takes each stage one piece further. Nothing as long as none was judged.
    fn step(&mut self, path: &ChroniclePath) -> Result<Option<Progress>> {
        let read = self.read.take();
        let bytes = match &read {
            Some(Piece { what: What::Lines(bytes), .. }) => bytes.clone(),
            _ => Arc::default(),
        };
        let length = read.as_ref().map_or(0, |piece| piece.end.saturating_sub(piece.offset));
        let length = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        let looked = self.looked.take().map(Arc::new);
        let judged_piece = looked.clone();
        // The long ones first, so that both threads end at the same time.
        let mut tasks = Vec::new();
        tasks.extend(looked.is_some().then_some(Task::Judge));
        tasks.extend((!self.is_read).then_some(Task::Read));
        let whole = bytes.get(..length).unwrap_or_default();
        tasks.extend(lines::parts_of(whole, PART).into_iter().map(Task::Look));
        let (stages, path) = (self.stages.clone(), path.clone());
        let done =
            pool::share(tasks.len(), move |number| match (tasks.get(number), looked.as_deref()) {
                (Some(Task::Judge), Some((piece, looks))) => {
                    Done::Judged(stages.judge(piece, looks, &path))
                }
                (Some(Task::Look(part)), _) => Done::Looked(stages.look(&bytes, part.clone())),
                _ => Done::Read(stages.read(&path)),
            });
        let mut looks = Vec::new();
        let mut judged = None;
        for done in done {
            match done {
                Done::Judged(progress) => judged = Some(progress?),
                Done::Read(piece) => {
                    let piece = piece?;
                    self.is_read = piece.is_last;
                    self.read = Some(piece);
                }
                Done::Looked(part) => looks.push(part),
            }
        }
        self.looked = read.map(|piece| (piece, looks));
        // Memory that is used again needs not be cleared by the system. The other thread may have what was judged just now still, but
        // not what was before.
        let before = std::mem::replace(&mut self.judged, judged_piece).and_then(Arc::into_inner);
        if let Some((Piece { what: What::Lines(bytes), .. }, _)) = before {
            *locked(&self.stages.spare) = Arc::into_inner(bytes).unwrap_or_default();
        }
        Ok(judged)
    }

    /// Closes the file also while the other thread has not left the last piece yet, and gives back what was remembered of the records.
    fn close(&mut self) {
        locked(&self.stages.storage).take();
        locked(&self.stages.judge).seen = Seen::new();
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.close();
    }
}

impl Stages {
    fn storage(&self) -> io::Result<Arc<dyn Storage>> {
        locked(&self.storage).clone().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn read(&self, path: &ChroniclePath) -> Result<Piece> {
        let mut lines = locked(&self.lines);
        let piece = self.storage().and_then(|storage| {
            let (offset, length, is_last) = match lines.next(&*storage)? {
                lines::Piece::TooLong { offset, length } => {
                    let (what, end) = (What::TooLong { length }, offset + length + 1);
                    return Ok(Piece { offset, what, end, is_last: false });
                }
                lines::Piece::Whole { offset, bytes } => (offset, bytes.len() as u64, false),
                lines::Piece::Tail { offset, bytes, length } => {
                    let end = offset + length;
                    if let Tail::Torn { nul } = judge_tail(bytes, length) {
                        let what = What::Torn { length, nul };
                        return Ok(Piece { offset, what, end, is_last: true });
                    }
                    (offset, length, true)
                }
            };
            lines.lengthen(self.piece.load(Ordering::Relaxed));
            let spare = std::mem::take(&mut *locked(&self.spare));
            let what = What::Lines(Arc::new(lines.take(spare)));
            Ok(Piece { offset, what, end: offset + length, is_last })
        });
        match piece {
            Err(error) if is_cut(&error) => {
                Ok(Piece { offset: 0, what: What::Cut, end: 0, is_last: true })
            }
            piece => piece.map_err(|error| cannot_read(path.as_path(), "pread", error)),
        }
    }

    fn look(&self, bytes: &[u8], part: Range<usize>) -> Looks {
        let known = locked(&self.lookers).pop();
        let mut looker = known.unwrap_or_else(|| Looker::new(self.keyed));
        let looks = looker.look_at_all(bytes, part);
        locked(&self.lookers).push(looker);
        looks
    }

    fn judge(&self, piece: &Piece, looks: &[Looks], path: &ChroniclePath) -> Result<Progress> {
        let mut judge = locked(&self.judge);
        judge.progress.findings.clear();
        match &piece.what {
            What::Lines(bytes) => judge.judge_lines(bytes, looks, piece.offset),
            What::TooLong { length } => judge.add_too_long(piece.offset, *length),
            What::Torn { length, nul } => {
                let stays = self
                    .storage()
                    .and_then(|storage| stays_torn(&*storage, piece.offset, *length))
                    .map_err(|error| cannot_read(path.as_path(), "pread", error))?;
                judge.add_torn(piece.offset, *length, *nul, stays);
            }
            What::Cut => {}
        }
        let progress = &mut judge.progress;
        progress.bytes = progress.bytes.max(piece.end);
        progress.done = piece.is_last;
        let findings = std::mem::take(&mut progress.findings);
        let weight: usize = findings.iter().map(Finding::weight).sum();
        let is_heavy = weight > MAX_SLICE_FINDINGS_BYTES;
        self.piece.store(if is_heavy { SHORT_SLICE } else { SLICE }, Ordering::Relaxed);
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
    fn add(&mut self, kind: FindingKind, place: Place, event_id: Option<&[u8]>, details: String) {
        let Place { line, offset, length } = place;
        self.ok &= kind.is_harmless();
        let event_id = event_id.and_then(Id::new);
        self.findings.push(Finding { kind, line, offset, length, event_id, details });
    }
}

#[derive(Clone, Copy)]
struct Place {
    line: u64,
    offset: u64,
    length: u64,
}

/// Judges the records in their order: what is to be known of those before one for that.
struct Judge {
    progress: Progress,
    seen: Seen,
    /// The line and the time of the last record.
    last: Option<(u64, Option<Instant>)>,
}

impl Judge {
    fn judge_lines(&mut self, bytes: &[u8], looks: &[Looks], offset: u64) {
        for looks in looks.iter().flat_map(|looks| looks.chunks(TOGETHER)) {
            self.seen.touch(looks.iter().flat_map(|(_, looked)| looked.marks()));
            for (range, looked) in looks {
                self.judge_line(bytes, range, looked, offset);
            }
        }
    }

    fn judge_line(&mut self, bytes: &[u8], range: &Range<usize>, looked: &Looked, offset: u64) {
        self.progress.lines += 1;
        let place = Place {
            line: self.progress.lines,
            offset: offset + range.start as u64,
            length: range.len() as u64,
        };
        let (kind, details) = match looked {
            Looked::Record(record) => {
                self.progress.records += 1;
                return self.check(bytes.get(range.clone()).unwrap_or_default(), record, place);
            }
            Looked::Blank => return,
            Looked::Malformed => (FindingKind::Malformed, "no JSON object"),
            Looked::Nul => (FindingKind::Nul, "no JSON object, with NUL bytes"),
            Looked::Marked(record) => {
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
        let place = Place { line: self.progress.lines, offset, length };
        let details = format!("longer than {MAX_LINE} bytes");
        self.progress.add(FindingKind::Malformed, place, None, details);
    }

    fn add_torn(&mut self, offset: u64, length: u64, nul: bool, stays: bool) {
        self.progress.lines += 1;
        if stays {
            let place = Place { line: self.progress.lines, offset, length };
            let nul = if nul { ", with NUL bytes" } else { "" };
            let details = format!("behind the last newline, no record{nul}");
            self.progress.add(FindingKind::Torn, place, None, details);
        }
    }

    fn check(&mut self, line: &[u8], record: &Record, place: Place) {
        let progress = &mut self.progress;
        let mut add = |kind, details| {
            let Verdict::Record(keys) = classify::judge(line) else { return };
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
fn judge_tail(bytes: &[u8], length: u64) -> Tail<'_> {
    if length > bytes.len() as u64 {
        Tail::Torn { nul: false }
    } else {
        classify::judge_tail(bytes)
    }
}

/// Whether the tail is torn while no writer holds the lock: else it is an append under way, or one that has ended by now.
fn stays_torn(storage: &dyn Storage, offset: u64, length: u64) -> io::Result<bool> {
    match storage.try_lock_shared() {
        Ok(true) => {
            let looked = is_still_torn(storage, offset, length);
            storage.unlock()?;
            looked
        }
        Ok(false) => Ok(false),
        // Where there are no locks nobody holds one.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            is_still_torn(storage, offset, length)
        }
        Err(error) => Err(error),
    }
}

fn is_still_torn(storage: &dyn Storage, offset: u64, length: u64) -> io::Result<bool> {
    if storage.stat()?.length != offset + length {
        return Ok(false);
    }
    if length > MAX_LINE as u64 {
        return Ok(true);
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    match read_exact_at(storage, &mut bytes, offset) {
        Ok(()) => Ok(matches!(classify::judge_tail(&bytes), Tail::Torn { .. })),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
