//! A machine in memory that fails on demand, and the processes that append on it.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test uses a part of it"
)]

mod fault;
mod image;
mod machine;
mod process;

pub use fault::{EIO, ENOSPC, Gate, Kind, Operation, Verdict, When};
pub use image::{Image, write_back};
pub use machine::{Crash, Machine, OTHER_NAME, PATH};
pub use process::{
    HANG, Pending, Process, alone, count_of, event, is_settled_by, line_of, log_path, named,
    options, os, seqs, settle, within, written,
};
