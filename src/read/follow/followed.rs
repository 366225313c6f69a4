//! One file that is followed: what is new in it, look by look.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::read::cursor::{self, Counted, Cursor, Of, PROOF};
use crate::read::follow::lease::Lease;
use crate::read::follow::passed::{Bare, Passed, PassedRecord, bare_of};
use crate::read::page::{PAGE_BYTES, Page, SCAN_BUDGET};
use crate::read::place::{ResolvedPlace, StartCondition};
use crate::read::selection::{Picker, Selection};
use crate::record::classify::{self, Tail};
use crate::record::lines::{LineChunk, LineReader};
use crate::storage::{Stat, Storage, read_exact_at};

/// Bytes before the place that must be those passed before it is read on, where no record is.
const MARK: usize = 64;
/// Bytes of a record that is compared as a whole, at most. Of a longer one, its last bytes are.
const MAX_WHOLE: u64 = 64 << 10;
/// How long a file that was replaced is still looked at when nothing comes: a writer without the
/// lock may have it open.
const LINGER: Duration = Duration::from_millis(200);

/// The beginning of a file.
pub(crate) const START: ResolvedPlace =
    ResolvedPlace::At { offset: 0, counted: Some(Counted { records: 0, lines: 0 }) };

/// The file that is read.
pub(crate) struct Followed {
    lease: Arc<Lease>,
    pub(crate) stat: Stat,
    /// Everything before was passed.
    offset: u64,
    /// The place is in the line of a record that was passed: what comes until the next newline is the
    /// rest of it.
    is_in_line: bool,
    /// The file was read to this length.
    pub(crate) read_to: u64,
    is_counted: bool,
    /// The gate of `pick` only counts what stands before a place that is known.
    is_counting_up: bool,
    pub(crate) pick: Picker,
    /// The last bytes that were passed.
    mark: Vec<u8>,
    /// Records that were given before the file was rewritten, and moved behind the place.
    pub(crate) moved: Vec<Bare>,
    /// Since when it is not at the path and nothing new came to it.
    replaced: Option<Instant>,
    /// Nothing stood at the path at that time.
    was_alone: bool,
    idle_since: Option<Instant>,
    /// It was found under another name: nobody followed while it was renamed.
    pub(crate) is_former: bool,
    /// The names of its successors were looked for.
    pub(crate) has_looked_behind: bool,
}

/// What a look found in the file.
pub(crate) struct ReadProgress {
    /// Nothing is left.
    pub(crate) is_all: bool,
    /// It was cut or written over: where it is read on.
    pub(crate) rewritten: Option<Rewritten>,
}

/// How much of what was passed is still in a file that was written over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewritten {
    /// The record passed last, under its number.
    Nothing,
    /// Some of it.
    Some,
    /// Nothing.
    All,
}

/// A file that was read to its end, in case it comes back.
pub(crate) struct LeftFile {
    pub(crate) stat: Stat,
    /// It had a name when it was left.
    pub(crate) has_name: bool,
    /// Its last record.
    last: Option<Cursor>,
    bound: (u64, Option<Counted>),
}

impl Followed {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        stat: Stat,
        bound: ResolvedPlace,
        selection: &Selection,
    ) -> io::Result<Followed> {
        let mut file = Followed {
            lease: Lease::new(storage.clone()),
            stat,
            offset: 0,
            is_in_line: false,
            read_to: 0,
            is_counted: false,
            is_counting_up: false,
            pick: Picker::new(selection, None, None),
            mark: Vec::new(),
            moved: Vec::new(),
            replaced: None,
            was_alone: false,
            idle_since: None,
            is_former: false,
            has_looked_behind: false,
        };
        file.go_to(&*storage, bound, selection)?;
        Ok(file)
    }

    /// The descriptor; nothing if it was given up.
    pub(crate) fn take_up(&self) -> Option<Arc<dyn Storage>> {
        self.lease.take_up()
    }

    /// Nothing is left to read: the descriptor may be given up.
    pub(crate) fn lay_down(&mut self) {
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        self.lease.lay_down(since);
    }

    /// The file was opened again.
    pub(crate) fn reopen(&mut self, storage: Arc<dyn Storage>, stat: Stat) {
        self.stat = stat;
        self.lease = Lease::new(storage);
    }

    /// Goes to a place. If its numbers are wanted and not known, they are counted on the way there.
    fn go_to(
        &mut self,
        storage: &dyn Storage,
        bound: ResolvedPlace,
        selection: &Selection,
    ) -> io::Result<()> {
        let (offset, counted, gate) = match bound {
            ResolvedPlace::At { offset, counted: None } if selection.numbered && offset > 0 => {
                self.is_counting_up = true;
                (0, Some(Counted::default()), Some(StartCondition::Offset(offset)))
            }
            ResolvedPlace::At { offset, counted } => (offset, counted, None),
            ResolvedPlace::StartCondition(gate) => (0, Some(Counted::default()), Some(gate)),
        };
        self.is_counting_up &= gate.is_some();
        self.pick = Picker::new(selection, gate, None);
        self.pick.passed = counted.unwrap_or_default();
        self.pick.begun_after = self.pick.passed.records;
        self.is_counted = counted.is_some() && self.pick.counts();
        self.offset = offset;
        self.read_to = offset;
        self.mark = bytes_before(storage, offset, MARK as u64)?;
        self.is_in_line = self.mark.last().is_some_and(|byte| *byte != b'\n');
        Ok(())
    }

    /// Whether its gate only counts what stands before a place that is known.
    pub(crate) fn is_counting_up(&self) -> bool {
        self.is_counting_up
    }

    /// Whether its places have the numbers of the file.
    pub(crate) fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// Where it is read on, if that is known.
    fn place(&self) -> Option<(u64, Option<Counted>)> {
        match self.pick.from {
            None => Some((self.offset, self.is_counted.then_some(self.pick.passed))),
            Some(StartCondition::Offset(offset))
                if self.is_counting_up || offset <= self.stat.length =>
            {
                Some((offset, None))
            }
            Some(_) => None,
        }
    }

    /// The records before the place, for a file just opened.
    pub(crate) fn before(&self) -> io::Result<Option<Passed>> {
        let (Some((offset, counted)), Some(storage)) = (self.place(), self.take_up()) else {
            return Ok(None);
        };
        Passed::before(&*storage, offset, counted).map(Some)
    }

    /// Where it is read on, as a cursor: that of the record before, if there is one.
    pub(crate) fn cursor(&self, passed: &Passed) -> io::Result<Option<Cursor>> {
        let Some((offset, counted)) = self.place() else { return Ok(None) };
        if let Some(last) = passed.last_here() {
            return Ok(Some(last.cursor(&self.stat)));
        }
        let bytes = match self.take_up() {
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

    /// What the file is known by, when its descriptor was given up.
    pub(crate) fn known_by(&self, passed: &Passed) -> Cursor {
        match passed.last_here() {
            Some(last) => last.cursor(&self.stat),
            None => cursor::place_in(&self.stat, 0),
        }
    }

    /// The file was read to its end: what has to be known of it in case it comes back.
    pub(crate) fn left(&self, passed: &Passed) -> Option<LeftFile> {
        let bound = self.place()?;
        let last = passed.last_here().map(|last| last.cursor(&self.stat));
        let stat = self.take_up().and_then(|storage| storage.stat().ok());
        let has_name = stat.is_some_and(|stat| stat.links > 0);
        Some(LeftFile { stat: self.stat, has_name, last, bound })
    }

    /// Reads what is new.
    pub(crate) fn read(
        &mut self,
        storage: &dyn Storage,
        page: &mut Page,
        selection: &Selection,
        passed: &mut Passed,
        restarts: bool,
    ) -> io::Result<ReadProgress> {
        let length = storage.stat()?.length;
        if length == self.read_to {
            return Ok(ReadProgress { is_all: true, rewritten: None });
        }
        self.replaced = None;
        self.idle_since = None;
        let mut rewritten = None;
        if length < self.offset || !self.is_place_here(storage, passed)? {
            let (bound, found) = self.find_place(storage, length, passed)?;
            rewritten = Some(found);
            let bound = if restarts && found == Rewritten::Some { START } else { bound };
            if restarts {
                self.moved.clear();
            }
            self.go_to(storage, bound, selection)?;
            if self.pick.from.is_none() {
                passed.cut(self.offset);
            }
        }
        let is_all = self.pass_new(storage, length, page, passed)?;
        Ok(ReadProgress { is_all, rewritten })
    }

    fn pass_new(
        &mut self,
        storage: &dyn Storage,
        length: u64,
        page: &mut Page,
        passed: &mut Passed,
    ) -> io::Result<bool> {
        let begin = self.offset;
        let mut lines = LineReader::new(begin, length);
        while page.weight() < PAGE_BYTES && self.offset - begin < SCAN_BUDGET {
            self.offset = match lines.next(storage)? {
                LineChunk::Whole { offset, bytes } => {
                    classify::complete_lines(bytes, |start, line| {
                        self.pass(line, offset + start as u64, page, passed);
                    });
                    remember(&mut self.mark, bytes);
                    offset + bytes.len() as u64
                }
                LineChunk::TooLong { offset, length } => {
                    self.pick.visit_too_long(offset, length, page);
                    self.is_in_line = false;
                    self.mark.clear();
                    offset + length + 1
                }
                LineChunk::Tail { offset, bytes, .. } => {
                    self.read_to = length;
                    // A torn tail waits for the rest of its line.
                    if self.is_in_line || !matches!(classify::classify_tail(bytes), Tail::Record(_))
                    {
                        return Ok(true);
                    }
                    self.pass(bytes, offset, page, passed);
                    page.leave_open(offset);
                    remember(&mut self.mark, bytes);
                    self.is_in_line = true;
                    self.offset = offset + bytes.len() as u64;
                    return Ok(true);
                }
            };
            self.read_to = self.offset;
            self.pick.open_at(self.offset);
            self.is_counting_up &= self.pick.from.is_some();
            if self.mark.is_empty() {
                self.mark = bytes_before(storage, self.offset, MARK as u64)?;
            }
        }
        Ok(false)
    }

    /// Passes a line.
    fn pass(&mut self, line: &[u8], offset: u64, page: &mut Page, passed: &mut Passed) {
        if std::mem::take(&mut self.is_in_line) {
            return;
        }
        let before = self.pick.passed.records;
        let given = page.count;
        self.pick.visit(line, offset, page);
        if page.count > given && !self.moved.is_empty() {
            let bare = bare_of(line);
            if let Some(at) = self.moved.iter().position(|moved| *moved == bare) {
                self.moved.swap_remove(at);
                page.take_back(line.len());
            }
        }
        let is_record = match self.pick.counts() {
            true => self.pick.passed.records > before,
            // Lines that cannot be wanted are not judged: what looks like a record counts as one.
            false => looks_like_record(line),
        };
        // Those before a place that is known are known.
        if is_record && !(self.is_counting_up && self.pick.from.is_some()) {
            let counted = self.is_counted.then_some(self.pick.passed);
            passed.push(PassedRecord::of_line(line, offset, counted));
        }
    }

    /// Whether what stands before the place is what was passed: the whole record before it, or, where
    /// none is or it is long, the last bytes.
    fn is_place_here(&self, storage: &dyn Storage, passed: &Passed) -> io::Result<bool> {
        match passed.last_here().filter(|_| !self.is_counting_up) {
            Some(last) if last.length <= MAX_WHOLE => {
                let mut bytes = vec![0; usize::try_from(last.length).unwrap_or_default()];
                read_exact_at(storage, &mut bytes, last.offset)?;
                Ok(cursor::hash(&bytes) == last.hash)
            }
            _ => Ok(bytes_before(storage, self.offset, MARK as u64)? == self.mark),
        }
    }

    /// The file became shorter, or has another text: where to go on in it.
    fn find_place(
        &mut self,
        storage: &dyn Storage,
        length: u64,
        passed: &mut Passed,
    ) -> io::Result<(ResolvedPlace, Rewritten)> {
        if let Some(gate) = self.pick.from.take().filter(|_| !self.is_counting_up) {
            // None of these was given.
            *passed = Passed::default();
            return Ok((ResolvedPlace::StartCondition(gate), Rewritten::Nothing));
        }
        if let Some((bound, is_last)) = passed.find_here(storage, length)? {
            return Ok((bound, if is_last { Rewritten::Nothing } else { Rewritten::Some }));
        }
        if let Some(found) = passed.find(storage, length, false)? {
            let bound = ResolvedPlace::At { offset: found.offset, counted: Some(found.counted) };
            self.moved = found.moved;
            return Ok((bound, if found.is_same { Rewritten::Nothing } else { Rewritten::Some }));
        }
        let is_new = passed.is_empty() && self.offset == 0;
        *passed = Passed::default();
        Ok((START, if is_new { Rewritten::Nothing } else { Rewritten::All }))
    }

    /// It is the file at the path, or nothing else is to be read.
    pub(crate) fn is_current(&mut self) {
        self.replaced = None;
    }

    /// Whether a file that is no longer at the path may be left, when all of it was read: no
    /// writer that found it there can still write to it. `is_alone`: nothing came in its place.
    pub(crate) fn may_be_left(
        &mut self,
        storage: &dyn Storage,
        is_alone: bool,
    ) -> io::Result<Leaving> {
        let now = storage.stat()?;
        if now.length != self.read_to {
            return Ok(Leaving::HasMore);
        }
        if std::mem::replace(&mut self.was_alone, is_alone) && !is_alone {
            self.replaced = None;
        }
        let since = *self.replaced.get_or_insert_with(Instant::now);
        let has_lingered = since.elapsed() >= LINGER;
        if now.links > 0 && !has_lingered {
            return Ok(Leaving::Stays);
        }
        if now.links > 0 && is_alone {
            return Ok(Leaving::StaysAlone);
        }
        // A writer looks at the path under the lock, so that from now on none of ours writes to it.
        let is_read = match storage.try_lock_shared() {
            Ok(true) => {
                let length = storage.stat().map(|stat| stat.length);
                storage.unlock()?;
                length? == self.read_to
            }
            Ok(false) => false,
            // Where there are no locks nobody holds one.
            Err(_) => true,
        };
        Ok(if is_read { Leaving::Goes } else { Leaving::Stays })
    }
}

/// What becomes of a file that is no longer at the path.
pub(crate) enum Leaving {
    HasMore,
    Stays,
    /// It stays because nothing came in its place.
    StaysAlone,
    Goes,
}

impl LeftFile {
    /// Where it is read on, if it still has its last record.
    pub(crate) fn bound(
        &self,
        storage: &dyn Storage,
        stat: &Stat,
    ) -> io::Result<Option<ResolvedPlace>> {
        let (offset, counted) = self.bound;
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

pub(crate) fn bytes_before(storage: &dyn Storage, offset: u64, most: u64) -> io::Result<Vec<u8>> {
    let length = offset.min(most);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    read_exact_at(storage, &mut bytes, offset - length)?;
    Ok(bytes)
}

/// Keeps the last bytes of what was passed.
fn remember(mark: &mut Vec<u8>, bytes: &[u8]) {
    let from = bytes.len().saturating_sub(MARK);
    mark.extend_from_slice(bytes.get(from..).unwrap_or_default());
    mark.drain(..mark.len().saturating_sub(MARK));
}
