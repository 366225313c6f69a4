//! Logs in memory, for the tests of users of this crate. Everything above the storage is the real
//! code.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::Result;
use crate::mutex::locked;
use crate::os::Stat;
use crate::storage::disk::{Disk, LogLock, OpenFile, Storage};

/// A tree of files that lives as long as it is used. Its device number is 0, which no real file
/// system has.
#[derive(Default)]
pub struct MemoryDisk {
    files: Mutex<HashMap<PathBuf, Arc<MemoryFile>>>,
    count: AtomicU64,
}

struct MemoryFile {
    inode: u64,
    bytes: Mutex<Vec<u8>>,
    lock: Mutex<MemoryLock>,
}

/// The holders of the lock of a file, by the numbers of their descriptors.
#[derive(Default)]
struct MemoryLock {
    exclusive: Option<u64>,
    shared: Vec<u64>,
}

struct MemoryDescriptor {
    number: u64,
    file: Arc<MemoryFile>,
}

impl MemoryDisk {
    /// Forgets the file at the path; descriptors that are open keep it.
    pub fn remove(&self, path: &Path) {
        locked(&self.files).remove(path);
    }

    /// Puts these bytes in the place of whatever is at the path.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let file = self.make(bytes);
        locked(&self.files).insert(path.to_owned(), file);
    }

    /// The bytes of the file at the path.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let file = locked(&self.files).get(path).cloned()?;
        let bytes = locked(&file.bytes).clone();
        Some(bytes)
    }

    fn make(&self, bytes: &[u8]) -> Arc<MemoryFile> {
        let bytes = Mutex::new(bytes.to_vec());
        Arc::new(MemoryFile { inode: self.number(), bytes, lock: Mutex::default() })
    }

    fn number(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn descriptor(&self, file: Arc<MemoryFile>) -> OpenFile {
        OpenFile::new(Arc::new(MemoryDescriptor { number: self.number(), file }))
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        let mut files = locked(&self.files);
        let file = files.entry(path.to_owned()).or_insert_with(|| self.make(&[])).clone();
        Ok(self.descriptor(file))
    }

    fn open_for_reading(&self, path: &Path) -> Result<Option<OpenFile>> {
        let file = locked(&self.files).get(path).cloned();
        Ok(file.map(|file| self.descriptor(file)))
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        Ok(locked(&self.files).get(path).map(|file| file.stat()))
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn honours_lock(&self, _path: &Path) -> io::Result<bool> {
        Ok(true)
    }

    fn lock_holder(&self, _stat: &Stat) -> Option<u32> {
        Some(std::process::id())
    }
}

impl MemoryFile {
    fn stat(&self) -> Stat {
        let length = locked(&self.bytes).len() as u64;
        Stat { device: 0, inode: self.inode, length, links: 1, born: None }
    }
}

impl Storage for MemoryDescriptor {
    fn stat(&self) -> io::Result<Stat> {
        Ok(self.file.stat())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = locked(&self.file.bytes);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = bytes.get(from..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        let (to, _) = buffer.split_at_mut(count);
        to.copy_from_slice(rest.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        locked(&self.file.bytes).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        locked(&self.file.bytes).resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cached(&self, _range: Range<u64>) -> io::Result<bool> {
        // Memory is the disk here.
        Ok(true)
    }
}

impl LogLock for MemoryDescriptor {
    fn try_lock(&self) -> io::Result<bool> {
        let mut lock = locked(&self.file.lock);
        let others = lock.shared.iter().any(|number| *number != self.number);
        let is_free = lock.exclusive.is_none_or(|number| number == self.number) && !others;
        if is_free {
            lock.shared.clear();
            lock.exclusive = Some(self.number);
        }
        Ok(is_free)
    }

    fn try_lock_shared(&self) -> io::Result<bool> {
        let mut lock = locked(&self.file.lock);
        let is_free = lock.exclusive.is_none_or(|number| number == self.number);
        if is_free {
            lock.exclusive = None;
            lock.shared.push(self.number);
        }
        Ok(is_free)
    }

    fn unlock(&self) -> io::Result<()> {
        let mut lock = locked(&self.file.lock);
        lock.shared.retain(|number| *number != self.number);
        lock.exclusive.take_if(|number| *number == self.number);
        Ok(())
    }
}

impl Drop for MemoryDescriptor {
    fn drop(&mut self) {
        // Nothing can fail here.
        let _ = self.unlock();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_lock_excludes_other_descriptors_and_ends_with_its_own() {
        let disk = MemoryDisk::default();
        let path = Path::new("/log.sage");
        let one = disk.open(path).unwrap();
        let two = disk.open(path).unwrap();
        assert!(one.lock().try_lock().unwrap());
        assert!(!two.lock().try_lock().unwrap() && !two.lock().try_lock_shared().unwrap());
        drop(one);
        assert!(two.lock().try_lock_shared().unwrap());
        let three = disk.open_for_reading(path).unwrap().unwrap();
        assert!(three.lock().try_lock_shared().unwrap());
        assert!(!two.lock().try_lock().unwrap());
        three.lock().unlock().unwrap();
        assert!(two.lock().try_lock().unwrap());
    }

    #[test]
    fn a_file_that_is_replaced_lives_on_for_those_who_have_it() {
        let disk = MemoryDisk::default();
        let path = Path::new("/log.sage");
        assert!(disk.open_for_reading(path).unwrap().is_none());
        disk.put(path, b"{}\n");
        let old = disk.open(path).unwrap();
        disk.put(path, b"");
        assert_eq!(old.append(b"x").unwrap(), 1);
        assert_eq!(old.stat().unwrap().length, 4);
        assert!(!old.stat().unwrap().is_same_file(&disk.stat(path).unwrap().unwrap()));
        assert_eq!(disk.bytes(path).unwrap(), b"");
        disk.remove(path);
        assert!(disk.stat(path).unwrap().is_none());
    }
}
