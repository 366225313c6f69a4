//! The identity and the size of a file.

/// Identifies the file of a descriptor or a path, with its length and links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The device; on Windows the serial number of the volume.
    pub device: u64,
    /// The inode; on Windows the file's index in its volume.
    pub inode: u64,
    /// In bytes.
    pub length: u64,
    /// Names in the tree; 0 for a deleted file that only descriptors keep.
    pub links: u64,
    /// The time of creation: nanoseconds since 1970; on Windows steps of 100 ns since 1601. `None`
    /// where the system does not report it. A reused inode number belongs to a file with another
    /// birth time.
    pub born: Option<u64>,
}

impl Stat {
    /// Whether both are the same file: device, inode and, where both have one, birth time agree.
    /// Without a birth time this holds only while a descriptor of the file is open, because inode
    /// numbers are reused.
    pub fn is_same_file(&self, other: &Stat) -> bool {
        let is_same_birth = match (self.born, other.born) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => true,
        };
        is_same_birth && (self.device, self.inode) == (other.device, other.inode)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::os::{stat, stat_at};

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
