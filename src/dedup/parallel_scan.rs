//! A scan of a long range of a log on two threads, in bounded memory.

use std::io;
use std::sync::{Arc, Mutex};

use crate::dedup::chunk_summary::ChunkSummary;
use crate::dedup::table::HashKey;
use crate::mutex::locked;
use crate::record::lines::{self, LineReader};
use crate::record::template::TemplateCache;
use crate::storage::Storage;
use crate::threads::pool;

/// Bytes that are read while others are classified.
const CHUNK_BYTES: usize = 1 << 20;
/// Bytes that a thread classifies before it takes the next part.
const PART_BYTES: usize = 32 << 10;

/// A chunk of a log with classified lines.
pub(crate) struct ScannedChunk {
    bytes: Arc<Vec<u8>>,
    /// Length of the whole lines in bytes.
    length: usize,
    summaries: Vec<ChunkSummary>,
}

impl ScannedChunk {
    /// The whole lines.
    pub(crate) fn lines(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The summaries of its parts, in order.
    pub(crate) fn summaries(&self) -> &[ChunkSummary] {
        &self.summaries
    }

    /// An estimate of the ids and keys in `bytes` more bytes like these.
    pub(crate) fn names_in(&self, bytes: u64) -> usize {
        let names: usize = self.summaries.iter().map(|summary| summary.names.len()).sum();
        let all = u128::from(bytes) * names as u128 / self.length.max(1) as u128;
        usize::try_from(all).unwrap_or(usize::MAX)
    }
}

/// Passes whole lines to `take` chunk by chunk, starting with the `length` bytes `lines` returned
/// last. Returns the end of an over-long line, or `None` at the tail.
///
/// While two threads classify the lines of a chunk, this one passes on the chunk before and reads
/// the next one.
pub(crate) fn whole_lines(
    lines: &mut LineReader,
    mut length: usize,
    storage: &dyn Storage,
    keys: HashKey,
    mut take: impl FnMut(&ScannedChunk),
) -> io::Result<Option<u64>> {
    let known = Arc::new(Mutex::new(Vec::new()));
    let mut before: Option<ScannedChunk> = None;
    let mut spare = Vec::new();
    loop {
        lines.lengthen(CHUNK_BYTES);
        let bytes = Arc::new(lines.take(std::mem::take(&mut spare)));
        let parts = lines::parts_of(bytes.get(..length).unwrap_or_default(), PART_BYTES);
        let (count, judged, known) = (parts.len(), bytes.clone(), known.clone());
        let judge = move |number| {
            let part = parts.get(number).cloned().unwrap_or_default();
            // Each thread keeps its templates from part to part.
            let mut templates: TemplateCache = locked(&known).pop().unwrap_or_default();
            let part = judged.get(part).unwrap_or_default();
            let summary = ChunkSummary::of(part, keys, Some(&mut templates));
            locked(&known).push(templates);
            summary
        };
        let (next, summaries) = pool::parallel_map_while(count, judge, || {
            if let Some(chunk) = before.take() {
                take(&chunk);
                // Reused memory does not have to be cleared by the system.
                spare = Arc::into_inner(chunk.bytes).unwrap_or_default();
            }
            lines.next(storage).map(|next| match next {
                lines::LineChunk::Whole { bytes, .. } => Ok(bytes.len()),
                lines::LineChunk::TooLong { offset, length } => Err(Some(offset + length + 1)),
                lines::LineChunk::Tail { .. } => Err(None),
            })
        });
        let chunk = ScannedChunk { bytes, length, summaries };
        match next? {
            Ok(next) => length = next,
            Err(end) => {
                take(&chunk);
                return Ok(end);
            }
        }
        before = Some(chunk);
    }
}
