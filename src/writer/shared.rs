//! What all writers of a registry share: the disk and the bound on descriptors; and what all registries of a process do: the count of
//! what is pending, and what was learnt of the file systems.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::append::in_flight::{Parity, Pending};
use crate::append::stats::{Counters, Stats};
use crate::error::{Error, Written};
use crate::mutex::locked;
use crate::os;
use crate::storage::Disk;
use crate::writer::Writer;

/// Bytes of events that may wait in a process.
const MAX_PENDING: usize = 256 << 20;
/// Writers that keep descriptors open: the log's, and the side index's for a long log. Those of readers and of directories
/// being synced come on top: together at most 256.
const MAX_OPEN: usize = 96;
/// A descriptor unused for so long is closed.
const IDLE: Duration = Duration::from_secs(3);
/// What was learnt of a file system is believed for so long.
const HONOURED_FOR: Duration = Duration::from_secs(10);

pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    common: Arc<Common>,
    /// Writers that hold a descriptor, by address.
    open: Mutex<HashMap<usize, Weak<Writer>>>,
}

/// What the registries of a process share.
struct Common {
    counters: Counters,
    pending: Arc<Pending>,
    /// Files whose lock is waited for: the more, the less often each is tried.
    waiting: AtomicUsize,
    /// The next pause's spread, another one in each process.
    spread: AtomicU64,
    /// File systems whose lock was tried with a second descriptor, and what came of it.
    honoured: Mutex<HashMap<u64, Learnt>>,
    warned: Mutex<HashMap<u64, ()>>,
}

/// Whether a file system keeps a second descriptor out, and when that was tried.
struct Learnt {
    honours: bool,
    at: Instant,
}

impl Learnt {
    /// The number of a device without a disk returns for another file system after an unmount.
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < HONOURED_FOR
    }
}

impl Shared {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        let seed = u64::from(std::process::id()).wrapping_mul(0x2545_f491_4f6c);
        let common = Arc::new(Common {
            counters: Counters::default(),
            pending: Arc::default(),
            waiting: AtomicUsize::new(0),
            spread: AtomicU64::new(seed),
            honoured: Mutex::default(),
            warned: Mutex::default(),
        });
        Shared { disk, common, open: Mutex::default() }
    }

    /// The same over another disk: one count of what is pending.
    pub(crate) fn with_disk(&self, disk: Arc<dyn Disk>) -> Self {
        Shared { disk, common: self.common.clone(), open: Mutex::default() }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.common.counters
    }

    pub(crate) fn stats(&self) -> Stats {
        let (requests, bytes) = self.common.pending.now();
        self.common.counters.read(requests, bytes)
    }

    /// Counts a file whose lock is waited for in, or out.
    pub(crate) fn waits(&self, waits: bool) {
        if waits {
            self.common.waiting.fetch_add(1, Ordering::Relaxed);
        } else {
            self.common.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Counts a request in, unless too much is pending.
    pub(crate) fn admit(&self, bytes: usize) -> Result<(Arc<Pending>, Parity), Error> {
        if let Some(parity) = self.common.pending.admit(bytes, MAX_PENDING) {
            return Ok((self.common.pending.clone(), parity));
        }
        let cause = os::no_buffers();
        let message = format!("more than {} MiB of events are pending", MAX_PENDING >> 20);
        Err(Error::io(message, "append", cause).with_written(Written::No))
    }

    /// Waits until all that is pending at the call is settled; false when some of it is not after `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        self.common.pending.wait(timeout)
    }

    /// Makes room for one more descriptor and counts it to `writer`.
    pub(crate) fn opening(&self, writer: &Arc<Writer>) {
        let (mut others, surplus) = {
            let mut open = locked(&self.open);
            open.insert(address(writer), Arc::downgrade(writer));
            open.retain(|_, writer| writer.strong_count() > 0);
            let surplus = open.len().saturating_sub(MAX_OPEN);
            let others = if surplus > 0 {
                open.values().filter_map(Weak::upgrade).collect()
            } else {
                Vec::new()
            };
            (others, surplus)
        };
        others.retain(|other| !Arc::ptr_eq(other, writer));
        // Cached: the times go on changing.
        others.sort_by_cached_key(|other| other.last_used());
        // Files that are busy cannot be closed; the next one to open tries again.
        let closed = others.iter().filter(|other| other.close_descriptor(Duration::ZERO));
        closed.take(surplus).for_each(drop);
    }

    /// `writer` has no descriptor any more.
    pub(crate) fn closed(&self, writer: &Writer) {
        locked(&self.open).remove(&(std::ptr::from_ref(writer) as usize));
    }

    /// Closes descriptors that were not used for a while. Returns how many writers still hold one.
    pub(crate) fn close_idle(&self) -> usize {
        self.close_unused_for(IDLE)
    }

    /// Closes all descriptors, but of busy writers.
    pub(crate) fn close_all(&self) {
        self.close_unused_for(Duration::ZERO);
    }

    fn close_unused_for(&self, idle: Duration) -> usize {
        let open: Vec<Arc<Writer>> =
            locked(&self.open).values().filter_map(Weak::upgrade).collect();
        open.iter().filter(|writer| !writer.close_descriptor(idle)).count()
    }

    /// How long to wait before the lock is tried again: 200 us at first, when its holder is in the middle of one batch, doubled
    /// up to 8 ms. Trying more often makes everybody wait longer, because the tries of a hundred processes take
    /// the processors from whoever holds the lock: with a most of 0.5 ms their appends took twice as long and the
    /// slowest three times. Bounded also by what the threads can do when thousands of files wait.
    pub(crate) fn pause(&self, attempts: u32) -> Duration {
        let micros = (200_u64 << attempts.min(10)).min(8000);
        let files = u64::try_from(self.common.waiting.load(Ordering::Relaxed)).unwrap_or(u64::MAX);
        let base = micros.max(files.saturating_mul(50));
        // Spread by a quarter each way, so that waiting processes do not try in step.
        let spread = self.common.spread.fetch_add(0x9e37_79b9, Ordering::Relaxed) % (base / 2 + 1);
        Duration::from_micros(base * 3 / 4 + spread)
    }

    /// Whether the file system of `device` keeps a second descriptor out. `test` is asked until it says yes, or somebody is sure
    /// of the no.
    pub(crate) fn honours_lock(
        &self,
        device: u64,
        test: impl FnOnce() -> std::io::Result<bool>,
    ) -> std::io::Result<bool> {
        if let Some(known) = locked(&self.common.honoured).get(&device)
            && known.is_fresh(Instant::now())
        {
            return Ok(known.honours);
        }
        let honours = test()?;
        if honours {
            self.learn(device, honours);
        }
        Ok(honours)
    }

    fn learn(&self, device: u64, honours: bool) {
        let at = Instant::now();
        let mut honoured = locked(&self.common.honoured);
        honoured.retain(|_, known| known.is_fresh(at));
        honoured.insert(device, Learnt { honours, at });
    }

    /// The file system of `device` surely does not keep a second descriptor out.
    pub(crate) fn refuse(&self, device: u64) {
        self.learn(device, false);
    }

    /// Whether this is the first warning about `device`.
    pub(crate) fn first_warning(&self, device: u64) -> bool {
        locked(&self.common.warned).insert(device, ()).is_none()
    }
}

fn address(writer: &Arc<Writer>) -> usize {
    Arc::as_ptr(writer) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryDisk;

    #[test]
    fn what_was_learnt_of_a_file_system_is_tried_again_after_a_while() {
        let shared = Shared::new(Arc::new(MemoryDisk::default()));
        let honours = |device, now| shared.honours_lock(device, || Ok(now)).unwrap();
        assert!(honours(1, true) && honours(1, false));
        // A no is remembered only by the caller that is sure of it.
        assert!(!honours(2, false) && honours(2, true));
        shared.refuse(3);
        assert!(!honours(3, true));
        for known in locked(&shared.common.honoured).values_mut() {
            known.at = known.at.checked_sub(HONOURED_FOR).unwrap();
        }
        assert!(!honours(1, false) && honours(3, true));
        assert_eq!(locked(&shared.common.honoured).len(), 1);
    }
}
