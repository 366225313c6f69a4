//! Other names that the file of a log may have in its folder, as a rotation leaves them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::os::{self, Stat};
use crate::path::side_file;

/// A folder with more entries is not searched.
const MAX_ENTRIES: usize = 100_000;
/// How long a listing serves other cursors of its folder, at most.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Folders whose listings are kept, at most.
const MAX_FOLDERS: usize = 4;

/// A file beside a log that may be the log of before, by its name.
#[derive(Debug, Clone)]
pub struct Former {
    path: PathBuf,
    inode: Option<u64>,
}

impl Former {
    /// Its inode number, where a listing of the folder has it.
    pub fn inode(&self) -> Option<u64> {
        self.inode
    }
}

struct FolderListing {
    folder: PathBuf,
    begun: Instant,
    /// When the folder was changed last.
    changed: Option<SystemTime>,
    /// Sorted by name.
    entries: Vec<(OsString, Option<u64>)>,
}

static LISTINGS: Mutex<Vec<Arc<FolderListing>>> = Mutex::new(Vec::new());

/// The files beside the log at `path` that may be the log of before: `<name>.<suffix>` and
/// `<name>-<suffix>`. Nothing where the folder has too many entries. `inode` is that of the file at
/// the path: the clock of a folder is coarse, but what rotates this log also changes that number.
pub(crate) fn formers(path: &Path, inode: Option<u64>) -> io::Result<Option<Vec<Former>>> {
    let real = real_path(path)?;
    let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else {
        return Ok(Some(Vec::new()));
    };
    let Some(listing) = listing(folder, name, inode)? else { return Ok(None) };
    let prefix = name.as_encoded_bytes();
    let begin = listing.entries.partition_point(|(other, _)| other.as_encoded_bytes() < prefix);
    let rest = listing.entries.get(begin..).unwrap_or_default();
    let mine = rest.iter().take_while(|(other, _)| other.as_encoded_bytes().starts_with(prefix));
    let is_former = |other: &OsStr| {
        let suffix = other.as_encoded_bytes().get(prefix.len()..).unwrap_or_default();
        is_suffix(suffix) && !listing.has_side_files(other)
    };
    let formers = mine
        .filter(|(other, _)| is_former(other))
        .map(|(other, inode)| Former { path: folder.join(other), inode: *inode });
    Ok(Some(formers.collect()))
}

/// Opens such a file for reading; nothing if it is no regular file of the log's owner.
pub(crate) fn open_former(
    path: &Path,
    former: &Former,
    and_write: bool,
) -> io::Result<Option<File>> {
    let looked = match fs::symlink_metadata(&former.path) {
        Ok(looked) => looked,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let log = match fs::metadata(path) {
        Ok(log) => log,
        // The owner of the folder could put anything there anyway.
        Err(_) => match former.path.parent() {
            Some(folder) => fs::metadata(folder)?,
            None => return Ok(None),
        },
    };
    if !looked.is_file() || !os::is_same_owner(&looked, &log) {
        return Ok(None);
    }
    let file = match os::beside().read(true).write(and_write).open(&former.path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let opened = file.metadata()?;
    let is_it = opened.is_file() && os::is_same_owner(&opened, &log);
    Ok(is_it.then_some(file))
}

/// What such a file is, without opening it.
pub(crate) fn stat_former(former: &Former) -> io::Result<Option<Stat>> {
    match os::stat_of_name(&former.path) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn real_path(path: &Path) -> io::Result<PathBuf> {
    match os::real_path(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        other => other,
    }
}

/// Whether what stands behind the name of a log makes the name of a log of before.
fn is_suffix(suffix: &[u8]) -> bool {
    let rest = match suffix {
        [b'.' | b'-', rest @ ..] if !rest.is_empty() => rest,
        _ => return false,
    };
    let ours: [&[u8]; 4] = [b"backup.", b"removed.", b"checkpoints", b"chronicle-"];
    !ours.iter().any(|ours| rest.starts_with(ours)) && rest != b"lock"
}

fn listing(
    folder: &Path,
    name: &OsStr,
    inode: Option<u64>,
) -> io::Result<Option<Arc<FolderListing>>> {
    let begun = Instant::now();
    let changed = fs::metadata(folder)?.modified().ok();
    let mut listings = LISTINGS.lock().unwrap_or_else(PoisonError::into_inner);
    listings.retain(|known| begun.duration_since(known.begun) < MAX_AGE);
    let known = listings.iter().find(|known| known.folder == folder);
    let serves = |known: &&Arc<FolderListing>| {
        known.changed.is_some() && known.changed == changed && known.inode_of(name) == inode
    };
    if let Some(known) = known.filter(serves) {
        return Ok((known.entries.len() <= MAX_ENTRIES).then(|| known.clone()));
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)?.take(MAX_ENTRIES + 1) {
        let entry = entry?;
        let inode = os::inode_of_entry(&entry);
        entries.push((entry.file_name(), inode));
    }
    entries.sort_unstable_by(|(one, _), (other, _)| {
        one.as_encoded_bytes().cmp(other.as_encoded_bytes())
    });
    let listing = Arc::new(FolderListing { folder: folder.to_owned(), begun, changed, entries });
    listings.retain(|known| known.folder != folder);
    if listings.len() == MAX_FOLDERS {
        listings.remove(0);
    }
    listings.push(listing.clone());
    Ok((listing.entries.len() <= MAX_ENTRIES).then_some(listing))
}

impl FolderListing {
    fn find(&self, name: &OsStr) -> Option<&(OsString, Option<u64>)> {
        let name = name.as_encoded_bytes();
        let at = self.entries.partition_point(|(other, _)| other.as_encoded_bytes() < name);
        self.entries.get(at).filter(|(other, _)| other.as_encoded_bytes() == name)
    }

    fn inode_of(&self, name: &OsStr) -> Option<u64> {
        self.find(name).and_then(|(_, inode)| *inode)
    }

    /// Whether the file is a log of its own: a log that was renamed has no side files.
    fn has_side_files(&self, name: &OsStr) -> bool {
        ["index", "lock"].iter().any(|kind| {
            let side = side_file(Path::new(name), kind);
            side.file_name().is_some_and(|side| self.find(side).is_some())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_rotation_gives_are_those_of_a_log_of_before() {
        for suffix in [".1", "-20260101", ".old", ".2026-01-01.log", "-1.sage"] {
            assert!(is_suffix(suffix.as_bytes()), "{suffix}");
        }
        let others = ["", ".", "-", "x", "~", ".backup.17", ".removed.17", ".checkpoints", ".lock"];
        for suffix in others.into_iter().chain([".chronicle-index", "-chronicle-x"]) {
            assert!(!is_suffix(suffix.as_bytes()), "{suffix}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_listing_serves_others_until_the_folder_changes() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.sage");
        let stat_of = |path: &Path| os::stat_at(path).unwrap();
        fs::write(&log, "{}\n").unwrap();
        let listed = || {
            let inode = log.exists().then(|| stat_of(&log).inode);
            listing(folder.path(), OsStr::new("log.sage"), inode).unwrap().unwrap()
        };
        let first = listed();
        assert!(Arc::ptr_eq(&first, &listed()));
        fs::rename(&log, folder.path().join("log.sage.1")).unwrap();
        assert!(!Arc::ptr_eq(&first, &listed()));
        assert_eq!(formers(&log, None).unwrap().unwrap().len(), 1);
    }
}
