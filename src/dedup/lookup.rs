//! One record of a log: found at its offset, just written, or open at the end. Also the number of
//! records in a range.

use std::borrow::Cow;
use std::io;

use crate::event::Id;
use crate::record::classify::MAX_LINE_BYTES;
use crate::record::classify::{self, RecordIds, Verdict};
use crate::record::lines::{LineChunk, LineReader};
use crate::storage::Storage;

/// A record that was found in the log.
#[derive(Debug, Clone)]
pub(crate) struct FoundRecord {
    pub(crate) offset: u64,
    pub(crate) line: Vec<u8>,
    pub(crate) id: Option<Id>,
}

/// A record that was just written.
pub(crate) struct NewRecord<'a> {
    /// Its offset in the written bytes.
    pub(crate) start: u64,
    pub(crate) id: Option<&'a Id>,
    pub(crate) key: Option<&'a Id>,
}

/// An unterminated last line that is a record.
#[derive(Debug)]
pub(crate) struct OpenRecord {
    pub(crate) id: Option<Id>,
    pub(crate) key: Option<Id>,
    pub(crate) line: Vec<u8>,
}

impl OpenRecord {
    pub(crate) fn new(keys: &RecordIds<'_>, line: &[u8]) -> Self {
        let id = |value: &Option<Cow<'_, [u8]>>| value.as_deref().and_then(Id::of_member);
        OpenRecord { id: id(&keys.event_id), key: id(&keys.idempotency_key), line: line.to_vec() }
    }
}

impl FoundRecord {
    /// Whether its id or its key is `id`.
    pub(crate) fn carries(&self, id: &Id) -> bool {
        match classify::classify(&self.line) {
            Verdict::Record(keys) => [keys.event_id, keys.idempotency_key]
                .into_iter()
                .flatten()
                .any(|value| *value == *id.as_bytes()),
            _ => false,
        }
    }
}

/// Reads the line that begins at `offset`, if it is a record. `end` is the scanned offset, so the
/// line is complete.
pub(crate) fn read_record(
    storage: &dyn Storage,
    offset: u64,
    end: u64,
) -> io::Result<Option<FoundRecord>> {
    let mut line: Vec<u8> = Vec::new();
    let mut step = 4096_usize;
    loop {
        let at = offset + line.len() as u64;
        let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
        if left == 0 || line.len() > MAX_LINE_BYTES {
            return Ok(None);
        }
        let before = line.len();
        line.resize(before + step.min(left), 0);
        let count = storage.read_at(line.get_mut(before..).unwrap_or_default(), at)?;
        line.truncate(before + count);
        if count == 0 {
            return Ok(None);
        }
        let fresh = line.get(before..).unwrap_or_default();
        if let Some(newline) = memchr::memchr(b'\n', fresh) {
            line.truncate(before + newline);
            let id = match classify::classify(&line) {
                Verdict::Record(keys) => keys.event_id.and_then(|id| Id::of_member(&id)),
                _ => return Ok(None),
            };
            return Ok(Some(FoundRecord { offset, line, id }));
        }
        step = step.saturating_mul(4).min(1 << 20);
    }
}

/// Whether the line at `start` carries these ids.
pub(crate) fn is_as_read(bytes: &[u8], start: u64, names: [Option<&Id>; 2]) -> bool {
    let from = usize::try_from(start).unwrap_or(usize::MAX);
    let line = bytes.get(from..).unwrap_or_default().split(|byte| *byte == b'\n').next();
    match line.map(classify::classify) {
        Some(Verdict::Record(keys)) => {
            [keys.event_id, keys.idempotency_key].map(|name| name.map(Cow::into_owned))
                == names.map(|name| name.map(|id| id.as_bytes().to_vec()))
        }
        _ => false,
    }
}

/// The number of records between two beginnings of lines.
pub(crate) fn count_records(storage: &dyn Storage, from: u64, to: u64) -> io::Result<u64> {
    let mut lines = LineReader::new(from, to);
    let mut records = 0;
    loop {
        match lines.next(storage)? {
            LineChunk::Whole { bytes, .. } => {
                classify::classify_lines(bytes, None, |_, verdict| {
                    records += u64::from(matches!(verdict, Verdict::Record(_)));
                });
            }
            LineChunk::TooLong { .. } => {}
            LineChunk::Tail { .. } => return Ok(records),
        }
    }
}
