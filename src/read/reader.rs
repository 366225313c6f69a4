//! One read, page by page, without the lock.

use std::io;
use std::path::Path;

use crate::error::Result;
use crate::path::ChroniclePath;
use crate::read::cursor::Counted;
use crate::read::page::{PAGE_BYTES, Page, SCAN_BUDGET};
use crate::read::place::{self, Place, ResolvedPlace, StartCondition};
use crate::read::selection::{LinesBefore, Picker, Selection};
use crate::read::tail::{self, Start};
use crate::record::classify::{self, Tail, Verdict};
use crate::record::lines::{LineChunk, LineReader};
use crate::record::reverse_lines::ReverseLines;
use crate::storage::{Disk, FileDisk, OpenFile, Stat, Storage, cannot_read, is_cut};

/// Reads a log as it was when the reader was opened, page by page.
///
/// A torn tail is neither a record nor a bad line, because it may be an append under way.
pub struct Reader {
    source: Option<Source>,
    picker: Picker,
    stat: Option<Stat>,
    is_counted: bool,
}

struct Source {
    storage: OpenFile,
    walk: Walk,
}

enum Walk {
    Forward(LineReader),
    /// Finds both ends, and counts, before a backward read.
    Locate(LineReader, RangeSearch),
    Backward(ReverseLines, LinesBefore),
}

/// The ends of a backward read, as far as they are known.
struct RangeSearch {
    floor: Option<u64>,
    ceiling: u64,
    /// Records and lines in front of the scan.
    passed: Counted,
}

/// How often the end of a file is searched again after another process truncated the file.
pub(crate) const MAX_ATTEMPTS: usize = 10;

impl Reader {
    /// Opens the whole log. A log that does not exist is empty.
    ///
    /// # Errors
    /// `EVALIDATION` for anything but a regular file, `EIO`.
    pub fn open(path: &ChroniclePath) -> Result<Reader> {
        Self::select(&FileDisk, path, &Selection::default())
    }

    /// Opens the log for the selected records.
    ///
    /// # Errors
    /// As [`Reader::open`]. `ECONFLICT` for a cursor whose file is gone. `EVALIDATION` for an event
    /// id to begin at in a log that does not exist.
    pub fn select(disk: &dyn Disk, path: &ChroniclePath, selection: &Selection) -> Result<Reader> {
        let path = path.as_path();
        let Some((storage, stat)) = open(disk, path)? else {
            for place in [Some(&selection.from), selection.to.as_ref()].into_iter().flatten() {
                place.resolve_nowhere(path)?;
            }
            if let Place::EventId(_) = selection.from {
                return Err(place::unknown_id(path));
            }
            return Ok(Reader::empty());
        };
        let from = selection.from.resolve(&*storage, &stat, path)?;
        let to = match &selection.to {
            None => ResolvedPlace::At { offset: stat.length, counted: None },
            Some(to) => to.resolve(&*storage, &stat, path)?,
        };
        let (walk, picker, is_counted) = if selection.reverse {
            backward(selection, from, to, stat.length)
        } else {
            forward(selection, from, to, stat.length)
        };
        let source = Some(Source { storage, walk });
        Ok(Reader { source, picker, stat: Some(stat), is_counted })
    }

    /// Opens the log before its last `count` records, found by a backward scan. Line and record
    /// numbers count from there.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_tail(path: &ChroniclePath, count: u64) -> Result<Reader> {
        Self::open_counted_tail(&FileDisk, path, count, tail::CountMode::default())
    }

    /// Opens the log before its last `count` records, with their numbers in the file. The numbers
    /// cost a scan of the whole log.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_numbered_tail(path: &ChroniclePath, count: u64) -> Result<Reader> {
        let counted = tail::CountMode { always: true, for_bad_lines: true };
        Self::open_counted_tail(&FileDisk, path, count, counted)
    }

    pub(crate) fn open_counted_tail(
        disk: &dyn Disk,
        path: &ChroniclePath,
        count: u64,
        counted: tail::CountMode,
    ) -> Result<Reader> {
        let path = path.as_path();
        let Some((storage, mut stat)) = open(disk, path)? else {
            return Ok(Reader::empty());
        };
        let mut attempts = 0;
        loop {
            match tail::last_records(&*storage, stat.length, count, counted) {
                Ok(Start { offset, lines, records }) => {
                    let mut picker = Picker::new(&Selection::default(), None, None);
                    picker.passed = Counted { records, lines };
                    let walk = Walk::Forward(LineReader::new(offset, stat.length));
                    let source = Some(Source { storage, walk });
                    return Ok(Reader { source, picker, stat: Some(stat), is_counted: false });
                }
                // Another process truncated the file during the search.
                Err(error) if is_cut(&error) && attempts < MAX_ATTEMPTS => attempts += 1,
                Err(error) => return Err(cannot_read(path, "pread", error)),
            }
            stat = storage.stat().map_err(|error| cannot_read(path, "fstat", error))?;
        }
    }

    fn empty() -> Reader {
        let picker = Picker::new(&Selection::default(), None, None);
        Reader { source: None, picker, stat: None, is_counted: true }
    }

    /// The file that is read; `None` if it does not exist.
    pub fn stat(&self) -> Option<&Stat> {
        self.stat.as_ref()
    }

    /// Whether line and record numbers count from the start of the file.
    pub fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// The next records: about 256 KiB of them, or one longer record. A page may be empty if many
    /// records are not wanted.
    ///
    /// # Errors
    /// `EIO`; `EVALIDATION` when no record has the event id to begin at.
    pub fn next_page(&mut self, path: &ChroniclePath) -> Result<Page> {
        let mut page = Page::begin();
        let Some(source) = &mut self.source else {
            return Ok(page.end(true));
        };
        let done = match source.step(&mut self.picker, &mut page) {
            Ok(done) => done,
            // Another process truncated the file: the rest was read.
            Err(error) if is_cut(&error) => true,
            Err(error) => return Err(cannot_read(path.as_path(), "pread", error)),
        };
        if done {
            self.source = None;
            if !self.picker.is_over
                && self.picker.from.as_ref().is_some_and(StartCondition::names_an_id)
            {
                return Err(place::unknown_id(path.as_path()));
            }
        }
        Ok(page.end(done))
    }
}

/// The walk of a forward read. If numbers are needed and the start has none, the walk counts from
/// the start of the file.
fn forward(
    selection: &Selection,
    from: ResolvedPlace,
    to: ResolvedPlace,
    end: u64,
) -> (Walk, Picker, bool) {
    let counts =
        selection.numbered || matches!(to, ResolvedPlace::StartCondition(StartCondition::Seq(_)));
    let (start, counted, from) = match from {
        ResolvedPlace::At { offset, counted: None } if counts && offset < end => {
            (0, Some(Counted::default()), Some(StartCondition::Offset(offset)))
        }
        ResolvedPlace::At { offset, counted } => (offset, counted, None),
        ResolvedPlace::StartCondition(condition) => (0, Some(Counted::default()), Some(condition)),
    };
    let (end, to) = match to {
        ResolvedPlace::At { offset, .. } => (offset.min(end), None),
        ResolvedPlace::StartCondition(condition) => (end, Some(condition)),
    };
    let mut picker = Picker::new(selection, from, to);
    picker.passed = counted.unwrap_or_default();
    let is_counted = counted.is_some() && picker.counts();
    (Walk::Forward(LineReader::new(start, end.max(start))), picker, is_counted)
}

/// The walk of a backward read. A scan finds ends or numbers that are unknown.
fn backward(
    selection: &Selection,
    from: ResolvedPlace,
    to: ResolvedPlace,
    end: u64,
) -> (Walk, Picker, bool) {
    let (floor, from) = match from {
        ResolvedPlace::At { offset, .. } => (Some(offset), None),
        ResolvedPlace::StartCondition(condition) => (None, Some(condition)),
    };
    let (ceiling, counted, to) = match to {
        ResolvedPlace::At { offset, counted } => (offset.min(end), counted, None),
        ResolvedPlace::StartCondition(condition) => (end, None, Some(condition)),
    };
    let is_known = from.is_none() && to.is_none() && (counted.is_some() || !selection.numbered);
    let picker = Picker::new(selection, from, to);
    let mut is_counted = picker.counts();
    let walk = match floor {
        Some(floor) if is_known => {
            is_counted = counted.is_some() && picker.counts();
            let backwards = ReverseLines::new(floor, ceiling.max(floor));
            Walk::Backward(backwards, LinesBefore(counted))
        }
        _ => {
            let passed = Counted::default();
            Walk::Locate(LineReader::new(0, ceiling), RangeSearch { floor, ceiling, passed })
        }
    };
    (walk, picker, is_counted)
}

impl Source {
    /// Scans part of the file. Returns whether the walk has ended.
    fn step(&mut self, picker: &mut Picker, page: &mut Page) -> io::Result<bool> {
        let storage = &*self.storage;
        let mut passed = 0;
        while page.weight() < PAGE_BYTES && passed < SCAN_BUDGET {
            if picker.is_over {
                return Ok(true);
            }
            passed += match &mut self.walk {
                Walk::Forward(lines) => match forward_step(lines, picker, storage, page)? {
                    Some(bytes) => bytes,
                    None => return Ok(true),
                },
                Walk::Locate(lines, search) => match search.step(lines, picker, storage)? {
                    Some(bytes) => bytes,
                    None => {
                        let Some(floor) = search.floor else { return Ok(true) };
                        picker.to = None;
                        let backwards = ReverseLines::new(floor, search.ceiling.max(floor));
                        self.walk = Walk::Backward(
                            backwards,
                            LinesBefore(picker.counts().then_some(search.passed)),
                        );
                        0
                    }
                },
                Walk::Backward(backwards, before) => {
                    match backward_step(backwards, before, picker, storage, page)? {
                        Some(bytes) => bytes,
                        None => return Ok(true),
                    }
                }
            };
        }
        Ok(false)
    }
}

/// Returns the number of bytes scanned, or `None` at the end.
fn forward_step(
    lines: &mut LineReader,
    picker: &mut Picker,
    storage: &dyn Storage,
    page: &mut Page,
) -> io::Result<Option<u64>> {
    Ok(match lines.next(storage)? {
        LineChunk::Whole { offset, bytes } => {
            let passed = classify::complete_lines(bytes, |start, line| {
                picker.take_line(line, offset + start as u64, page);
            });
            Some(passed as u64)
        }
        LineChunk::TooLong { offset, length } => {
            picker.take_too_long(offset, length, page);
            Some(length)
        }
        LineChunk::Tail { offset, bytes, .. } => {
            picker.take_tail(bytes, offset, page);
            None
        }
    })
}

fn backward_step(
    backwards: &mut ReverseLines,
    before: &mut LinesBefore,
    picker: &mut Picker,
    storage: &dyn Storage,
    page: &mut Page,
) -> io::Result<Option<u64>> {
    let is_tail = backwards.is_at_end();
    let Some(line) = backwards.previous_line(storage)? else { return Ok(None) };
    match &line.bytes {
        Some(bytes) if is_tail => {
            if let Tail::Record(_) = classify::classify_tail(bytes) {
                picker.take_line_backwards(bytes, line.offset, before, page);
            }
        }
        None if is_tail => {}
        Some(bytes) => picker.take_line_backwards(bytes, line.offset, before, page),
        None => {
            picker.take_too_long_backwards(line.offset, line.length, before, page);
        }
    }
    Ok(Some(line.length + 1))
}

impl RangeSearch {
    /// Returns the number of bytes scanned, or `None` once both ends are found.
    fn step(
        &mut self,
        lines: &mut LineReader,
        picker: &mut Picker,
        storage: &dyn Storage,
    ) -> io::Result<Option<u64>> {
        let mut is_found = false;
        let passed = match lines.next(storage)? {
            LineChunk::Whole { offset, bytes } => {
                let passed = classify::complete_lines(bytes, |start, line| {
                    is_found |= !is_found && self.take_line(line, offset + start as u64, picker);
                });
                Some(passed as u64)
            }
            LineChunk::TooLong { length, .. } => {
                self.passed.lines += 1;
                Some(length)
            }
            LineChunk::Tail { offset, bytes, .. } => {
                if let Tail::Record(_) = classify::classify_tail(bytes) {
                    self.take_line(bytes, offset, picker);
                }
                None
            }
        };
        Ok(passed.filter(|_| !is_found))
    }

    /// Takes a line. Returns whether the range ends in front of it.
    fn take_line(&mut self, line: &[u8], offset: u64, picker: &mut Picker) -> bool {
        let may_matter = picker.counts() || picker.may_open(line);
        let seq = self.passed.records + 1;
        if may_matter && matches!(classify::classify(line), Verdict::Record(_)) {
            if picker.from.take_if(|condition| condition.is_at(line, seq)).is_some() {
                self.floor = Some(offset);
            }
            let is_behind = self.floor.is_some_and(|floor| floor <= offset);
            if is_behind && picker.to.take_if(|condition| condition.is_at(line, seq)).is_some() {
                self.ceiling = offset;
                return true;
            }
            self.passed.records = seq;
        }
        self.passed.lines += 1;
        false
    }
}

/// Opens a log for reading and determines its length.
fn open(disk: &dyn Disk, path: &Path) -> Result<Option<(OpenFile, Stat)>> {
    let Some(storage) = disk.open_for_reading(path)? else { return Ok(None) };
    let stat = storage.stat().map_err(|error| cannot_read(path, "fstat", error))?;
    Ok(Some((storage, stat)))
}
