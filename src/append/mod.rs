//! Appends: what a caller asks, what it gets, and how many wait.

pub mod stats;
pub(crate) mod in_flight;
pub mod request;
pub(crate) mod batch;
