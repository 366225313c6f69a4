//! A side index grows by runs behind its table. Complete runs are used; the rest of the log is
//! scanned.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod indexed;

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use fs4::FileExt;
use indexed::{EVENTS, Process, indexed_log, is_long, log_length, wait_for};
use sage_chronicle::{ChroniclePath, Receipt};

/// A table or run of the index: its place in the file and the range of the log that it covers.
struct Part {
    place: Range<usize>,
    covers: Range<u64>,
    meta: usize,
}

/// The table and the runs of an index, as far as their numbers are plausible.
fn parts(index: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = 0;
    while index.len() >= at + 160 && index[at..].starts_with(b"SAGECHIX") {
        let field =
            |n: usize| u64::from_le_bytes(index[at + 8 * n..at + 8 * n + 8].try_into().unwrap());
        let size = |n: usize| usize::try_from(field(n)).unwrap();
        let meta = at + 4096 * (1 + size(6));
        let end = meta + size(7);
        parts.push(Part { place: at..end, covers: field(10)..field(4), meta });
        at = end;
    }
    parts
}

/// The number of runs behind the table, once the index covers the log.
fn runs_of(log: &ChroniclePath, index: &Path) -> usize {
    let covered = |bytes: &[u8]| parts(bytes).last().map_or(0, |part| part.covers.end);
    wait_for(|| fs::read(index).is_ok_and(|bytes| covered(&bytes) == log_length(log)));
    parts(&fs::read(index).unwrap()).len() - 1
}

/// The events of one run: more bytes than make a run due.
const RUN: u64 = 8_000;
/// The first event of each run.
const RUNS: [u64; 3] = [EVENTS, EVENTS + RUN, EVENTS + 2 * RUN];
/// Records of 1 MiB without an id. The log is so long that its table stays for two runs, which are
/// less than an eighth of it, but not for three.
const LONG: u64 = 45;

/// A log of `EVENTS` events and `LONG` records without id. Its side index is one table.
fn long_log(folder: &Path) -> (ChroniclePath, PathBuf) {
    let (log, _, index) = indexed_log(folder);
    fs::remove_file(&index).unwrap();
    let line = format!("{{\"text\":\"{}\"}}\n", "x".repeat(1 << 20));
    let mut file = fs::OpenOptions::new().append(true).open(log.as_path()).unwrap();
    file.write_all(line.repeat(usize::try_from(LONG).unwrap()).as_bytes()).unwrap();
    knows(&Process::new(), &log, [0], "alone");
    assert_eq!(runs_of(&log, &index), 0);
    (log, index)
}

/// The number of the `n`th event in such a log.
fn seq_of(n: u64) -> u64 {
    if n < EVENTS { n + 1 } else { LONG + n + 1 }
}

/// The same with two runs, each added by a process of its own.
fn log_with_runs(folder: &Path) -> (ChroniclePath, PathBuf) {
    let (log, index) = long_log(folder);
    let table = fs::read(&index).unwrap();
    for (n, from) in RUNS[..2].iter().enumerate() {
        Process::new().append(&log, *from..from + RUN);
        assert_eq!(runs_of(&log, &index), n + 1);
    }
    assert!(fs::read(&index).unwrap().starts_with(&table), "the table was written anew");
    (log, index)
}

/// Whether a process recognises these events as duplicates with their receipts.
fn knows(
    process: &Process,
    log: &ChroniclePath,
    events: impl IntoIterator<Item = u64>,
    what: &str,
) {
    for n in events {
        let (again, _) = process.again(log, n);
        assert_eq!((again.duplicate, again.seq), (true, seq_of(n)), "event {n}, {what}");
    }
}

/// Some events of the table and of each run, with the first and last ones.
const SOME: [u64; 8] =
    [0, EVENTS - 1, RUNS[0], RUNS[0] + 1, RUNS[1] - 1, RUNS[1], RUNS[1] + RUN / 2, RUNS[2] - 1];

/// Prevents other processes from building an index while it lives.
fn making(index: &Path) -> fs::File {
    let mut name = index.as_os_str().to_owned();
    name.push("-new");
    let file = fs::File::create(name).unwrap();
    FileExt::try_lock(&file).unwrap();
    file
}

#[test]
fn a_log_that_grows_adds_runs_and_a_new_process_knows_them_without_reading_it() {
    let folder = tempfile::tempdir().unwrap();
    let (log, index) = log_with_runs(folder.path());
    let process = Process::new();
    for n in SOME {
        let (again, read) = process.again(&log, n);
        assert_eq!((again.duplicate, again.seq), (true, seq_of(n)));
        assert!(read < 300_000, "{read} bytes were read for event {n}");
    }
    let new = process.append(&log, RUNS[2]..RUNS[2] + 10);
    assert!(new.iter().all(|receipt| !receipt.duplicate));
    // Enough look-ups to load the runs into memory, beside the appended events.
    let again = process.append(&log, 0..RUNS[2] + 10);
    let is_known = |(receipt, seq): (&Receipt, u64)| receipt.duplicate && receipt.seq == seq;
    assert!(again.iter().zip((0..).map(seq_of)).all(is_known));
    assert_eq!(parts(&fs::read(&index).unwrap()).len(), 3);
}

#[test]
fn runs_become_one_table_again_when_they_are_an_eighth_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (log, index) = log_with_runs(folder.path());
    let known = Process::new();
    knows(&known, &log, SOME, "before");
    Process::new().append(&log, RUNS[2]..RUNS[2] + RUN);
    assert_eq!(runs_of(&log, &index), 0);
    let all = SOME.into_iter().chain([RUNS[2], RUNS[2] + RUN - 1]);
    knows(&Process::new(), &log, all.clone(), "after");
    knows(&known, &log, all.cycle().take(100), "by the file that was replaced");
}

#[test]
fn no_byte_of_runs_makes_a_wrong_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (log, index) = log_with_runs(folder.path());
    let _making = making(&index);
    let good = fs::read(&index).unwrap();
    let parts = parts(&good);
    let (one, two) = (&parts[1], &parts[2]);
    let look = |bytes: &[u8], what: &str| {
        fs::write(&index, bytes).unwrap();
        knows(&Process::new(), &log, SOME, what);
        let process = Process::new();
        process.append(&log, 0..40);
        knows(&process, &log, SOME, &format!("{what}, in memory"));
    };
    let places = |part: &Part| {
        let header = (part.place.start..part.place.start + 160).step_by(13);
        let blocks = (part.place.start + 4096..part.meta).step_by(4096 * 7 + 8);
        header.chain(blocks).chain((part.meta..part.place.end).step_by(151)).collect::<Vec<_>>()
    };
    let step = if is_long() { 1 } else { 4 };
    for at in [places(one), places(two)].concat().into_iter().step_by(step) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        look(&bad, &format!("byte {at} flipped"));
    }
    for part in [one, two] {
        let Range { start, end } = part.place;
        for length in [start + 1, start + 100, start + 160, start + 4096, part.meta, end - 1] {
            look(&good[..length], &format!("cut to {length} bytes"));
            // The state after a crash, or while a process adds the run: the header is missing.
            let mut begun = good[..length.max(start + 4096)].to_vec();
            begun[start..start + 4096].fill(0);
            look(&begun, &format!("cut to {length} bytes, without header"));
        }
    }
    // Runs that do not continue where the run before ends.
    look(&[&good[..one.place.start], &good[two.place.clone()]].concat(), "without the first run");
    look(&[&good[..], &good[two.place.clone()]].concat(), "with a run twice");
    look(&good[one.place.start..], "without the table");
}

#[test]
fn what_a_killed_process_left_of_a_run_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let (log, index) = long_log(folder.path());
    let table = fs::read(&index).unwrap();
    let rest = vec![0x53; 3 << 20];
    fs::write(&index, [&table[..], &rest].concat()).unwrap();
    Process::new().append(&log, RUNS[0]..RUNS[1]);
    assert_eq!(runs_of(&log, &index), 1);
    let bytes = fs::read(&index).unwrap();
    assert!(bytes.len() < table.len() + rest.len());
    assert_eq!(parts(&bytes)[1].place.end, bytes.len());
    assert!(!folder.path().join(".long.sage.chronicle-index-new").exists());
}

#[test]
fn a_run_that_another_process_adds_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let (log, index) = long_log(folder.path());
    let table = fs::read(&index).unwrap();
    let making = making(&index);
    Process::new().append(&log, RUNS[0]..RUNS[1]);
    indexed_log(tempfile::tempdir().unwrap().path());
    assert_eq!(fs::read(&index).unwrap(), table);
    drop(making);
    // The next process adds the run.
    Process::new().append(&log, RUNS[1]..RUNS[2]);
    assert_eq!(runs_of(&log, &index), 1);
    knows(&Process::new(), &log, SOME, "in one run");
}

#[test]
fn processes_that_add_runs_in_turn_go_on_knowing_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (log, index) = long_log(folder.path());
    let [one, other] = [Process::new(), Process::new()];
    knows(&one, &log, [0], "one");
    knows(&other, &log, [0], "other");
    one.append(&log, RUNS[0]..RUNS[1]);
    assert_eq!(runs_of(&log, &index), 1);
    other.append(&log, RUNS[1]..RUNS[2]);
    assert_eq!(runs_of(&log, &index), 2);
    for process in [&one, &other] {
        knows(process, &log, SOME.into_iter().cycle().take(100), "in turn");
    }
    one.append(&log, RUNS[2]..RUNS[2] + RUN);
    assert_eq!(runs_of(&log, &index), 0);
    let all = SOME.into_iter().chain([RUNS[2], RUNS[2] + RUN - 1]);
    for process in [&one, &other, &Process::new()] {
        knows(process, &log, all.clone(), "one table");
    }
}

#[test]
fn a_run_whose_place_another_one_took_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (log, index) = long_log(folder.path());
    Process::new().append(&log, RUNS[0]..RUNS[1]);
    assert_eq!(runs_of(&log, &index), 1);
    let process = Process::new();
    knows(&process, &log, [0], "before");
    // Another process took the run for torn and put a longer one in its place.
    let bytes = fs::read(&index).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&index).unwrap();
    file.set_len(parts(&bytes)[1].place.start as u64).unwrap();
    Process::new().append(&log, RUNS[1]..RUNS[2]);
    assert_eq!(runs_of(&log, &index), 1);
    knows(&process, &log, SOME, "of a run that is gone");
}

#[test]
fn a_run_about_what_was_cut_off_the_log_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, index) = log_with_runs(folder.path());
    let _making = making(&index);
    let receipts = Process::new().append(&log, 0..RUNS[2]);
    let cut = receipts[usize::try_from(RUNS[1] + 100).unwrap()].offset;
    let file = fs::OpenOptions::new().write(true).open(log.as_path()).unwrap();
    file.set_len(cut).unwrap();
    let process = Process::new();
    // The events before the cut are known without reading the log.
    let (again, read) = process.again(&log, RUNS[0]);
    assert!(again.duplicate && read < 300_000, "{read} bytes were read");
    knows(&process, &log, [0, RUNS[0], RUNS[1], RUNS[1] + 99], "after the cut");
    let new = process.append(&log, RUNS[1] + 100..RUNS[1] + 101).remove(0);
    assert_eq!((new.duplicate, new.seq), (false, LONG + RUNS[1] + 101));
    // As long as the run states, and longer, with other records.
    let (later, count) = (100_000, RUN);
    Process::new().append(&log, later..later + count);
    let process = Process::new();
    let lost = process.append(&log, RUNS[1] + 101..RUNS[1] + 102).remove(0);
    assert!(!lost.duplicate, "it was cut off");
    let (again, _) = process.again(&log, later + count - 1);
    assert_eq!((again.duplicate, again.seq), (true, LONG + RUNS[1] + 101 + count));
}

#[test]
fn processes_that_come_while_runs_are_added_know_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (log, index) = long_log(folder.path());
    let written = AtomicU64::new(RUNS[0]);
    let most = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let process = Process::new();
            for from in (RUNS[0]..RUNS[2] + RUN).step_by(500) {
                process.append(&log, from..from + 500);
                written.store(from + 500, Ordering::Release);
            }
        });
        while written.load(Ordering::Acquire) < RUNS[2] + RUN {
            let known = written.load(Ordering::Acquire);
            let some = [0, EVENTS - 1, RUNS[0] - 1, known / 2, known - 2_000, known - 1];
            knows(&Process::new(), &log, some, "meanwhile");
            most.fetch_max(parts(&fs::read(&index).unwrap()).len(), Ordering::Relaxed);
        }
    });
    assert!(most.into_inner() > 1, "no run was added meanwhile");
    knows(&Process::new(), &log, SOME, "afterwards");
}
