//! Checks of a whole log: its faults, line by line (`verify`), and its contents (`analyze`).
//!
//! A check reads the file as it was when the check began. It never writes. It takes no lock, except
//! a shared one for a moment where the file ends with a torn tail.
//!
//! The order of the files:
//!
//! - `finding`: findings and progress;
//! - `seen_ids`: a table of ids;
//! - `line_check`: the check of one line;
//! - `order_check`: the check of the order of records;
//! - `verify`: the whole check;
//! - `analyze`: the counts.

pub(crate) mod finding;
pub(crate) mod seen_ids;
pub(crate) mod line_check;
pub(crate) mod order_check;
pub mod verify;
pub mod analyze;
