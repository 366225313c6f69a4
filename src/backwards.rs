//! A walk from the end of a stretch of a log to its beginning, line by line, in bounded memory.

use std::io;

use memchr::memrchr;

use crate::json::MAX_LINE;
use crate::storage::{Storage, read_exact_at};

/// Bytes read at a time, at first.
const BLOCK: u64 = 16 * 1024;
/// Bytes read at a time, at most.
const LARGEST_BLOCK: u64 = 1 << 20;

/// A walk back from a fixed end to a fixed beginning, where a line begins.
pub(crate) struct Backwards {
    floor: u64,
    /// Everything from here on was handed out, or is in `held`.
    start: u64,
    block: u64,
    held: Vec<u8>,
    is_at_end: bool,
}

/// The line before.
pub(crate) struct PreviousLine {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// Nothing for a line too long to be a record.
    pub(crate) bytes: Option<Vec<u8>>,
}

impl Backwards {
    /// From `end` back to `floor`.
    pub(crate) fn new(floor: u64, end: u64) -> Backwards {
        Backwards { floor, start: end, block: BLOCK, held: Vec::new(), is_at_end: true }
    }

    /// Whether what comes next stands behind the last newline.
    pub(crate) fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    fn left(&self) -> u64 {
        self.start.saturating_sub(self.floor)
    }

    /// The line before; first of all what stands behind the last newline, which may be nothing.
    pub(crate) fn previous_line(
        &mut self,
        storage: &dyn Storage,
    ) -> io::Result<Option<PreviousLine>> {
        self.is_at_end = false;
        let mut fresh = self.held.len();
        // Of a line too long, only its length is kept.
        let mut passed = 0;
        loop {
            let newline = memrchr(b'\n', self.held.get(..fresh).unwrap_or_default());
            if newline.is_some() || self.left() == 0 {
                if newline.is_none() && self.held.is_empty() && passed == 0 {
                    return Ok(None);
                }
                let begin = newline.map_or(0, |newline| newline + 1);
                let bytes = self.held.split_off(begin);
                self.held.pop();
                let length = bytes.len() as u64 + passed;
                let offset = self.start + begin as u64;
                let bytes = (passed == 0).then_some(bytes);
                return Ok(Some(PreviousLine { offset, length, bytes }));
            }
            if self.held.len() > MAX_LINE {
                passed += self.held.len() as u64;
                self.held.clear();
            }
            let size = self.block.min(self.left());
            self.block = (self.block * 2).min(LARGEST_BLOCK);
            let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
            read_exact_at(storage, &mut bytes, self.start - size)?;
            fresh = bytes.len();
            bytes.append(&mut self.held);
            self.held = bytes;
            self.start -= size;
        }
    }
}
