//! Reads: pages of records, queries, cursors and follows.
//!
//! A read sees the file as it was when the read began, and whole records only. This folder never
//! takes the lock of a log and never writes to one. The one exception is the shared lock that a
//! follow tries before it leaves a replaced file.
//!
//! The order of the files, from the query to the walk:
//!
//! - `filter`: which records a query wants;
//! - `page`: what one call returns;
//! - `cursor`: a saved place;
//! - `tail`: the start of the last n records;
//! - `place`: a place that a caller names, and its offset in a file;
//! - `selection`: the picking of records out of lines;
//! - `reader`: one read;
//! - `follow`: a read that goes on with what is appended;
//! - `line_batch`: a follow by whole lines.

pub mod filter;
pub mod page;
pub mod cursor;
pub(crate) mod tail;
pub(crate) mod place;
pub(crate) mod selection;
pub(crate) mod reader;
pub mod follow;
pub(crate) mod line_batch;
