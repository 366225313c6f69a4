//! Checking a log: every line and every record of the file as it was when the check began.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr;
use siphasher::sip128::SipHasher13;

use crate::envelope::Envelope;
use crate::error::Result;
use crate::event::{self, Id};
use crate::instant::Instant;
use crate::json::MAX_LINE;
use crate::lines::{Lines, Piece};
use crate::path::ChroniclePath;
use crate::pool;
use crate::scan::{self, Keys, Tail, Verdict};
use crate::storage::{Disk, FileDisk, Storage, cannot_read, is_cut, read_exact_at};
use crate::string;

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// What stands behind the last newline is no record, and nobody is writing it.
    Torn,
    /// A complete line is no JSON object, or too long.
    Malformed,
    /// A complete line is no JSON object and has 0x00 bytes.
    Nul,
    /// An `eventId` of 64 hexadecimal digits is the hash of neither canonical form of its record.
    IdMismatch,
    /// An earlier record has the id or the key as id or key.
    Duplicate,
    /// No earlier record has the `prevEventId` as id.
    BrokenChain,
    /// The timestamp is earlier than that of the record before.
    OutOfOrder,
}

impl FindingKind {
    /// The word callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingKind::Torn => "torn",
            FindingKind::Malformed => "malformed",
            FindingKind::Nul => "nul",
            FindingKind::IdMismatch => "id-mismatch",
            FindingKind::Duplicate => "duplicate",
            FindingKind::BrokenChain => "broken-chain",
            FindingKind::OutOfOrder => "out-of-order",
        }
    }

    /// Whether a log that has it is still good: a crash leaves a torn tail, and clocks differ.
    pub fn is_harmless(self) -> bool {
        matches!(self, FindingKind::Torn | FindingKind::OutOfOrder)
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

/// Bytes checked in a slice, about.
const SLICE: u64 = 1 << 20;
/// Bytes of lines that one thread looks at before it takes the next.
const PART: usize = 32 << 10;

/// Checks a log from its beginning to where it ended when the check began, in slices. It keeps a hash of each id and key, and nothing
/// else that grows with the file. It never writes, and takes no lock but for a moment when the file ends in a torn tail.
pub struct Verifier {
    source: Option<Source>,
    progress: Progress,
    records: Records,
}

struct Source {
    storage: Arc<dyn Storage>,
    lines: Lines,
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
        let source = match disk.open_for_reading(path.as_path())? {
            None => None,
            Some(storage) => {
                let end = storage
                    .stat()
                    .map_err(|error| cannot_read(path.as_path(), "fstat", error))?
                    .length;
                Some((end, Source { storage, lines: Lines::new(0, end) }))
            }
        };
        let total = source.as_ref().map_or(0, |(end, _)| *end);
        Ok(Verifier {
            source: source.map(|(_, source)| source),
            progress: Progress { ok: true, total, ..Progress::default() },
            records: Records::new(),
        })
    }

    /// Checks some mebibytes, or a single longer line, and tells how far that is and what was found in it.
    ///
    /// # Errors
    /// `EIO`.
    pub fn next_slice(&mut self, path: &ChroniclePath) -> Result<Progress> {
        self.progress.findings.clear();
        let Some(source) = &mut self.source else {
            self.progress.done = true;
            return Ok(self.progress.clone());
        };
        let progress = &mut self.progress;
        let begin = progress.bytes;
        while !progress.done && progress.bytes - begin < SLICE {
            match source.lines.next(&*source.storage) {
                Ok(Piece::Whole { offset, bytes }) => {
                    self.records.check_lines(bytes, offset, progress);
                    progress.bytes = offset + bytes.len() as u64;
                }
                Ok(Piece::TooLong { offset, length }) => {
                    progress.lines += 1;
                    let details = format!("longer than {MAX_LINE} bytes");
                    let place = Place { line: progress.lines, offset, length };
                    progress.add(FindingKind::Malformed, place, None, details);
                    progress.bytes = offset + length + 1;
                }
                Ok(Piece::Tail { offset, bytes, length }) => {
                    progress.bytes = offset + length;
                    progress.done = true;
                    match judge_tail(bytes, length) {
                        Tail::Clean => progress.lines += u64::from(length > 0),
                        Tail::Record(_) => self.records.check_lines(bytes, offset, progress),
                        Tail::Torn { nul } => {
                            progress.lines += 1;
                            let stays = stays_torn(&*source.storage, offset, length)
                                .map_err(|error| cannot_read(path.as_path(), "pread", error))?;
                            if stays {
                                let place = Place { line: progress.lines, offset, length };
                                let nul = if nul { ", with NUL bytes" } else { "" };
                                let details = format!("behind the last newline, no record{nul}");
                                progress.add(FindingKind::Torn, place, None, details);
                            }
                        }
                    }
                }
                // Somebody cut the file: what is left of it was checked.
                Err(error) if is_cut(&error) => progress.done = true,
                Err(error) => return Err(cannot_read(path.as_path(), "pread", error)),
            }
        }
        if progress.done {
            self.source = None;
            self.records = Records::new();
        }
        Ok(self.progress.clone())
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

/// What is to be known of the records before one, to judge it.
struct Records {
    /// Ids and keys by a keyed hash so wide that no two collide.
    seen: HashMap<u128, Seen, BuildHasherDefault<Folded>>,
    hasher: SipHasher13,
    /// The line and the time of the last record.
    last: Option<(u64, Option<Instant>)>,
}

/// Takes the keys of the map, which are hashes already, as they are.
#[derive(Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = u64::try_from(hash >> 64).unwrap_or_default();
    }
}

struct Seen {
    /// The first line that has it.
    line: u64,
    /// Some record has it as id, not only as key.
    is_event_id: bool,
}

impl Records {
    fn new() -> Records {
        // A random key, so that nobody can make two ids collide.
        let random = || RandomState::new().build_hasher().finish();
        let hasher = SipHasher13::new_with_keys(random(), random());
        Records { seen: HashMap::default(), hasher, last: None }
    }

    /// Checks lines, the last of which may be without its newline.
    fn check_lines(&mut self, bytes: &[u8], offset: u64, progress: &mut Progress) {
        let bytes: Arc<[u8]> = bytes.into();
        let parts = parts_of(&bytes);
        let (text, hasher) = (bytes.clone(), self.hasher);
        // Most of the time goes into canonical forms and hashes, which need nothing of the lines before: two threads share that.
        let looked = pool::share(parts.len(), move |number| {
            let part = parts.get(number).cloned().unwrap_or_default();
            lines_of(&text, part)
                .map(|line| (line.clone(), Looked::at(text.get(line).unwrap_or_default(), hasher)))
                .collect::<Vec<_>>()
        });
        for (line, looked) in looked.into_iter().flatten() {
            progress.lines += 1;
            let place = Place {
                line: progress.lines,
                offset: offset + line.start as u64,
                length: line.len() as u64,
            };
            self.judge(bytes.get(line).unwrap_or_default(), looked, place, progress);
        }
    }

    fn judge(&mut self, line: &[u8], looked: Looked, place: Place, progress: &mut Progress) {
        match looked {
            Looked::Record(record) => {
                progress.records += 1;
                self.check(line, &record, place, progress);
            }
            Looked::Blank => {}
            Looked::Malformed => {
                progress.add(FindingKind::Malformed, place, None, "no JSON object".into());
            }
            Looked::Nul => {
                let details = "no JSON object, with NUL bytes".into();
                progress.add(FindingKind::Nul, place, None, details);
            }
        }
    }

    fn check(&mut self, line: &[u8], record: &Record, place: Place, progress: &mut Progress) {
        let mut add = |kind, details| {
            let Verdict::Record(keys) = scan::judge(line) else { return };
            progress.add(kind, place, keys.event_id.as_deref(), details);
        };
        if !record.is_its_hash {
            add(FindingKind::IdMismatch, "eventId is not the hash of the record".into());
        }
        let names = [("eventId", record.event_id), ("idempotencyKey", record.idempotency_key)];
        let earlier = names.iter().find_map(|(name, hash)| {
            let seen = self.seen.get(&(*hash)?)?;
            Some(format!("{name} is that of an earlier record, on line {}", seen.line))
        });
        if let Some(details) = earlier {
            add(FindingKind::Duplicate, details);
        }
        if let Some(previous) = record.previous
            && !self.seen.get(&previous).is_some_and(|seen| seen.is_event_id)
        {
            let envelope = Envelope::of(line).ok();
            let id = envelope.as_ref().and_then(|envelope| envelope.text("prevEventId"));
            let start: String =
                String::from_utf8_lossy(&id.unwrap_or_default()).chars().take(100).collect();
            add(FindingKind::BrokenChain, format!("no earlier record has the eventId {start}"));
        }
        if let (Some((last_line, Some(last))), Some(time)) = (self.last, record.time)
            && time < last
        {
            let details = format!("timestamp is earlier than that of line {last_line}");
            add(FindingKind::OutOfOrder, details);
        }
        self.last = Some((place.line, record.time));
        self.note(record.event_id, place.line, true);
        self.note(record.idempotency_key, place.line, false);
    }

    fn note(&mut self, hash: Option<u128>, line: u64, is_event_id: bool) {
        let Some(hash) = hash else { return };
        let seen = self.seen.entry(hash).or_insert(Seen { line, is_event_id });
        seen.is_event_id |= is_event_id;
    }
}

/// What a line is by itself.
enum Looked {
    Record(Record),
    Blank,
    Malformed,
    Nul,
}

/// What a record has to be compared with those before it. Ids by their hashes.
struct Record {
    event_id: Option<u128>,
    idempotency_key: Option<u128>,
    previous: Option<u128>,
    time: Option<Instant>,
    /// Its id is the hash of it, or does not look like one.
    is_its_hash: bool,
}

impl Looked {
    fn at(line: &[u8], hasher: SipHasher13) -> Looked {
        let (mut previous, mut time) = (None, None);
        let mut keys = Keys::default();
        let verdict = scan::judge_members(line, |key, value| {
            keys.note(key, value);
            match &*string::unescape(key) {
                b"prevEventId" => previous = Some(value),
                b"timestamp" => time = Some(value),
                _ => {}
            }
        });
        match verdict {
            Verdict::Record(_) => {}
            Verdict::Blank => return Looked::Blank,
            Verdict::Malformed => return Looked::Malformed,
            Verdict::Nul => return Looked::Nul,
        }
        let hash = |text: &[u8]| hasher.hash(text).as_u128();
        let id = keys.event_id.as_deref();
        let is_its_hash =
            !id.is_some_and(is_like_a_hash) || matches!(event::verify_id(line), Ok(Some(_)));
        let previous = match previous {
            Some([b'"', inside @ .., b'"']) if !inside.is_empty() => Some(string::unescape(inside)),
            _ => None,
        };
        Looked::Record(Record {
            event_id: id.map(hash),
            idempotency_key: keys.idempotency_key.as_deref().map(hash),
            previous: previous.as_deref().map(hash),
            time: time.and_then(Instant::of_json),
            is_its_hash,
        })
    }
}

/// Cuts lines into parts of about the same length, each of whole lines.
fn parts_of(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let rest = bytes.get(start + PART..).unwrap_or_default();
        let end = memchr(b'\n', rest).map_or(bytes.len(), |newline| start + PART + newline + 1);
        parts.push(start..end);
        start = end;
    }
    parts
}

/// The lines of a part, without their newlines.
fn lines_of(bytes: &[u8], part: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut start = part.start;
    std::iter::from_fn(move || {
        let rest = bytes.get(start..part.end).filter(|rest| !rest.is_empty())?;
        let end = start + memchr(b'\n', rest).unwrap_or(rest.len());
        let line = start..end;
        start = end + 1;
        Some(line)
    })
}

/// Other ids are their givers' affair.
fn is_like_a_hash(id: &[u8]) -> bool {
    id.len() == 64 && id.iter().all(u8::is_ascii_hexdigit)
}

/// `bytes` are empty also when the tail is too long to be a record.
fn judge_tail(bytes: &[u8], length: u64) -> Tail<'_> {
    if length > bytes.len() as u64 { Tail::Torn { nul: false } } else { scan::judge_tail(bytes) }
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
        Ok(()) => Ok(matches!(scan::judge_tail(&bytes), Tail::Torn { .. })),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
