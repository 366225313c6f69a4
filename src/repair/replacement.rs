//! The new file of a log: written under a side name, synced, and renamed over the log. The old file
//! keeps a name of its own.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::os;
use crate::path::{beside, side_file};
use crate::storage::lock;
use crate::storage::{Stat, sync_parent};

/// Names tried at most. Beyond it, another process fills the folder as fast as this one tries.
const MAX_ATTEMPTS: u64 = 1000;
const BUFFER_BYTES: usize = 1 << 18;

/// The failed operation and its error.
pub(crate) type IoFailure = (&'static str, io::Error);
pub(crate) type IoResult<T> = Result<T, IoFailure>;

/// The new file and the files that a repair leaves.
///
/// Dropped before it takes the log's place, it removes all files that it created.
pub(crate) struct Replacement {
    log: PathBuf,
    path: PathBuf,
    /// Locked for the life of this value, so that a writer that opens the log right after the
    /// rename waits.
    out: BufWriter<File>,
    removed: Option<(PathBuf, BufWriter<File>)>,
    backup: Option<PathBuf>,
    stamp: u64,
    /// The file that `path` names.
    side_name: SideName,
}

/// The file that the side name refers to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SideName {
    New,
    /// The old file; the new one is the log.
    Old,
    /// A file of another process, or none.
    Other,
}

impl Replacement {
    /// Begins a new file for the log at `log`, a path without symlinks.
    pub(crate) fn begin(log: &Path) -> IoResult<Self> {
        let path = side_file(log, "repair");
        let file = create(&path)?;
        let out = BufWriter::with_capacity(BUFFER_BYTES, file);
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(Replacement {
            log: log.to_owned(),
            path,
            out,
            removed: None,
            backup: None,
            stamp: u64::try_from(stamp).unwrap_or_default(),
            side_name: SideName::New,
        })
    }

    /// Appends bytes to the new file.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> IoResult<()> {
        self.out.write_all(bytes).map_err(|error| ("write", error))
    }

    /// Appends bytes to the file of removed lines.
    pub(crate) fn move_out(&mut self, bytes: &[u8]) -> IoResult<()> {
        if self.removed.is_none() {
            let created = self.make_name("removed", |path| {
                os::keep_private(OpenOptions::new().write(true).create_new(true)).open(path)
            });
            let (path, file) = created.map_err(|error| ("open", error))?;
            self.removed = Some((path, BufWriter::with_capacity(BUFFER_BYTES, file)));
        }
        match &mut self.removed {
            Some((_, out)) => out.write_all(bytes).map_err(|error| ("write", error)),
            None => Ok(()),
        }
    }

    /// Makes the bytes of the new file durable.
    pub(crate) fn sync(&mut self) -> IoResult<()> {
        self.out.flush().map_err(|error| ("write", error))?;
        self.out.get_ref().sync_all().map_err(|error| ("fsync", error))
    }

    /// Gives both files the mode and the owner of the log, and makes them durable.
    pub(crate) fn finish(&mut self, log: &Metadata) -> IoResult<()> {
        if let Some((_, out)) = &mut self.removed {
            out.flush().map_err(|error| ("write", error))?;
            os::become_like(out.get_ref(), log)?;
            out.get_ref().sync_all().map_err(|error| ("fsync", error))?;
        }
        self.out.flush().map_err(|error| ("write", error))?;
        os::become_like(self.out.get_ref(), log)?;
        self.sync()
    }

    /// Gives the log a second name, durably, under which the old file remains.
    pub(crate) fn back_up(&mut self) -> IoResult<()> {
        let log = self.log.clone();
        let linked = self.make_name("backup", |path| fs::hard_link(&log, path));
        let (path, ()) = linked.map_err(|error| ("link", error))?;
        self.backup = Some(path);
        // Durable before the rename, so that no crash leaves the old file without a name.
        self.sync_folder()
    }

    /// Gives the new file the name of the log.
    ///
    /// Returns false, with the log unchanged, if the log is no longer the file `old`.
    pub(crate) fn take_place(&mut self, old: &Stat) -> IoResult<bool> {
        match os::exchange(&self.path, &self.log) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return self.rename_over(old);
            }
            Err(error) => return Err(("renameat2", error)),
        }
        if is_still(&self.path, old)? {
            self.side_name = SideName::Old;
            return Ok(true);
        }
        // Another process replaced the log since the last check: its file gets the name back.
        let exchanged = os::exchange(&self.path, &self.log);
        if exchanged.is_ok() && is_at(self.out.get_ref(), &self.path)? {
            return Ok(false);
        }
        self.side_name = SideName::Other;
        let message = format!("a file that took the log's place is now {}", self.path.display());
        Err(("renameat2", exchanged.err().unwrap_or_else(|| io::Error::other(message))))
    }

    /// [`Replacement::take_place`] for systems that cannot exchange names. The old file keeps a
    /// name if the file system has hard links.
    fn rename_over(&mut self, old: &Stat) -> IoResult<bool> {
        if self.backup.is_none() {
            match self.back_up() {
                // No backup was requested.
                Err(("link", _)) => {}
                other => other?,
            }
        }
        if !is_still(&self.log, old)? {
            return Ok(false);
        }
        fs::rename(&self.path, &self.log).map_err(|error| ("rename", error))?;
        self.side_name = SideName::Other;
        Ok(true)
    }

    /// Makes the names in the folder durable.
    pub(crate) fn sync_folder(&self) -> IoResult<()> {
        sync_parent(&self.log).map_err(|error| ("fsync", error))
    }

    /// Removes the side name of the old file if the file also has the name of a backup.
    pub(crate) fn drop_second_name(&mut self) -> IoResult<()> {
        if self.backup.is_some() { self.remove_side_name() } else { Ok(()) }
    }

    /// Removes the last name of the old file.
    pub(crate) fn drop_old(&mut self) -> IoResult<()> {
        self.remove_side_name()?;
        match self.backup.take() {
            Some(path) => fs::remove_file(path).map_err(|error| ("unlink", error)),
            None => Ok(()),
        }
    }

    /// Gives the old file the name of a backup, if it has any name.
    pub(crate) fn keep_old(&mut self) -> IoResult<()> {
        if self.side_name == SideName::Old {
            let create = |path: &Path| File::create_new(path);
            let (path, _) = self.make_name("backup", create).map_err(|error| ("open", error))?;
            fs::rename(&self.path, &path).map_err(|error| ("rename", error))?;
            self.side_name = SideName::Other;
            self.backup = Some(path);
        }
        Ok(())
    }

    fn remove_side_name(&mut self) -> IoResult<()> {
        if self.side_name == SideName::Old {
            fs::remove_file(&self.path).map_err(|error| ("unlink", error))?;
            self.side_name = SideName::Other;
        }
        Ok(())
    }

    /// The name of the backup.
    pub(crate) fn backup(&self) -> Option<&Path> {
        self.backup.as_deref()
    }

    /// The file of removed lines.
    pub(crate) fn removed(&self) -> Option<&Path> {
        self.removed.as_ref().map(|(path, _)| path.as_path())
    }

    /// Calls `make` with the first free name of this kind beside the log.
    fn make_name<T>(
        &self,
        kind: &str,
        make: impl Fn(&Path) -> io::Result<T>,
    ) -> io::Result<(PathBuf, T)> {
        let mut stamp = self.stamp;
        loop {
            let path = named(&self.log, kind, stamp);
            match make(&path) {
                Ok(created) => return Ok((path, created)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    stamp += 1;
                    if stamp > self.stamp + MAX_ATTEMPTS {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if self.side_name == SideName::New {
            // Files that cannot be removed are no logs, and the next repair takes their names over.
            let _ = fs::remove_file(&self.path);
            for path in [self.removed(), self.backup()].into_iter().flatten() {
                let _ = fs::remove_file(path);
            }
        }
        let _ = lock::release_successor(self.out.get_ref());
    }
}

/// Names of the log that a killed repair left, because it ended between the backup and the rename.
pub(crate) fn leftover_names(log: &Path, of: &Stat) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let backup = named(log, "backup", 0);
    let (Some(folder), Some(name)) = (log.parent(), backup.file_name()) else { return Ok(found) };
    let prefix = name.as_encoded_bytes().strip_suffix(STAMP.as_bytes()).unwrap_or_default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(stamp) = name.as_encoded_bytes().strip_prefix(prefix) else { continue };
        let is_ours = !stamp.is_empty() && stamp.iter().all(u8::is_ascii_digit);
        if is_ours && os::stat_of_name(&entry.path())?.is_same_file(of) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Removes a name, if it exists.
pub(crate) fn remove_name(path: &Path) -> IoResult<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(("unlink", error)),
        _ => Ok(()),
    }
}

/// The time 0 in the name of a file.
const STAMP: &str = "0000000000000";

/// `<name>.<kind>.<ms>` beside the log.
fn named(log: &Path, kind: &str, stamp: u64) -> PathBuf {
    beside(log, "", &format!(".{kind}.{stamp:013}"), 0)
}

/// A new, locked file at `path`. A file of a killed process is removed first. A file of a running
/// process is locked.
fn create(path: &Path) -> IoResult<File> {
    for _ in 0..MAX_ATTEMPTS {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = match os::keep_private(&mut options).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove_left(path)?;
                continue;
            }
            Err(error) => return Err(("open", error)),
        };
        if lock::try_successor(&file).map_err(|error| ("flock", error))? && is_at(&file, path)? {
            return Ok(file);
        }
    }
    Err(("open", io::ErrorKind::AlreadyExists.into()))
}

fn remove_left(path: &Path) -> IoResult<()> {
    match fs::symlink_metadata(path) {
        // Not a file of a repair, which is always a regular file.
        Ok(metadata) if !metadata.is_file() => return remove_name(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    // With write access, because NFS has no exclusive lock for a read-only descriptor.
    let file = match os::beside().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(("open", error)),
    };
    if !lock::try_successor(&file).map_err(|error| ("flock", error))? {
        let message = format!("another process is at {}", path.display());
        return Err(("flock", io::Error::new(io::ErrorKind::WouldBlock, message)));
    }
    if is_at(&file, path)? { remove_name(path) } else { Ok(()) }
}

fn is_at(file: &File, path: &Path) -> IoResult<bool> {
    is_still(path, &os::stat(file).map_err(|error| ("fstat", error))?)
}

fn is_still(path: &Path, here: &Stat) -> IoResult<bool> {
    match os::stat_of_name(path) {
        Ok(there) => Ok(there.is_same_file(here)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(("stat", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_took_the_logs_place_at_the_last_moment_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.sage");
        fs::write(&log, "old\n").unwrap();
        let old = os::stat_at(&log).unwrap();
        let mut new = Replacement::begin(&log).unwrap();
        new.keep(b"new\n").unwrap();
        new.finish(&fs::metadata(&log).unwrap()).unwrap();
        let saved = folder.path().join("saved");
        fs::write(&saved, "an editor's\n").unwrap();
        fs::rename(&saved, &log).unwrap();
        assert!(!new.take_place(&old).unwrap());
        drop(new);
        assert_eq!(fs::read_to_string(&log).unwrap(), "an editor's\n");
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1);

        // A log that was removed is not created again.
        fs::remove_file(&log).unwrap();
        let mut new = Replacement::begin(&log).unwrap();
        assert!(!new.take_place(&old).unwrap());
        drop(new);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
