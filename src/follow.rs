//! Reading a log and then what is appended to it, through truncation, renaming and replacement.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backwards::Backwards;
use crate::cursor::{self, Counted, Cursor, Of, PROOF};
use crate::error::{Error, Result};
use crate::lines::{Lines, Piece};
use crate::path::ChroniclePath;
use crate::range::{self, Bound, Gate, Place};
use crate::reader::MOST_ATTEMPTS;
use crate::scan::{self, Tail};
use crate::selection::{Pick, Selection};
use crate::slice::{PASSED, SLICE, Slice};
use crate::storage::{Disk, Stat, Storage, cannot_read, is_cut, read_exact_at};

/// What one look at a log found.
#[derive(Debug)]
pub struct Look {
    /// New records, perhaps none.
    pub slice: Slice,
    /// The file that they are in.
    pub stat: Option<Stat>,
    /// Whether their places have the numbers of the file.
    pub is_counted: bool,
    /// Where the first look began, if that is a place known by then.
    pub start: Option<Cursor>,
    /// Nothing is left to read for now.
    pub is_idle: bool,
    /// What the file of these records is to the one before. Other than [`FileState::Same`] only in the first look that
    /// gives records of a file.
    pub file: FileState,
}

/// What a file is to the one whose records were given before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileState {
    /// The same file, or a copy in which the last record has the same number.
    #[default]
    Same,
    /// The one before was renamed away or deleted, and read to its end. This one is read from its start.
    Next,
    /// The last record that was given is in it under another number, or only an earlier one is.
    Rewritten,
    /// Nothing that was given is in it: records between may be gone. It is read from its start.
    Unknown,
}

/// Where to go on in a file that was rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRewrite {
    /// Behind the last record that was given and is in it.
    #[default]
    Continue,
    /// At its start.
    Restart,
}

/// Follows a log: gives each record of each file that stands at the path once, in file order. It holds a descriptor, so that a
/// file that was renamed away or deleted is read to its end, and one more of each file that came to the path meanwhile.
pub struct Follower {
    disk: Arc<dyn Disk>,
    selection: Selection,
    has_begun: bool,
    file: Option<Followed>,
    /// Files that stood at the path since, the oldest first: they may be gone from there by their turn.
    next: VecDeque<(Arc<dyn Storage>, Stat)>,
    /// The record passed last, of whatever file.
    last: Option<Seen>,
    on_rewrite: OnRewrite,
    /// Of the file, until records of it were given.
    state: FileState,
}

/// The file that is read.
struct Followed {
    storage: Arc<dyn Storage>,
    stat: Stat,
    /// Everything before was passed.
    offset: u64,
    /// The place is in the line of a record that was passed: what comes until the next newline is the rest of it.
    is_in_line: bool,
    /// The file was read to this length.
    read_to: u64,
    is_counted: bool,
    pick: Pick,
    /// The last records that were passed, the youngest last.
    seen: VecDeque<Seen>,
    /// The last bytes that were passed.
    mark: Vec<u8>,
    /// Since when another file stands at the path and nothing new came to this one.
    replaced: Option<Instant>,
}

/// A record by which a place is known again.
#[derive(Clone, Copy)]
struct Seen {
    offset: u64,
    length: u64,
    hash: u128,
    /// Records and lines up to and including it, as far as they were counted.
    passed: Counted,
}

/// Files that are held open until it is their turn, at most.
const MOST_NEXT: usize = 16;
/// Records by which a place is found again after the file was cut.
const MOST_SEEN: usize = 64;
/// Bytes before the place that must be those passed before it is read on.
const MARK: usize = 64;
/// How long a file that was replaced is still looked at when nothing comes: a writer that checked the path just before may be in
/// the middle of its batch.
const LINGER: Duration = Duration::from_millis(200);

impl Follower {
    /// Will follow the log from `selection.from` on. Nothing is opened yet.
    pub fn new(disk: Arc<dyn Disk>, selection: Selection) -> Follower {
        Follower {
            disk,
            selection,
            has_begun: false,
            file: None,
            next: VecDeque::new(),
            last: None,
            on_rewrite: OnRewrite::default(),
            state: FileState::Same,
        }
    }

    /// Says where to go on in a file that was rewritten.
    #[must_use]
    pub fn on_rewrite(mut self, on_rewrite: OnRewrite) -> Follower {
        self.on_rewrite = on_rewrite;
        self
    }

    /// Looks once: reads what is new, about a quarter of a mebibyte of records at the most.
    ///
    /// # Errors
    /// `EVALIDATION` for what is no regular file, and when no record has the id to begin at; `EIO`.
    pub fn look(&mut self, path: &ChroniclePath) -> Result<Look> {
        let path = path.as_path();
        let start = self.begin(path)?;
        let mut slice = Slice::begin();
        let is_read = match &mut self.file {
            None => true,
            Some(file) => match file.read(&mut slice, &self.selection, self.last) {
                Ok(is_read) => is_read,
                // Cut in the middle of the look: the next one sees by how much.
                Err(error) if is_cut(&error) => false,
                Err(error) => return Err(cannot_read(path, "pread", error)),
            },
        };
        let (stat, is_counted) = match &self.file {
            None => (None, false),
            Some(file) => {
                // Before the place to begin at, nothing is known to have been given.
                if file.pick.from.is_none() {
                    self.last = file.seen.back().copied().or(self.last);
                }
                if is_read && file.pick.from.as_ref().is_some_and(Gate::names_an_id) {
                    return Err(range::unknown_id(path));
                }
                (Some(file.stat), file.is_counted)
            }
        };
        let at_path = self.meet_next(path)?;
        let is_idle = is_read && self.is_all(at_path, path)?;
        let file = if slice.count == 0 { FileState::Same } else { std::mem::take(&mut self.state) };
        Ok(Look { slice: slice.end(false), stat, is_counted, start, is_idle, file })
    }

    /// Has a file open, if there is one. At the first look: the place before anything was read.
    fn begin(&mut self, path: &Path) -> Result<Option<Cursor>> {
        let mut attempts = 0;
        loop {
            let begun = self.open(path).and_then(|()| self.start(path));
            match begun {
                // Somebody cut the file while its place was looked for.
                Err(error) if is_by_cut(&error) && attempts < MOST_ATTEMPTS => {
                    attempts += 1;
                    self.file = None;
                }
                other => {
                    self.has_begun = true;
                    return other;
                }
            }
        }
    }

    /// Opens the next file, if there is one, and finds where to go on.
    fn open(&mut self, path: &Path) -> Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        let storage = match self.next.front() {
            Some((storage, _)) => Some(storage.clone()),
            None => self.disk.open_for_reading(path)?,
        };
        let Some(storage) = storage else {
            match &self.selection.from {
                // All that comes to be there is new.
                Place::End => self.selection.from = Place::Start,
                Place::EventId(_) => return Err(range::unknown_id(path)),
                _ => {}
            }
            return Ok(());
        };
        let stat = storage.stat().map_err(|error| cannot_read(path, "fstat", error))?;
        let bound = self.bound(&*storage, &stat, path)?;
        let file = Followed::new(storage, stat, bound, &self.selection);
        self.file = Some(file.map_err(|error| cannot_read(path, "pread", error))?);
        self.next.pop_front();
        if let Place::End | Place::Cursor(_) = self.selection.from {
            self.selection.from = Place::Start;
        }
        Ok(())
    }

    /// Where to go on in a file just opened.
    fn bound(&mut self, storage: &dyn Storage, stat: &Stat, path: &Path) -> Result<Bound> {
        let failed = |error| cannot_read(path, "pread", error);
        if let Place::Cursor(cursor) = &self.selection.from {
            self.last = Seen::of(cursor);
            if let Some(bound) = range::place_of(cursor, storage, stat).map_err(failed)? {
                return Ok(bound);
            }
        }
        if let Some(last) = self.last {
            let found = last.find(storage, stat.length).map_err(failed)?;
            self.state = match &found {
                Some(_) => FileState::Rewritten,
                None if self.has_begun => FileState::Next,
                None => FileState::Unknown,
            };
            let goes_on = self.on_rewrite == OnRewrite::Continue;
            return Ok(found.filter(|_| goes_on).unwrap_or(START));
        }
        match &self.selection.from {
            Place::Cursor(_) => Ok(START),
            Place::End => Ok(Bound::At {
                offset: end_of_records(storage, stat.length).map_err(failed)?,
                counted: None,
            }),
            Place::Offset(offset) if *offset > stat.length => {
                Ok(Bound::Gate(Gate::Offset(*offset)))
            }
            other => other.resolve(storage, stat, path),
        }
    }

    /// At the first look: the place before anything was read.
    fn start(&self, path: &Path) -> Result<Option<Cursor>> {
        match &self.file {
            _ if self.has_begun => Ok(None),
            Some(file) => file.start().map_err(|error| cannot_read(path, "pread", error)),
            None => {
                let begins_at_start = matches!(self.selection.from, Place::Start);
                Ok(begins_at_start.then_some(Cursor::NOWHERE))
            }
        }
    }

    /// What stands at the path. If that is a file not met before, it is opened.
    fn meet_next(&mut self, path: &Path) -> Result<Option<Stat>> {
        let failed = |operation| move |error| cannot_read(path, operation, error);
        let at_path = self.disk.stat(path).map_err(failed("stat"))?;
        let (Some(file), Some(stat)) = (&self.file, at_path) else { return Ok(at_path) };
        if stat.is_same_file(&file.stat) {
            self.next.clear();
            return Ok(at_path);
        }
        let newest = self.next.back().map_or(file.stat, |(_, newest)| *newest);
        if newest.is_same_file(&stat) || self.next.len() == MOST_NEXT {
            return Ok(at_path);
        }
        // What cannot be opened is told when its turn has come.
        if let Ok(Some(storage)) = self.disk.open_for_reading(path) {
            let stat = storage.stat().map_err(failed("fstat"))?;
            if !stat.is_same_file(&file.stat) && !stat.is_same_file(&newest) {
                self.next.push_back((storage, stat));
            }
        }
        Ok(at_path)
    }

    /// When the file is read: whether that is all for now. If another file came to the path, it is the next one's turn.
    fn is_all(&mut self, at_path: Option<Stat>, path: &Path) -> Result<bool> {
        let Some(file) = &mut self.file else {
            return Ok(at_path.is_none());
        };
        if at_path.is_some_and(|stat| stat.is_same_file(&file.stat)) {
            file.replaced = None;
            return Ok(true);
        }
        let now = file.storage.stat().map_err(|error| cannot_read(path, "fstat", error))?;
        if now.length != file.read_to {
            return Ok(false);
        }
        // A file that was renamed away is read on as long as nothing stands in its place: its writers may still append to it.
        let since = *file.replaced.get_or_insert_with(Instant::now);
        let is_alone = at_path.is_none() && self.next.is_empty();
        if now.links > 0 && (is_alone || since.elapsed() < LINGER) {
            return Ok(true);
        }
        // Where to begin, if it was not met yet, is looked for in the next file.
        if file.pick.from.is_none() {
            self.selection.from = Place::Start;
        }
        self.file = None;
        Ok(is_alone)
    }
}

const START: Bound = Bound::At { offset: 0, counted: Some(Counted { records: 0, lines: 0 }) };

impl Followed {
    fn new(
        storage: Arc<dyn Storage>,
        stat: Stat,
        bound: Bound,
        selection: &Selection,
    ) -> io::Result<Followed> {
        let mut file = Followed {
            storage,
            stat,
            offset: 0,
            is_in_line: false,
            read_to: 0,
            is_counted: false,
            pick: Pick::new(selection, None, None),
            seen: VecDeque::new(),
            mark: Vec::new(),
            replaced: None,
        };
        file.go_to(bound, selection)?;
        Ok(file)
    }

    /// Goes to a place. If its numbers are wanted and not known, they are counted on the way there.
    fn go_to(&mut self, bound: Bound, selection: &Selection) -> io::Result<()> {
        let (offset, counted, gate) = match bound {
            Bound::At { offset, counted: None } if selection.numbered && offset > 0 => {
                (0, Some(Counted::default()), Some(Gate::Offset(offset)))
            }
            Bound::At { offset, counted } => (offset, counted, None),
            Bound::Gate(gate) => (0, Some(Counted::default()), Some(gate)),
        };
        self.pick = Pick::new(selection, gate, None);
        self.pick.passed = counted.unwrap_or_default();
        self.is_counted = counted.is_some() && self.pick.counts();
        self.offset = offset;
        self.read_to = offset;
        self.seen.retain(|seen| seen.offset < offset);
        self.mark = self.bytes_before(offset, MARK as u64)?;
        self.is_in_line = self.mark.last().is_some_and(|byte| *byte != b'\n');
        Ok(())
    }

    fn bytes_before(&self, offset: u64, most: u64) -> io::Result<Vec<u8>> {
        let length = offset.min(most);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        read_exact_at(&*self.storage, &mut bytes, offset - length)?;
        Ok(bytes)
    }

    /// Whether records and lines before the place are counted.
    fn is_known(&self) -> bool {
        self.is_counted && self.pick.from.is_none()
    }

    fn start(&self) -> io::Result<Option<Cursor>> {
        let offset = match self.pick.from {
            None => self.offset,
            Some(Gate::Offset(offset)) if offset <= self.stat.length => offset,
            Some(_) => return Ok(None),
        };
        let bytes = self.bytes_before(offset, PROOF)?;
        Ok(Some(Cursor {
            device: self.stat.device,
            inode: self.stat.inode,
            offset: offset - bytes.len() as u64,
            length: bytes.len() as u64,
            hash: cursor::hash(&bytes),
            of: Of::Bytes,
            counted: self.is_known().then_some(self.pick.passed),
        }))
    }

    /// Reads what is new; whether nothing is left.
    fn read(
        &mut self,
        slice: &mut Slice,
        selection: &Selection,
        last: Option<Seen>,
    ) -> io::Result<bool> {
        let length = self.storage.stat()?.length;
        if length == self.read_to {
            return Ok(true);
        }
        self.replaced = None;
        if length < self.offset || self.bytes_before(self.offset, MARK as u64)? != self.mark {
            let bound = self.find_place(length, last, &selection.from)?;
            self.go_to(bound, selection)?;
        }
        let begin = self.offset;
        let mut lines = Lines::new(begin, length);
        while slice.weight() < SLICE && self.offset - begin < PASSED {
            self.offset = match lines.next(&*self.storage)? {
                Piece::Whole { offset, bytes } => {
                    scan::complete_lines(bytes, |start, line| {
                        self.pass(line, offset + start as u64, slice);
                    });
                    remember(&mut self.mark, bytes);
                    offset + bytes.len() as u64
                }
                Piece::TooLong { offset, length } => {
                    self.pick.meet_too_long(offset, length, slice);
                    self.is_in_line = false;
                    self.mark.clear();
                    offset + length + 1
                }
                Piece::Tail { offset, bytes, .. } => {
                    self.read_to = length;
                    // A torn tail waits for the rest of its line.
                    if self.is_in_line || !matches!(scan::judge_tail(bytes), Tail::Record(_)) {
                        return Ok(true);
                    }
                    self.pass(bytes, offset, slice);
                    remember(&mut self.mark, bytes);
                    self.is_in_line = true;
                    self.offset = offset + bytes.len() as u64;
                    return Ok(true);
                }
            };
            self.read_to = self.offset;
            self.pick.open_at(self.offset);
            if self.mark.is_empty() {
                self.mark = self.bytes_before(self.offset, MARK as u64)?;
            }
        }
        Ok(false)
    }

    /// Passes a line.
    fn pass(&mut self, line: &[u8], offset: u64, slice: &mut Slice) {
        if std::mem::take(&mut self.is_in_line) {
            return;
        }
        let before = self.pick.passed.records;
        self.pick.meet(line, offset, slice);
        let is_blank = line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        if is_blank || (self.pick.counts() && self.pick.passed.records == before) {
            return;
        }
        if self.seen.len() == MOST_SEEN {
            self.seen.pop_front();
        }
        let (length, hash) = (line.len() as u64, cursor::hash(line));
        self.seen.push_back(Seen { offset, length, hash, passed: self.pick.passed });
    }

    /// The file became shorter, or has another text: where to go on in it.
    fn find_place(&mut self, length: u64, last: Option<Seen>, from: &Place) -> io::Result<Bound> {
        let gate = self.pick.from.take();
        if gate.is_some() {
            // None of these was given.
            self.seen.clear();
        }
        if let (Some(gate), false) = (gate, matches!(from, Place::Start)) {
            return Ok(Bound::Gate(gate));
        }
        for seen in self.seen.iter().rev() {
            if let Some(offset) = seen.end_in(&*self.storage, length)? {
                let counted = self.is_counted.then_some(seen.passed);
                return Ok(Bound::At { offset, counted });
            }
        }
        let found = last.map(|last| last.find(&*self.storage, length)).transpose()?;
        Ok(found.flatten().unwrap_or(START))
    }
}

impl Seen {
    /// The record that a cursor stands behind.
    fn of(cursor: &Cursor) -> Option<Seen> {
        let Cursor { offset, length, hash, of, counted, .. } = *cursor;
        let passed = counted.unwrap_or_default();
        (of == Of::RecordBefore).then_some(Seen { offset, length, hash, passed })
    }

    /// Where the next line begins, if the record stands where it stood.
    fn end_in(&self, storage: &dyn Storage, length: u64) -> io::Result<Option<u64>> {
        let cursor = Cursor {
            offset: self.offset,
            length: self.length,
            hash: self.hash,
            of: Of::RecordBefore,
            ..Cursor::NOWHERE
        };
        let stat = Stat { device: 0, inode: 0, length, links: 1, born: None };
        Ok(match range::place_of(&cursor, storage, &stat)? {
            Some(Bound::At { offset, .. }) => Some(offset),
            _ => None,
        })
    }

    /// Behind the record, where it stood or where it is met first.
    fn find(&self, storage: &dyn Storage, length: u64) -> io::Result<Option<Bound>> {
        let at = |offset| Some(Bound::At { offset, counted: None });
        if let Some(offset) = self.end_in(storage, length)? {
            return Ok(at(offset));
        }
        let is_it =
            |line: &[u8]| line.len() as u64 == self.length && cursor::hash(line) == self.hash;
        let mut lines = Lines::new(0, length);
        loop {
            match lines.next(storage)? {
                Piece::Whole { offset, bytes } => {
                    let mut found = None;
                    scan::complete_lines(bytes, |start, line| {
                        if found.is_none() && is_it(line) {
                            found = Some(offset + (start + line.len() + 1) as u64);
                        }
                    });
                    if let Some(offset) = found {
                        return Ok(at(offset));
                    }
                }
                Piece::TooLong { .. } => {}
                Piece::Tail { offset, bytes, .. } => {
                    return Ok(at(offset + bytes.len() as u64).filter(|_| is_it(bytes)));
                }
            }
        }
    }
}

fn is_by_cut(error: &Error) -> bool {
    error.cause().is_some_and(|cause| is_cut(&cause.error))
}

/// Where the records of a file end: a torn tail may become one.
fn end_of_records(storage: &dyn Storage, length: u64) -> io::Result<u64> {
    let Some(tail) = Backwards::new(0, length).previous_line(storage)? else {
        return Ok(0);
    };
    let is_record = matches!(tail.bytes.as_deref().map(scan::judge_tail), Some(Tail::Record(_)));
    Ok(if is_record { length } else { tail.offset })
}

/// Keeps the last bytes of what was passed.
fn remember(mark: &mut Vec<u8>, bytes: &[u8]) {
    let from = bytes.len().saturating_sub(MARK);
    mark.extend_from_slice(bytes.get(from..).unwrap_or_default());
    mark.drain(..mark.len().saturating_sub(MARK));
}
