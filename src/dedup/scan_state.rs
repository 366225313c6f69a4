//! How far a log was scanned, and how to know that what was scanned is still there.

use std::io;

use crate::event::Id;
use crate::storage::{Storage, read_exact_at};

/// Bytes before the scanned offset that are compared at each catch-up.
pub(crate) const PROBE: usize = 4096;

/// How far the log was scanned, and what the last records were.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frontier {
    /// Everything before was scanned; a line begins here.
    pub(crate) offset: u64,
    /// Records before.
    pub(crate) records: u64,
    /// Id of the last record, if it has one.
    pub(crate) tail_id: Option<Id>,
    /// Id of the last record that has one.
    pub(crate) last_id: Option<Id>,
    /// The last bytes before `offset`, at most [`PROBE`].
    probe: Vec<u8>,
}

/// A place where the number of records before it is known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    pub(crate) offset: u64,
    pub(crate) records: u64,
}

impl Frontier {
    pub(crate) fn new(
        offset: u64,
        records: u64,
        tail_id: Option<Id>,
        last_id: Option<Id>,
        probe: Vec<u8>,
    ) -> Self {
        Frontier { offset, records, tail_id, last_id, probe }
    }

    pub(crate) fn probe(&self) -> &[u8] {
        &self.probe
    }

    /// Whether what was scanned is still there: the log is not shorter, and the last bytes are the same.
    pub(crate) fn still_holds(&self, storage: &dyn Storage, length: u64) -> io::Result<bool> {
        if length < self.offset {
            return Ok(false);
        }
        let mut there = vec![0; self.probe.len()];
        let start = self.offset - there.len() as u64;
        match read_exact_at(storage, &mut there, start) {
            Ok(()) => Ok(there == self.probe),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Goes on behind a line too long to be a record.
    pub(crate) fn pass_too_long(&mut self, storage: &dyn Storage, end: u64) -> io::Result<()> {
        self.offset = end;
        self.probe = vec![0; PROBE];
        read_exact_at(storage, &mut self.probe, end - PROBE as u64)
    }

    /// Goes on behind whole lines that were taken in.
    pub(crate) fn advance(&mut self, bytes: &[u8]) {
        let probe = &mut self.probe;
        if let Some(last) = bytes.len().checked_sub(PROBE).and_then(|from| bytes.get(from..)) {
            probe.clear();
            probe.extend_from_slice(last);
        } else {
            let surplus = (probe.len() + bytes.len()).saturating_sub(PROBE);
            probe.drain(..surplus);
            probe.extend_from_slice(bytes);
        }
        self.offset += bytes.len() as u64;
    }
}
