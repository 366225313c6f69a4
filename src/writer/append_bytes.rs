//! Writing the bytes of a batch at the end of the file, and finding where its lines came to stand.

use std::io;

use memchr::memmem;

use crate::append::batch::Batch;
use crate::dedup::log_view::LogView;
use crate::error::{Error, Result, Written};
use crate::storage::{Storage, read_exact_at};

/// What is handed to the system.
pub(crate) struct Handed<'a> {
    /// All of it: perhaps a newline that ends a tail, then the lines.
    pub(crate) bytes: &'a [u8],
    pub(crate) batch: &'a Batch,
    /// Where the file ended before.
    pub(crate) start: u64,
    /// Bytes behind the last newline before.
    pub(crate) tail_length: u64,
}

/// Where the lines of a batch came to stand.
pub(crate) struct Landed {
    pub(crate) begin: u64,
    pub(crate) records_before: u64,
    pub(crate) file_end: u64,
    /// Another program wrote the beginning of a line right before: the first of these lines is the rest of that one, and no record.
    pub(crate) is_glued: bool,
}

/// One write of all bytes. When it fails part of the way, the part is taken back if nothing came behind it, which `sync` makes
/// durable; else it is ended with a newline and stays as a bad line.
pub(crate) fn write_at_end(
    storage: &dyn Storage,
    handed: &Handed<'_>,
    sync: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let start = handed.start;
    let mut written = 0;
    let failure = loop {
        let Some(rest) = handed.bytes.get(written..).filter(|rest| !rest.is_empty()) else {
            return Ok(());
        };
        match storage.append(rest) {
            Ok(0) => break io::ErrorKind::WriteZero.into(),
            Ok(count) => written += count,
            Err(error) => break error,
        }
        let is_last = || storage.stat().is_ok_and(|stat| stat.length == start + written as u64);
        if written < handed.bytes.len() && !is_last() {
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
    // If this fails too, whoever appends next finds the torn tail and ends it.
    let _ = storage.append(b"\n");
    Err(error.with_written(Written::Unknown))
}

/// Takes the written lines into the history and finds their place: a program that appends without the lock may have come in between.
pub(crate) fn land(
    storage: &dyn Storage,
    history: &mut LogView,
    handed: &Handed<'_>,
) -> io::Result<Landed> {
    let file_end = storage.stat()?.length;
    let records = history.scan_state().records;
    let alone = file_end == handed.start + handed.bytes.len() as u64;
    if alone && handed.tail_length == 0 {
        history.apply_written(handed.bytes, handed.batch.records());
        let begin = handed.start;
        return Ok(Landed { begin, records_before: records, file_end, is_glued: false });
    }
    history.catch_up(storage, file_end)?;
    let lines = handed.batch.buffer();
    let (begin, is_glued) = if alone {
        (file_end - lines.len() as u64, false)
    } else {
        let size = usize::try_from(file_end.saturating_sub(handed.start)).unwrap_or(usize::MAX);
        let mut region = vec![0; size];
        read_exact_at(storage, &mut region, handed.start)?;
        let at = memmem::find(&region, handed.bytes).ok_or_else(not_there)?;
        let before_lines = handed.bytes.len() - lines.len();
        let comes_first = at.checked_sub(1).and_then(|last| region.get(last));
        let is_glued = before_lines == 0 && comes_first.is_some_and(|byte| *byte != b'\n');
        (handed.start + (at + before_lines) as u64, is_glued)
    };
    let records_before = history.seq_of(storage, begin)?.saturating_sub(1);
    Ok(Landed { begin, records_before, file_end, is_glued })
}

fn not_there() -> io::Error {
    io::Error::other("the written lines are not in the file: another program changed it in place")
}
