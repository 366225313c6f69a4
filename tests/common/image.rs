//! A file as the page cache shows it and as the disk holds it.

use std::collections::BTreeSet;
use std::ops::Range;

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// Both images of one file.
///
/// A failed sync leaves its pages clean in the cache and unchanged on the disk. A page with new
/// bytes is then stuck: later writes to it do not reach the disk either, until it was dropped and
/// read again.
#[derive(Debug, Clone, Default)]
pub struct Image {
    pub cached: Vec<u8>,
    pub disk: Vec<u8>,
    dirty: BTreeSet<usize>,
    stuck: BTreeSet<usize>,
}

impl Image {
    /// A file whose bytes are all on the disk.
    pub fn durable(bytes: &[u8]) -> Image {
        Image { cached: bytes.to_vec(), disk: bytes.to_vec(), ..Image::default() }
    }

    pub fn append(&mut self, bytes: &[u8]) {
        let start = self.cached.len();
        self.cached.extend_from_slice(bytes);
        self.dirty.extend(pages(&(start..self.cached.len())));
    }

    pub fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        self.cached[at..at + bytes.len()].copy_from_slice(bytes);
        self.dirty.extend(pages(&(at..at + bytes.len())));
    }

    pub fn set_len(&mut self, length: usize) {
        self.cached.resize(length, 0);
        self.dirty.retain(|page| page * PAGE < length);
        self.stuck.retain(|page| page * PAGE < length);
        if !length.is_multiple_of(PAGE) {
            self.dirty.insert(length / PAGE);
        }
    }

    /// Writes the dirty pages to the disk.
    pub fn write_back(&mut self) {
        self.disk.resize(self.cached.len(), 0);
        for page in std::mem::take(&mut self.dirty) {
            if !self.stuck.contains(&page) {
                let range = self.range_of(page);
                self.disk[range.clone()].copy_from_slice(&self.cached[range]);
            }
        }
    }

    /// The dirty pages fail and count as clean from now on. Those with bytes new to the disk are
    /// stuck.
    pub fn lose(&mut self) {
        let old = self.disk.len();
        let pages = std::mem::take(&mut self.dirty);
        for page in pages {
            if self.range_of(page).end > old {
                self.stuck.insert(page);
            }
        }
    }

    /// Drops the clean pages of `range`. False if other pages stay.
    pub fn drop_cached(&mut self, range: &Range<usize>) -> bool {
        let mut gone = true;
        for page in pages(&(range.start..range.end.min(self.cached.len()))) {
            if self.dirty.contains(&page) {
                gone = false;
                continue;
            }
            self.stuck.remove(&page);
            for at in self.range_of(page) {
                self.cached[at] = self.disk.get(at).copied().unwrap_or(0);
            }
        }
        gone
    }

    /// The bytes that a power cut may lose: from the first one that is not on the disk.
    pub fn unsynced(&self) -> Range<usize> {
        let same = self.cached.iter().zip(&self.disk);
        let first = same.take_while(|(cached, disk)| cached == disk).count();
        first..self.cached.len()
    }

    fn range_of(&self, page: usize) -> Range<usize> {
        page * PAGE..((page + 1) * PAGE).min(self.cached.len())
    }
}

/// Another program syncs the file.
pub fn write_back(image: &mut Image) {
    image.write_back();
}

fn pages(range: &Range<usize>) -> Range<usize> {
    if range.start >= range.end {
        return 0..0;
    }
    range.start / PAGE..range.end.div_ceil(PAGE)
}
