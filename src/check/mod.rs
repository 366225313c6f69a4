//! What a log is like, and what is wrong with it.

pub(crate) mod seen_ids;
pub(crate) mod line_check;
pub mod verify;
pub mod analyze;
