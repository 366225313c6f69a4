//! Append-only NDJSON event logs that many processes write at once and none can lose.
//!
//! One log is one file with one JSON object on each line. An append takes the kernel's advisory lock on the file,
//! catches up with what others appended, leaves out what the log already has, writes whole lines with one write, gives the
//! lock back, and syncs before it answers. Readers take no lock and see a prefix of the file.
//!
//! ```
//! # fn main() -> sage_chronicle::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let name = folder.path().join("agent.sage");
//! # let name = name.to_str().unwrap();
//! use sage_chronicle::{AppendOptions, ChroniclePath, Reader, append};
//!
//! let log = ChroniclePath::parse(name)?;
//! let event = r#"{"type":"BUILD","timestamp":"2026-01-01T00:00:00Z","actor":{"agent":"ci","id":"7"},"status":"success"}"#;
//! let receipt = append(&log, event, AppendOptions::default())?;
//! assert_eq!((receipt.seq, receipt.duplicate, receipt.durable), (1, false, true));
//!
//! // The same event again is the same record.
//! assert!(append(&log, event, AppendOptions::default())?.duplicate);
//! assert_eq!(Reader::open_tail(&log, 10)?.next_slice(&log)?.places.len(), 1);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;
mod platform;
pub mod error;
pub mod path;
mod folder;
mod lock;
pub mod syncs;
pub mod storage;

mod excerpt;
mod string;
mod stops;
pub mod json;
pub mod instant;
mod member_path;
mod order;
mod decimal;
pub mod canonical;
mod stencil;
pub mod scan;
mod envelope;
pub mod event;
pub mod filter;
pub mod slice;
pub mod cursor;

mod pool;
mod lines;
mod backwards;
mod index;
mod stretch;
mod sweep;
mod record;
mod frontier;
mod part;
mod side_index;
mod history;
mod indexing;
mod proof;
mod synced;

mod pending;
mod held;
pub mod stats;
#[cfg_attr(not(feature = "node"), allow(dead_code, reason = "only the binding bounds its readers"))]
mod permit;
pub mod request;
mod batch;
mod written;
mod landing;
mod shared;
mod ledger;
mod state;
mod acquire;
mod commit;
mod writer;
pub mod registry;
pub mod memory;
mod files;
pub mod session;

mod tail;
pub mod range;
pub mod selection;
pub mod reader;
mod lease;
mod passed;
mod followed;
mod finding;
mod following;
pub mod follow;
pub mod line_batch;
mod seen;
mod look;
pub mod verify;

#[cfg_attr(
    not(feature = "node"),
    allow(dead_code, reason = "without the binding nobody asks for the pool")
)]
mod turns;
pub mod plan;
mod replacement;
mod rewrite;
pub mod repair;
pub mod analyze;

#[cfg(feature = "node")]
#[allow(missing_docs, unreachable_pub)]
#[cfg_attr(test, allow(dead_code, reason = "the exports are registered outside of tests only"))]
mod node;

pub use analyze::{Analysis, analyze};
pub use cursor::Cursor;
pub use error::{Code, Error, Position, Result, Written};
pub use event::{Event, Id, Rules};
pub use filter::{Filter, Wanted};
pub use follow::{FileState, Follower, OnRewrite};
pub use held::LockMode;
pub use instant::Instant;
pub use line_batch::{BatchFollower, BatchLimits, LineBatch};
pub use path::ChroniclePath;
pub use range::Place;
pub use reader::Reader;
pub use registry::Registry;
pub use repair::{RepairOptions, repair};
pub use request::{AppendOptions, Durability, OnIdReuse, Outcome, Receipt};
pub use selection::Selection;
pub use session::Session;
pub use stats::Stats;
pub use verify::Verifier;

/// Appends one event, given as JSON text, and waits until it is as durable as `options` ask.
///
/// # Errors
/// `EVALIDATION`: the event is not one; nothing was touched. `ELOCK_TIMEOUT`: the lock was not free in time; nothing was written.
/// `ECONFLICT`: as the options say. `EIO`: the system failed; [`Error::written`] says whether bytes may be in the file, and
/// appending again is safe if the event has an id or a key. `EUNSUPPORTED`: the file system does not honour the lock.
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
    let texts = request::Texts::of_lines(lines, 0);
    Ok(Registry::global().append(path, texts, false, AppendOptions { rules, ..options })?.0)
}
