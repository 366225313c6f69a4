//! The bound on descriptors that writers keep open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::mutex::locked;

/// Writers that keep descriptors open: the log's, and the side index's for a long log. Those of
/// readers and of directories being synced come on top: together at most 256. Streams, follows and
/// sessions have their own.
const MAX_HOLDERS: usize = 96;

/// A writer that keeps a descriptor open between its batches.
pub(crate) trait HoldsDescriptor: Send + Sync {
    /// When the descriptor was used last.
    fn last_used(&self) -> Instant;
    /// Closes the descriptor if it was not used for `idle` and nothing needs it. Returns whether
    /// none is open.
    fn close_descriptor(&self, idle: Duration) -> bool;
}

/// The writers of a registry that hold a descriptor.
#[derive(Default)]
pub(crate) struct Descriptors {
    open: Mutex<Holders>,
}

#[derive(Default)]
struct Holders {
    holders: HashMap<u64, Weak<dyn HoldsDescriptor>>,
    count: u64,
}

/// The right to hold one descriptor, counted until this is dropped.
pub(crate) struct DescriptorLease {
    descriptors: Arc<Descriptors>,
    number: u64,
}

impl Drop for DescriptorLease {
    fn drop(&mut self) {
        locked(&self.descriptors.open).holders.remove(&self.number);
    }
}

impl Descriptors {
    /// Makes room for one more descriptor, which `holder` opens next, and counts it.
    pub(crate) fn lease(self: &Arc<Self>, holder: Weak<dyn HoldsDescriptor>) -> DescriptorLease {
        let (number, mut others, surplus) = {
            let mut open = locked(&self.open);
            let Holders { holders, count } = &mut *open;
            holders.retain(|_, holder| holder.strong_count() > 0);
            let surplus = (holders.len() + 1).saturating_sub(MAX_HOLDERS);
            let others: Vec<_> = if surplus > 0 {
                holders.values().filter_map(Weak::upgrade).collect()
            } else {
                Vec::new()
            };
            *count += 1;
            holders.insert(*count, holder);
            (*count, others, surplus)
        };
        // Cached: the times go on changing.
        others.sort_by_cached_key(|other| other.last_used());
        // Files that are busy cannot be closed; the next writer to open tries again.
        let closed = others.iter().filter(|other| other.close_descriptor(Duration::ZERO));
        closed.take(surplus).for_each(drop);
        DescriptorLease { descriptors: self.clone(), number }
    }

    /// Closes descriptors that were not used for `idle`, but not those of busy writers. Returns how
    /// many writers still hold one.
    pub(crate) fn close_unused(&self, idle: Duration) -> usize {
        let holders: Vec<_> =
            locked(&self.open).holders.values().filter_map(Weak::upgrade).collect();
        holders.iter().filter(|holder| !holder.close_descriptor(idle)).count()
    }
}
