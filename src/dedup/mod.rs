//! What the log already has: the records of a log by their ids, in memory and in the side index.

pub(crate) mod lookup;
pub(crate) mod table;
pub(crate) mod scan_state;
pub(crate) mod chunk_summary;
pub(crate) mod parallel_scan;
pub(crate) mod sorted_run;
pub(crate) mod index_file;
pub(crate) mod log_view;
pub(crate) mod builder;
