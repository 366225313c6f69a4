//! Reading without a lock: the file as it was when the read began, whole records only.

use std::path::Path;

use crate::error::{Error, Result};
use crate::lines::{Lines, Piece};
use crate::path::ChroniclePath;
use crate::scan::{self, Tail, Verdict};
use crate::storage::{self, Storage};

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

impl Reader {
    /// Opens the log; one that does not exist is empty.
    ///
    /// # Errors
    /// `EVALIDATION` for what is no regular file, `EIO`.
    pub fn open(path: &ChroniclePath) -> Result<Reader> {
        let opened = storage::open_for_reading(path.as_path())?;
        let source = match opened {
            None => None,
            Some(storage) => {
                let end = storage
                    .stat()
                    .map_err(|error| cannot_read(path.as_path(), "fstat", error))?
                    .length;
                Some(Source {
                    storage: Box::new(storage),
                    lines: Lines::new(0, end),
                })
            }
        };
        Ok(Reader {
            source,
            line: 1,
            records: 0,
        })
    }

    /// The next records, about a mebibyte of them, or a single longer one.
    ///
    /// # Errors
    /// `EIO`.
    pub fn next_slice(&mut self, path: &ChroniclePath) -> Result<Slice> {
        let Some(source) = &mut self.source else {
            return Ok(Slice {
                json: b"[]".to_vec(),
                done: true,
                ..Slice::default()
            });
        };
        let mut slice = SliceBuilder::new();
        let piece = match source.lines.next(&*source.storage) {
            Ok(piece) => piece,
            // Somebody cut the file: what is left of it was read.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
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

pub(crate) struct SliceBuilder(Slice);

impl SliceBuilder {
    pub(crate) fn new() -> Self {
        SliceBuilder(Slice {
            json: vec![b'['],
            ..Slice::default()
        })
    }

    fn judge(&mut self, line: &[u8], offset: u64, number: u64, records: &mut u64) {
        match scan::judge(line) {
            Verdict::Record(_) => {
                *records += 1;
                self.push(
                    line,
                    Place {
                        seq: *records,
                        offset,
                        length: line.len() as u64,
                    },
                );
            }
            Verdict::Blank => {}
            Verdict::Malformed => self.bad(BadKind::Malformed, number, offset, line.len() as u64),
            Verdict::Nul => self.bad(BadKind::Nul, number, offset, line.len() as u64),
        }
    }

    pub(crate) fn push(&mut self, line: &[u8], place: Place) {
        if self.0.json.len() > 1 {
            self.0.json.push(b',');
        }
        self.0.json.extend_from_slice(line);
        self.0.places.push(place);
    }

    pub(crate) fn bad(&mut self, kind: BadKind, line: u64, offset: u64, length: u64) {
        self.0.bad.push(BadLine {
            kind,
            line,
            offset,
            length,
        });
    }

    pub(crate) fn finish(mut self, done: bool) -> Slice {
        self.0.json.push(b']');
        self.0.done = done;
        self.0
    }
}

pub(crate) fn cannot_read(path: &Path, operation: &'static str, error: std::io::Error) -> Error {
    Error::io(format!("cannot read {}", path.display()), operation, error).with_path(path)
}
