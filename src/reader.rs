//! Reading without a lock: the file as it was when the read began, whole records only.

use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::lines::{Lines, Piece};
use crate::path::ChroniclePath;
use crate::scan::{self, Tail, Verdict};
use crate::storage::{self, Storage};
use crate::tail::{self, Counted, Start};

/// Why a line is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadKind {
    /// It is no JSON object, or too long.
    Malformed,
    /// It has a 0x00 byte, as a crash leaves behind.
    Nul,
}

impl BadKind {
    /// The word callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            BadKind::Malformed => "malformed",
            BadKind::Nul => "nul",
        }
    }
}

/// A complete line that is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLine {
    /// Why.
    pub kind: BadKind,
    /// Line number, from 1.
    pub line: u64,
    /// First byte, from 0.
    pub offset: u64,
    /// Bytes without the newline.
    pub length: u64,
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the record, from 1.
    pub seq: u64,
    /// First byte, from 0.
    pub offset: u64,
    /// Bytes without the newline.
    pub length: u64,
}

/// Some consecutive records.
#[derive(Debug, Default)]
pub struct Slice {
    /// The records as one JSON array.
    pub json: Vec<u8>,
    /// The place of each.
    pub places: Vec<Place>,
    /// Complete lines among them that are no records.
    pub bad: Vec<BadLine>,
    /// Nothing comes after.
    pub done: bool,
}

/// Reads a log from its beginning to where it ended when the reader was opened. A torn tail is no record and no bad line: it may be
/// an append that is under way.
pub struct Reader {
    source: Option<Source>,
    line: u64,
    records: u64,
}

struct Source {
    storage: Box<dyn Storage>,
    lines: Lines,
}

/// Times a file that is cut while its end is looked for is looked at anew.
const MOST_ATTEMPTS: usize = 10;

impl Reader {
    /// Opens the log; one that does not exist is empty.
    ///
    /// # Errors
    /// `EVALIDATION` for what is no regular file, `EIO`.
    pub fn open(path: &ChroniclePath) -> Result<Reader> {
        Self::open_at(path, |_, _| Ok(Start::default()))
    }

    /// Opens the log before its last `count` records, which are found by reading backwards. The numbers of lines and records are
    /// counted from there.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_tail(path: &ChroniclePath, count: u64) -> Result<Reader> {
        Self::open_counted_tail(path, count, Counted::default())
    }

    /// Opens the log before its last `count` records, with the numbers that they have in the file, for which all of it is read.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_numbered_tail(path: &ChroniclePath, count: u64) -> Result<Reader> {
        Self::open_counted_tail(path, count, Counted { always: true, for_bad_lines: true })
    }

    pub(crate) fn open_counted_tail(
        path: &ChroniclePath,
        count: u64,
        counted: Counted,
    ) -> Result<Reader> {
        Self::open_at(path, |storage, end| tail::last_records(storage, end, count, counted))
    }

    fn open_at(
        path: &ChroniclePath,
        find: impl Fn(&dyn Storage, u64) -> io::Result<Start>,
    ) -> Result<Reader> {
        let Some(storage) = storage::open_for_reading(path.as_path())? else {
            return Ok(Reader { source: None, line: 1, records: 0 });
        };
        let mut attempts = 0;
        loop {
            let stat =
                storage.stat().map_err(|error| cannot_read(path.as_path(), "fstat", error))?;
            match find(&storage, stat.length) {
                Ok(start) => {
                    let lines = Lines::new(start.offset, stat.length);
                    let source = Some(Source { storage: Box::new(storage), lines });
                    return Ok(Reader { source, line: start.lines + 1, records: start.records });
                }
                // Somebody cut the file in the middle of the search.
                Err(error) if is_cut(&error) && attempts < MOST_ATTEMPTS => attempts += 1,
                Err(error) => return Err(cannot_read(path.as_path(), "pread", error)),
            }
        }
    }

    /// The next records, about a mebibyte of them, or a single longer one.
    ///
    /// # Errors
    /// `EIO`.
    pub fn next_slice(&mut self, path: &ChroniclePath) -> Result<Slice> {
        let Some(source) = &mut self.source else {
            return Ok(Slice { json: b"[]".to_vec(), done: true, ..Slice::default() });
        };
        let mut slice = SliceBuilder::new();
        let piece = match source.lines.next(&*source.storage) {
            Ok(piece) => piece,
            // Somebody cut the file: what is left of it was read.
            Err(error) if is_cut(&error) => {
                self.source = None;
                return Ok(slice.finish(true));
            }
            Err(error) => return Err(cannot_read(path.as_path(), "pread", error)),
        };
        let done = match piece {
            Piece::Whole { offset, bytes } => {
                scan::complete_lines(bytes, |start, line| {
                    slice.judge(line, offset + start as u64, self.line, &mut self.records);
                    self.line += 1;
                });
                false
            }
            Piece::TooLong { offset, length } => {
                slice.bad(BadKind::Malformed, self.line, offset, length);
                self.line += 1;
                false
            }
            Piece::Tail { offset, bytes, .. } => {
                if let Tail::Record(_) = scan::judge_tail(bytes) {
                    slice.judge(bytes, offset, self.line, &mut self.records);
                }
                true
            }
        };
        if done {
            self.source = None;
        }
        Ok(slice.finish(done))
    }
}

struct SliceBuilder(Slice);

impl SliceBuilder {
    fn new() -> Self {
        SliceBuilder(Slice { json: vec![b'['], ..Slice::default() })
    }

    fn judge(&mut self, line: &[u8], offset: u64, number: u64, records: &mut u64) {
        match scan::judge(line) {
            Verdict::Record(_) => {
                *records += 1;
                self.push(line, Place { seq: *records, offset, length: line.len() as u64 });
            }
            Verdict::Blank => {}
            Verdict::Malformed => self.bad(BadKind::Malformed, number, offset, line.len() as u64),
            Verdict::Nul => self.bad(BadKind::Nul, number, offset, line.len() as u64),
        }
    }

    fn push(&mut self, line: &[u8], place: Place) {
        if self.0.json.len() > 1 {
            self.0.json.push(b',');
        }
        self.0.json.extend_from_slice(line);
        self.0.places.push(place);
    }

    fn bad(&mut self, kind: BadKind, line: u64, offset: u64, length: u64) {
        self.0.bad.push(BadLine { kind, line, offset, length });
    }

    fn finish(mut self, done: bool) -> Slice {
        self.0.json.push(b']');
        self.0.done = done;
        self.0
    }
}

fn cannot_read(path: &Path, operation: &'static str, error: io::Error) -> Error {
    Error::io(format!("cannot read {}", path.display()), operation, error).with_path(path)
}

fn is_cut(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}
