//! What every system does alike, over the calls of its own file.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::os::retry::retry;
#[cfg(unix)]
use crate::os::unix::read_at;
#[cfg(windows)]
use crate::os::windows::read_at;

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
