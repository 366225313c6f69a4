//! The files of a followed log that are read after the present one.

use std::collections::VecDeque;
use std::path::Path;

use crate::error::{Code, Error, Result};
use crate::read::follow::find_former::{self, Between, MAX_NEXT, Opened};
use crate::read::follow::followed_file::FollowedFile;
use crate::storage::{Disk, OpenFile, Stat, Storage, cannot_read};

/// Reads of the inode number at a path. If each of them differs from the one before, the numbers
/// are unstable.
const UNSTABLE_READS: usize = 8;

/// The files to read next, oldest first. They are open, because they may lose their names before
/// they are read.
#[derive(Default)]
pub(crate) struct NextFiles {
    files: VecDeque<Opened>,
}

impl NextFiles {
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(crate) fn first(&self) -> Option<&OpenFile> {
        self.files.front().map(|(storage, _)| storage)
    }

    pub(crate) fn remove_first(&mut self) {
        self.files.pop_front();
    }

    fn has(&self, stat: &Stat) -> bool {
        self.files.iter().any(|(_, next)| next.is_same_file(stat))
    }

    /// Returns the file at the path. If it is neither the present file nor queued, it is queued.
    pub(crate) fn check_path(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        file: Option<&FollowedFile>,
    ) -> Result<Option<Stat>> {
        let failed = |operation| move |error| cannot_read(path, operation, error);
        let at_path = disk.stat(path).map_err(failed("stat"))?;
        let (Some(file), Some(stat)) = (file, at_path) else { return Ok(at_path) };
        if file.stat.is_same_file(&stat) || self.has(&stat) {
            return Ok(at_path);
        }
        check_numbers(disk, path, file)?;
        if self.files.len() == MAX_NEXT {
            return Ok(at_path);
        }
        let Some(storage) = disk.open_for_reading(path)? else { return Ok(None) };
        let stat = storage.stat().map_err(failed("fstat"))?;
        if !file.stat.is_same_file(&stat) && !self.has(&stat) {
            self.files.push_back((storage, stat));
        }
        Ok(Some(stat))
    }

    /// Searches the folder for files that were at the path between `file` and the next one, and
    /// queues them. Returns whether there were any. `is_left`: files that were read before.
    pub(crate) fn find_between(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        file: (&dyn Storage, &Stat),
        at_path: Option<Stat>,
        is_left: impl Fn(&Stat) -> bool,
    ) -> FoundBetween {
        let next = self.files.front().map(|(_, stat)| *stat).or(at_path);
        let is_known = |stat: &Stat| self.has(stat) || is_left(stat);
        let found = find_former::between(disk, path, file, next.as_ref(), is_known);
        // A folder that cannot be listed shows no other names.
        let Between { files, is_doubtful } =
            found.unwrap_or(Between { files: Vec::new(), is_doubtful: true });
        let has_any = !files.is_empty();
        for opened in files.into_iter().rev() {
            self.files.push_front(opened);
        }
        FoundBetween { has_any, is_doubtful }
    }
}

/// The result of [`NextFiles::find_between`].
pub(crate) struct FoundBetween {
    pub(crate) has_any: bool,
    /// There may be more files, whose order is unknown.
    pub(crate) is_doubtful: bool,
}

/// Fails with `EUNSUPPORTED` where one file has several inode numbers.
fn check_numbers(disk: &dyn Disk, path: &Path, file: &FollowedFile) -> Result<()> {
    let failed = |operation| move |error| cannot_read(path, operation, error);
    let mut is_stable = match file.storage() {
        Some(storage) => storage.stat().map_err(failed("fstat"))?.is_same_file(&file.stat),
        None => true,
    };
    let mut before = disk.stat(path).map_err(failed("stat"))?;
    let mut is_path_stable = false;
    for _ in 1..UNSTABLE_READS {
        let now = disk.stat(path).map_err(failed("stat"))?;
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
