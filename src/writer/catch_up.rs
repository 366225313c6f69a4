//! Catching up under the lock: what must be verified is read from the disk, then everything that
//! was appended since is scanned.
//!
//! What other processes appended is in the file and nowhere else: no process informs another. So
//! each batch begins here, and nothing that was known before the lock was taken is used before.

use std::io;
use std::ops::Range;

use crate::append::request::cannot_append as cannot;
use crate::dedup::log_view::{CaughtUp, LogView};
use crate::error::{Result, Written};
use crate::os;
use crate::storage::disk::OpenFile;
use crate::writer::ledger::LedgerEntry;
use crate::writer::sync_job::SyncJob;

/// What is verified before the first batch on a descriptor, at the least.
const PAGE_BYTES: u64 = 4096;

/// Brings the view up to `length`, the end of the locked file. Bytes that must be verified, and the
/// last page of a file that `is_fresh`, are read from the disk, not from the page cache.
///
/// Returns also how many syncs had failed when the catch-up began. A sync that fails from there on
/// rejects the batch.
///
/// # Errors
/// `EIO` with `written: 'no'`.
pub(super) fn catch_up(
    sync: &SyncJob,
    file: &OpenFile,
    is_fresh: bool,
    view: &mut LogView,
    length: u64,
) -> Result<(CaughtUp, u64)> {
    let (failures, must_verify_from) = sync.ledger().begin_catch_up(view, length);
    let must_verify = must_verify_from.is_some();
    if let Some(sure) = must_verify_from {
        // From the page on that has the last sure byte.
        let start = page_of(sure.offset.min(length));
        sync.sync_once(file).map_err(|error| error.with_written(Written::No))?;
        if !read_again(sync, file, start..length)? {
            return Err(cannot("posix_fadvise", os::busy()));
        }
        view.roll_back(sure);
    } else if is_fresh {
        read_last_page_again(sync, file, length)?;
    }
    let caught = loop {
        let caught =
            scan(sync, file, is_fresh, view, length).map_err(|error| cannot("pread", error))?;
        if !caught.restarted {
            break caught;
        }
        sync.ledger().record(LedgerEntry::Rewritten { length });
        read_last_page_again(sync, file, length)?;
    };
    if must_verify {
        sync.ledger().record(LedgerEntry::VerifiedAll { failures });
    }
    Ok((caught, failures))
}

/// Scans up to `length`. Of a file that `is_fresh` the ledger gets the state of the log at the
/// open, where verification after a failed sync begins.
pub(super) fn scan(
    sync: &SyncJob,
    file: &OpenFile,
    is_fresh: bool,
    view: &mut LogView,
    length: u64,
) -> io::Result<CaughtUp> {
    if is_fresh {
        let opened_at = sync.ledger().opened_at();
        if view.scan_state().offset <= opened_at && opened_at < length {
            let caught = view.catch_up(&**file, opened_at)?;
            if caught.restarted {
                return Ok(caught);
            }
            sync.ledger().record(LedgerEntry::Scanned(view.scan_state()));
        }
    }
    let caught = view.catch_up(&**file, length)?;
    if is_fresh && !caught.restarted {
        sync.ledger().record(LedgerEntry::Scanned(view.scan_state()));
    }
    Ok(caught)
}

/// The bytes at the end decide how the next line begins: they must be those of the disk.
fn read_last_page_again(sync: &SyncJob, file: &OpenFile, length: u64) -> Result<()> {
    if length == 0 {
        return Ok(());
    }
    sync.sync_once(file).map_err(|error| error.with_written(Written::No))?;
    // A page that some process maps stays in the cache. Then the sync alone is the proof, which is
    // weaker: docs/design/durability.md, "Limits".
    read_again(sync, file, page_of(length)..length).map(|_| ())
}

/// Where the page begins that has the byte before `offset`.
fn page_of(offset: u64) -> u64 {
    offset.saturating_sub(1) / PAGE_BYTES * PAGE_BYTES
}

/// Has the next read of `range` come from the disk. Returns whether that is sure.
fn read_again(sync: &SyncJob, file: &OpenFile, range: Range<u64>) -> Result<bool> {
    let dropped = file.drop_cached(range.clone());
    let is_gone = dropped.map_err(|error| cannot("posix_fadvise", error))?;
    if is_gone {
        sync.ledger().record(LedgerEntry::Verified { file, range });
    }
    Ok(is_gone)
}
