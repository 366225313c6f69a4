//! Reading a log and then what is appended to it, through truncation, renaming and replacement.

mod lease;
mod passed;
mod followed;
mod finding;
mod following;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Code, Error, Result};
use crate::path::ChroniclePath;
use crate::read::cursor::{self, Cursor};
use crate::read::follow::finding::{Between, MAX_NEXT, Opened};
use crate::read::follow::followed::{Followed, Leaving, LeftFile, Rewritten, START};
pub use crate::read::follow::following::{FileState, Look, OnRewrite};
use crate::read::follow::passed::{Bare, Passed};
use crate::read::page::{Page, PageForm};
use crate::read::place::{self, Place, ResolvedPlace, StartCondition};
use crate::read::reader::MAX_ATTEMPTS;
use crate::read::selection::Selection;
use crate::record::classify::{self, Tail};
use crate::record::reverse_lines::ReverseLines;
use crate::storage::{Disk, Stat, Storage, cannot_read, is_cut};

/// Follows a log: gives each record of each file that stands at the path once, in file order. It holds
/// a descriptor, so that a file that was renamed away or deleted is read to its end, and one more of
/// each file that came to the path meanwhile.
pub struct Follower {
    disk: Arc<dyn Disk>,
    selection: Selection,
    on_rewrite: OnRewrite,
    /// What stood at the path when the end was fixed.
    end: Option<Option<Stat>>,
    has_begun: bool,
    file: Option<Followed>,
    /// Files to be read next, the oldest first: they may be gone from the path by their turn.
    next: VecDeque<Opened>,
    /// Files that were read to their end, the oldest first.
    left: VecDeque<LeftFile>,
    passed: Passed,
    /// Of the file, until records of it were given.
    state: FileState,
    /// Of the next file, if nothing that was passed is in it.
    next_state: FileState,
    is_in_trouble: bool,
    form: PageForm,
    /// Records that were given and moved behind the place where the next file is begun.
    moved: Vec<Bare>,
}

/// The file that is opened.
struct First {
    storage: Arc<dyn Storage>,
    stat: Stat,
    /// It has another name by now.
    is_former: bool,
    /// It is the first of those to be read next.
    is_next: bool,
}

/// Files that were read to their end and are known when they come back, at most.
const MAX_LEFT: usize = 64;
/// Looks at a path, each of which names another file, that prove nothing but unstable numbers.
const UNSTABLE_LOOKS: usize = 8;

impl Follower {
    /// Will follow the log from `selection.from` on. Nothing is opened yet.
    pub fn new(disk: Arc<dyn Disk>, selection: Selection) -> Follower {
        Follower {
            disk,
            selection,
            on_rewrite: OnRewrite::default(),
            end: None,
            has_begun: false,
            file: None,
            next: VecDeque::new(),
            left: VecDeque::new(),
            passed: Passed::default(),
            state: FileState::Same,
            next_state: FileState::Same,
            is_in_trouble: false,
            form: PageForm::default(),
            moved: Vec::new(),
        }
    }

    /// Gives records as the lines that they are in their file.
    pub(crate) fn in_lines(mut self) -> Follower {
        self.form = PageForm::Lines;
        self
    }

    /// Says where to go on in a file that was rewritten.
    #[must_use]
    pub fn on_rewrite(mut self, on_rewrite: OnRewrite) -> Follower {
        self.on_rewrite = on_rewrite;
        self
    }

    /// Fixes [`Place::End`] where the log ends now, by one look at the path: what is appended from now
    /// on is given. Without it the end is where the log ends at the first look.
    pub fn fix_end(&mut self, path: &ChroniclePath) {
        if let Place::End = self.selection.from {
            // What is wrong with the path shows at the first look.
            self.end = self.disk.stat(path.as_path()).ok();
        }
    }

    /// Looks once: reads what is new, about a quarter of a mebibyte of records at the most.
    ///
    /// # Errors
    /// `EVALIDATION` for what is no regular file at the first look, and when no record has the id to
    /// begin at; `EIO`; `EUNSUPPORTED` where the inode numbers of the file system change.
    pub fn look(&mut self, path: &ChroniclePath) -> Result<Look> {
        let path = path.as_path();
        let mut trouble = None;
        if self.file.as_ref().is_some_and(|file| file.take_up().is_none())
            && let Err(error) = self.open_again(path)
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
        let is_counted = self.file.as_ref().is_some_and(Followed::is_counted);
        let begun_after = self.file.as_ref().map_or(0, |file| file.pick.begun_after);
        let file = if page.count == 0 { FileState::Same } else { std::mem::take(&mut self.state) };
        let at_path = match self.open_next(path) {
            Ok(at_path) => at_path,
            Err(error) if is_momentary(&error) => {
                trouble = trouble.or(Some(error));
                None
            }
            Err(error) => return Err(error),
        };
        let is_in_trouble = std::mem::replace(&mut self.is_in_trouble, trouble.is_some());
        let is_idle = match is_read.then(|| self.is_all(at_path, path)).transpose() {
            // What was read is given first; the next look meets the error again.
            Err(_) if !page.is_empty() => false,
            is_all => is_all?.unwrap_or_default(),
        };
        if let Some(file) = self.file.as_mut().filter(|_| is_idle && self.next.is_empty()) {
            file.lay_down();
        }
        let trouble = trouble.filter(|_| !is_in_trouble);
        let page = page.end(false);
        Ok(Look { page, stat, is_counted, start, is_idle, file, begun_after, trouble })
    }

    /// Looks only what stands at the path, and opens it if it is a file not met before. A file that
    /// comes and goes between two looks is not seen, so this is for the time until the next one.
    pub fn glance(&mut self, path: &ChroniclePath) {
        // What is wrong shows at the next look.
        let _ = self.open_next(path.as_path());
    }

    /// Reads what is new in the file; whether nothing is left.
    fn read(&mut self, page: &mut Page, path: &Path) -> Result<bool> {
        let Some(file) = &mut self.file else { return Ok(true) };
        // Its length is that which was read.
        let Some(storage) = file.take_up() else { return Ok(true) };
        let restarts = self.on_rewrite == OnRewrite::Restart;
        let read = file.read(&*storage, page, &self.selection, &mut self.passed, restarts);
        let read = match read {
            Ok(read) => read,
            // Cut in the middle of the look: the next one sees by how much.
            Err(error) if is_cut(&error) => return Ok(false),
            Err(_) if !page.is_empty() => return Ok(false),
            Err(error) => return Err(cannot_read(path, "pread", error)),
        };
        match read.rewritten {
            None | Some(Rewritten::Nothing) => {}
            Some(Rewritten::Some) => self.state = FileState::Rewritten,
            Some(Rewritten::All) => self.state = FileState::Unknown,
        }
        if read.is_all && file.pick.from.as_ref().is_some_and(StartCondition::names_an_id) {
            return Err(place::unknown_id(path));
        }
        Ok(read.is_all)
    }

    /// Has a file open, if there is one. At the first look: the place before anything was read.
    fn begin(&mut self, path: &Path) -> Result<Option<Cursor>> {
        let mut attempts = 0;
        loop {
            let begun = self.open(path).and_then(|()| self.start(path));
            match begun {
                // Somebody cut the file while its place was looked for.
                Err(error) if is_by_cut(&error) && attempts < MAX_ATTEMPTS => {
                    attempts += 1;
                    self.file = None;
                }
                other => return other,
            }
        }
    }

    /// Opens the next file, if there is one, and finds where to go on.
    fn open(&mut self, path: &Path) -> Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        let opened = match self.next.front() {
            Some((storage, _)) => Some(storage.clone()),
            None => self.disk.open_for_reading(path)?,
        };
        let opened = match opened {
            None => None,
            Some(storage) => {
                let stat = storage.stat().map_err(|error| cannot_read(path, "fstat", error))?;
                let is_next = !self.next.is_empty();
                Some(First { storage, stat, is_former: false, is_next })
            }
        };
        let Some(first) = self.first(opened, path)? else {
            return self.wait_for_file(path);
        };
        let First { storage, stat, is_former, is_next } = first;
        let bound = self.bound(&*storage, &stat, path)?;
        let file = Followed::new(storage, stat, bound, &self.selection);
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
            self.next.pop_front();
        }
        self.end = None;
        if let Place::End | Place::Cursor(_) = self.selection.from {
            self.selection.from = Place::Start;
        }
        self.next_state = FileState::Next;
        Ok(())
    }

    /// The file to begin with: that of a cursor or of a fixed end may have another name by now.
    fn first(&self, opened: Option<First>, path: &Path) -> Result<Option<First>> {
        let failed = |error| cannot_read(path, "readdir", error);
        let cursor = match (&self.selection.from, self.end) {
            (Place::Cursor(cursor), _) if *cursor != Cursor::NOWHERE => *cursor,
            (Place::End, Some(Some(end))) => cursor::place_in(&end, end.length),
            _ => return Ok(opened),
        };
        if let Some(First { storage, stat, .. }) = &opened {
            let is_it = match self.selection.from {
                Place::End => cursor.may_be_in(stat),
                _ => place::place_of(&cursor, &**storage, stat).map_err(failed)?.is_some(),
            };
            if is_it {
                return Ok(opened);
            }
        }
        let at_path = opened.as_ref().map(|opened| &opened.stat);
        let former = finding::find_former(&*self.disk, path, &cursor, at_path).map_err(failed)?;
        let former =
            former.map(|(storage, stat)| First { storage, stat, is_former: true, is_next: false });
        Ok(former.or(opened))
    }

    fn wait_for_file(&mut self, path: &Path) -> Result<()> {
        match &self.selection.from {
            // All that comes to be there is new.
            Place::End => {
                self.selection.from = Place::Start;
                self.end = None;
            }
            Place::EventId(_) => return Err(place::unknown_id(path)),
            _ => {}
        }
        Ok(())
    }

    /// Where to go on in a file just opened.
    fn bound(&mut self, storage: &dyn Storage, stat: &Stat, path: &Path) -> Result<ResolvedPlace> {
        let failed = |error| cannot_read(path, "pread", error);
        if let Place::Cursor(cursor) = &self.selection.from {
            if let Some(bound) = place::place_of(cursor, storage, stat).map_err(failed)? {
                return Ok(bound);
            }
            self.passed = Passed::of_cursor(cursor);
            self.next_state = FileState::Unknown;
        }
        for left in self.left.iter().rev().filter(|left| left.stat.is_same_file(stat)) {
            if let Some(bound) = left.bound(storage, stat).map_err(failed)? {
                self.state = FileState::Next;
                return Ok(bound);
            }
        }
        if !self.passed.is_empty() {
            return self.bound_behind_passed(storage, stat).map_err(failed);
        }
        self.state = self.next_state;
        match &self.selection.from {
            Place::Cursor(_) => Ok(START),
            Place::End => Ok(ResolvedPlace::At {
                offset: self.end_in(storage, stat).map_err(failed)?,
                counted: None,
            }),
            Place::Offset(offset) if *offset > stat.length => {
                Ok(ResolvedPlace::StartCondition(StartCondition::Offset(*offset)))
            }
            other => other.resolve(storage, stat, path),
        }
    }

    fn bound_behind_passed(
        &mut self,
        storage: &dyn Storage,
        stat: &Stat,
    ) -> io::Result<ResolvedPlace> {
        // A file that was renamed away and has a name may be followed by one that begins alike.
        let is_wary = self.left.back().is_some_and(|left| left.has_name);
        let Some(found) = self.passed.find(storage, stat.length, is_wary)? else {
            self.state = self.next_state;
            return Ok(START);
        };
        self.state = if found.is_same { FileState::Same } else { FileState::Rewritten };
        if self.state == FileState::Rewritten && self.on_rewrite == OnRewrite::Restart {
            return Ok(START);
        }
        // Where a rewritten file is given again, no number of it is left out.
        if self.on_rewrite == OnRewrite::Continue {
            self.moved = found.moved;
        }
        Ok(ResolvedPlace::At { offset: found.offset, counted: Some(found.counted) })
    }

    /// Where the records of the file ended when the end was fixed.
    fn end_in(&self, storage: &dyn Storage, stat: &Stat) -> io::Result<u64> {
        let length = match self.end {
            None => stat.length,
            Some(None) => return Ok(0),
            Some(Some(end)) if end.is_same_file(stat) => end.length.min(stat.length),
            // A file that took its place since may be a copy with more.
            Some(Some(end)) if end.length <= stat.length => {
                let before = crate::read::follow::followed::bytes_before(storage, end.length, 1)?;
                if before == b"\n" { end.length } else { stat.length }
            }
            Some(Some(_)) => stat.length,
        };
        end_of_records(storage, length)
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

    /// Opens the file again, whose descriptor was given up. Nothing to do if nothing came to it.
    fn open_again(&mut self, path: &Path) -> Result<()> {
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
        let cursor = file.known_by(&self.passed);
        let found = finding::find_former(&*self.disk, path, &cursor, at_path.as_ref())
            .map_err(failed("readdir"))?;
        match found {
            Some((storage, stat)) => {
                file.reopen(storage, stat);
                file.is_former = true;
            }
            None => {
                self.leave();
                self.next_state = FileState::Unknown;
            }
        }
        Ok(())
    }

    /// What stands at the path. If that is a file not met before, it is opened.
    fn open_next(&mut self, path: &Path) -> Result<Option<Stat>> {
        let failed = |operation| move |error| cannot_read(path, operation, error);
        let at_path = self.disk.stat(path).map_err(failed("stat"))?;
        let (Some(file), Some(stat)) = (&self.file, at_path) else { return Ok(at_path) };
        let is_met = |stat: &Stat| {
            let mut known = self.next.iter().map(|(_, next)| next).chain([&file.stat]);
            known.any(|known| known.is_same_file(stat))
        };
        if is_met(&stat) {
            return Ok(at_path);
        }
        self.check_numbers(file, path)?;
        if self.next.len() == MAX_NEXT {
            return Ok(at_path);
        }
        let Some(storage) = self.disk.open_for_reading(path)? else { return Ok(None) };
        let stat = storage.stat().map_err(failed("fstat"))?;
        if !is_met(&stat) {
            self.next.push_back((storage, stat));
        }
        Ok(Some(stat))
    }

    /// # Errors
    /// `EUNSUPPORTED` where a file has not one number.
    fn check_numbers(&self, file: &Followed, path: &Path) -> Result<()> {
        let failed = |operation| move |error| cannot_read(path, operation, error);
        let mut is_stable = match file.take_up() {
            Some(storage) => storage.stat().map_err(failed("fstat"))?.is_same_file(&file.stat),
            None => true,
        };
        let mut before = self.disk.stat(path).map_err(failed("stat"))?;
        let mut is_path_stable = false;
        for _ in 1..UNSTABLE_LOOKS {
            let now = self.disk.stat(path).map_err(failed("stat"))?;
            is_path_stable = match (before, now) {
                (Some(before), Some(now)) => now.is_same_file(&before),
                _ => true,
            };
            if is_path_stable {
                break;
            }
            before = now;
        }
        is_stable &= is_path_stable;
        if is_stable {
            return Ok(());
        }
        let message = "the file system has no stable inode numbers";
        Err(Error::new(Code::Unsupported, message).with_path(path))
    }

    /// When the file is read: whether that is all for now. If another file came to the path, it is the
    /// next one's turn.
    fn is_all(&mut self, at_path: Option<Stat>, path: &Path) -> Result<bool> {
        let Some(file) = &mut self.file else {
            return Ok(at_path.is_none() && self.next.is_empty());
        };
        let Some(storage) = file.take_up() else { return Ok(true) };
        let is_at_path = at_path.is_some_and(|stat| stat.is_same_file(&file.stat));
        if is_at_path && self.next.is_empty() {
            file.is_current();
            return Ok(true);
        }
        let is_alone = at_path.is_none() && self.next.is_empty();
        let leaving = if is_at_path {
            // It came back, and those that stood there meanwhile are to be read.
            Leaving::Goes
        } else {
            let leaving = file.may_be_left(&*storage, is_alone);
            leaving.map_err(|error| cannot_read(path, "fstat", error))?
        };
        match leaving {
            Leaving::HasMore => return Ok(false),
            Leaving::Stays => return Ok(true),
            Leaving::StaysAlone if file.has_looked_behind => return Ok(true),
            Leaving::StaysAlone | Leaving::Goes => {}
        }
        let found_more = !is_at_path && self.look_behind(&*storage, at_path, path)?;
        if matches!(leaving, Leaving::StaysAlone) && !found_more {
            return Ok(true);
        }
        self.leave();
        Ok(is_alone && !found_more)
    }

    /// Looks for files that stood at the path between this one and the next one and were not met there.
    fn look_behind(
        &mut self,
        storage: &dyn Storage,
        at_path: Option<Stat>,
        path: &Path,
    ) -> Result<bool> {
        let Some(file) = &mut self.file else { return Ok(false) };
        file.has_looked_behind = true;
        let next = self.next.front().map(|(_, stat)| *stat).or(at_path);
        let left = &self.left;
        let is_known = |stat: &Stat| {
            self.next.iter().any(|(_, next)| next.is_same_file(stat))
                || left.iter().any(|left| left.stat.is_same_file(stat))
        };
        let behind = (storage, &file.stat);
        let found = finding::between(&*self.disk, path, behind, next.as_ref(), is_known);
        let Between { files, is_doubtful } = match found {
            Ok(between) => between,
            // A folder that cannot be listed has no other names to find.
            Err(_) => Between { files: Vec::new(), is_doubtful: true },
        };
        if is_doubtful && file.is_former {
            self.next_state = FileState::Unknown;
        }
        let found_more = !files.is_empty();
        for opened in files.into_iter().rev() {
            self.next.push_front(opened);
        }
        Ok(found_more)
    }

    /// The file was read to its end.
    fn leave(&mut self) {
        let Some(file) = self.file.take() else { return };
        // Where to begin, if it was not met yet, is looked for in the next file.
        if file.pick.from.is_some() && !file.is_counting_up() {
            self.passed = Passed::default();
        } else {
            self.selection.from = Place::Start;
        }
        if let Some(left) = file.left(&self.passed) {
            self.left.retain(|known| !known.stat.is_same_file(&left.stat));
            if self.left.len() == MAX_LEFT {
                self.left.pop_front();
            }
            self.left.push_back(left);
        }
        self.passed.leave();
    }
}

fn is_by_cut(error: &Error) -> bool {
    error.cause().is_some_and(|cause| is_cut(&cause.error))
}

/// Whether what keeps a path from being looked at may pass: a rotation makes the new file before it
/// may be read.
fn is_momentary(error: &Error) -> bool {
    matches!(error.code(), Code::Io | Code::Validation) && !is_by_cut(error)
}

/// Where the records of a file end: a torn tail may become one.
fn end_of_records(storage: &dyn Storage, length: u64) -> io::Result<u64> {
    let Some(tail) = ReverseLines::new(0, length).previous_line(storage)? else {
        return Ok(0);
    };
    let is_record =
        matches!(tail.bytes.as_deref().map(classify::classify_tail), Some(Tail::Record(_)));
    Ok(if is_record { length } else { tail.offset })
}
