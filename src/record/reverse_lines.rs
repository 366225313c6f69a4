//! Reads a range of a log from its end to its beginning, line by line, in bounded memory.

use std::io;

use memchr::memrchr;

use crate::record::classify::MAX_LINE_BYTES;
use crate::storage::{Storage, read_exact_at};

/// Bytes read at a time, at first.
const BLOCK_BYTES: u64 = 16 * 1024;
/// Bytes read at a time, at most.
const MAX_BLOCK_BYTES: u64 = 1 << 20;

/// Bytes behind the next ones that are read once more, at most.
const MAX_OVERLAP_BYTES: usize = 512;

/// Reads back from a fixed end to a fixed beginning, where a line begins.
pub(crate) struct ReverseLines {
    floor: u64,
    /// The bytes from here on were returned, or are held.
    start: u64,
    block: u64,
    /// The rest of the block that was read last.
    held: Vec<u8>,
    /// The blocks behind `held` that belong to the same line, the next one last. They are joined
    /// once.
    behind: Vec<Vec<u8>>,
    behind_length: usize,
    is_at_end: bool,
}

/// A line found on the way back.
pub(crate) struct PreviousLine {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// None for a line too long to be a record.
    pub(crate) bytes: Option<Vec<u8>>,
}

impl ReverseLines {
    /// Reads from `end` back to `floor`.
    pub(crate) fn new(floor: u64, end: u64) -> ReverseLines {
        ReverseLines {
            floor,
            start: end,
            block: BLOCK_BYTES,
            held: Vec::new(),
            behind: Vec::new(),
            behind_length: 0,
            is_at_end: true,
        }
    }

    /// Whether the next line is the bytes behind the last newline.
    pub(crate) fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    fn left(&self) -> u64 {
        self.start.saturating_sub(self.floor)
    }

    /// Returns the line before. The first one is the bytes behind the last newline, which may be
    /// none.
    pub(crate) fn previous_line(
        &mut self,
        storage: &dyn Storage,
    ) -> io::Result<Option<PreviousLine>> {
        self.is_at_end = false;
        // Of an over-long line only the length is kept.
        let mut passed = 0;
        loop {
            let newline = memrchr(b'\n', &self.held);
            if newline.is_some() || self.left() == 0 {
                if newline.is_none() && self.held_length() == 0 && passed == 0 {
                    return Ok(None);
                }
                let begin = newline.map_or(0, |newline| newline + 1);
                let offset = self.start + begin as u64;
                let bytes = self.take_line(begin);
                let length = bytes.len() as u64 + passed;
                let bytes = (passed == 0).then_some(bytes);
                return Ok(Some(PreviousLine { offset, length, bytes }));
            }
            let end = self.start + self.held_length() as u64 + passed;
            if passed > 0 || self.held_length() > MAX_LINE_BYTES {
                passed += self.drop_held();
                if self.pass_hole(storage, &mut passed)? {
                    continue;
                }
            }
            if !self.read_on(storage)? {
                // The rest of the line is another one by now: a failed append was taken back. Both
                // halves are read again.
                self.drop_held();
                (self.start, passed) = (end, 0);
            }
        }
    }

    fn held_length(&self) -> usize {
        self.held.len() + self.behind_length
    }

    /// Takes the bytes from `begin` on in the block read last, and removes the newline before them.
    fn take_line(&mut self, begin: usize) -> Vec<u8> {
        let mut bytes = self.held.split_off(begin);
        self.held.pop();
        bytes.reserve_exact(self.behind_length);
        self.behind.drain(..).rev().for_each(|block| bytes.extend(block));
        self.behind_length = 0;
        bytes
    }

    /// Drops the bytes held and returns their length.
    fn drop_held(&mut self) -> u64 {
        let length = self.held_length();
        self.held.clear();
        self.behind.clear();
        self.behind_length = 0;
        length as u64
    }

    /// Skips a block that was never written: it reads as zeros, so no newline is in it.
    fn pass_hole(&mut self, storage: &dyn Storage, passed: &mut u64) -> io::Result<bool> {
        let size = self.block.min(self.left());
        let block = self.start - size..self.start;
        if size == 0 || size == self.left() || storage.data_from(block.clone()) < block.end {
            return Ok(false);
        }
        // The file may be shorter by now.
        read_exact_at(storage, &mut [0], block.end - 1)?;
        self.start = block.start;
        *passed += size;
        Ok(true)
    }

    /// Reads the block before, and again the first bytes of those held. False, and nothing is kept,
    /// if these differ by now.
    fn read_on(&mut self, storage: &dyn Storage) -> io::Result<bool> {
        let size = self.block.min(self.left());
        self.block = (self.block * 2).min(MAX_BLOCK_BYTES);
        let next = if self.held.is_empty() { self.behind.last() } else { Some(&self.held) };
        let known = next.map_or(&[][..], |bytes| bytes.get(..MAX_OVERLAP_BYTES).unwrap_or(bytes));
        let length = usize::try_from(size).unwrap_or_default();
        let mut bytes = vec![0; length + known.len()];
        read_exact_at(storage, &mut bytes, self.start - size)?;
        if bytes.get(length..) != Some(known) {
            return Ok(false);
        }
        bytes.truncate(length);
        if !self.held.is_empty() {
            self.behind_length += self.held.len();
            self.behind.push(std::mem::take(&mut self.held));
        }
        self.held = bytes;
        self.start -= size;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::ops::Range;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::os;
    use crate::record::lines::{LineChunk, LineReader};
    use crate::storage::Stat;

    /// A real file that counts the bytes read.
    struct Sparse(File, AtomicU64);

    impl Storage for Sparse {
        fn stat(&self) -> io::Result<Stat> {
            os::stat(&self.0)
        }
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            self.1.fetch_add(buffer.len() as u64, Ordering::Relaxed);
            os::read_at(&self.0, buffer, offset)
        }
        fn append(&self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn set_len(&self, length: u64) -> io::Result<()> {
            self.0.set_len(length)
        }
        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
        fn drop_cached(&self, _range: Range<u64>) -> io::Result<bool> {
            Ok(true)
        }
        fn data_from(&self, range: Range<u64>) -> u64 {
            os::data_from(&self.0, range)
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn of_a_hole_of_many_gibibytes_little_is_read_in_both_directions() {
        const HOLE_BYTES: u64 = 32 << 30;
        let file = tempfile::tempfile().unwrap();
        os::write_all_at(&file, b"{\"a\":1}\n", 0).unwrap();
        os::write_all_at(&file, b"x\n{\"a\":2}\n", HOLE_BYTES).unwrap();
        let end = HOLE_BYTES + 10;
        let storage = Sparse(file, AtomicU64::new(0));

        let mut lines = LineReader::new(0, end);
        let mut found = Vec::new();
        loop {
            found.push(match lines.next(&storage).unwrap() {
                LineChunk::Whole { offset, bytes } => (offset, bytes.len() as u64),
                LineChunk::TooLong { offset, length } => (offset, length),
                LineChunk::Tail { offset, length, .. } => {
                    assert_eq!((offset, length), (end, 0));
                    break;
                }
            });
        }
        assert_eq!(found, [(0, 8), (8, HOLE_BYTES - 7), (HOLE_BYTES + 2, 8)]);

        let mut backwards = ReverseLines::new(0, end);
        let mut found = Vec::new();
        while let Some(line) = backwards.previous_line(&storage).unwrap() {
            found.push((line.offset, line.length, line.bytes.is_some()));
        }
        let wanted =
            [(end, 0, true), (HOLE_BYTES + 2, 7, true), (8, HOLE_BYTES - 7, false), (0, 7, true)];
        assert_eq!(found, wanted);
        assert!(storage.1.load(Ordering::Relaxed) < 400 << 20);

        // A line that ends in a hole is too long. A file that was cut in the hole is recognised as
        // cut.
        let mut lines = LineReader::new(8, HOLE_BYTES);
        assert!(
            matches!(lines.next(&storage).unwrap(), LineChunk::Tail { length, .. } if length == HOLE_BYTES - 8)
        );
        storage.set_len(HOLE_BYTES / 2).unwrap();
        assert!(crate::storage::is_cut(
            &LineReader::new(8, HOLE_BYTES).next(&storage).unwrap_err()
        ));
    }
}
