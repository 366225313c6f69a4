//! Files as the log needs them: what is asked of one, the lock, syncs and what they prove.

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
