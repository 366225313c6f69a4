//! One file of a followed log: what is new in it at each look, and where to go on after a rewrite.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::read::cursor::{self, Counted, Cursor, Of, PROOF};
use crate::read::follow::lease::Lease;
use crate::read::follow::passed_records::{PassedRecord, PassedRecords, RecordKey, record_key};
use crate::read::page::{PAGE_BYTES, Page, SCAN_BUDGET};
use crate::read::place::{ResolvedPlace, StartCondition};
use crate::read::selection::{Picker, Selection};
use crate::record::classify::{self, Tail};
use crate::record::lines::{LineChunk, LineReader};
use crate::storage::{OpenFile, Stat, Storage, read_exact_at};

/// Bytes in front of the place that must be unchanged to read on, if no record identifies the
/// place.
const LAST_BYTES: usize = 64;
/// Longest record that is compared as a whole. Of a longer one, the last bytes are compared.
const MAX_COMPARED_BYTES: u64 = 64 << 10;
/// How long a replaced file is watched while nothing comes. A writer without the lock may have the
/// file open.
const LEAVE_AFTER: Duration = Duration::from_millis(200);

/// The start of a file.
pub(crate) const START: ResolvedPlace =
    ResolvedPlace::At { offset: 0, counted: Some(Counted { records: 0, lines: 0 }) };

/// The file that is read.
pub(crate) struct FollowedFile {
    lease: Arc<Lease>,
    pub(crate) stat: Stat,
    /// Everything in front of this offset was read.
    offset: u64,
    /// The last line read was a record without a newline: bytes up to the next newline belong to
    /// it.
    is_in_line: bool,
    /// Length of the file that was read.
    pub(crate) read_to: u64,
    is_counted: bool,
    /// The start is known, and `picker` scans to it only to count.
    is_counting_up: bool,
    pub(crate) picker: Picker,
    /// The last bytes that were read.
    last_bytes: Vec<u8>,
    /// Records that were returned before a rewrite moved them behind the place. They are not
    /// returned twice.
    pub(crate) moved: Vec<RecordKey>,
    /// Since when the file is not at the path and nothing was appended to it.
    replaced: Option<Instant>,
    /// Nothing was at the path at that time.
    was_alone: bool,
    idle_since: Option<Instant>,
    /// The file was found under another name, so it was renamed while no follow was running.
    pub(crate) is_former: bool,
    /// The folder was searched for the files that came after this one.
    pub(crate) has_searched_folder: bool,
}

/// The result of reading a file once.
pub(crate) struct ReadProgress {
    /// Nothing is left to read.
    pub(crate) is_at_end: bool,
    /// Set if the file was truncated or overwritten.
    pub(crate) rewritten: Option<Kept>,
}

/// The part of the records read before that a rewritten file still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The last record, under its number.
    Last,
    /// An earlier record, or the last one under another number.
    Some,
    /// None.
    Nothing,
}

/// A file that was read to its end. It may come back to the path.
pub(crate) struct LeftFile {
    pub(crate) stat: Stat,
    /// The file had a name when it was left.
    pub(crate) has_name: bool,
    /// Its last record.
    last: Option<Cursor>,
    place: (u64, Option<Counted>),
}

impl FollowedFile {
    pub(crate) fn new(
        storage: OpenFile,
        stat: Stat,
        place: ResolvedPlace,
        selection: &Selection,
    ) -> io::Result<FollowedFile> {
        let mut file = FollowedFile {
            lease: Lease::new(storage.clone()),
            stat,
            offset: 0,
            is_in_line: false,
            read_to: 0,
            is_counted: false,
            is_counting_up: false,
            picker: Picker::new(selection, None, None),
            last_bytes: Vec::new(),
            moved: Vec::new(),
            replaced: None,
            was_alone: false,
            idle_since: None,
            is_former: false,
            has_searched_folder: false,
        };
        file.move_to(&*storage, place, selection)?;
        Ok(file)
    }

    /// The descriptor; `None` if the lease was closed.
    pub(crate) fn storage(&self) -> Option<OpenFile> {
        self.lease.storage()
    }

    /// Allows the lease to be closed, because nothing is left to read.
    pub(crate) fn set_idle(&mut self) {
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        self.lease.set_idle(since);
    }

    /// Replaces the descriptor of a closed lease.
    pub(crate) fn reopen(&mut self, storage: OpenFile, stat: Stat) {
        self.stat = stat;
        self.lease = Lease::new(storage);
    }

    /// Moves to a place. If its numbers are needed and unknown, the read starts at 0 to count.
    fn move_to(
        &mut self,
        storage: &dyn Storage,
        place: ResolvedPlace,
        selection: &Selection,
    ) -> io::Result<()> {
        let (offset, counted, condition) = match place {
            ResolvedPlace::At { offset, counted: None } if selection.numbered && offset > 0 => {
                self.is_counting_up = true;
                (0, Some(Counted::default()), Some(StartCondition::Offset(offset)))
            }
            ResolvedPlace::At { offset, counted } => (offset, counted, None),
            ResolvedPlace::StartCondition(condition) => {
                (0, Some(Counted::default()), Some(condition))
            }
        };
        self.is_counting_up &= condition.is_some();
        self.picker = Picker::new(selection, condition, None);
        self.picker.passed = counted.unwrap_or_default();
        self.picker.begun_after = self.picker.passed.records;
        self.is_counted = counted.is_some() && self.picker.counts();
        self.offset = offset;
        self.read_to = offset;
        self.last_bytes = bytes_before(storage, offset, LAST_BYTES as u64)?;
        self.is_in_line = self.last_bytes.last().is_some_and(|byte| *byte != b'\n');
        Ok(())
    }

    pub(crate) fn is_counting_up(&self) -> bool {
        self.is_counting_up
    }

    /// Whether line and record numbers count from the start of the file.
    pub(crate) fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// The place where the next read starts, if it is known.
    fn place(&self) -> Option<(u64, Option<Counted>)> {
        match self.picker.from {
            None => Some((self.offset, self.is_counted.then_some(self.picker.passed))),
            Some(StartCondition::Offset(offset))
                if self.is_counting_up || offset <= self.stat.length =>
            {
                Some((offset, None))
            }
            Some(_) => None,
        }
    }

    /// The records in front of the place, for a file just opened.
    pub(crate) fn before(&self) -> io::Result<Option<PassedRecords>> {
        let (Some((offset, counted)), Some(storage)) = (self.place(), self.storage()) else {
            return Ok(None);
        };
        PassedRecords::before(&*storage, offset, counted).map(Some)
    }

    /// The place where the next read starts, as a cursor. If a record is in front of it, the cursor
    /// is that of the record.
    pub(crate) fn cursor(&self, passed: &PassedRecords) -> io::Result<Option<Cursor>> {
        let Some((offset, counted)) = self.place() else { return Ok(None) };
        if let Some(last) = passed.last_here() {
            return Ok(Some(last.cursor(&self.stat)));
        }
        let bytes = match self.storage() {
            Some(storage) => bytes_before(&*storage, offset, PROOF)?,
            None => Vec::new(),
        };
        Ok(Some(Cursor {
            device: self.stat.device,
            inode: self.stat.inode,
            born: self.stat.born,
            offset: offset - bytes.len() as u64,
            length: bytes.len() as u64,
            hash: cursor::hash(&bytes),
            of: Of::Bytes,
            counted,
        }))
    }

    /// The cursor by which the file is found again after its lease was closed.
    pub(crate) fn identity(&self, passed: &PassedRecords) -> Cursor {
        match passed.last_here() {
            Some(last) => last.cursor(&self.stat),
            None => cursor::place_in(&self.stat, 0),
        }
    }

    /// The facts by which the file is recognised if it comes back.
    pub(crate) fn left_file(&self, passed: &PassedRecords) -> Option<LeftFile> {
        let place = self.place()?;
        let last = passed.last_here().map(|last| last.cursor(&self.stat));
        let stat = self.storage().and_then(|storage| storage.stat().ok());
        let has_name = stat.is_some_and(|stat| stat.links > 0);
        Some(LeftFile { stat: self.stat, has_name, last, place })
    }

    /// Reads the new lines. After a truncation or a rewrite, finds the place to go on first.
    pub(crate) fn read(
        &mut self,
        storage: &dyn Storage,
        page: &mut Page,
        selection: &Selection,
        passed: &mut PassedRecords,
        restarts: bool,
    ) -> io::Result<ReadProgress> {
        let length = storage.stat()?.length;
        if length == self.read_to {
            return Ok(ReadProgress { is_at_end: true, rewritten: None });
        }
        self.replaced = None;
        self.idle_since = None;
        let mut rewritten = None;
        if length < self.offset || !self.is_place_unchanged(storage, passed)? {
            let (place, found) = self.resume_after_rewrite(storage, length, passed)?;
            rewritten = Some(found);
            let place = if restarts && found == Kept::Some { START } else { place };
            if restarts {
                self.moved.clear();
            }
            self.move_to(storage, place, selection)?;
            if self.picker.from.is_none() {
                passed.cut(self.offset);
            }
        }
        let is_at_end = self.read_new(storage, length, page, passed)?;
        Ok(ReadProgress { is_at_end, rewritten })
    }

    fn read_new(
        &mut self,
        storage: &dyn Storage,
        length: u64,
        page: &mut Page,
        passed: &mut PassedRecords,
    ) -> io::Result<bool> {
        let begin = self.offset;
        let mut lines = LineReader::new(begin, length);
        while page.weight() < PAGE_BYTES && self.offset - begin < SCAN_BUDGET {
            self.offset = match lines.next(storage)? {
                LineChunk::Whole { offset, bytes } => {
                    classify::complete_lines(bytes, |start, line| {
                        self.take_line(line, offset + start as u64, page, passed);
                    });
                    keep_last_bytes(&mut self.last_bytes, bytes);
                    offset + bytes.len() as u64
                }
                LineChunk::TooLong { offset, length } => {
                    self.picker.take_too_long(offset, length, page);
                    self.is_in_line = false;
                    self.last_bytes.clear();
                    offset + length + 1
                }
                LineChunk::Tail { offset, bytes, .. } => {
                    self.read_to = length;
                    // A torn tail waits for the rest of its line.
                    if self.is_in_line || !matches!(classify::classify_tail(bytes), Tail::Record(_))
                    {
                        return Ok(true);
                    }
                    self.take_line(bytes, offset, page, passed);
                    page.leave_open(offset);
                    keep_last_bytes(&mut self.last_bytes, bytes);
                    self.is_in_line = true;
                    self.offset = offset + bytes.len() as u64;
                    return Ok(true);
                }
            };
            self.read_to = self.offset;
            self.picker.open_at(self.offset);
            self.is_counting_up &= self.picker.from.is_some();
            if self.last_bytes.is_empty() {
                self.last_bytes = bytes_before(storage, self.offset, LAST_BYTES as u64)?;
            }
        }
        Ok(false)
    }

    fn take_line(&mut self, line: &[u8], offset: u64, page: &mut Page, passed: &mut PassedRecords) {
        if std::mem::take(&mut self.is_in_line) {
            return;
        }
        let before = self.picker.passed.records;
        let returned = page.count;
        self.picker.take_line(line, offset, page);
        if page.count > returned && !self.moved.is_empty() {
            let bare = record_key(line);
            if let Some(at) = self.moved.iter().position(|moved| *moved == bare) {
                self.moved.swap_remove(at);
                page.take_back(line.len());
            }
        }
        let is_record = match self.picker.counts() {
            true => self.picker.passed.records > before,
            // A line without a wanted record is not parsed: it counts as a record if it looks like
            // one.
            false => looks_like_record(line),
        };
        // The records in front of a known place were collected when the file was opened.
        if is_record && !(self.is_counting_up && self.picker.from.is_some()) {
            let counted = self.is_counted.then_some(self.picker.passed);
            passed.push(PassedRecord::of_line(line, offset, counted));
        }
    }

    /// Whether the bytes in front of the place are those that were read before.
    ///
    /// Compares the record in front of the place, or the last bytes if there is no such record or
    /// it is long.
    fn is_place_unchanged(
        &self,
        storage: &dyn Storage,
        passed: &PassedRecords,
    ) -> io::Result<bool> {
        match passed.last_here().filter(|_| !self.is_counting_up) {
            Some(last) if last.length <= MAX_COMPARED_BYTES => {
                let mut bytes = vec![0; usize::try_from(last.length).unwrap_or_default()];
                read_exact_at(storage, &mut bytes, last.offset)?;
                Ok(cursor::hash(&bytes) == last.hash)
            }
            _ => Ok(bytes_before(storage, self.offset, LAST_BYTES as u64)? == self.last_bytes),
        }
    }

    /// Finds the place to go on in a file that was truncated or overwritten.
    fn resume_after_rewrite(
        &mut self,
        storage: &dyn Storage,
        length: u64,
        passed: &mut PassedRecords,
    ) -> io::Result<(ResolvedPlace, Kept)> {
        if let Some(condition) = self.picker.from.take().filter(|_| !self.is_counting_up) {
            // No record was returned yet.
            *passed = PassedRecords::default();
            return Ok((ResolvedPlace::StartCondition(condition), Kept::Last));
        }
        if let Some((place, is_last)) = passed.find_here(storage, length)? {
            return Ok((place, if is_last { Kept::Last } else { Kept::Some }));
        }
        if let Some(found) = passed.find(storage, length, false)? {
            let place = ResolvedPlace::At { offset: found.offset, counted: Some(found.counted) };
            self.moved = found.moved;
            return Ok((place, if found.is_same { Kept::Last } else { Kept::Some }));
        }
        let is_new = passed.is_empty() && self.offset == 0;
        *passed = PassedRecords::default();
        Ok((START, if is_new { Kept::Last } else { Kept::Nothing }))
    }

    pub(crate) fn set_current(&mut self) {
        self.replaced = None;
    }

    /// Whether the follow may leave a file that is not at the path.
    ///
    /// It may once the file was read to its end and no writer can still append to it. `is_alone`:
    /// no file is at the path.
    pub(crate) fn may_leave(&mut self, open: &OpenFile, is_alone: bool) -> io::Result<Leaving> {
        let now = open.stat()?;
        if now.length != self.read_to {
            return Ok(Leaving::HasMore);
        }
        if std::mem::replace(&mut self.was_alone, is_alone) && !is_alone {
            self.replaced = None;
        }
        let since = *self.replaced.get_or_insert_with(Instant::now);
        let is_long_ago = since.elapsed() >= LEAVE_AFTER;
        if now.links > 0 && !is_long_ago {
            return Ok(Leaving::Wait);
        }
        if now.links > 0 && is_alone {
            return Ok(Leaving::WaitAlone);
        }
        // Writers check the path under the lock. Once the lock was free, none of them appends to
        // this file.
        let is_read = match open.lock().try_lock_shared() {
            Ok(true) => {
                let length = open.stat().map(|stat| stat.length);
                open.lock().unlock()?;
                length? == self.read_to
            }
            Ok(false) => false,
            // Without locks, no writer holds one.
            Err(_) => true,
        };
        Ok(if is_read { Leaving::Leave } else { Leaving::Wait })
    }
}

/// What happens to a file that is no longer at the path.
pub(crate) enum Leaving {
    HasMore,
    Wait,
    /// The follow stays, because no other file is at the path.
    WaitAlone,
    Leave,
}

impl LeftFile {
    /// The place to go on, if the file still has its last record.
    pub(crate) fn resume_place(
        &self,
        storage: &dyn Storage,
        stat: &Stat,
    ) -> io::Result<Option<ResolvedPlace>> {
        let (offset, counted) = self.place;
        let is_here = match &self.last {
            Some(last) => crate::read::place::place_of(last, storage, stat)?.is_some(),
            None => offset == 0,
        };
        Ok((is_here && offset <= stat.length).then_some(ResolvedPlace::At { offset, counted }))
    }
}

fn looks_like_record(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.first() == Some(&b'{') && line.last() == Some(&b'}')
}

pub(crate) fn bytes_before(
    storage: &dyn Storage,
    offset: u64,
    max_bytes: u64,
) -> io::Result<Vec<u8>> {
    let length = offset.min(max_bytes);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    read_exact_at(storage, &mut bytes, offset - length)?;
    Ok(bytes)
}

/// Keeps the last bytes of all that was read.
fn keep_last_bytes(last_bytes: &mut Vec<u8>, bytes: &[u8]) {
    let from = bytes.len().saturating_sub(LAST_BYTES);
    last_bytes.extend_from_slice(bytes.get(from..).unwrap_or_default());
    last_bytes.drain(..last_bytes.len().saturating_sub(LAST_BYTES));
}
