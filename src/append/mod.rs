//! Appends: the options, the request, the receipt, and the decisions of a batch.
//!
//! This folder checks events and decides which of them are duplicates. It never opens or writes a
//! file: `writer` and `session` carry requests out.
//!
//! The order of the files: counters of the process (`stats`), counts of unsettled requests
//! (`in_flight`), one append (`request`), and the decisions for one write (`batch`). Then what all
//! appends of a process share (`process`), and the requests that wait (`queue`). Last how one
//! request of a batch ends (`group`), and the look-ups for all of them (`decide`).

pub mod stats;
pub(crate) mod in_flight;
pub mod request;
pub(crate) mod batch;
pub(crate) mod process;
pub(crate) mod queue;
pub(crate) mod group;
pub(crate) mod decide;
