//! Append-only NDJSON event logs that many processes write at once and none can lose.
//!
//! One log is one file with one JSON object on each line. An append takes the kernel's advisory
//! lock on the file and catches up with the appends of other processes. It skips events that the
//! log already has, writes whole lines with one write, releases the lock, and syncs before it
//! returns. Readers take no lock and see a prefix of the file.
//!
//! ```
//! # fn main() -> sage_chronicle::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let name = folder.path().join("agent.sage");
//! # let name = name.to_str().unwrap();
//! use sage_chronicle::{AppendOptions, ChroniclePath, Reader, append};
//!
//! let log = ChroniclePath::parse(name)?;
//! let event = r#"{"type":"BUILD","timestamp":"2026-01-01T00:00:00Z",
//!     "actor":{"agent":"ci","id":"7"},"status":"success"}"#;
//! let receipt = append(&log, event, AppendOptions::default())?;
//! assert_eq!((receipt.seq, receipt.duplicate, receipt.durable), (1, false, true));
//!
//! // The same event again is the same record.
//! assert!(append(&log, event, AppendOptions::default())?.duplicate);
//! assert_eq!(Reader::open_tail(&log, 10)?.next_page(&log)?.places.len(), 1);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    not(feature = "internals"),
    allow(dead_code, unreachable_pub, reason = "what only tests and fuzz targets reach")
)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod os;
pub mod error;
mod mutex;
pub mod path;
mod json;
mod storage;
mod threads;
mod record;
pub mod event;
mod dedup;
mod append;
mod writer;
pub mod session;
mod read;
mod check;
pub mod repair;

#[cfg(feature = "node")]
#[allow(missing_docs, unreachable_pub)]
#[cfg_attr(test, allow(dead_code, reason = "the exports are registered outside of tests only"))]
mod node;

/// Parts that tests and fuzz targets reach directly. They carry no promise.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    pub use crate::append::request;
    pub use crate::json::canonical;
    pub use crate::record::classify;
    pub use crate::repair::plan;
    /// The grammar and strings.
    pub mod json {
        pub use crate::json::escape::{escape_into, unescape};
        pub use crate::json::{Fault, object};
    }
    /// Files and the lock.
    pub mod storage {
        pub use crate::os::Stat;
        pub use crate::storage::disk::{Disk, LogLock, OpenFile, Storage};
        pub use crate::storage::file::{FileDisk, FileStorage};
        pub use crate::storage::folder::Former;
        pub use crate::storage::memory::MemoryDisk;
        pub use crate::storage::syncs::Syncs;
    }
}

pub use append::request::{AppendOptions, Durability, OnIdReuse, Outcome, Receipt};
pub use append::stats::{self, Stats};
pub use check::analyze::{self, Analysis, analyze};
pub use check::verify::{self, Verifier};
pub use error::{ActualTail, Code, Error, Position, Result, Written};
pub use event::timestamp::Timestamp;
pub use event::{Event, Id, Rules};
pub use path::ChroniclePath;
pub use read::cursor::{self, Cursor};
pub use read::filter::{self, Filter, Wanted};
pub use read::follow::{self, FileState, Follower, OnRewrite};
pub use read::line_batch::{BatchFollower, BatchLimits, LineBatch};
pub use read::page;
pub use read::place::Place;
pub use read::reader::Reader;
pub use read::selection::Selection;
pub use repair::{RepairOptions, repair};
pub use session::{LockMode, Session};
pub use writer::registry::{self, Registry};

/// Appends one event, given as JSON text, and waits until it is as durable as `options` ask.
///
/// # Errors
/// - `EVALIDATION`: the event is invalid; nothing was touched.
/// - `ELOCK_TIMEOUT`: the lock was not free in time; nothing was written.
/// - `ECONFLICT`: the log is not as the options require.
/// - `EIO`: the system failed. [`Error::written`] states whether bytes may be in the file. A second
///   append is safe if the event has an id or a key.
/// - `EUNSUPPORTED`: the file system does not honour the lock.
pub fn append(path: &ChroniclePath, event: &str, options: AppendOptions) -> Result<Receipt> {
    let texts = vec![event.as_bytes().to_vec()];
    let (receipts, _) = Registry::global().append(path, texts, true, options)?;
    receipts.into_iter().next().ok_or_else(|| Error::validation("no event was given"))
}

/// Appends events that succeed or fail together, with one receipt for each.
///
/// # Errors
/// As [`append`]; [`Error::index`] names the event at fault.
pub fn append_all(
    path: &ChroniclePath,
    events: &[&str],
    options: AppendOptions,
) -> Result<Vec<Receipt>> {
    let texts: Vec<Vec<u8>> = events.iter().map(|event| event.as_bytes().to_vec()).collect();
    Ok(Registry::global().append(path, texts, false, options)?.0)
}

/// Appends whole lines of another log, byte for byte, which succeed or fail together, with one
/// receipt for each.
///
/// `lines` are records, one JSON object a line: their envelopes are not checked, and no id is
/// computed. A record whose `eventId` or `idempotencyKey` the log has is a duplicate; one without
/// either is written each time. Lines of only spaces, tabs and `\r` are nothing, and the last line
/// needs no newline.
///
/// ```
/// # fn main() -> sage_chronicle::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let name = folder.path().join("copy.sage");
/// # let copy = sage_chronicle::ChroniclePath::parse(name.to_str().unwrap())?;
/// use sage_chronicle::{AppendOptions, append_lines};
///
/// let lines = b"{\"eventId\":\"a\",\"at\":738529527931269425}\n{\"eventId\":\"b\"}\n";
/// let receipts = append_lines(&copy, lines, AppendOptions::default())?;
/// assert_eq!((receipts.len(), receipts[1].seq), (2, 2));
/// assert_eq!(std::fs::read(copy.as_path()).unwrap(), lines);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`append`]; [`Error::index`] names the line at fault, blank ones not counted. `EVALIDATION`
/// also for [`AppendOptions::rules`] other than the default ones.
pub fn append_lines(
    path: &ChroniclePath,
    lines: &[u8],
    options: AppendOptions,
) -> Result<Vec<Receipt>> {
    if options.rules != Rules::default() {
        let error = Error::validation("whole lines are appended by no rules");
        return Err(error.with_written(Written::No));
    }
    let rules = Rules { whole_line: true, ..Rules::default() };
    let texts = append::request::Texts::of_lines(lines, 0);
    Ok(Registry::global().append(path, texts, false, AppendOptions { rules, ..options })?.0)
}
