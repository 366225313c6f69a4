//! One write of a batch at the end of the file, and the place of its lines afterwards.
//!
//! The lock keeps other writers of this package away, but not programs that append without it. So
//! the place of the lines is looked up after the write wherever something else came in between.

use std::io;

use memchr::memmem;

use crate::append::batch::Batch;
use crate::append::group::Group;
use crate::append::request::cannot_append;
use crate::dedup::log_view::LogView;
use crate::error::{Error, Result, Written};
use crate::storage::{Storage, read_exact_at};

/// Where the lines of a batch are. The file has bytes up to `file_end`.
pub(super) enum Placement {
    Whole {
        file_end: u64,
    },
    /// Another program had begun a line right before. The first line of the batch is the rest of
    /// that one, and no record.
    Glued {
        file_end: u64,
    },
}

/// What is written.
struct Append<'a> {
    /// All of it: a newline that ends a tail, if there is one, then the lines.
    bytes: &'a [u8],
    batch: &'a Batch,
    /// Where the file ended before.
    start: u64,
    /// Bytes behind the last newline before.
    tail_length: u64,
}

/// Writes the lines of the batch behind `start`, where the file ends, and ends the tail of
/// `tail_length` bytes that is there. Takes the lines into the view and gives the groups their
/// place. `sync` makes the length of the file durable.
///
/// # Errors
/// `EIO`; [`Error::written`] says whether a part of the lines stays in the file.
pub(super) fn append(
    storage: &dyn Storage,
    view: &mut LogView,
    batch: &Batch,
    (start, tail_length): (u64, u64),
    groups: &mut [Group],
    sync: impl FnOnce() -> Result<()>,
) -> Result<Placement> {
    let mut with_newline = Vec::new();
    let bytes = if tail_length > 0 {
        with_newline.push(b'\n');
        with_newline.extend_from_slice(batch.buffer());
        &with_newline
    } else {
        batch.buffer()
    };
    let append = Append { bytes, batch, start, tail_length };
    write_at_end(storage, &append, sync)?;
    locate(storage, view, &append, groups)
        .map_err(|error| cannot_append("pread", error).with_written(Written::Unknown))
}

/// One write of all bytes. When it fails part of the way, the part is taken back if nothing came
/// behind it, which `sync` makes durable. Otherwise it is ended with a newline and stays as a bad
/// line.
fn write_at_end(
    storage: &dyn Storage,
    append: &Append<'_>,
    sync: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let start = append.start;
    let mut written = 0;
    let failure = loop {
        let Some(rest) = append.bytes.get(written..).filter(|rest| !rest.is_empty()) else {
            return Ok(());
        };
        match storage.append(rest) {
            Ok(0) => break io::ErrorKind::WriteZero.into(),
            Ok(count) => written += count,
            Err(error) => break error,
        }
        let is_last = || storage.stat().is_ok_and(|stat| stat.length == start + written as u64);
        if written < append.bytes.len() && !is_last() {
            break io::Error::other("another program wrote into the middle of a short write");
        }
    };
    let error = Error::io("cannot append", "write", failure);
    match storage.stat() {
        Ok(stat) if stat.length == start => return Err(error.with_written(Written::No)),
        Ok(stat) if stat.length == start + written as u64 && storage.set_len(start).is_ok() => {
            let written = if sync().is_ok() { Written::No } else { Written::Unknown };
            return Err(error.with_written(written));
        }
        _ => {}
    }
    // If this fails too, the next writer finds the torn tail and ends it.
    let _ = storage.append(b"\n");
    Err(error.with_written(Written::Unknown))
}

/// Takes the written lines into the view and finds their place.
fn locate(
    storage: &dyn Storage,
    view: &mut LogView,
    append: &Append<'_>,
    groups: &mut [Group],
) -> io::Result<Placement> {
    let file_end = storage.stat()?.length;
    let mut place = |begin, records_before| {
        groups.iter_mut().for_each(|group| group.place(begin, records_before));
    };
    let alone = file_end == append.start + append.bytes.len() as u64;
    if alone && append.tail_length == 0 {
        place(append.start, view.scan_state().records);
        view.apply_written(append.bytes, append.batch.records());
        return Ok(Placement::Whole { file_end });
    }
    view.catch_up(storage, file_end)?;
    let lines = append.batch.buffer();
    let (begin, is_glued) = if alone {
        (file_end - lines.len() as u64, false)
    } else {
        let size = usize::try_from(file_end.saturating_sub(append.start)).unwrap_or(usize::MAX);
        let mut region = vec![0; size];
        read_exact_at(storage, &mut region, append.start)?;
        let at = memmem::find(&region, append.bytes).ok_or_else(not_there)?;
        let before_lines = append.bytes.len() - lines.len();
        let comes_first = at.checked_sub(1).and_then(|last| region.get(last));
        let is_glued = before_lines == 0 && comes_first.is_some_and(|byte| *byte != b'\n');
        (append.start + (at + before_lines) as u64, is_glued)
    };
    place(begin, view.seq_of(storage, begin)?.saturating_sub(1));
    if is_glued {
        return Ok(Placement::Glued { file_end });
    }
    Ok(Placement::Whole { file_end })
}

fn not_there() -> io::Error {
    io::Error::other("the written lines are not in the file: another program changed it in place")
}
