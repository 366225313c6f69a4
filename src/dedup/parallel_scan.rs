//! A scan of a long stretch of a log on two threads, in bounded memory.

use std::io;
use std::sync::{Arc, Mutex};

use crate::dedup::chunk_summary::Stretch;
use crate::dedup::table::Keys;
use crate::mutex::locked;
use crate::record::lines::{self, Lines};
use crate::record::template::Stencils;
use crate::storage::Storage;
use crate::threads::pool;

/// Bytes that are read while others are judged.
const PIECE: usize = 1 << 20;
/// Bytes that one thread judges before it takes the next.
const PART: usize = 32 << 10;

/// A piece of a log whose lines were judged.
pub(crate) struct Piece {
    bytes: Arc<Vec<u8>>,
    /// Bytes of whole lines.
    length: usize,
    stretches: Vec<Stretch>,
}

impl Piece {
    /// Its lines.
    pub(crate) fn lines(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// What is in its lines, one part after the other.
    pub(crate) fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// About how many ids and keys are in so many bytes if they are like this piece.
    pub(crate) fn names_in(&self, bytes: u64) -> usize {
        let names: usize = self.stretches.iter().map(|stretch| stretch.names.len()).sum();
        let all = u128::from(bytes) * names as u128 / self.length.max(1) as u128;
        usize::try_from(all).unwrap_or(usize::MAX)
    }
}

/// Gives the whole lines to `take`, the first `length` bytes of what `lines` gave last and all that follow, piece by piece in their order, up to a line
/// too long, whose end is returned, or to the tail. While the lines of a piece are judged, by another thread as well, this one hands
/// over the piece before and reads the next one.
pub(crate) fn whole_lines(
    lines: &mut Lines,
    mut length: usize,
    storage: &dyn Storage,
    keys: Keys,
    mut take: impl FnMut(&Piece),
) -> io::Result<Option<u64>> {
    let known = Arc::new(Mutex::new(Vec::new()));
    let mut before: Option<Piece> = None;
    let mut spare = Vec::new();
    loop {
        lines.lengthen(PIECE);
        let bytes = Arc::new(lines.take(std::mem::take(&mut spare)));
        let parts = lines::parts_of(bytes.get(..length).unwrap_or_default(), PART);
        let (count, judged, known) = (parts.len(), bytes.clone(), known.clone());
        let judge = move |number| {
            let part = parts.get(number).cloned().unwrap_or_default();
            // Each thread takes what it knows of kinds of lines from part to part.
            let mut stencils: Stencils = locked(&known).pop().unwrap_or_default();
            let part = judged.get(part).unwrap_or_default();
            let stretch = Stretch::of(part, keys, Some(&mut stencils));
            locked(&known).push(stencils);
            stretch
        };
        let (next, stretches) = pool::share_while(count, judge, || {
            if let Some(piece) = before.take() {
                take(&piece);
                // Memory that is used again needs not be cleared by the system.
                spare = Arc::into_inner(piece.bytes).unwrap_or_default();
            }
            lines.next(storage).map(|next| match next {
                lines::Piece::Whole { bytes, .. } => Ok(bytes.len()),
                lines::Piece::TooLong { offset, length } => Err(Some(offset + length + 1)),
                lines::Piece::Tail { .. } => Err(None),
            })
        });
        let piece = Piece { bytes, length, stretches };
        match next? {
            Ok(next) => length = next,
            Err(end) => {
                take(&piece);
                return Ok(end);
            }
        }
        before = Some(piece);
    }
}
