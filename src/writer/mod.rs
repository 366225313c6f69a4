//! The writer of a log: from the queue of requests to receipts for durable bytes.
//!
//! The way of an append:
//!
//! ```text
//! Registry::submit              registry.rs       one writer for each path of a process
//!   RequestQueue::submit        append/queue.rs   in order, each with a deadline
//!
//! WriteJob::run                 write_job.rs      on a thread of the pool, one at a time
//!   gather, prepare             append/queue.rs   check events, compute ids: before the lock
//!   lock                        storage/locked_log.rs   the file that is at the path now
//!   catch up                    catch_up.rs       verify, then scan what others appended
//!   decide                      append/decide.rs  duplicate, conflict, or new
//!   write                       append_bytes.rs   one write(2) at the end of the file
//!   release, hand over
//!
//! SyncJob::run                  sync_job.rs       the same thread or another, one at a time
//!   sync                        one fdatasync for all batches written by then
//!   record                      ledger.rs         which bytes are durable now
//!   verify                      originals of duplicates that no sync made durable
//!   settle                      append/group.rs   receipts, or an error
//! ```
//!
//! The two jobs overlap: while the disk works on one batch the next is written. Every way out of a
//! job, a panic included, settles the requests that it holds.
//!
//! **Shared between processes**: the log, and its lock. Nothing else: no process informs another,
//! so each batch begins with a look at the file.
//!
//! **Local to the process**: the queue, the view of the log, the ledger. All of it may be lost, or
//! be older than the file. It trades work for time and never decides against the file.
//!
//! | type | owns | never |
//! | --- | --- | --- |
//! | `RequestQueue` | requests that wait, and their deadlines | touches a file |
//! | `WriteJob` | the descriptor and the view of the log | waits for the sync of a batch |
//! | `SyncJob` | the ledger, and batches that wait for a sync | takes the lock of the log |
//! | `Ledger` | the account of durable bytes of one descriptor | does I/O |
//! | `Registry` | the writers of a process | knows what is in a log |
//!
//! Two rare cases sync under the lock: a catch-up that verifies, and a write that is taken back.

mod append_bytes;
mod ledger;
mod sync_job;
mod catch_up;
mod write_job;
pub mod registry;
