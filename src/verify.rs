//! Checking a log: every line and every record of the file as it was when the check began.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::Arc;

use siphasher::sip128::SipHasher13;

use crate::envelope::Envelope;
use crate::error::{Error, Result};
use crate::event::{self, Id};
use crate::instant::Instant;
use crate::json::MAX_LINE;
use crate::lines::{Lines, Piece};
use crate::path::ChroniclePath;
use crate::scan::{self, Keys, Tail, Verdict};
use crate::storage::{Disk, FileDisk, Storage, read_exact_at};

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
                let end = storage.stat().map_err(|error| cannot_read(path, "fstat", error))?.length;
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

    /// Checks about a mebibyte, or a single longer line, and tells how far that is and what was found in it.
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
        match source.lines.next(&*source.storage) {
            Ok(Piece::Whole { offset, bytes }) => {
                let used = scan::complete_lines(bytes, |start, line| {
                    progress.lines += 1;
                    let place = Place::new(progress.lines, offset + start as u64, line.len());
                    self.records.judge(line, place, progress);
                });
                progress.bytes = offset + used as u64;
            }
            Ok(Piece::TooLong { offset, length }) => {
                progress.lines += 1;
                let details = format!("longer than {MAX_LINE} bytes");
                let place = Place { line: progress.lines, offset, length };
                progress.add(FindingKind::Malformed, place, None, details);
                progress.bytes = offset + length + 1;
            }
            Ok(Piece::Tail { offset, bytes, length }) => {
                progress.lines += u64::from(length > 0);
                progress.bytes = offset + length;
                progress.done = true;
                let place = Place { line: progress.lines, offset, length };
                match judge_tail(bytes, length) {
                    Tail::Clean => {}
                    Tail::Record(_) => self.records.judge(bytes, place, progress),
                    Tail::Torn { nul } => {
                        let stays = stays_torn(&*source.storage, offset, length)
                            .map_err(|error| cannot_read(path, "pread", error))?;
                        if stays {
                            let nul = if nul { ", with NUL bytes" } else { "" };
                            let details = format!("behind the last newline, no record{nul}");
                            progress.add(FindingKind::Torn, place, None, details);
                        }
                    }
                }
            }
            // Somebody cut the file: what is left of it was checked.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => progress.done = true,
            Err(error) => return Err(cannot_read(path, "pread", error)),
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

impl Place {
    fn new(line: u64, offset: u64, length: usize) -> Place {
        Place { line, offset, length: length as u64 }
    }
}

/// What is to be known of the records before one, to judge it.
struct Records {
    /// Ids and keys by a hash so wide that no two collide.
    seen: HashMap<u128, Seen>,
    hasher: SipHasher13,
    /// The line and the time of the last record.
    last: Option<(u64, Option<Instant>)>,
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
        Records { seen: HashMap::new(), hasher, last: None }
    }

    fn judge(&mut self, line: &[u8], place: Place, progress: &mut Progress) {
        match scan::judge(line) {
            Verdict::Record(keys) => {
                progress.records += 1;
                self.check(line, &keys, place, progress);
            }
            Verdict::Blank => {}
            Verdict::Malformed => {
                progress.add(FindingKind::Malformed, place, None, "no JSON object".into());
            }
            Verdict::Nul => {
                let details = "no JSON object, with NUL bytes".into();
                progress.add(FindingKind::Nul, place, None, details);
            }
        }
    }

    fn check(&mut self, line: &[u8], keys: &Keys<'_>, place: Place, progress: &mut Progress) {
        let id = keys.event_id.as_deref();
        let mut add = |kind, details| progress.add(kind, place, id, details);
        if id.is_some_and(is_like_a_hash) && !matches!(event::verify_id(line), Ok(Some(_))) {
            add(FindingKind::IdMismatch, "eventId is not the hash of the record".into());
        }
        let names = [("eventId", id), ("idempotencyKey", keys.idempotency_key.as_deref())];
        let earlier = names.iter().find_map(|(name, value)| {
            let seen = self.seen.get(&self.hash((*value)?))?;
            Some(format!("{name} is that of an earlier record, on line {}", seen.line))
        });
        if let Some(details) = earlier {
            add(FindingKind::Duplicate, details);
        }
        let envelope = Envelope::of(line).ok();
        let previous = envelope.as_ref().and_then(|envelope| envelope.text("prevEventId"));
        if let Some(previous) = previous {
            let seen = self.seen.get(&self.hash(&previous));
            if !seen.is_some_and(|seen| seen.is_event_id) {
                let start: String = String::from_utf8_lossy(&previous).chars().take(100).collect();
                let details = format!("no earlier record has the eventId {start}");
                add(FindingKind::BrokenChain, details);
            }
        }
        let time = envelope
            .as_ref()
            .and_then(|envelope| envelope.get("timestamp"))
            .and_then(Instant::of_json);
        if let (Some((last_line, Some(last))), Some(time)) = (self.last, time)
            && time < last
        {
            let details = format!("timestamp is earlier than that of line {last_line}");
            add(FindingKind::OutOfOrder, details);
        }
        self.last = Some((place.line, time));
        self.note(id, place.line, true);
        self.note(keys.idempotency_key.as_deref(), place.line, false);
    }

    fn note(&mut self, value: Option<&[u8]>, line: u64, is_event_id: bool) {
        let Some(value) = value else { return };
        let hash = self.hash(value);
        let seen = self.seen.entry(hash).or_insert(Seen { line, is_event_id });
        seen.is_event_id |= is_event_id;
    }

    fn hash(&self, value: &[u8]) -> u128 {
        self.hasher.hash(value).as_u128()
    }
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

fn cannot_read(path: &ChroniclePath, operation: &'static str, error: io::Error) -> Error {
    let path = path.as_path();
    Error::io(format!("cannot read {}", path.display()), operation, error).with_path(path)
}
