//! Files as the log needs them: their bytes, their lock, and which of their bytes are durable.
//!
//! [`disk`] has the traits: everything above names files only through them. [`file`] implements
//! them for real files, [`memory`] for tests of users. [`locked_log`] is the one way to the lock of
//! the file that is at a path. [`syncs`] and [`durable_ranges`] are accounts without I/O.

pub(crate) mod syncs;
pub(crate) mod folder;
pub(crate) mod lock;
pub(crate) mod lock_timeout;
pub(crate) mod disk;
pub(crate) mod file;
pub(crate) mod locked_log;
pub(crate) mod descriptors;
pub(crate) mod memory;
pub(crate) mod durable_ranges;
pub(crate) mod synced;

pub(crate) use crate::os::Stat;
pub(crate) use disk::*;
pub(crate) use file::*;
pub(crate) use folder::Former;
