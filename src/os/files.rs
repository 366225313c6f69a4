//! What all systems do alike, by the calls of their own files.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::os::retry::retry;
#[cfg(unix)]
use crate::os::unix::read_at;
#[cfg(windows)]
use crate::os::windows::read_at;

/// A file may vanish between two opens and appear between two creations; this bounds the attempts.
const MAX_OPEN_ATTEMPTS: usize = 10;

/// Opens the file at `path`, or creates it; returns whether it was created.
///
/// Creation is requested only where no file is. In a sticky folder Linux refuses it for the file of
/// another owner (`fs.protected_regular`), although that file may be opened.
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
    // A symlink to nothing always exists and can never be opened.
    options().create(true).open(path).map(|file| (file, true))
}

/// Fills `buffer` from `offset` on; `UnexpectedEof` if the file ends before.
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
