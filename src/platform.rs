//! What differs between systems, in one file for each kind of them. Nothing here decides anything about logs.

#[cfg(not(any(unix, windows)))]
compile_error!("sage-chronicle builds for Linux, macOS and Windows");

#[cfg(unix)]
pub(crate) use crate::unix::*;
#[cfg(windows)]
pub(crate) use crate::windows::*;

use std::fs::File;
use std::io;

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
}

impl Stat {
    /// Whether both are the same file. Holds only while a descriptor of it is open: inode numbers return.
    pub fn is_same_file(&self, other: &Stat) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Fills `buffer` from `offset` on; `UnexpectedEof` when the file ends before.
pub(crate) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match read_at(file, buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                buffer = buffer.split_at_mut(count).1;
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
