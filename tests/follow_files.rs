//! The files that a follow reads: those of its log, each once, and never another one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sage_chronicle::cursor::{Cursor, Step};
use sage_chronicle::error::Result;
use sage_chronicle::internals::storage::{Disk, FileDisk, OpenFile, Stat, Storage};
use sage_chronicle::{
    ChroniclePath, Code, FileState, Filter, Follower, OnRewrite, Place, RepairOptions, Selection,
    Wanted, repair,
};
use tempfile::TempDir;

const HANG: Duration = Duration::from_secs(60);
/// Long enough that the birth times of two files differ.
const TICK: Duration = Duration::from_millis(12);
/// Longer than a replaced file is watched.
const LINGER: Duration = Duration::from_millis(220);

struct Log {
    folder: TempDir,
    path: ChroniclePath,
}

struct Following {
    path: ChroniclePath,
    follower: Follower,
    cursor: Option<Cursor>,
    states: Vec<FileState>,
    troubles: Vec<String>,
}

impl Log {
    fn new() -> Log {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = ChroniclePath::parse(folder.path().join("log.sage").to_str().unwrap()).unwrap();
        Log { folder, path }
    }

    fn file(&self) -> &Path {
        self.path.as_path()
    }

    fn named(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, numbers: impl IntoIterator<Item = u64>) {
        append(self.file(), numbers);
    }

    fn rename(&self, name: &str) {
        fs::rename(self.file(), self.named(name)).unwrap();
        thread::sleep(TICK);
    }

    fn follow(&self, from: Place) -> Following {
        self.follow_on(Arc::new(FileDisk), from)
    }

    fn follow_on(&self, disk: Arc<dyn Disk>, from: Place) -> Following {
        Following::new(self, Follower::new(disk, Selection { from, numbered: true, ..all() }))
    }

    /// The cursor behind all records.
    fn cursor(&self) -> Place {
        let mut following = self.follow(Place::Start);
        following.fresh();
        Place::Cursor(following.cursor.unwrap())
    }
}

impl Following {
    fn new(log: &Log, follower: Follower) -> Following {
        let path = log.path.clone();
        Following { path, follower, cursor: None, states: Vec::new(), troubles: Vec::new() }
    }

    /// The new records, until nothing is left to read.
    fn fresh(&mut self) -> Vec<u64> {
        let mut met = Vec::new();
        loop {
            let look = self.follower.look(&self.path).unwrap();
            let values: Vec<serde_json::Value> = serde_json::from_slice(&look.page.json).unwrap();
            met.extend(values.iter().map(|value| value["n"].as_u64().unwrap()));
            let mut at = 1;
            for place in &look.page.places {
                let end = at + usize::try_from(place.length).unwrap();
                let step = Step { reverse: false, is_counted: look.is_counted };
                let line = &look.page.json[at..end];
                self.cursor = Some(Cursor::of_record(&look.stat.unwrap(), place, line, step));
                at = end + 1;
            }
            self.cursor = self.cursor.or(look.start);
            self.troubles.extend(look.trouble.map(|trouble| trouble.to_string()));
            if look.file != FileState::Same {
                self.states.push(look.file);
            }
            if look.is_idle {
                return met;
            }
        }
    }

    fn wait_for(&mut self, count: usize) -> Vec<u64> {
        let begin = Instant::now();
        let mut met = self.fresh();
        while met.len() < count {
            assert!(begin.elapsed() < HANG, "only {met:?}");
            thread::sleep(Duration::from_millis(5));
            met.extend(self.fresh());
        }
        met
    }

    /// The new records in a time in which another file would be opened.
    fn linger(&mut self) -> Vec<u64> {
        let mut met = self.fresh();
        thread::sleep(LINGER);
        met.extend(self.fresh());
        met.extend(self.fresh());
        met
    }
}

fn all() -> Selection {
    Selection::default()
}

fn line(n: u64) -> String {
    format!("{{\"n\":{n}}}\n")
}

fn append(file: &Path, numbers: impl IntoIterator<Item = u64>) {
    let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
    file.write_all(numbers.into_iter().map(line).collect::<String>().as_bytes()).unwrap();
}

const NONE: [u64; 0] = [];
const BEAT: &str = "{\"n\":0}\n";

#[test]
fn equal_lines_are_counted_when_the_file_is_rewritten() {
    let bad = [BEAT, "bad\n", BEAT, BEAT, "worse\n", BEAT].concat();
    for numbered in [true, false] {
        let log = Log::new();
        fs::write(log.file(), &bad).unwrap();
        let follower = Follower::new(Arc::new(FileDisk), Selection { numbered, ..all() });
        let mut following = Following::new(&log, follower);
        assert_eq!(following.fresh(), [0; 4]);
        let cursor = Place::Cursor(following.cursor.unwrap());
        repair(&log.path, RepairOptions::default()).unwrap();
        append(log.file(), [0, 0]);
        assert_eq!(following.wait_for(2), [0; 2], "numbered: {numbered}");
        assert_eq!(following.states, []);
        let mut other = log.follow(cursor);
        assert_eq!(other.fresh(), [0; 2], "numbered: {numbered}");
        assert_eq!(following.linger(), NONE);
    }
}

#[test]
fn more_equal_lines_than_are_remembered_are_counted_by_their_numbers() {
    let log = Log::new();
    fs::write(log.file(), ["bad\n", &BEAT.repeat(200)].concat()).unwrap();
    let mut following = log.follow(Place::End);
    assert_eq!(following.fresh(), NONE);
    append(log.file(), [0; 100]);
    assert_eq!(following.fresh().len(), 100);
    repair(&log.path, RepairOptions::default()).unwrap();
    append(log.file(), [0; 3]);
    assert_eq!(following.wait_for(3), [0; 3]);
    assert_eq!(following.linger(), NONE);
}

#[test]
fn a_place_is_known_by_earlier_records_when_the_last_one_is_gone_or_was_masked() {
    for masked in ["", "{\"n\":555}\n"] {
        let log = Log::new();
        log.append(1..=5);
        let mut following = log.follow(Place::Start);
        assert_eq!(following.fresh(), [1, 2, 3, 4, 5]);
        let text: String = (1..=4).map(line).collect();
        fs::write(log.named("new"), text + masked).unwrap();
        fs::rename(log.named("new"), log.file()).unwrap();
        log.append([6]);
        let expected: &[u64] = if masked.is_empty() { &[6] } else { &[555, 6] };
        assert_eq!(following.wait_for(expected.len()), expected);
        assert_eq!(following.states, [FileState::Rewritten]);
    }
}

#[test]
fn records_of_one_length_with_one_ending_are_distinguished_when_the_file_is_written_over() {
    let log = Log::new();
    let text = |from: u64, count: u64| -> String {
        let ending = "x".repeat(100);
        (from..from + count).map(|n| format!("{{\"n\":{n},\"status\":\"{ending}\"}}\n")).collect()
    };
    fs::write(log.file(), text(10, 3)).unwrap();
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), [10, 11, 12]);
    fs::write(log.file(), text(20, 4)).unwrap();
    assert_eq!(following.fresh(), [20, 21, 22, 23]);
    assert_eq!(following.states, [FileState::Unknown]);
}

#[test]
fn a_file_that_comes_back_is_read_on_and_those_that_stood_there_meanwhile_are_read() {
    let log = Log::new();
    log.append([1]);
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), [1]);
    log.rename("aside");
    log.append([10]);
    assert_eq!(following.fresh(), NONE);
    // The file returns before the other one was opened.
    log.rename("other");
    fs::rename(log.named("aside"), log.file()).unwrap();
    log.append([2]);
    assert_eq!(following.wait_for(2), [2, 10]);
    log.append([3]);
    assert_eq!(following.wait_for(1), [3]);
    // The file returns after it was read to its end.
    log.rename("aside");
    fs::rename(log.named("other"), log.file()).unwrap();
    log.append([11]);
    assert_eq!(following.wait_for(1), [11]);
    log.rename("other");
    fs::rename(log.named("aside"), log.file()).unwrap();
    log.append([4]);
    assert_eq!(following.wait_for(1), [4]);
    assert_eq!(following.linger(), NONE);
}

#[test]
fn a_file_that_stood_at_the_path_twice_is_read_once() {
    let log = Log::new();
    log.append([1]);
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), [1]);
    log.rename("a");
    log.append([10]);
    following.follower.glance(&log.path);
    log.rename("b");
    log.append([20]);
    following.follower.glance(&log.path);
    log.rename("c");
    fs::rename(log.named("b"), log.file()).unwrap();
    following.follower.glance(&log.path);
    log.append([11]);
    let mut met = following.wait_for(4 - 1);
    met.sort_unstable();
    assert_eq!(met, [10, 11, 20]);
    log.append([12]);
    assert_eq!(following.wait_for(1), [12]);
}

#[test]
fn a_file_that_was_renamed_away_is_not_left_while_a_writer_has_its_lock() {
    let log = Log::new();
    log.append([1]);
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), [1]);
    let writer = FileDisk.open(log.file()).unwrap();
    assert!(writer.lock().try_lock().unwrap());
    log.rename("old");
    log.append([10]);
    assert_eq!(following.linger(), NONE);
    assert_eq!(following.linger(), NONE);
    writer.append(line(2).as_bytes()).unwrap();
    writer.lock().unlock().unwrap();
    assert_eq!(following.wait_for(2), [2, 10]);
    assert_eq!(following.states, [FileState::Next]);
}

#[test]
fn a_file_that_was_renamed_without_a_follow_is_read_to_its_end_and_then_those_born_later() {
    let log = Log::new();
    log.append([1, 2]);
    let cursor = log.cursor();
    log.append([3]);
    for (name, n) in [("log.sage-20260101", 10), ("log.sage.2", 20), ("log.sage.old", 30)] {
        log.rename(name);
        log.append([n]);
    }
    let mut following = log.follow(cursor.clone());
    assert_eq!(following.wait_for(4), [3, 10, 20, 30]);
    assert_eq!(following.states, [FileState::Next; 3]);
    // An empty path is no reason to wait.
    log.rename("log.sage.older");
    assert_eq!(log.follow(cursor).wait_for(4), [3, 10, 20, 30]);
}

#[test]
fn only_files_of_the_log_are_read_and_no_copies_made_of_them() {
    let log = Log::new();
    log.append(1..=20);
    let cursor = log.cursor();
    log.append([21]);
    let text = fs::read_to_string(log.file()).unwrap();
    thread::sleep(TICK);
    // A copy, an extract, another log with the same beginning, a separate log, compressed bytes.
    fs::write(log.named("log.sage.bak"), &text).unwrap();
    thread::sleep(TICK);
    fs::write(log.named("log.sage.errors"), line(7) + &line(9)).unwrap();
    thread::sleep(TICK);
    fs::write(log.named("other.sage"), text + &line(99)).unwrap();
    fs::write(log.named("log.sage-b"), line(98)).unwrap();
    fs::write(log.named(".log.sage-b.chronicle-lock"), "").unwrap();
    thread::sleep(TICK);
    fs::write(log.named("log.sage.3.gz"), [0x1f, 0x8b, 8, 0, 10]).unwrap();
    for name in ["log.sage.backup.17", "log.sage.removed.17", "log.sage.checkpoints"] {
        fs::write(log.named(name), line(97)).unwrap();
        thread::sleep(TICK);
    }
    log.rename("log.sage.1");
    log.append([30]);
    let mut following = log.follow(cursor);
    assert_eq!(following.wait_for(2), [21, 30]);
    assert_eq!(following.linger(), NONE);
}

#[cfg(unix)]
#[test]
fn a_strangers_file_under_a_name_of_the_log_is_never_read() {
    use std::os::unix::fs::{chown, symlink};
    let log = Log::new();
    log.append([1]);
    let cursor = log.cursor();
    log.append([2]);
    let elsewhere = Log::new();
    elsewhere.append([66]);
    // A link to the file of the cursor, a link to another file, a FIFO that would block.
    log.rename("elsewhere");
    symlink(log.named("elsewhere"), log.named("log.sage.1")).unwrap();
    symlink(elsewhere.file(), log.named("log.sage.2")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(log.named("log.sage.3")).status();
    assert!(made.unwrap().success());
    log.append([10]);
    let mut following = log.follow(cursor.clone());
    assert_eq!(following.wait_for(1), [10]);
    assert_eq!(following.states, [FileState::Unknown]);
    // The file itself, but with another owner. Only root can give a file away.
    fs::remove_file(log.named("log.sage.1")).unwrap();
    fs::rename(log.named("elsewhere"), log.named("log.sage.1")).unwrap();
    if chown(log.named("log.sage.1"), Some(12_345), None).is_ok() {
        let mut following = log.follow(cursor.clone());
        assert_eq!(following.wait_for(1), [10]);
        assert_eq!(following.states, [FileState::Unknown]);
        chown(log.named("log.sage.1"), Some(uid_of(log.file())), None).unwrap();
    }
    assert_eq!(log.follow(cursor).wait_for(2), [2, 10]);
}

#[cfg(unix)]
fn uid_of(path: &Path) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap())
}

#[test]
fn a_folder_of_ten_thousand_files_is_searched() {
    let log = Log::new();
    log.append([1]);
    let cursor = log.cursor();
    log.append([2]);
    log.rename("log.sage.7");
    let other = log.named("other.sage");
    File::create(&other).unwrap();
    for n in 1..10_000 {
        fs::hard_link(&other, log.named(&format!("other-{n}.sage"))).unwrap();
    }
    log.append([10]);
    for _ in 0..100 {
        let mut following = log.follow(cursor.clone());
        assert_eq!(following.fresh(), [2]);
    }
    let mut following = log.follow(cursor);
    assert_eq!(following.wait_for(2), [2, 10]);
}

#[test]
fn a_cursor_fits_without_its_device_and_one_without_a_birth_time_by_device_and_bytes() {
    let log = Log::new();
    log.append([1, 2]);
    let Place::Cursor(cursor) = log.cursor() else { panic!("no cursor") };
    log.append([3]);
    let text = cursor.to_string();
    let parts: Vec<&str> = text.split('-').collect();
    assert_eq!(parts[0], "c2");
    let place = |text: String| Place::Cursor(signed(&text).parse().unwrap());
    // Both `c2-device-inode-born-...` and `c1-device-inode-...`, the form of version 0.1.0.
    let [device, inode, born] = [parts[1], parts[2], parts[3]];
    let rest = parts[4..parts.len() - 1].join("-");
    let elsewhere = u64::from_str_radix(device, 16).unwrap() + 1;
    let old = |device: &str| place(format!("c1-{device}-{inode}-{rest}"));
    let same = [place(format!("c2-{elsewhere:x}-{inode}-{born}-{rest}")), old(device)];
    for cursor in same {
        assert_eq!(log.follow(cursor.clone()).fresh(), [3]);
        let selection = Selection { from: cursor, ..all() };
        assert!(sage_chronicle::Reader::select(&FileDisk, &log.path, &selection).is_ok());
    }
    let other = [old(&format!("{elsewhere:x}")), place(format!("c2-{device}-{inode}-1-{rest}"))];
    for cursor in other {
        let selection = Selection { from: cursor, ..all() };
        let refused = sage_chronicle::Reader::select(&FileDisk, &log.path, &selection);
        assert_eq!(refused.err().map(|error| error.code()), Some(Code::Conflict));
    }
}

/// The text of a cursor with its check.
fn signed(body: &str) -> String {
    use siphasher::sip128::SipHasher13;
    let hash = SipHasher13::new().hash(body.as_bytes()).as_u128();
    format!("{body}-{:x}", hash & u128::from(u32::MAX))
}

#[test]
fn the_end_is_where_it_was_fixed_also_when_the_file_has_another_name_or_took_a_place_by_then() {
    let log = Log::new();
    log.append([1]);
    let follow = || {
        let selection = Selection { from: Place::End, numbered: true, ..all() };
        let mut follower = Follower::new(Arc::new(FileDisk), selection);
        follower.fix_end(&log.path);
        Following::new(&log, follower)
    };
    let mut appended = follow();
    log.append([2]);
    assert_eq!(appended.fresh(), [2]);
    let mut renamed = follow();
    log.append([3]);
    log.rename("log.sage.1");
    log.append([4]);
    assert_eq!(renamed.wait_for(2), [3, 4]);
    let mut copied = follow();
    fs::copy(log.file(), log.named("copy")).unwrap();
    fs::rename(log.named("copy"), log.file()).unwrap();
    log.append([5]);
    assert_eq!(copied.fresh(), [5]);
    fs::remove_file(log.file()).unwrap();
    let mut missing = follow();
    log.append([6]);
    assert_eq!(missing.fresh(), [6]);
}

#[test]
fn a_file_that_was_rewritten_is_read_from_its_start_if_that_is_asked_for() {
    let log = Log::new();
    log.append([1, 2, 3]);
    for on_rewrite in [OnRewrite::Continue, OnRewrite::Restart] {
        let follower = Follower::new(Arc::new(FileDisk), Selection { numbered: true, ..all() });
        let mut following = Following::new(&log, follower.on_rewrite(on_rewrite));
        let count = following.fresh().len();
        let text = fs::read_to_string(log.file()).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        fs::write(log.named("new"), format!("{rest}{first}\n")).unwrap();
        fs::rename(log.named("new"), log.file()).unwrap();
        log.append([9]);
        let expected = if on_rewrite == OnRewrite::Continue { 1 } else { count + 1 };
        assert_eq!(following.wait_for(expected).len(), expected, "{on_rewrite:?}");
        assert_eq!(following.states, [FileState::Rewritten]);
    }
}

#[test]
fn a_filter_that_matched_nothing_leaves_a_place_all_the_same() {
    let log = Log::new();
    log.append(1..=5);
    let wanted = Wanted { types: vec![b"NONE".into()], ..Wanted::default() };
    let selection = Selection { filter: Filter::new(wanted), ..all() };
    let mut following = Following::new(&log, Follower::new(Arc::new(FileDisk), selection));
    assert_eq!(following.fresh(), NONE);
    fs::copy(log.file(), log.named("copy")).unwrap();
    fs::rename(log.named("copy"), log.file()).unwrap();
    append(log.file(), [6]);
    fs::write(log.named("log.sage.x"), "{\"type\":\"NONE\",\"n\":7}\n").unwrap();
    OpenOptions::new()
        .append(true)
        .open(log.file())
        .unwrap()
        .write_all(b"{\"type\":\"NONE\",\"n\":7}\n")
        .unwrap();
    assert_eq!(following.wait_for(1), [7]);
    assert_eq!(following.states, []);
}

#[test]
fn what_keeps_the_path_from_being_looked_at_for_a_moment_is_waited_through_and_reported_once() {
    let log = Log::new();
    log.append([1]);
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), [1]);
    log.rename("log.sage.1");
    append(&log.named("log.sage.1"), [2]);
    fs::create_dir(log.file()).unwrap();
    assert_eq!(following.linger(), [2]);
    assert_eq!(following.linger(), NONE);
    assert_eq!(following.troubles.len(), 1, "{:?}", following.troubles);
    fs::remove_dir(log.file()).unwrap();
    log.append([3]);
    assert_eq!(following.wait_for(1), [3]);
    assert_eq!(following.troubles.len(), 1, "{:?}", following.troubles);
}

/// Real files on a file system that reports another inode number each time.
struct UnstableDisk {
    looks: Arc<AtomicU64>,
    is_by_path: bool,
}

struct UnstableStorage {
    real: Arc<dyn Storage>,
    looks: Arc<AtomicU64>,
}

impl Disk for UnstableDisk {
    fn beneath(&self) -> Option<&dyn Disk> {
        Some(&FileDisk)
    }
    fn open_for_reading(&self, path: &Path) -> Result<Option<OpenFile>> {
        let file = FileDisk.open_for_reading(path)?;
        if self.is_by_path {
            return Ok(file);
        }
        Ok(file.map(|file| {
            let (real, looks) = (file.storage().clone(), self.looks.clone());
            file.with_storage(Arc::new(UnstableStorage { real, looks }))
        }))
    }
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        let inode = self.looks.fetch_add(1, Ordering::Relaxed);
        Ok(FileDisk.stat(path)?.map(|stat| Stat { inode, born: None, ..stat }))
    }
}

impl Storage for UnstableStorage {
    fn stat(&self) -> io::Result<Stat> {
        let inode = self.looks.fetch_add(1, Ordering::Relaxed);
        Ok(Stat { inode, born: None, ..self.real.stat()? })
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.real.read_at(buffer, offset)
    }
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.real.append(bytes)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.real.set_len(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.real.sync()
    }
    fn drop_cached(&self, range: std::ops::Range<u64>) -> io::Result<bool> {
        self.real.drop_cached(range)
    }
}

#[test]
fn a_file_system_whose_inode_numbers_change_is_refused() {
    for is_by_path in [true, false] {
        let log = Log::new();
        log.append([1]);
        let looks = Arc::<AtomicU64>::default();
        let disk = Arc::new(UnstableDisk { looks: looks.clone(), is_by_path });
        let mut following = log.follow_on(disk, Place::Start);
        let error = following.follower.look(&log.path).unwrap_err();
        assert_eq!(error.code(), Code::Unsupported);
        assert!(looks.load(Ordering::Relaxed) > 1);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn follows_that_are_idle_share_a_bound_of_descriptors_and_miss_nothing() {
    let logs: Vec<Log> = (0..100).map(|_| Log::new()).collect();
    for log in &logs {
        log.append([1]);
    }
    let mut all: Vec<Following> = logs.iter().map(|log| log.follow(Place::Start)).collect();
    for following in &mut all {
        assert_eq!(following.fresh(), [1]);
    }
    assert!(open_in(&logs) <= 64, "{} are open", open_in(&logs));
    for (at, log) in logs.iter().enumerate() {
        log.append([2]);
        match at % 16 {
            0 => log.rename("log.sage.1"),
            1 => {
                fs::copy(log.file(), log.named("copy")).unwrap();
                fs::rename(log.named("copy"), log.file()).unwrap();
            }
            _ => continue,
        }
        log.append([3]);
    }
    let mut met = vec![Vec::new(); all.len()];
    let begin = Instant::now();
    let count = |at: usize| if at % 16 < 2 { 2 } else { 1 };
    while (0..met.len()).any(|at| met[at].len() < count(at)) {
        assert!(begin.elapsed() < HANG, "only {met:?}");
        for (met, following) in met.iter_mut().zip(&mut all) {
            met.extend(following.fresh());
        }
        thread::sleep(Duration::from_millis(5));
    }
    for (at, met) in met.iter().enumerate() {
        let expected: &[u64] = if at % 16 < 2 { &[2, 3] } else { &[2] };
        assert_eq!(met, expected, "{at}");
    }
    for following in &mut all {
        assert_eq!(following.fresh(), NONE);
    }
    assert!(open_in(&logs) <= 64, "{} are open", open_in(&logs));
}

/// The number of open files in the folders of these logs.
#[cfg(target_os = "linux")]
fn open_in(logs: &[Log]) -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| {
        let target = fs::read_link(entry.ok()?.path()).ok()?;
        logs.iter().any(|log| target.starts_with(log.folder.path())).then_some(())
    });
    open.count()
}
