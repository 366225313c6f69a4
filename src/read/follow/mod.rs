//! Following a log: its records, and then what is appended, through every change of the file.
//!
//! The follow polls. Each [`Follower::look`] reads what is new in the present file, then checks the
//! path. Between looks, [`Follower::glance`] only checks the path. The follow handles:
//!
//! - an append: `FollowedFile::read` reads on behind the last record;
//! - a truncation or a rewrite in place: `FollowedFile::read` notices that the record in front of
//!   its place changed, and `FollowedFile::resume_after_rewrite` finds the place to go on;
//! - a rename or a replacement while the follow runs: `NextFiles::check_path` opens the new file
//!   and queues it, and `Follower::finish_file` leaves the old one after its last record;
//! - several replacements between two looks: `NextFiles::find_between` finds the files in the
//!   folder under their new names;
//! - a rename or a replacement while no follow runs: `Follower::choose_file` finds the file of the
//!   cursor under its new name;
//! - a copy at the path, as a repair makes it: `Follower::resume_place` looks for the last 64
//!   records in the copy;
//! - a file that returns to the path: `LeftFile::resume_place`;
//! - a closed idle descriptor: `Follower::reopen`.
//!
//! This folder never writes to a log. The order of the files:
//!
//! - `lease`: descriptors;
//! - `passed_records`: the last records read;
//! - `followed_file`: one file;
//! - `find_former`: renamed files;
//! - `next_files`: files to read next;
//! - `fixed_end`: a fixed end of the log;
//! - `types`: results.

mod lease;
mod passed_records;
mod followed_file;
mod find_former;
mod next_files;
mod fixed_end;
mod types;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Code, Error, Result};
use crate::path::ChroniclePath;
use crate::read::cursor::{self, Cursor};
use crate::read::follow::fixed_end::{FixedEnd, end_in};
use crate::read::follow::followed_file::{FollowedFile, Kept, Leaving, LeftFile, START};
use crate::read::follow::next_files::NextFiles;
use crate::read::follow::passed_records::{PassedRecords, RecordKey};
pub use crate::read::follow::types::{FileState, Look, OnRewrite};
use crate::read::page::{Page, PageForm};
use crate::read::place::{self, Place, ResolvedPlace, StartCondition};
use crate::read::reader::MAX_ATTEMPTS;
use crate::read::selection::Selection;
use crate::storage::{Disk, OpenFile, Stat, Storage, cannot_read, is_cut};

/// Follows a log: returns each record of each file at the path once, in file order.
///
/// The follow holds a descriptor, so that a renamed or deleted file is read to its end. It holds
/// one more for each file that came to the path meanwhile.
pub struct Follower {
    disk: Arc<dyn Disk>,
    selection: Selection,
    on_rewrite: OnRewrite,
    /// The file at the path when the end was fixed.
    end: FixedEnd,
    has_begun: bool,
    file: Option<FollowedFile>,
    next: NextFiles,
    /// Files that were read to their end, the oldest first.
    left_files: VecDeque<LeftFile>,
    passed: PassedRecords,
    /// State of the present file, until records of it were returned.
    state: FileState,
    /// State of the next file, if none of the passed records is in it.
    next_state: FileState,
    is_in_trouble: bool,
    form: PageForm,
    /// Returned records that are behind the place where the next file begins.
    moved: Vec<RecordKey>,
}

/// A file that may be read next.
struct Candidate {
    storage: OpenFile,
    stat: Stat,
    /// It has another name than the path.
    is_former: bool,
    /// It is the front of `next`.
    is_next: bool,
}

/// Files that were left and are recognised when they return, at most.
const MAX_LEFT: usize = 64;

impl Follower {
    /// Prepares to follow the log from `selection.from` on. Nothing is opened yet.
    pub fn new(disk: Arc<dyn Disk>, selection: Selection) -> Follower {
        Follower {
            disk,
            selection,
            on_rewrite: OnRewrite::default(),
            end: None,
            has_begun: false,
            file: None,
            next: NextFiles::default(),
            left_files: VecDeque::new(),
            passed: PassedRecords::default(),
            state: FileState::Same,
            next_state: FileState::Same,
            is_in_trouble: false,
            form: PageForm::default(),
            moved: Vec::new(),
        }
    }

    /// Returns records as lines of their file.
    pub(crate) fn in_lines(mut self) -> Follower {
        self.form = PageForm::Lines;
        self
    }

    /// Sets where to go on in a rewritten file.
    #[must_use]
    pub fn on_rewrite(mut self, on_rewrite: OnRewrite) -> Follower {
        self.on_rewrite = on_rewrite;
        self
    }

    /// Fixes [`Place::End`] at the present end of the log, by one look at the path.
    ///
    /// Without this call, the end is that of the first look.
    pub fn fix_end(&mut self, path: &ChroniclePath) {
        if let Place::End = self.selection.from {
            // The first look reports errors of the path.
            self.end = self.disk.stat(path.as_path()).ok();
        }
    }

    /// Looks once: reads what is new, 256 KiB of records at most.
    ///
    /// # Errors
    /// `EVALIDATION` at the first look for anything but a regular file, and when no record has the
    /// event id to begin at. `EIO`. `EUNSUPPORTED` where inode numbers of the file system change.
    pub fn look(&mut self, path: &ChroniclePath) -> Result<Look> {
        let path = path.as_path();
        let mut trouble = None;
        if self.file.as_ref().is_some_and(|file| file.storage().is_none())
            && let Err(error) = self.reopen(path)
        {
            trouble = Some(error);
        }
        let start = match self.begin(path) {
            Ok(start) => start,
            Err(error) if self.has_begun && is_momentary(&error) => {
                trouble = Some(error);
                None
            }
            Err(error) => {
                self.has_begun = true;
                return Err(error);
            }
        };
        self.has_begun = true;
        let mut page = Page::of(self.form);
        let is_read = self.read(&mut page, path)?;
        let stat = self.file.as_ref().map(|file| file.stat);
        let is_counted = self.file.as_ref().is_some_and(FollowedFile::is_counted);
        let begun_after = self.file.as_ref().map_or(0, |file| file.picker.begun_after);
        let file = if page.count == 0 { FileState::Same } else { std::mem::take(&mut self.state) };
        let at_path = match self.check_path(path) {
            Ok(at_path) => at_path,
            Err(error) if is_momentary(&error) => {
                trouble = trouble.or(Some(error));
                None
            }
            Err(error) => return Err(error),
        };
        let is_in_trouble = std::mem::replace(&mut self.is_in_trouble, trouble.is_some());
        let is_idle = match is_read.then(|| self.finish_file(at_path, path)).transpose() {
            // The records read are returned first. The next look fails again.
            Err(_) if !page.is_empty() => false,
            is_at_end => is_at_end?.unwrap_or_default(),
        };
        if let Some(file) = self.file.as_mut().filter(|_| is_idle && self.next.is_empty()) {
            file.set_idle();
        }
        let trouble = trouble.filter(|_| !is_in_trouble);
        let page = page.end(false);
        Ok(Look { page, stat, is_counted, start, is_idle, file, begun_after, trouble })
    }

    /// Checks the path, and opens a new file there.
    ///
    /// A file that comes and goes between two looks is missed, so callers glance while no look is
    /// due.
    pub fn glance(&mut self, path: &ChroniclePath) {
        // The next look reports errors of the path.
        let _ = self.check_path(path.as_path());
    }

    /// Reads what is new in the file. Returns whether nothing is left.
    fn read(&mut self, page: &mut Page, path: &Path) -> Result<bool> {
        let Some(file) = &mut self.file else { return Ok(true) };
        // A closed lease means that the file has the length that was read.
        let Some(storage) = file.storage() else { return Ok(true) };
        let restarts = self.on_rewrite == OnRewrite::Restart;
        let read = file.read(&*storage, page, &self.selection, &mut self.passed, restarts);
        let read = match read {
            Ok(read) => read,
            // The file was truncated during the look. The next look sees its new length.
            Err(error) if is_cut(&error) => return Ok(false),
            Err(_) if !page.is_empty() => return Ok(false),
            Err(error) => return Err(cannot_read(path, "pread", error)),
        };
        match read.rewritten {
            None | Some(Kept::Last) => {}
            Some(Kept::Some) => self.state = FileState::Rewritten,
            Some(Kept::Nothing) => self.state = FileState::Unknown,
        }
        if read.is_at_end && file.picker.from.as_ref().is_some_and(StartCondition::names_an_id) {
            return Err(place::unknown_id(path));
        }
        Ok(read.is_at_end)
    }

    /// Opens a file if none is open. At the first look, returns the place before anything was read.
    fn begin(&mut self, path: &Path) -> Result<Option<Cursor>> {
        let mut attempts = 0;
        loop {
            let begun = self.open(path).and_then(|()| self.start(path));
            match begun {
                // Another process truncated the file while the place was searched.
                Err(error) if is_by_cut(&error) && attempts < MAX_ATTEMPTS => {
                    attempts += 1;
                    self.file = None;
                }
                other => return other,
            }
        }
    }

    /// Opens the next file, if there is one, and finds the place to go on.
    fn open(&mut self, path: &Path) -> Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        let opened = match self.next.first() {
            Some(storage) => Some(storage.clone()),
            None => self.disk.open_for_reading(path)?,
        };
        let opened = match opened {
            None => None,
            Some(storage) => {
                let stat = storage.stat().map_err(|error| cannot_read(path, "fstat", error))?;
                let is_next = !self.next.is_empty();
                Some(Candidate { storage, stat, is_former: false, is_next })
            }
        };
        let Some(first) = self.choose_file(opened, path)? else {
            return self.wait_for_file(path);
        };
        let Candidate { storage, stat, is_former, is_next } = first;
        let place = self.resume_place(&*storage, &stat, path)?;
        let file = FollowedFile::new(storage, stat, place, &self.selection);
        let mut file = file.map_err(|error| cannot_read(path, "pread", error))?;
        file.is_former = is_former;
        file.moved = std::mem::take(&mut self.moved);
        let before = file.before().map_err(|error| cannot_read(path, "pread", error))?;
        self.passed.leave();
        if let Some(before) = before.filter(|before| !before.is_empty()) {
            self.passed = before;
        }
        self.file = Some(file);
        if is_next {
            self.next.remove_first();
        }
        self.end = None;
        if let Place::End | Place::Cursor(_) = self.selection.from {
            self.selection.from = Place::Start;
        }
        self.next_state = FileState::Next;
        Ok(())
    }

    /// Chooses the file to begin with. The file of a cursor or of a fixed end may have another
    /// name.
    fn choose_file(&self, opened: Option<Candidate>, path: &Path) -> Result<Option<Candidate>> {
        let failed = |error| cannot_read(path, "readdir", error);
        let cursor = match (&self.selection.from, self.end) {
            (Place::Cursor(cursor), _) if *cursor != Cursor::NOWHERE => *cursor,
            (Place::End, Some(Some(end))) => cursor::place_in(&end, end.length),
            _ => return Ok(opened),
        };
        if let Some(Candidate { storage, stat, .. }) = &opened {
            let is_it = match self.selection.from {
                Place::End => cursor.may_be_in(stat),
                _ => place::place_of(&cursor, &**storage, stat).map_err(failed)?.is_some(),
            };
            if is_it {
                return Ok(opened);
            }
        }
        let at_path = opened.as_ref().map(|opened| &opened.stat);
        let former =
            find_former::find_former(&*self.disk, path, &cursor, at_path).map_err(failed)?;
        let former = former.map(|(storage, stat)| Candidate {
            storage,
            stat,
            is_former: true,
            is_next: false,
        });
        Ok(former.or(opened))
    }

    fn wait_for_file(&mut self, path: &Path) -> Result<()> {
        match &self.selection.from {
            // Everything in a file that appears later is new.
            Place::End => {
                self.selection.from = Place::Start;
                self.end = None;
            }
            Place::EventId(_) => return Err(place::unknown_id(path)),
            _ => {}
        }
        Ok(())
    }

    /// The place to go on in a file just opened.
    fn resume_place(
        &mut self,
        storage: &dyn Storage,
        stat: &Stat,
        path: &Path,
    ) -> Result<ResolvedPlace> {
        let failed = |error| cannot_read(path, "pread", error);
        if let Place::Cursor(cursor) = &self.selection.from {
            if let Some(place) = place::place_of(cursor, storage, stat).map_err(failed)? {
                return Ok(place);
            }
            self.passed = PassedRecords::of_cursor(cursor);
            self.next_state = FileState::Unknown;
        }
        for left in self.left_files.iter().rev().filter(|left| left.stat.is_same_file(stat)) {
            if let Some(place) = left.resume_place(storage, stat).map_err(failed)? {
                self.state = FileState::Next;
                return Ok(place);
            }
        }
        if !self.passed.is_empty() {
            return self.place_behind_passed(storage, stat).map_err(failed);
        }
        self.state = self.next_state;
        match &self.selection.from {
            Place::Cursor(_) => Ok(START),
            Place::End => Ok(ResolvedPlace::At {
                offset: end_in(self.end, storage, stat).map_err(failed)?,
                counted: None,
            }),
            Place::Offset(offset) if *offset > stat.length => {
                Ok(ResolvedPlace::StartCondition(StartCondition::Offset(*offset)))
            }
            other => other.resolve(storage, stat, path),
        }
    }

    fn place_behind_passed(
        &mut self,
        storage: &dyn Storage,
        stat: &Stat,
    ) -> io::Result<ResolvedPlace> {
        // After a rename, the next file may begin with the same records.
        let is_wary = self.left_files.back().is_some_and(|left| left.has_name);
        let Some(found) = self.passed.find(storage, stat.length, is_wary)? else {
            self.state = self.next_state;
            return Ok(START);
        };
        self.state = if found.is_same { FileState::Same } else { FileState::Rewritten };
        if self.state == FileState::Rewritten && self.on_rewrite == OnRewrite::Restart {
            return Ok(START);
        }
        // A restart returns all records again.
        if self.on_rewrite == OnRewrite::Continue {
            self.moved = found.moved;
        }
        Ok(ResolvedPlace::At { offset: found.offset, counted: Some(found.counted) })
    }

    /// At the first look: the place before anything was read.
    fn start(&self, path: &Path) -> Result<Option<Cursor>> {
        match &self.file {
            _ if self.has_begun => Ok(None),
            Some(file) => {
                file.cursor(&self.passed).map_err(|error| cannot_read(path, "pread", error))
            }
            None => {
                let begins_at_start = matches!(self.selection.from, Place::Start);
                Ok(begins_at_start.then_some(Cursor::NOWHERE))
            }
        }
    }

    /// Opens the file of a closed lease again, unless nothing was appended to it.
    fn reopen(&mut self, path: &Path) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let failed = |operation| move |error| cannot_read(path, operation, error);
        let at_path = self.disk.stat(path).map_err(failed("stat"))?;
        if at_path.is_some_and(|stat| stat.is_same_file(&file.stat)) {
            if at_path.is_some_and(|stat| stat.length == file.read_to) {
                return Ok(());
            }
            if let Some(storage) = self.disk.open_for_reading(path)? {
                let stat = storage.stat().map_err(failed("fstat"))?;
                if stat.is_same_file(&file.stat) {
                    file.reopen(storage, stat);
                    return Ok(());
                }
            }
        }
        let cursor = file.identity(&self.passed);
        let found = find_former::find_former(&*self.disk, path, &cursor, at_path.as_ref())
            .map_err(failed("readdir"))?;
        match found {
            Some((storage, stat)) => {
                file.reopen(storage, stat);
                file.is_former = true;
            }
            None => {
                self.leave_file();
                self.next_state = FileState::Unknown;
            }
        }
        Ok(())
    }

    /// After a file was read: returns whether the follow is idle. Leaves the file if another one is
    /// at the path.
    fn finish_file(&mut self, at_path: Option<Stat>, path: &Path) -> Result<bool> {
        let Some(file) = &mut self.file else {
            return Ok(at_path.is_none() && self.next.is_empty());
        };
        let Some(storage) = file.storage() else { return Ok(true) };
        let is_at_path = at_path.is_some_and(|stat| stat.is_same_file(&file.stat));
        if is_at_path && self.next.is_empty() {
            file.set_current();
            return Ok(true);
        }
        let is_alone = at_path.is_none() && self.next.is_empty();
        let leaving = if is_at_path {
            // The file returned to the path. Files that were there meanwhile are read first.
            Leaving::Leave
        } else {
            let leaving = file.may_leave(&storage, is_alone);
            leaving.map_err(|error| cannot_read(path, "fstat", error))?
        };
        match leaving {
            Leaving::HasMore => return Ok(false),
            Leaving::Wait => return Ok(true),
            Leaving::WaitAlone if file.has_searched_folder => return Ok(true),
            Leaving::WaitAlone | Leaving::Leave => {}
        }
        let found_more = !is_at_path && self.find_between(&*storage, at_path, path);
        if matches!(leaving, Leaving::WaitAlone) && !found_more {
            return Ok(true);
        }
        self.leave_file();
        Ok(is_alone && !found_more)
    }

    fn check_path(&mut self, path: &Path) -> Result<Option<Stat>> {
        self.next.check_path(&*self.disk, path, self.file.as_ref())
    }

    fn find_between(&mut self, storage: &dyn Storage, at_path: Option<Stat>, path: &Path) -> bool {
        let Some(file) = &mut self.file else { return false };
        file.has_searched_folder = true;
        let is_left = |stat: &Stat| self.left_files.iter().any(|left| left.stat.is_same_file(stat));
        let present = (storage, &file.stat);
        let found = self.next.find_between(&*self.disk, path, present, at_path, is_left);
        if found.is_doubtful && file.is_former {
            self.next_state = FileState::Unknown;
        }
        found.has_any
    }

    /// Leaves a file that was read to its end.
    fn leave_file(&mut self) {
        let Some(file) = self.file.take() else { return };
        // A start that this file did not have is searched in the next file.
        if file.picker.from.is_some() && !file.is_counting_up() {
            self.passed = PassedRecords::default();
        } else {
            self.selection.from = Place::Start;
        }
        if let Some(left) = file.left_file(&self.passed) {
            self.left_files.retain(|known| !known.stat.is_same_file(&left.stat));
            if self.left_files.len() == MAX_LEFT {
                self.left_files.pop_front();
            }
            self.left_files.push_back(left);
        }
        self.passed.leave();
    }
}

fn is_by_cut(error: &Error) -> bool {
    error.cause().is_some_and(|cause| is_cut(&cause.error))
}

/// Whether an error of the path may pass: a rotation creates the new file before it is readable.
fn is_momentary(error: &Error) -> bool {
    matches!(error.code(), Code::Io | Code::Validation) && !is_by_cut(error)
}
