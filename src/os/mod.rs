//! What differs between systems, in one file for each kind of them. Nothing here decides anything
//! about logs.

#[cfg(not(any(unix, windows)))]
compile_error!("sage-chronicle builds for Linux, macOS and Windows");

mod stat;
mod retry;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;
mod files;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

pub(crate) use files::{open_or_create, read_exact_at};
pub(crate) use retry::retry;
pub use stat::Stat;
