//! Reads a range of a log in chunks of whole lines, in bounded memory.

use std::io;
use std::ops::Range;

use memchr::{memchr, memrchr};

use crate::record::classify::MAX_LINE_BYTES;
use crate::storage::Storage;

/// Bytes read at a time, at first.
const CHUNK_BYTES: usize = 256 << 10;
/// Bytes before the next ones that are read once more, at most.
const MAX_OVERLAP_BYTES: usize = 4096;

/// Reads from the start of a line to a fixed end.
pub(crate) struct LineReader {
    /// Bytes read at a time.
    chunk: usize,
    /// The offset in the file of the first byte of `held`.
    offset: u64,
    end: u64,
    /// The bytes that were read. Behind them is room for more, cleared once.
    held: Vec<u8>,
    filled: usize,
    /// Bytes of `held` that were returned already.
    used: usize,
}

/// The next part of the range.
#[derive(Debug)]
pub(crate) enum LineChunk<'a> {
    /// One or more complete lines with their newlines; the first begins at `offset`.
    Whole { offset: u64, bytes: &'a [u8] },
    /// A complete line too long to be a record; `length` is without its newline.
    TooLong { offset: u64, length: u64 },
    /// The end of the range, with the bytes behind the last newline. `bytes` is also empty if these
    /// are too long to be a record.
    Tail { offset: u64, bytes: &'a [u8], length: u64 },
}

/// Splits whole lines into parts of at least `length` bytes; the last part may be shorter.
pub(crate) fn parts_of(bytes: &[u8], length: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let rest = bytes.get(start + length..).unwrap_or_default();
        let end = memchr(b'\n', rest).map_or(bytes.len(), |newline| start + length + newline + 1);
        parts.push(start..end);
        start = end;
    }
    parts
}

impl LineReader {
    /// Reads from `offset`, where a line begins, to `end`.
    pub(crate) fn new(offset: u64, end: u64) -> Self {
        LineReader { chunk: CHUNK_BYTES, offset, end, held: Vec::new(), filled: 0, used: 0 }
    }

    /// Doubles the chunks from now on, up to `most` bytes.
    pub(crate) fn lengthen(&mut self, most: usize) {
        self.chunk = most.min(self.chunk * 2);
    }

    /// Gives up the buffer that begins with the last chunk, without a copy. `spare` becomes the
    /// buffer.
    pub(crate) fn take(&mut self, mut spare: Vec<u8>) -> Vec<u8> {
        let rest = self.held.get(self.used..self.filled).unwrap_or_default();
        match spare.get_mut(..rest.len()) {
            Some(room) => room.copy_from_slice(rest),
            None => spare = rest.to_vec(),
        }
        self.offset += self.used as u64;
        self.filled -= self.used;
        self.used = 0;
        std::mem::replace(&mut self.held, spare)
    }

    /// Returns the next chunk. `UnexpectedEof` if the file ends before `end`.
    pub(crate) fn next(&mut self, storage: &dyn Storage) -> io::Result<LineChunk<'_>> {
        self.held.copy_within(self.used..self.filled, 0);
        self.filled -= self.used;
        self.offset += self.used as u64;
        self.used = 0;
        // The bytes read with the end of an over-long line may contain whole lines already.
        if let Some(newline) = memrchr(b'\n', self.filled()) {
            return Ok(self.whole(newline));
        }
        loop {
            if self.filled > MAX_LINE_BYTES {
                return self.pass_over(storage);
            }
            let Some(before) = self.fill(storage)? else {
                return Ok(LineChunk::Tail {
                    offset: self.offset,
                    bytes: self.filled(),
                    length: self.filled as u64,
                });
            };
            let fresh = self.filled().get(before..).unwrap_or_default();
            if let Some(newline) = memrchr(b'\n', fresh) {
                return Ok(self.whole(before + newline));
            }
        }
    }

    fn filled(&self) -> &[u8] {
        self.held.get(..self.filled).unwrap_or_default()
    }

    /// The lines held, up to their last newline.
    fn whole(&mut self, newline: usize) -> LineChunk<'_> {
        self.used = newline + 1;
        let bytes = self.held.get(..self.used).unwrap_or_default();
        LineChunk::Whole { offset: self.offset, bytes }
    }

    /// Reads more bytes behind those held and returns their index in `held`. `None` at the end of
    /// the range.
    ///
    /// The beginning of a line may belong to an append that failed and was taken back since. Its
    /// last bytes are therefore read again with those that follow. Without a lock, two halves of
    /// different lines must not become one.
    fn fill(&mut self, storage: &dyn Storage) -> io::Result<Option<usize>> {
        let left = self.end.saturating_sub(self.offset + self.filled as u64);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(self.chunk);
        if wanted == 0 {
            return Ok(None);
        }
        let again = self.filled.min(MAX_OVERLAP_BYTES);
        let from = self.filled - again;
        let room = from..self.filled + wanted;
        if self.held.len() < room.end {
            self.held.resize(room.end, 0);
        }
        let room = self.held.get_mut(room).unwrap_or_default();
        let mut before = [0; MAX_OVERLAP_BYTES];
        let (before, _) = before.split_at_mut(again);
        before.copy_from_slice(room.get(..again).unwrap_or_default());
        let mut count = 0;
        while count <= again {
            let at = self.offset + (from + count) as u64;
            match storage.read_at(room.get_mut(count..).unwrap_or_default(), at)? {
                0 => {
                    let message = "the file became shorter while it was read";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                }
                more => count += more,
            }
        }
        let is_same = room.get(..again) == Some(&*before);
        self.filled = from + count;
        if is_same {
            return Ok(Some(from + again));
        }
        if from > 0 {
            // The rest may belong to another line: the line is read again from its beginning.
            self.filled = 0;
            return self.fill(storage);
        }
        Ok(Some(0))
    }

    /// Finds the end of a line that is too long, without keeping its bytes.
    fn pass_over(&mut self, storage: &dyn Storage) -> io::Result<LineChunk<'_>> {
        let offset = self.offset;
        loop {
            self.offset += self.filled as u64;
            self.filled = 0;
            if self.offset < self.end {
                // A hole has no newline. Its last byte is read nevertheless, because the file may
                // be shorter by now.
                let data = storage.data_from(self.offset..self.end);
                self.offset = data.clamp(self.offset, self.end - 1);
            }
            if self.fill(storage)?.is_none() {
                return Ok(LineChunk::Tail { offset, bytes: &[], length: self.offset - offset });
            }
            if let Some(newline) = memchr(b'\n', self.filled()) {
                self.used = newline + 1;
                return Ok(LineChunk::TooLong {
                    offset,
                    length: self.offset + newline as u64 - offset,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::record::reverse_lines::ReverseLines;
    use crate::storage::Disk;
    use crate::storage::memory::MemoryDisk;

    fn log(bytes: &[u8]) -> crate::storage::OpenFile {
        let storage = MemoryDisk::default().open(Path::new("/log")).unwrap();
        storage.append(bytes).unwrap();
        storage
    }

    fn record(fill: u8, length: usize) -> Vec<u8> {
        let text = [fill].repeat(length - 9);
        [b"{\"a\":\"", &*text, b"\"}\n"].concat()
    }

    /// Cuts the log before its last line and writes `other` there.
    fn take_back(storage: &dyn Storage, start: usize, other: &[u8]) {
        storage.set_len(start as u64).unwrap();
        storage.append(other).unwrap();
    }

    #[test]
    fn two_halves_of_different_lines_never_become_one() {
        // The last line begins before the end of the first chunk, by a little or by much.
        for (start, length) in
            [(CHUNK_BYTES - 100, 200), (CHUNK_BYTES - 9_000, 20_000), (0, 3 * CHUNK_BYTES)]
        {
            let before = b"{}\n".repeat(start / 3);
            let (first, other) = (record(b'a', length), record(b'b', length));
            let storage = log(&[&*before, &first].concat());
            let start = before.len();
            let mut lines = LineReader::new(0, (start + length) as u64);
            if start > 0 {
                assert!(matches!(lines.next(&*storage).unwrap(), LineChunk::Whole { .. }));
            } else {
                lines.fill(&*storage).unwrap();
            }
            take_back(&*storage, start, &other);
            match lines.next(&*storage).unwrap() {
                LineChunk::Whole { offset, bytes } => {
                    assert_eq!((offset, bytes == other), (start as u64, true));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn two_halves_of_different_lines_never_become_one_backwards() {
        let length = 40_000;
        let (first, other) = (record(b'a', length), record(b'b', length));
        let storage = log(&[&b"{}\n"[..], &first].concat());
        let mut backwards = ReverseLines::new(0, (3 + length) as u64);
        backwards.previous_line(&*storage).unwrap().unwrap();
        take_back(&*storage, 3, &other);
        let line = backwards.previous_line(&*storage).unwrap().unwrap();
        assert_eq!(line.offset, 3);
        assert!(line.bytes.as_deref() == other.get(..length - 1));
        assert_eq!(backwards.previous_line(&*storage).unwrap().unwrap().offset, 0);
    }
}
