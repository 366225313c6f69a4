//! The differences between systems, in one file for each kind of system.
//!
//! The folder owns opening, identity, owners and syncing of files, the page cache, the names of
//! errors, and the holders of locks. It decides nothing about logs.
//!
//! The files are in the order of dependence: `stat` and `retry` serve all systems, `unix` or
//! `windows` is the system's own part, `files` and `page_cache` build on either.

#[cfg(not(any(unix, windows)))]
compile_error!("sage-chronicle builds for Linux, macOS and Windows");

mod stat;
mod retry;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;
mod files;
mod page_cache;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

pub(crate) use files::{open_or_create, read_exact_at};
pub(crate) use page_cache::{data_from, drop_cached};
pub(crate) use retry::retry;
pub use stat::Stat;
