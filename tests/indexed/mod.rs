//! Logs with side indexes, and the processes that append to them.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test uses a part of it")]

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sage_chronicle::internals::storage::{Disk, FileDisk, LogLock, OpenFile, Stat, Storage};
use sage_chronicle::{AppendOptions, ChroniclePath, Receipt, Registry, Result};

pub const EVENTS: u64 = 6_000;

/// Whether tests run in full size, as they do in `.ci/run`.
pub fn is_long() -> bool {
    std::env::var("CHRONICLE_LONG").is_ok_and(|value| value == "1")
}

/// Real files whose reads are counted.
struct CountingDisk(Counts);

#[derive(Clone, Default)]
struct Counts {
    read: Arc<AtomicU64>,
    /// Reads while the lock was held.
    under_lock: Arc<AtomicU64>,
}

struct CountingStorage {
    file: OpenFile,
    counts: Counts,
    is_locked: Arc<AtomicBool>,
}

/// A lock that shows whether it is held.
struct ShownLock {
    file: OpenFile,
    is_locked: Arc<AtomicBool>,
}

impl Storage for CountingStorage {
    fn stat(&self) -> io::Result<Stat> {
        self.file.stat()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.file.read_at(buffer, offset)?;
        self.counts.read.fetch_add(count as u64, Ordering::Relaxed);
        if self.is_locked.load(Ordering::Relaxed) {
            self.counts.under_lock.fetch_add(count as u64, Ordering::Relaxed);
        }
        Ok(count)
    }
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
    fn drop_cached(&self, range: Range<u64>) -> io::Result<bool> {
        self.file.drop_cached(range)
    }
}

impl LogLock for ShownLock {
    fn try_lock(&self) -> io::Result<bool> {
        let got_it = self.file.lock().try_lock()?;
        self.is_locked.store(got_it, Ordering::Relaxed);
        Ok(got_it)
    }
    fn try_lock_shared(&self) -> io::Result<bool> {
        self.file.lock().try_lock_shared()
    }
    fn unlock(&self) -> io::Result<()> {
        self.is_locked.store(false, Ordering::Relaxed);
        self.file.lock().unlock()
    }
}

impl Disk for CountingDisk {
    fn beneath(&self) -> Option<&dyn Disk> {
        Some(&FileDisk)
    }
    fn open(&self, path: &Path) -> Result<OpenFile> {
        let (file, counts) = (FileDisk.open(path)?, self.0.clone());
        let is_locked = Arc::<AtomicBool>::default();
        let lock = ShownLock { file: file.clone(), is_locked: is_locked.clone() };
        let storage = CountingStorage { file, counts, is_locked };
        Ok(OpenFile::of_parts(Arc::new(storage), Arc::new(lock), Arc::default()))
    }
}

/// A separate process, from the log's point of view.
pub struct Process {
    pub registry: Arc<Registry>,
    counts: Counts,
}

impl Process {
    pub fn new() -> Self {
        let counts = Counts::default();
        Process { registry: Registry::new(Arc::new(CountingDisk(counts.clone()))), counts }
    }

    /// Bytes of logs that were read while their locks were held.
    pub fn read_under_lock(&self) -> u64 {
        self.counts.under_lock.load(Ordering::Relaxed)
    }

    pub fn append(&self, log: &ChroniclePath, events: Range<u64>) -> Vec<Receipt> {
        let texts: Vec<_> = events.map(event).collect();
        self.registry.append(log, texts, false, AppendOptions::default()).unwrap().0
    }

    /// The receipt of an event that the log already has, and the bytes of the log that were read
    /// for it.
    pub fn again(&self, log: &ChroniclePath, n: u64) -> (Receipt, u64) {
        self.again_with(log, n, AppendOptions::default())
    }

    pub fn again_with(
        &self,
        log: &ChroniclePath,
        n: u64,
        options: AppendOptions,
    ) -> (Receipt, u64) {
        let before = self.counts.read.load(Ordering::Relaxed);
        let (mut receipts, _) = self.registry.append(log, event(n), false, options).unwrap();
        (receipts.remove(0), self.counts.read.load(Ordering::Relaxed) - before)
    }
}

pub fn event(n: u64) -> Vec<u8> {
    let filler = "x".repeat(100);
    format!(
        r#"{{"type":"NOTE","timestamp":"2026-01-01T00:00:00Z","actor":{{"agent":"a","id":"b"}},"n":{n},"text":"{filler}"}}"#
    )
    .into_bytes()
}

/// A log with a side index, made by a process that is gone.
pub fn indexed_log(folder: &Path) -> (ChroniclePath, Vec<Receipt>, PathBuf) {
    let log = ChroniclePath::parse(folder.join("long.sage").to_str().unwrap()).unwrap();
    let receipts = Process::new().append(&log, 0..EVENTS);
    let index = folder.join(".long.sage.chronicle-index");
    wait_for(|| index.exists());
    (log, receipts, index)
}

/// The index is made in the background, without any signal.
pub fn wait_for(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "nothing happened for a minute");
        std::thread::yield_now();
    }
}

pub fn log_length(log: &ChroniclePath) -> u64 {
    std::fs::metadata(log.as_path()).unwrap().len()
}
