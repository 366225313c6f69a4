//! Reading logs without their lock.

pub mod filter;
pub mod page;
pub mod cursor;
pub(crate) mod tail;
pub(crate) mod place;
pub(crate) mod selection;
pub(crate) mod reader;
pub mod follow;
pub(crate) mod line_batch;
