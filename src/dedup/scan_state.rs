//! How far a log was scanned, and how to recognise the scanned bytes later.

use std::io;

use crate::event::Id;
use crate::storage::{Storage, read_exact_at};

/// Bytes before the scanned offset that are compared at each catch-up.
pub(crate) const TAIL_BYTES: usize = 4096;

/// How far the log was scanned, and the last records there.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScanState {
    /// Everything before was scanned; a line begins here.
    pub(crate) offset: u64,
    /// Records before `offset`.
    pub(crate) records: u64,
    /// The id of the last record, if it has one.
    pub(crate) tail_id: Option<Id>,
    /// The id of the last record that has one.
    pub(crate) last_id: Option<Id>,
    /// The last bytes before `offset`, at most [`TAIL_BYTES`].
    tail_bytes: Vec<u8>,
}

/// The offset of a line, and the number of records before it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SparseEntry {
    pub(crate) offset: u64,
    pub(crate) records: u64,
}

impl ScanState {
    pub(crate) fn new(
        offset: u64,
        records: u64,
        tail_id: Option<Id>,
        last_id: Option<Id>,
        tail_bytes: Vec<u8>,
    ) -> Self {
        ScanState { offset, records, tail_id, last_id, tail_bytes }
    }

    pub(crate) fn tail_bytes(&self) -> &[u8] {
        &self.tail_bytes
    }

    /// Whether the scanned bytes are still there: the log is not shorter, and the last bytes are
    /// the same.
    pub(crate) fn still_matches(&self, storage: &dyn Storage, length: u64) -> io::Result<bool> {
        if length < self.offset {
            return Ok(false);
        }
        let mut there = vec![0; self.tail_bytes.len()];
        let start = self.offset - there.len() as u64;
        match read_exact_at(storage, &mut there, start) {
            Ok(()) => Ok(there == self.tail_bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Advances behind a line too long to be a record.
    pub(crate) fn pass_too_long(&mut self, storage: &dyn Storage, end: u64) -> io::Result<()> {
        self.offset = end;
        self.tail_bytes = vec![0; TAIL_BYTES];
        read_exact_at(storage, &mut self.tail_bytes, end - TAIL_BYTES as u64)
    }

    /// Advances behind whole lines.
    pub(crate) fn advance(&mut self, bytes: &[u8]) {
        let tail_bytes = &mut self.tail_bytes;
        if let Some(last) = bytes.len().checked_sub(TAIL_BYTES).and_then(|from| bytes.get(from..)) {
            tail_bytes.clear();
            tail_bytes.extend_from_slice(last);
        } else {
            let surplus = (tail_bytes.len() + bytes.len()).saturating_sub(TAIL_BYTES);
            tail_bytes.drain(..surplus);
            tail_bytes.extend_from_slice(bytes);
        }
        self.offset += bytes.len() as u64;
    }
}
