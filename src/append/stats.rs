//! Counters of the process, and a histogram of its waits for locks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

/// Upper bounds of the buckets, in milliseconds. One more bucket counts longer waits.
const BUCKET_BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) appends: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) syncs: AtomicU64,
    lock_wait: Waits,
}

#[derive(Default)]
struct Waits {
    total: AtomicU64,
    longest: AtomicU64,
    buckets: [AtomicU64; BUCKET_BOUNDS_MS.len() + 1],
}

/// The counters of a process at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stats {
    /// Events that were written and acknowledged.
    pub appends: u64,
    /// Events that were acknowledged as duplicates.
    pub duplicates: u64,
    /// Batches that were written.
    pub batches: u64,
    /// Syncs of logs, failed ones included.
    pub syncs: u64,
    /// Appends that are not settled.
    pub pending: usize,
    /// The bytes of the events of these appends.
    pub pending_bytes: usize,
    /// Waits for the lock, one for each acquisition.
    pub lock_wait: Histogram,
}

/// Durations, counted by length.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Histogram {
    /// Number of durations.
    pub count: u64,
    /// Sum of the durations in milliseconds.
    pub total_ms: f64,
    /// The longest duration in milliseconds.
    pub max_ms: f64,
    /// Each bucket counts durations above the bound of the bucket before and not above its own.
    pub buckets: Vec<Bucket>,
}

/// A bucket of a [`Histogram`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    /// Upper bound in milliseconds; `None` for the last bucket.
    pub le_ms: Option<u64>,
    /// Number of durations in the bucket.
    pub count: u64,
}

impl Counters {
    /// Records one wait for a lock.
    pub(crate) fn waited(&self, wait: Duration) {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.lock_wait.total.fetch_add(micros, Ordering::Relaxed);
        self.lock_wait.longest.fetch_max(micros, Ordering::Relaxed);
        let at = BUCKET_BOUNDS_MS.partition_point(|bound| bound * 1000 < micros);
        if let Some(bucket) = self.lock_wait.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads the counters.
    pub(crate) fn read(&self, pending: usize, pending_bytes: usize) -> Stats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Waits { total, longest, buckets } = &self.lock_wait;
        let bounds = BUCKET_BOUNDS_MS.into_iter().map(Some).chain([None]);
        let buckets: Vec<Bucket> = bounds
            .zip(buckets)
            .map(|(le_ms, bucket)| Bucket { le_ms, count: of(bucket) })
            .collect();
        Stats {
            appends: of(&self.appends),
            duplicates: of(&self.duplicates),
            batches: of(&self.batches),
            syncs: of(&self.syncs),
            pending,
            pending_bytes,
            lock_wait: Histogram {
                count: buckets.iter().map(|bucket| bucket.count).sum(),
                total_ms: milliseconds(of(total)),
                max_ms: milliseconds(of(longest)),
                buckets,
            },
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "nobody waits for 285 years")]
fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_counted_in_the_first_bucket_that_is_not_shorter() {
        let counters = Counters::default();
        for micros in [0, 1000, 1001, 5_000_000, 5_000_001] {
            counters.waited(Duration::from_micros(micros));
        }
        let wait = counters.read(3, 4).lock_wait;
        let counts: Vec<_> =
            wait.buckets.iter().map(|bucket| (bucket.le_ms, bucket.count)).collect();
        assert_eq!(counts[..3], [(Some(1), 2), (Some(2), 1), (Some(5), 0)]);
        assert_eq!(counts[11..], [(Some(5000), 1), (None, 1)]);
        assert_eq!((wait.count, wait.max_ms, wait.total_ms), (5, 5000.001, 10_002.002));
    }
}
