//! What differs between systems, in one file for each kind of them. Nothing here decides anything about logs.

#[cfg(not(any(unix, windows)))]
compile_error!("sage-chronicle builds for Linux, macOS and Windows");

#[cfg(unix)]
pub(crate) use crate::unix::*;
#[cfg(windows)]
pub(crate) use crate::windows::*;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Which file a descriptor or a path is, and how it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The device; on Windows the serial number of the volume.
    pub device: u64,
    /// The inode; on Windows the file's index in its volume.
    pub inode: u64,
    /// Bytes.
    pub length: u64,
    /// Names in the tree; 0 when the file was deleted and lives only by its descriptors.
    pub links: u64,
    /// When the file was created: nanoseconds since 1970, on Windows steps of 100 ns since 1601. `None` where the system does
    /// not report it. An inode number that returns belongs to a file with another birth time.
    pub born: Option<u64>,
}

impl Stat {
    /// Whether both are the same file: device, inode and, where both have one, birth time agree. Without a birth time this
    /// holds only while a descriptor of the file is open: inode numbers return.
    pub fn is_same_file(&self, other: &Stat) -> bool {
        let is_same_birth = match (self.born, other.born) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => true,
        };
        is_same_birth && (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Times a file that is gone when it is opened, and there when it is made, is looked for.
const MAX_OPEN_ATTEMPTS: usize = 10;

/// Opens the file at `path`, or makes it; says whether it was made. The right to create is asked for only where nothing is: in a
/// sticky folder Linux refuses it for the file of another owner (`fs.protected_regular`), which may be opened all the same.
pub(crate) fn open_or_create(
    path: &Path,
    options: impl Fn() -> OpenOptions,
) -> io::Result<(File, bool)> {
    for _ in 0..MAX_OPEN_ATTEMPTS {
        match options().open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened.map(|file| (file, false)),
        }
        match options().create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|file| (file, true)),
        }
    }
    // A symlink to nothing is always there, and never opened.
    options().create(true).open(path).map(|file| (file, true))
}

/// Makes a call again that a signal interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Fills `buffer` from `offset` on; `UnexpectedEof` when the file ends before.
pub(crate) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match retry(|| read_at(file, buffer, offset))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                buffer = buffer.split_at_mut(count).1;
                offset += count as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_number_that_returns_with_another_birth_time_is_another_file() {
        let old = Stat { device: 1, inode: 2, length: 3, links: 1, born: Some(4) };
        assert!(old.is_same_file(&Stat { length: 9, links: 0, ..old }));
        assert!(!old.is_same_file(&Stat { born: Some(5), ..old }));
        assert!(old.is_same_file(&Stat { born: None, ..old }));
        assert!(!old.is_same_file(&Stat { inode: 3, ..old }));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn descriptor_and_path_report_one_birth_time() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = folder.path().join("a");
        let file = File::create_new(&path).unwrap();
        let (by_descriptor, by_path) = (stat(&file).unwrap(), stat_at(&path).unwrap());
        assert_eq!(by_descriptor.born, by_path.born);
        assert!(by_descriptor.born.is_some(), "the file system reports no birth time");
    }
}
