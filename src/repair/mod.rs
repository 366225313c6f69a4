//! Repairs: a log is rewritten without its faults, and nothing is lost. The removed lines and the
//! old file stay on the disk.
//!
//! 1. Plan, without the lock.
//! 2. Take the lock.
//! 3. Copy what stays to a new file, and sync the file.
//! 4. Give the old file a second name.
//! 5. Rename the new file over the log, and release the lock.
//!
//! The plan made before the lock decides only whether a rewrite is needed. The copy decides again
//! about each line. The log itself is never written to.
//!
//! The order of the files: the decisions (`plan`), the new file and its names (`replacement`), and
//! the scans (`copy`).

pub mod plan;
mod replacement;
mod copy;

use std::fmt::Write;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Code, Error, Result, Written};
use crate::os;
use crate::path::{ChroniclePath, side_file};
use crate::record::lines::LineReader;
use crate::repair::copy::{LockedLog, LogCopy, plan_on};
use crate::repair::plan::{Mode, Plan, RemovedKind, RemovedLine, TimeOrder};
use crate::repair::replacement::{IoFailure, IoResult};
use crate::storage::locked_log::{self, AcquireOutcome, CountedWaiter, LockContext, Reopens};
use crate::storage::{self, Disk, FileDisk, FileStorage, OpenFile, Stat, Storage, lock_timeout};
use crate::threads::resumable::{Resumable, Resumed};

/// Options of a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepairOptions {
    /// Only return the plan: no lock is taken and nothing is written.
    pub dry_run: bool,
    /// Move out records whose id or key an earlier record has.
    pub remove_duplicates: bool,
    /// Sort the records by their timestamps.
    pub fix_timestamp_order: bool,
    /// Only move out records with the id of the record on the line before.
    pub only_consecutive: bool,
    /// Keep the old file under its second name.
    pub create_backup: bool,
    /// How long to wait for the lock.
    pub lock_timeout: Duration,
}

impl Default for RepairOptions {
    fn default() -> Self {
        RepairOptions {
            dry_run: false,
            remove_duplicates: false,
            fix_timestamp_order: false,
            only_consecutive: false,
            create_backup: true,
            lock_timeout: Duration::from_secs(2),
        }
    }
}

/// The result of a repair, or its plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The log was rewritten.
    pub repaired: bool,
    /// The old file.
    pub backup: Option<PathBuf>,
    /// The file of the lines that were moved out.
    pub removed_file: Option<PathBuf>,
    /// Records that stay.
    pub kept: u64,
    /// Lines that are moved out, in file order.
    pub removed: Vec<RemovedLine>,
    /// Records that change places among the records.
    pub reordered: u64,
    /// Changes, in words.
    pub changes: Vec<String>,
    /// Warnings for the caller, in words.
    pub warnings: Vec<String>,
}

/// Rewrites the log without its torn tail and bad lines, and as the options require.
///
/// A log without such faults is not touched, and its lock is not taken.
///
/// # Errors
/// - `EVALIDATION`: not a regular file, or a file with several names.
/// - `ELOCK_TIMEOUT`: the lock was not free in time.
/// - `ECONFLICT`: the file was replaced meanwhile.
/// - `EIO`: the system failed. [`Error::written`] is `Unknown` if the new file is at the path and
///   only the sync of the folder failed. Otherwise the log is unchanged.
/// - `EUNSUPPORTED`: the file system does not honour the lock.
pub fn repair(path: &ChroniclePath, options: RepairOptions) -> Result<Report> {
    let mut repair = Repair::new(path.clone(), options);
    loop {
        match repair.resume()? {
            Resumed::More => {}
            Resumed::Wait(at) => std::thread::sleep(at.saturating_duration_since(Instant::now())),
            Resumed::Done(report) => return Ok(report),
        }
    }
}

/// A repair under way. Dropped before its last step, it leaves the log unchanged.
pub(crate) struct Repair {
    path: ChroniclePath,
    options: RepairOptions,
    phase: Phase,
}

enum Phase {
    Begun,
    Planning(PlanScan),
    Locking(LockWait),
    Ordering(LockedLog, PlanScan),
    Copying(Box<LogCopy>),
    Placing(Box<LogCopy>),
    Over,
}

/// A scan that only plans.
struct PlanScan {
    storage: Option<OpenFile>,
    file: PathBuf,
    lines: LineReader,
    plan: Plan,
    order: Option<TimeOrder>,
}

struct LockWait {
    file: PathBuf,
    opened: Option<Arc<FileStorage>>,
    since: Instant,
    tries: u32,
    reopens: Reopens,
    waiter: Option<CountedWaiter>,
}

impl Resumable for Repair {
    type Output = Report;

    fn resume(&mut self) -> Result<Resumed<Report>> {
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        let (next, step) = self.advance(phase).map_err(|error| {
            let written = error.written().unwrap_or(Written::No);
            error.with_path(self.path.as_path()).with_written(written)
        })?;
        self.phase = next;
        Ok(step)
    }
}

type Advance = Result<(Phase, Resumed<Report>)>;

impl Repair {
    pub(crate) fn new(path: ChroniclePath, options: RepairOptions) -> Repair {
        Repair { path, options, phase: Phase::Begun }
    }

    fn advance(&self, phase: Phase) -> Advance {
        match phase {
            Phase::Begun => self.begin(),
            Phase::Planning(scan) => self.plan_on(scan),
            Phase::Locking(wait) => self.lock(wait),
            Phase::Ordering(held, scan) => self.order(held, scan),
            Phase::Copying(copy) => self.copy(copy),
            Phase::Placing(copy) => self.place(*copy),
            Phase::Over => Err(Error::new(Code::Closed, "the repair is over")),
        }
    }

    fn begin(&self) -> Advance {
        let resolved = storage::real_path(self.path.as_path())
            .map_err(|error| self.cannot(("realpath", error)))?;
        let Some(file) = resolved else { return Ok(nothing()) };
        let Some(storage) = FileDisk.open_for_reading(&file)? else { return Ok(nothing()) };
        let stat = self.stat(&*storage)?;
        self.leftover_names(&stat, &file)?;
        let scan = self.new_scan(stat.length, file);
        Ok(more(Phase::Planning(PlanScan { storage: Some(storage), ..scan })))
    }

    fn stat(&self, storage: &dyn Storage) -> Result<Stat> {
        storage.stat().map_err(|error| self.cannot(("fstat", error)))
    }

    fn new_scan(&self, end: u64, file: PathBuf) -> PlanScan {
        let order = self.options.fix_timestamp_order.then(TimeOrder::default);
        PlanScan { storage: None, file, lines: LineReader::new(0, end), plan: self.plan(), order }
    }

    fn plan(&self) -> Plan {
        let RepairOptions { only_consecutive, remove_duplicates: duplicates, .. } = self.options;
        Plan::new(if only_consecutive { Mode::Consecutive } else { Mode::RemoveBad { duplicates } })
    }

    fn plan_on(&self, mut scan: PlanScan) -> Advance {
        let Some(storage) = &scan.storage else { return Ok(nothing()) };
        let done = plan_on(&**storage, &mut scan.lines, &mut scan.plan, &mut scan.order)
            .map_err(|error| self.cannot(("pread", error)))?;
        if !done {
            return Ok(more(Phase::Planning(scan)));
        }
        let reordered = scan.order.map_or(0, |order| order.sorted().1);
        if self.options.dry_run || (scan.plan.removed.is_empty() && reordered == 0) {
            return Ok(over(Report::planned(scan.plan, reordered)));
        }
        let wait = LockWait {
            file: scan.file,
            opened: None,
            since: Instant::now(),
            tries: 0,
            reopens: Reopens::default(),
            waiter: None,
        };
        Ok(more(Phase::Locking(wait)))
    }

    fn lock(&self, mut wait: LockWait) -> Advance {
        let storage = match wait.opened.take() {
            Some(storage) => storage,
            None => match storage::open_if_there(&wait.file)? {
                Some(storage) => Arc::new(storage),
                None => return Ok(nothing()),
            },
        };
        let file = OpenFile::new(storage.clone());
        let locks = LockContext::of_process();
        let tried = locked_log::try_acquire(&file, &wait.file, &FileDisk, locks);
        let cannot = |operation, error| self.cannot((operation, error));
        match tried.map_err(|failure| failure.into_error_of(cannot))? {
            AcquireOutcome::Busy => self.try_later(wait, storage),
            AcquireOutcome::Moved => {
                wait.reopens.count()?;
                Ok(more(Phase::Locking(wait)))
            }
            AcquireOutcome::Acquired(guard, stat) => {
                self.begin_locked(LockedLog::new(guard, storage, wait.file), &stat)
            }
        }
    }

    fn begin_locked(&self, held: LockedLog, stat: &Stat) -> Advance {
        for name in self.leftover_names(stat, &held.file)? {
            replacement::remove_name(&name).map_err(|failure| self.cannot(failure))?;
        }
        if self.options.fix_timestamp_order {
            let scan = self.new_scan(stat.length, held.file.clone());
            return Ok(more(Phase::Ordering(held, scan)));
        }
        self.begin_copy(held, Vec::new(), 0)
    }

    fn try_later(&self, mut wait: LockWait, storage: Arc<FileStorage>) -> Advance {
        let waited = wait.since.elapsed();
        let timeout = self.options.lock_timeout;
        if waited >= timeout {
            let holder = storage.stat().ok().and_then(|stat| FileDisk.lock_holder(&stat));
            return Err(lock_timeout::timeout(self.path.as_path(), None, holder, waited));
        }
        let locks = LockContext::of_process();
        let pause = locks.pause(wait.tries);
        wait.tries = wait.tries.saturating_add(1);
        wait.waiter.get_or_insert_with(|| locks.count_waiter());
        wait.opened = Some(storage);
        let at = Instant::now() + pause.min(timeout.saturating_sub(waited));
        Ok((Phase::Locking(wait), Resumed::Wait(at)))
    }

    fn order(&self, held: LockedLog, mut scan: PlanScan) -> Advance {
        let done = plan_on(&*held.storage, &mut scan.lines, &mut scan.plan, &mut scan.order)
            .map_err(|error| self.cannot(("pread", error)))?;
        if !done {
            return Ok(more(Phase::Ordering(held, scan)));
        }
        match scan.order.map(TimeOrder::sorted) {
            Some((ranges, reordered)) if reordered > 0 => self.begin_copy(held, ranges, reordered),
            _ => self.begin_copy(held, Vec::new(), 0),
        }
    }

    fn begin_copy(&self, held: LockedLog, order: Vec<Range<u64>>, reordered: u64) -> Advance {
        let copy = LogCopy::begin(held, self.plan(), order, reordered)
            .map_err(|failure| self.cannot(failure))?;
        Ok(more(Phase::Copying(Box::new(copy))))
    }

    fn copy(&self, mut copy: Box<LogCopy>) -> Advance {
        let done = copy.copy_on().map_err(|failure| self.cannot(failure))?;
        Ok(more(if done { Phase::Placing(copy) } else { Phase::Copying(copy) }))
    }

    fn place(&self, mut copy: LogCopy) -> Advance {
        if copy.plan.removed.is_empty() && copy.reordered == 0 {
            // The torn tail is whole by now, because its writer has ended the append.
            return Ok(over(Report::planned(copy.plan, 0)));
        }
        self.prepare_rename(&mut copy).map_err(|failure| self.cannot(failure))?;
        let old = self.stat(&*copy.held.storage)?;
        let is_placed = self.is_at_path(&copy.held)?
            && copy.replacement.take_place(&old).map_err(|failure| self.cannot(failure))?;
        if !is_placed {
            let path = self.path.as_path().display();
            let message = format!("{path} was replaced while it was repaired");
            return Err(Error::new(Code::Conflict, message));
        }
        let late = self.finish_rename(&mut copy).map_err(|(operation, error)| {
            let path = self.path.as_path().display();
            let message = format!("{path} was repaired, but perhaps not durably");
            Error::io(message, operation, error).with_written(Written::Unknown)
        })?;
        let LogCopy { plan, reordered, replacement, end, .. } = copy;
        let mut report = Report::planned(plan, reordered);
        report.repaired = true;
        report.changes = changes(&report);
        report.backup = replacement.backup().map(Path::to_owned);
        report.removed_file = replacement.removed().map(Path::to_owned);
        report.warnings = warnings(&report, late, end);
        Ok(over(report))
    }

    /// The last steps before the rename.
    fn prepare_rename(&self, copy: &mut LogCopy) -> IoResult<()> {
        let metadata = copy.held.storage.metadata().map_err(|error| ("fstat", error))?;
        copy.replacement.finish(&metadata)?;
        if self.options.create_backup {
            copy.replacement.back_up()?;
        }
        // The index describes the old file. A new file can get the same inode number once the old
        // one is gone.
        replacement::remove_name(&self.path.index_path())?;
        replacement::remove_name(&side_file(&copy.held.file, "index"))
    }

    /// The steps after the rename. Returns the number of bytes that reached the old file too late
    /// for the copy.
    fn finish_rename(&self, copy: &mut LogCopy) -> IoResult<u64> {
        copy.replacement.drop_second_name()?;
        copy.replacement.sync_folder()?;
        let length = copy.held.storage.stat().map_err(|error| ("fstat", error))?.length;
        let late = length.saturating_sub(copy.end);
        if !self.options.create_backup {
            if late > 0 {
                copy.replacement.keep_old()?;
            } else {
                copy.replacement.drop_old()?;
            }
            copy.replacement.sync_folder()?;
        }
        Ok(late)
    }

    fn is_at_path(&self, held: &LockedLog) -> Result<bool> {
        let here = self.stat(&*held.storage)?;
        let there = FileDisk.stat(&held.file).map_err(|error| self.cannot(("stat", error)))?;
        Ok(there.is_some_and(|there| there.is_same_file(&here)))
    }

    /// The other names of the file, which a killed repair left.
    ///
    /// A file with more names is refused, because a rename would leave these names to the old file.
    fn leftover_names(&self, stat: &Stat, file: &Path) -> Result<Vec<PathBuf>> {
        if stat.links < 2 {
            return Ok(Vec::new());
        }
        let names = replacement::leftover_names(file, stat)
            .map_err(|error| self.cannot(("readdir", error)))?;
        if stat.links > 1 + names.len() as u64 {
            let path = file.display();
            return Err(Error::validation(format!(
                "chronicle to repair must not have several hard links: {path}"
            )));
        }
        Ok(names)
    }

    fn cannot(&self, (operation, error): IoFailure) -> Error {
        let mut message = format!("cannot repair {}", self.path.as_path().display());
        let is_bound =
            matches!(error.kind(), io::ErrorKind::CrossesDevices | io::ErrorKind::ResourceBusy);
        let real = storage::real_path(self.path.as_path()).ok().flatten();
        if let Some(real) = real.filter(|real| is_bound && os::is_mount_point(real)) {
            let _ = write!(
                message,
                ": the file {} is a mount point, which no other file can replace; repair the file that is mounted there by its own path",
                real.display()
            );
        }
        Error::io(message, operation, error)
    }
}

impl Report {
    fn planned(plan: Plan, reordered: u64) -> Report {
        Report { kept: plan.kept, removed: plan.removed, reordered, ..Report::default() }
    }
}

fn changes(report: &Report) -> Vec<String> {
    let kinds = [
        (RemovedKind::Torn, "torn tail"),
        (RemovedKind::Malformed, "malformed line"),
        (RemovedKind::Nul, "line with NUL bytes"),
        (RemovedKind::Duplicate, "duplicate record"),
        (RemovedKind::ByteOrderMark, "byte order mark"),
    ];
    let mut changes = Vec::new();
    for (kind, name) in kinds {
        match report.removed.iter().filter(|line| line.kind == kind).count() {
            0 => {}
            1 if kind == RemovedKind::ByteOrderMark => changes.push(format!("removed 1 {name}")),
            1 => changes.push(format!("moved out 1 {name}")),
            count if kind == RemovedKind::ByteOrderMark => {
                changes.push(format!("removed {count} {name}s"));
            }
            count => {
                let name = name.replacen("line", "lines", 1).replacen("record", "records", 1);
                changes.push(format!("moved out {count} {name}"));
            }
        }
    }
    if report.reordered > 0 {
        changes.push(format!("moved {} records into the order of time", report.reordered));
    }
    changes
}

fn warnings(report: &Report, late: u64, end: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    if report.reordered > 0 {
        warnings.push("records have other numbers now, and links may lead to later ones".into());
    }
    if late > 0 {
        let came =
            format!("{late} bytes came without the lock while the log was replaced: they are");
        warnings.push(match &report.backup {
            Some(backup) => {
                format!("{came} in {} from byte {end} on, and not in the log", backup.display())
            }
            None => format!("{came} lost, because the file system has no second names of files"),
        });
    }
    warnings
}

fn nothing() -> (Phase, Resumed<Report>) {
    over(Report::default())
}

fn over(report: Report) -> (Phase, Resumed<Report>) {
    (Phase::Over, Resumed::Done(report))
}

fn more(next: Phase) -> (Phase, Resumed<Report>) {
    (next, Resumed::More)
}
