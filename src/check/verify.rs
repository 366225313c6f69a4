//! The check of every line and every record of a log.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::IntoIter;

pub use crate::check::finding::{Finding, FindingKind, Progress};
use crate::check::line_check::LineChecker;
use crate::check::order_check::{CheckedLines, OrderChecker};
use crate::check::seen_ids::IdHasher;
use crate::error::Result;
use crate::mutex::locked;
use crate::path::ChroniclePath;
use crate::record::classify::MAX_LINE_BYTES;
use crate::record::classify::{self, Tail};
use crate::record::lines::{self, LineReader};
use crate::storage::{Disk, FileDisk, OpenFile, Storage, cannot_read, is_cut, read_exact_at};
use crate::threads::pool;

/// Bytes checked at a time, about: the work of two threads for some milliseconds. The first chunks
/// are shorter.
const CHUNK_BYTES: usize = 4 << 20;
/// Bytes of findings returned at a time, about. JavaScript parses them in one piece.
const MAX_FINDINGS_BYTES: usize = 256 << 10;
/// Bytes checked at a time while nearly each line has a finding.
const SHORT_CHUNK_BYTES: usize = 64 << 10;
/// Bytes of lines that a thread checks before it takes the next part.
const PART_BYTES: usize = 64 << 10;

/// Checks a log up to its end at the start of the check, chunk by chunk.
///
/// The check keeps 16 to 52 bytes for each id and key, and nothing else that grows with the file.
/// It never writes. It takes a lock only for a moment, where the file ends with a torn tail.
///
/// Three stages work at the same time, each on another chunk: reading, checking each line by
/// itself, and checking the order of records. So the two threads wait for each other only at the
/// end of a chunk. With one stage after the other, the second thread was idle for a third of the
/// time.
pub struct Verifier {
    stages: Arc<Stages>,
    /// The chunk that was read.
    read: Option<VerifyChunk>,
    /// The chunk whose lines were checked.
    lines_checked: Option<(VerifyChunk, Vec<CheckedLines>)>,
    /// The chunk whose order was checked. Its memory is used again.
    order_checked: Option<Arc<(VerifyChunk, Vec<CheckedLines>)>>,
    is_read: bool,
    /// Findings that are not returned yet, and the progress at their end.
    remaining: Option<(Progress, IntoIter<Finding>)>,
}

struct Stages {
    /// `None` without a file, and once the check has ended.
    storage: Mutex<Option<OpenFile>>,
    lines: Mutex<LineReader>,
    /// Bytes to read at a time, at most: few for the first chunk, and while there are many
    /// findings.
    chunk_bytes: AtomicUsize,
    /// Memory for the next chunk.
    spare: Mutex<Vec<u8>>,
    id_hasher: IdHasher,
    /// Each thread takes one checker for a part, with its buffers and templates.
    checkers: Mutex<Vec<LineChecker>>,
    order: Mutex<OrderChecker>,
}

/// A chunk of the file.
#[derive(Clone)]
struct VerifyChunk {
    offset: u64,
    what: ChunkContent,
    /// The file is checked up to this offset once the chunk is.
    end: u64,
    is_last: bool,
}

#[derive(Clone)]
enum ChunkContent {
    /// Whole lines, the last of which may lack its newline: the bytes from `offset` to `end`, and
    /// unused bytes behind them.
    Lines(Arc<Vec<u8>>),
    TooLong {
        length: u64,
    },
    Torn {
        length: u64,
        nul: bool,
    },
    /// The end of a truncated file.
    Truncated,
}

enum VerifyTask {
    CheckOrder,
    Read,
    CheckLines(Range<usize>),
}

enum TaskResult {
    OrderChecked(Result<Progress>),
    Read(Result<VerifyChunk>),
    LinesChecked(CheckedLines),
}

impl Verifier {
    /// Opens the log. A log that does not exist is empty.
    ///
    /// # Errors
    /// `EVALIDATION` for anything but a regular file, `EIO`.
    pub fn open(path: &ChroniclePath) -> Result<Verifier> {
        Self::open_on(&FileDisk, path)
    }

    pub(crate) fn open_on(disk: &dyn Disk, path: &ChroniclePath) -> Result<Verifier> {
        let storage = disk.open_for_reading(path.as_path())?;
        let stat = storage.as_ref().map(|storage| storage.stat()).transpose();
        let total = stat
            .map_err(|error| cannot_read(path.as_path(), "fstat", error))?
            .map_or(0, |stat| stat.length);
        let progress = Progress { ok: true, total, ..Progress::default() };
        let stages = Stages {
            storage: Mutex::new(storage),
            lines: Mutex::new(LineReader::new(0, total)),
            chunk_bytes: AtomicUsize::new(SHORT_CHUNK_BYTES),
            spare: Mutex::default(),
            id_hasher: IdHasher::new(),
            checkers: Mutex::default(),
            order: Mutex::new(OrderChecker::new(progress)),
        };
        Ok(Verifier {
            stages: Arc::new(stages),
            read: None,
            lines_checked: None,
            order_checked: None,
            is_read: false,
            remaining: None,
        })
    }

    /// Checks some MiB, or one longer line. Returns the progress and the new findings.
    ///
    /// # Errors
    /// `EIO`.
    pub fn next_page(&mut self, path: &ChroniclePath) -> Result<Progress> {
        if let Some(progress) = self.next_findings() {
            return Ok(progress);
        }
        while locked(&self.stages.storage).is_some() {
            if let Some(progress) = self.step(path)? {
                if progress.done {
                    self.close();
                }
                let Progress { findings, .. } = progress;
                let progress = Progress { findings: Vec::new(), ..progress };
                self.remaining = Some((progress.clone(), findings.into_iter()));
                return Ok(self.next_findings().unwrap_or(progress));
            }
        }
        let mut order = locked(&self.stages.order);
        order.progress.findings.clear();
        order.progress.done = true;
        Ok(order.progress.clone())
    }

    /// The next findings that were not returned, up to the bound of one return.
    fn next_findings(&mut self) -> Option<Progress> {
        let (progress, left) = self.remaining.as_mut()?;
        let mut findings = Vec::new();
        let mut weight = 0;
        while weight < MAX_FINDINGS_BYTES
            && let Some(finding) = left.next()
        {
            weight += finding.weight();
            findings.push(finding);
        }
        let is_last = left.len() == 0;
        let done = progress.done && is_last;
        let progress = Progress { findings, done, ..progress.clone() };
        if is_last {
            self.remaining = None;
        }
        Some(progress)
    }

    /// Runs each stage once. Returns `None` until the first chunk has passed all stages.
    fn step(&mut self, path: &ChroniclePath) -> Result<Option<Progress>> {
        let read = self.read.take();
        let bytes = match &read {
            Some(VerifyChunk { what: ChunkContent::Lines(bytes), .. }) => bytes.clone(),
            _ => Arc::default(),
        };
        let length = read.as_ref().map_or(0, |chunk| chunk.end.saturating_sub(chunk.offset));
        let length = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        let lines_checked = self.lines_checked.take().map(Arc::new);
        let order_checked = lines_checked.clone();
        // Long tasks first, so that both threads end at the same time.
        let mut tasks = Vec::new();
        tasks.extend(lines_checked.is_some().then_some(VerifyTask::CheckOrder));
        tasks.extend((!self.is_read).then_some(VerifyTask::Read));
        let whole = bytes.get(..length).unwrap_or_default();
        tasks.extend(lines::parts_of(whole, PART_BYTES).into_iter().map(VerifyTask::CheckLines));
        let (stages, path) = (self.stages.clone(), path.clone());
        let done = pool::parallel_map(tasks.len(), move |number| {
            match (tasks.get(number), lines_checked.as_deref()) {
                (Some(VerifyTask::CheckOrder), Some((chunk, checked_lines))) => {
                    TaskResult::OrderChecked(stages.check(chunk, checked_lines, &path))
                }
                (Some(VerifyTask::CheckLines(part)), _) => {
                    TaskResult::LinesChecked(stages.check_part(&bytes, part.clone()))
                }
                _ => TaskResult::Read(stages.read(&path)),
            }
        });
        let mut checked_lines = Vec::new();
        let mut checked = None;
        for done in done {
            match done {
                TaskResult::OrderChecked(progress) => checked = Some(progress?),
                TaskResult::Read(chunk) => {
                    let chunk = chunk?;
                    self.is_read = chunk.is_last;
                    self.read = Some(chunk);
                }
                TaskResult::LinesChecked(part) => checked_lines.push(part),
            }
        }
        self.lines_checked = read.map(|chunk| (chunk, checked_lines));
        // The system does not have to clear memory that is used again. The other thread may still
        // read the chunk that was just checked, but not the one before.
        let before =
            std::mem::replace(&mut self.order_checked, order_checked).and_then(Arc::into_inner);
        if let Some((VerifyChunk { what: ChunkContent::Lines(bytes), .. }, _)) = before {
            *locked(&self.stages.spare) = Arc::into_inner(bytes).unwrap_or_default();
        }
        Ok(checked)
    }

    /// Closes the file, even if the other thread still holds the last chunk, and frees the table of
    /// ids.
    fn close(&mut self) {
        locked(&self.stages.storage).take();
        locked(&self.stages.order).forget_ids();
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.close();
    }
}

impl Stages {
    fn storage(&self) -> io::Result<OpenFile> {
        locked(&self.storage).clone().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn read(&self, path: &ChroniclePath) -> Result<VerifyChunk> {
        let mut lines = locked(&self.lines);
        let chunk = self.storage().and_then(|storage| {
            let (offset, length, is_last) = match lines.next(&*storage)? {
                lines::LineChunk::TooLong { offset, length } => {
                    let (what, end) = (ChunkContent::TooLong { length }, offset + length + 1);
                    return Ok(VerifyChunk { offset, what, end, is_last: false });
                }
                lines::LineChunk::Whole { offset, bytes } => (offset, bytes.len() as u64, false),
                lines::LineChunk::Tail { offset, bytes, length } => {
                    let end = offset + length;
                    if let Tail::Torn { nul } = classify_tail(bytes, length) {
                        let what = ChunkContent::Torn { length, nul };
                        return Ok(VerifyChunk { offset, what, end, is_last: true });
                    }
                    (offset, length, true)
                }
            };
            lines.lengthen(self.chunk_bytes.load(Ordering::Relaxed));
            let spare = std::mem::take(&mut *locked(&self.spare));
            let what = ChunkContent::Lines(Arc::new(lines.take(spare)));
            Ok(VerifyChunk { offset, what, end: offset + length, is_last })
        });
        match chunk {
            Err(error) if is_cut(&error) => {
                Ok(VerifyChunk { offset: 0, what: ChunkContent::Truncated, end: 0, is_last: true })
            }
            chunk => chunk.map_err(|error| cannot_read(path.as_path(), "pread", error)),
        }
    }

    fn check_part(&self, bytes: &[u8], part: Range<usize>) -> CheckedLines {
        let known = locked(&self.checkers).pop();
        let mut checker = known.unwrap_or_else(|| LineChecker::new(self.id_hasher));
        let checked_lines = checker.check_lines(bytes, part);
        locked(&self.checkers).push(checker);
        checked_lines
    }

    fn check(
        &self,
        chunk: &VerifyChunk,
        checked_lines: &[CheckedLines],
        path: &ChroniclePath,
    ) -> Result<Progress> {
        let mut order = locked(&self.order);
        order.progress.findings.clear();
        match &chunk.what {
            ChunkContent::Lines(bytes) => order.check_lines(bytes, checked_lines, chunk.offset),
            ChunkContent::TooLong { length } => order.add_too_long(chunk.offset, *length),
            ChunkContent::Torn { length, nul } => {
                let stays = self
                    .storage()
                    .and_then(|storage| stays_torn(&storage, chunk.offset, *length))
                    .map_err(|error| cannot_read(path.as_path(), "pread", error))?;
                order.add_torn(chunk.offset, *length, *nul, stays);
            }
            ChunkContent::Truncated => {}
        }
        let progress = &mut order.progress;
        progress.bytes = progress.bytes.max(chunk.end);
        progress.done = chunk.is_last;
        let findings = std::mem::take(&mut progress.findings);
        let weight: usize = findings.iter().map(Finding::weight).sum();
        let is_heavy = weight > MAX_FINDINGS_BYTES;
        self.chunk_bytes
            .store(if is_heavy { SHORT_CHUNK_BYTES } else { CHUNK_BYTES }, Ordering::Relaxed);
        Ok(Progress { findings, ..progress.clone() })
    }
}

/// `bytes` are also empty if the tail is too long to be a record.
fn classify_tail(bytes: &[u8], length: u64) -> Tail<'_> {
    if length > bytes.len() as u64 {
        Tail::Torn { nul: false }
    } else {
        classify::classify_tail(bytes)
    }
}

/// Whether the tail is torn while no writer holds the lock. With a writer, the tail is an append
/// under way, or one that has ended since.
fn stays_torn(file: &OpenFile, offset: u64, length: u64) -> io::Result<bool> {
    match file.lock().try_lock_shared() {
        Ok(true) => {
            let is_torn = is_still_torn(&**file, offset, length);
            file.lock().unlock()?;
            is_torn
        }
        Ok(false) => Ok(false),
        // Without locks, no writer holds one.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            is_still_torn(&**file, offset, length)
        }
        Err(error) => Err(error),
    }
}

fn is_still_torn(storage: &dyn Storage, offset: u64, length: u64) -> io::Result<bool> {
    if storage.stat()?.length != offset + length {
        return Ok(false);
    }
    if length > MAX_LINE_BYTES as u64 {
        return Ok(true);
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    match read_exact_at(storage, &mut bytes, offset) {
        Ok(()) => Ok(matches!(classify::classify_tail(&bytes), Tail::Torn { .. })),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
