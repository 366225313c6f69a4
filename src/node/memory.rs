//! Logs in memory, for tests.

use std::sync::Arc;

use napi_derive::napi;

use crate::storage::memory::MemoryDisk;
use crate::storage::{Disk, FileDisk};
use crate::writer::registry::Registry;

/// A tree of files in memory, and its writers.
#[napi]
pub struct Memory {
    disk: Arc<MemoryDisk>,
    registry: Arc<Registry>,
}

#[napi]
impl Memory {
    /// An empty tree.
    #[napi(constructor, catch_unwind)]
    #[allow(clippy::new_without_default, reason = "only JavaScript makes one")]
    pub fn new() -> Memory {
        let disk = Arc::new(MemoryDisk::default());
        Memory { registry: Registry::new(disk.clone()), disk }
    }
}

/// The disk of a tree in memory, or the real disk.
pub(super) fn disk_of(memory: Option<&Memory>) -> Arc<dyn Disk> {
    memory.map_or_else(|| Arc::new(FileDisk) as Arc<dyn Disk>, |memory| memory.disk.clone())
}

/// The writers of the disk.
pub(super) fn registry_of(memory: Option<&Memory>) -> &Arc<Registry> {
    match memory {
        Some(memory) => &memory.registry,
        None => Registry::global(),
    }
}
