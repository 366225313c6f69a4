//! The end of a log at the time when a follow from the end was requested.

use std::io;

use crate::read::follow::followed_file::bytes_before;
use crate::record::classify::{self, Tail};
use crate::record::reverse_lines::ReverseLines;
use crate::storage::{Stat, Storage};

/// The file at the path when the end was fixed: `None` if no end was fixed, `Some(None)` if there
/// was no file.
pub(crate) type FixedEnd = Option<Option<Stat>>;

/// The end of the records of the file when the end was fixed.
pub(crate) fn end_in(end: FixedEnd, storage: &dyn Storage, stat: &Stat) -> io::Result<u64> {
    let length = match end {
        None => stat.length,
        Some(None) => return Ok(0),
        Some(Some(end)) if end.is_same_file(stat) => end.length.min(stat.length),
        // A file that replaced the fixed one may be a longer copy.
        Some(Some(end)) if end.length <= stat.length => {
            let before = bytes_before(storage, end.length, 1)?;
            if before == b"\n" { end.length } else { stat.length }
        }
        Some(Some(_)) => stat.length,
    };
    end_of_records(storage, length)
}

/// The end of the records of a file. A torn tail may still become a record.
fn end_of_records(storage: &dyn Storage, length: u64) -> io::Result<u64> {
    let Some(tail) = ReverseLines::new(0, length).previous_line(storage)? else {
        return Ok(0);
    };
    let is_record =
        matches!(tail.bytes.as_deref().map(classify::classify_tail), Some(Tail::Record(_)));
    Ok(if is_record { length } else { tail.offset })
}
