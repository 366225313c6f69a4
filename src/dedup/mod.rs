//! What a log already has: its records by their ids, in memory and in the side index.
//!
//! The folder owns the table of ids, the scan of a log, and the side index. It never writes into
//! the log.
//!
//! Processes share one thing here, the side index: a file beside the log, changed only under a lock
//! of its own. Everything else is local to the process: the table, the scan state, the record
//! numbers and the filters of blocks.
//!
//! Neither is ever trusted against the log. A catch-up under the lock comes first, and each hit is
//! read in the log before it counts. A side index that is damaged, foreign or missing costs time:
//! the log is scanned instead. So this folder may only trade speed, never correctness.
//!
//! The files are in the order of dependence. First one record (`lookup`), the table and the scan
//! (`scan_state`, `chunk_summary`, `parallel_scan`). Then the index file (`sorted_run`,
//! `index_file`), the writer's view of it all (`log_view`), and the building of an index.

pub(crate) mod lookup;
pub(crate) mod table;
pub(crate) mod scan_state;
pub(crate) mod chunk_summary;
pub(crate) mod parallel_scan;
pub(crate) mod sorted_run;
pub(crate) mod index_file;
pub(crate) mod log_view;
pub(crate) mod builder;
