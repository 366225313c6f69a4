//! Reading without a lock: the file as it was when the read began, whole records only.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::path::ChroniclePath;
use crate::read::cursor::Counted;
use crate::read::page::{PAGE_BYTES, Page, SCAN_BUDGET};
use crate::read::place::{self, Place, ResolvedPlace, StartCondition};
use crate::read::selection::{Picker, Remaining, Selection};
use crate::read::tail::{self, Start};
use crate::record::classify::{self, Tail, Verdict};
use crate::record::lines::{LineChunk, LineReader};
use crate::record::reverse_lines::ReverseLines;
use crate::storage::{Disk, FileDisk, Stat, Storage, cannot_read, is_cut};

/// Reads a log, as it was when the reader was opened, page by page. A torn tail is no record and no bad line: it may be an append
/// that is under way.
pub struct Reader {
    source: Option<Source>,
    pick: Picker,
    stat: Option<Stat>,
    is_counted: bool,
}

struct Source {
    storage: Arc<dyn Storage>,
    walk: Walk,
}

enum Walk {
    Forward(LineReader),
    /// Finds both ends, and counts, before reading backwards.
    Locate(LineReader, Bounds),
    Backward(ReverseLines, Remaining),
}

/// What is known of a summary that is to be read backwards.
struct Bounds {
    floor: Option<u64>,
    ceiling: u64,
    /// Records and lines passed.
    passed: Counted,
}

/// Times a file that is cut while its end is looked for is looked at anew.
pub(crate) const MAX_ATTEMPTS: usize = 10;

impl Reader {
    /// Opens the whole log; one that does not exist is empty.
    ///
    /// # Errors
    /// `EVALIDATION` for what is no regular file, `EIO`.
    pub fn open(path: &ChroniclePath) -> Result<Reader> {
        Self::select(&FileDisk, path, &Selection::default())
    }

    /// Opens the log for the records that are selected.
    ///
    /// # Errors
    /// As [`Reader::open`]; `ECONFLICT` for a cursor whose file is gone, `EVALIDATION` for an id to begin at in a log that does not exist.
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
        let (walk, pick, is_counted) = if selection.reverse {
            backward(selection, from, to, stat.length)
        } else {
            forward(selection, from, to, stat.length)
        };
        let source = Some(Source { storage, walk });
        Ok(Reader { source, pick, stat: Some(stat), is_counted })
    }

    /// Opens the log before its last `count` records, which are found by reading backwards. The numbers of lines and records are
    /// counted from there.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_tail(path: &ChroniclePath, count: u64) -> Result<Reader> {
        Self::open_counted_tail(&FileDisk, path, count, tail::CountMode::default())
    }

    /// Opens the log before its last `count` records, with the numbers that they have in the file, for which all of it is read.
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
                    let mut pick = Picker::new(&Selection::default(), None, None);
                    pick.passed = Counted { records, lines };
                    let walk = Walk::Forward(LineReader::new(offset, stat.length));
                    let source = Some(Source { storage, walk });
                    return Ok(Reader { source, pick, stat: Some(stat), is_counted: false });
                }
                // Somebody cut the file in the middle of the search.
                Err(error) if is_cut(&error) && attempts < MAX_ATTEMPTS => attempts += 1,
                Err(error) => return Err(cannot_read(path, "pread", error)),
            }
            stat = storage.stat().map_err(|error| cannot_read(path, "fstat", error))?;
        }
    }

    fn empty() -> Reader {
        let pick = Picker::new(&Selection::default(), None, None);
        Reader { source: None, pick, stat: None, is_counted: true }
    }

    /// The file that is read; nothing for one that does not exist.
    pub fn stat(&self) -> Option<&Stat> {
        self.stat.as_ref()
    }

    /// Whether the places have the numbers of the file.
    pub fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// The next records: about a quarter of a mebibyte of them, or a single longer one; perhaps none, where many are passed over.
    ///
    /// # Errors
    /// `EIO`; `EVALIDATION` when no record has the id to begin at.
    pub fn next_page(&mut self, path: &ChroniclePath) -> Result<Page> {
        let mut page = Page::begin();
        let Some(source) = &mut self.source else {
            return Ok(page.end(true));
        };
        let done = match source.step(&mut self.pick, &mut page) {
            Ok(done) => done,
            // Somebody cut the file: what is left of it was read.
            Err(error) if is_cut(&error) => true,
            Err(error) => return Err(cannot_read(path.as_path(), "pread", error)),
        };
        if done {
            self.source = None;
            if !self.pick.is_over
                && self.pick.from.as_ref().is_some_and(StartCondition::names_an_id)
            {
                return Err(place::unknown_id(path.as_path()));
            }
        }
        Ok(page.end(done))
    }
}

/// How to read forward. A place is known with its numbers, or all before it is passed through a gate.
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
        ResolvedPlace::StartCondition(gate) => (0, Some(Counted::default()), Some(gate)),
    };
    let (end, to) = match to {
        ResolvedPlace::At { offset, .. } => (offset.min(end), None),
        ResolvedPlace::StartCondition(gate) => (end, Some(gate)),
    };
    let mut pick = Picker::new(selection, from, to);
    pick.passed = counted.unwrap_or_default();
    let is_counted = counted.is_some() && pick.counts();
    (Walk::Forward(LineReader::new(start, end.max(start))), pick, is_counted)
}

/// How to read backwards. Both ends have to be known first.
fn backward(
    selection: &Selection,
    from: ResolvedPlace,
    to: ResolvedPlace,
    end: u64,
) -> (Walk, Picker, bool) {
    let (floor, from) = match from {
        ResolvedPlace::At { offset, .. } => (Some(offset), None),
        ResolvedPlace::StartCondition(gate) => (None, Some(gate)),
    };
    let (ceiling, counted, to) = match to {
        ResolvedPlace::At { offset, counted } => (offset.min(end), counted, None),
        ResolvedPlace::StartCondition(gate) => (end, None, Some(gate)),
    };
    let is_known = from.is_none() && to.is_none() && (counted.is_some() || !selection.numbered);
    let pick = Picker::new(selection, from, to);
    let mut is_counted = pick.counts();
    let walk = match floor {
        Some(floor) if is_known => {
            is_counted = counted.is_some() && pick.counts();
            let backwards = ReverseLines::new(floor, ceiling.max(floor));
            Walk::Backward(backwards, Remaining(counted))
        }
        _ => {
            let passed = Counted::default();
            Walk::Locate(LineReader::new(0, ceiling), Bounds { floor, ceiling, passed })
        }
    };
    (walk, pick, is_counted)
}

impl Source {
    /// Passes some of the file; whether nothing is left to pass.
    fn step(&mut self, pick: &mut Picker, page: &mut Page) -> io::Result<bool> {
        let storage = &*self.storage;
        let mut passed = 0;
        while page.weight() < PAGE_BYTES && passed < SCAN_BUDGET {
            if pick.is_over {
                return Ok(true);
            }
            passed += match &mut self.walk {
                Walk::Forward(lines) => match forward_step(lines, pick, storage, page)? {
                    Some(bytes) => bytes,
                    None => return Ok(true),
                },
                Walk::Locate(lines, located) => match located.step(lines, pick, storage)? {
                    Some(bytes) => bytes,
                    None => {
                        let Some(floor) = located.floor else { return Ok(true) };
                        pick.to = None;
                        let backwards = ReverseLines::new(floor, located.ceiling.max(floor));
                        self.walk = Walk::Backward(
                            backwards,
                            Remaining(pick.counts().then_some(located.passed)),
                        );
                        0
                    }
                },
                Walk::Backward(backwards, left) => {
                    match backward_step(backwards, left, pick, storage, page)? {
                        Some(bytes) => bytes,
                        None => return Ok(true),
                    }
                }
            };
        }
        Ok(false)
    }
}

/// How many bytes were passed; nothing at the end.
fn forward_step(
    lines: &mut LineReader,
    pick: &mut Picker,
    storage: &dyn Storage,
    page: &mut Page,
) -> io::Result<Option<u64>> {
    Ok(match lines.next(storage)? {
        LineChunk::Whole { offset, bytes } => {
            let passed = classify::complete_lines(bytes, |start, line| {
                pick.visit(line, offset + start as u64, page);
            });
            Some(passed as u64)
        }
        LineChunk::TooLong { offset, length } => {
            pick.visit_too_long(offset, length, page);
            Some(length)
        }
        LineChunk::Tail { offset, bytes, .. } => {
            pick.visit_tail(bytes, offset, page);
            None
        }
    })
}

fn backward_step(
    backwards: &mut ReverseLines,
    left: &mut Remaining,
    pick: &mut Picker,
    storage: &dyn Storage,
    page: &mut Page,
) -> io::Result<Option<u64>> {
    let is_tail = backwards.is_at_end();
    let Some(line) = backwards.previous_line(storage)? else { return Ok(None) };
    match &line.bytes {
        Some(bytes) if is_tail => {
            if let Tail::Record(_) = classify::classify_tail(bytes) {
                pick.visit_backwards(bytes, line.offset, left, page);
            }
        }
        None if is_tail => {}
        Some(bytes) => pick.visit_backwards(bytes, line.offset, left, page),
        None => {
            pick.visit_too_long_backwards(line.offset, line.length, left, page);
        }
    }
    Ok(Some(line.length + 1))
}

impl Bounds {
    /// How many bytes were passed; nothing when both ends are found.
    fn step(
        &mut self,
        lines: &mut LineReader,
        pick: &mut Picker,
        storage: &dyn Storage,
    ) -> io::Result<Option<u64>> {
        let mut is_found = false;
        let passed = match lines.next(storage)? {
            LineChunk::Whole { offset, bytes } => {
                let passed = classify::complete_lines(bytes, |start, line| {
                    is_found |= !is_found && self.visit(line, offset + start as u64, pick);
                });
                Some(passed as u64)
            }
            LineChunk::TooLong { length, .. } => {
                self.passed.lines += 1;
                Some(length)
            }
            LineChunk::Tail { offset, bytes, .. } => {
                if let Tail::Record(_) = classify::classify_tail(bytes) {
                    self.visit(bytes, offset, pick);
                }
                None
            }
        };
        Ok(passed.filter(|_| !is_found))
    }

    /// Passes a line; whether the summary ends before it.
    fn visit(&mut self, line: &[u8], offset: u64, pick: &mut Picker) -> bool {
        let may_matter = pick.counts() || pick.may_open(line);
        let seq = self.passed.records + 1;
        if may_matter && matches!(classify::classify(line), Verdict::Record(_)) {
            if pick.from.take_if(|gate| gate.is_at(line, seq)).is_some() {
                self.floor = Some(offset);
            }
            let is_behind = self.floor.is_some_and(|floor| floor <= offset);
            if is_behind && pick.to.take_if(|gate| gate.is_at(line, seq)).is_some() {
                self.ceiling = offset;
                return true;
            }
            self.passed.records = seq;
        }
        self.passed.lines += 1;
        false
    }
}

/// Opens a log for reading and looks how long it is.
fn open(disk: &dyn Disk, path: &Path) -> Result<Option<(Arc<dyn Storage>, Stat)>> {
    let Some(storage) = disk.open_for_reading(path)? else { return Ok(None) };
    let stat = storage.stat().map_err(|error| cannot_read(path, "fstat", error))?;
    Ok(Some((storage, stat)))
}
