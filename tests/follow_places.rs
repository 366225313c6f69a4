//! Each way to replace the file of a followed log, from each kind of place, while the follow waits
//! and while it does not run.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use sage_chronicle::cursor::{Cursor, Step};
use sage_chronicle::internals::storage::FileDisk;
use sage_chronicle::{
    BatchFollower, BatchLimits, ChroniclePath, FileState, Follower, LineBatch, Place,
    RepairOptions, Selection, repair,
};
use tempfile::TempDir;

const HANG: Duration = Duration::from_secs(60);
/// Long enough that the birth times of the files of a rotation differ.
const TICK: Duration = Duration::from_millis(12);

/// The ways to replace or change the file of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    CopyAndRename,
    SedInPlace,
    SedWithBackup,
    EditorWithBackup,
    EditorInPlace,
    EditorReturns,
    GitCheckout,
    Repair,
    RepairInOrder,
    DeleteAndCreate,
    RenameOnce,
    RenameTwice,
    Truncate,
}

const WAYS: [Way; 13] = [
    Way::CopyAndRename,
    Way::SedInPlace,
    Way::SedWithBackup,
    Way::EditorWithBackup,
    Way::EditorInPlace,
    Way::EditorReturns,
    Way::GitCheckout,
    Way::Repair,
    Way::RepairInOrder,
    Way::DeleteAndCreate,
    Way::RenameOnce,
    Way::RenameTwice,
    Way::Truncate,
];

const KINDS: [&str; 7] = ["start", "end", "seq", "offset", "event id", "time", "cursor"];

struct Log {
    folder: TempDir,
    path: ChroniclePath,
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

    /// A log with the old events 1 to 4 and lines that are no records between them. The third and
    /// fourth event are not in the order of their times.
    fn fill(&self) {
        let text = [line(1), "bad\n".into(), line_at(2, 1), "\n".into(), line_at(3, 3)].concat();
        fs::write(self.file(), text + &line_at(4, 2)).unwrap();
    }

    fn follow(&self, from: Place) -> Following<'_> {
        let selection = Selection { from, numbered: true, ..Selection::default() };
        self.select(selection)
    }

    fn select(&self, selection: Selection) -> Following<'_> {
        let mut follower = Follower::new(Arc::new(FileDisk), selection);
        follower.fix_end(&self.path);
        Following { path: self.path.clone(), follower, cursor: None, states: Vec::new(), log: self }
    }

    /// Replaces the file and appends new events. Returns the events that a follow must give then.
    fn replace(&self, way: Way) -> Vec<u64> {
        let (file, old) = (self.file(), fs::read(self.file()).unwrap());
        match way {
            Way::CopyAndRename | Way::SedInPlace => {
                let temporary = self.named("sedX");
                let text = match way {
                    Way::SedInPlace => without_first(&old),
                    _ => old,
                };
                fs::write(&temporary, text).unwrap();
                fs::rename(&temporary, file).unwrap();
            }
            Way::SedWithBackup | Way::EditorWithBackup => {
                let backup = if way == Way::SedWithBackup { "log.sage.bak" } else { "log.sage~" };
                fs::rename(file, self.named(backup)).unwrap();
                fs::write(file, old).unwrap();
            }
            Way::EditorInPlace => fs::write(file, without_first(&old)).unwrap(),
            Way::EditorReturns => {
                let text = String::from_utf8(old).unwrap().replace('\n', "\r\n");
                fs::write(self.named("new"), text).unwrap();
                fs::rename(self.named("new"), file).unwrap();
            }
            Way::GitCheckout => {
                fs::remove_file(file).unwrap();
                fs::write(file, old).unwrap();
            }
            Way::Repair => {
                repair(&self.path, RepairOptions::default()).unwrap();
            }
            Way::RepairInOrder => {
                let options =
                    RepairOptions { fix_timestamp_order: true, ..RepairOptions::default() };
                let report = repair(&self.path, options).unwrap();
                assert!(report.reordered > 0);
            }
            Way::DeleteAndCreate => fs::remove_file(file).unwrap(),
            Way::RenameOnce => {
                self.append([11]);
                fs::rename(file, self.named("log.sage.1")).unwrap();
                thread::sleep(TICK);
                self.append([12, 13]);
                return vec![11, 12, 13];
            }
            Way::RenameTwice => {
                self.append([11]);
                fs::rename(file, self.named("log.sage.1")).unwrap();
                thread::sleep(TICK);
                self.append([12]);
                fs::rename(self.named("log.sage.1"), self.named("log.sage.2")).unwrap();
                fs::rename(file, self.named("log.sage.1")).unwrap();
                thread::sleep(TICK);
                self.append([13]);
                return vec![11, 12, 13];
            }
            Way::Truncate => fs::write(file, "").unwrap(),
        }
        self.append([11, 12]);
        vec![11, 12]
    }
}

struct Following<'a> {
    log: &'a Log,
    path: ChroniclePath,
    follower: Follower,
    cursor: Option<Cursor>,
    states: Vec<FileState>,
}

impl Following<'_> {
    /// The new events, until nothing is left to read.
    fn fresh(&mut self) -> Vec<u64> {
        let mut met = Vec::new();
        loop {
            let look = self.follower.look(&self.path).unwrap();
            let mut at = 1;
            for place in &look.page.places {
                let end = at + usize::try_from(place.length).unwrap();
                let line = &look.page.json[at..end];
                met.push(serde_json::from_slice::<serde_json::Value>(line).unwrap()["n"].as_u64());
                let step = Step { reverse: false, is_counted: look.is_counted };
                self.cursor = Some(Cursor::of_record(&look.stat.unwrap(), place, line, step));
                at = end + 1;
            }
            assert_eq!(at.max(2), look.page.json.len(), "a part of a record is left");
            self.cursor = self.cursor.or(look.start);
            if look.file != FileState::Same {
                self.states.push(look.file);
            }
            if look.is_idle {
                return met.into_iter().map(Option::unwrap).collect();
            }
        }
    }

    /// The events until `count` are there, and those in the time in which others would follow.
    fn wait_for(&mut self, count: usize) -> Vec<u64> {
        let begin = Instant::now();
        let mut met = self.fresh();
        while met.len() < count {
            assert!(begin.elapsed() < HANG, "only {met:?} in {:?}", self.log.folder);
            thread::sleep(Duration::from_millis(5));
            met.extend(self.fresh());
        }
        met.extend(self.fresh());
        met
    }
}

fn append(file: &Path, numbers: impl IntoIterator<Item = u64>) {
    let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
    file.write_all(numbers.into_iter().map(line).collect::<String>().as_bytes()).unwrap();
}

fn line(n: u64) -> String {
    line_at(n, n)
}

fn line_at(n: u64, second: u64) -> String {
    format!("{{\"n\":{n},\"eventId\":\"e{n}\",\"timestamp\":\"2026-01-01T00:00:{second:02}Z\"}}\n")
}

fn without_first(text: &[u8]) -> Vec<u8> {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap();
    text[end + 1..].to_vec()
}

/// A follow of a log from such a place, which has given all old events.
fn follow_from<'a>(log: &'a Log, kind: &str) -> Following<'a> {
    let end = fs::metadata(log.file()).unwrap().len();
    let (from, count) = match kind {
        "start" => (Place::Start, 4),
        "end" => (Place::End, 0),
        "seq" => (Place::Seq(3), 2),
        "offset" => (Place::Offset(end), 0),
        "event id" => (Place::EventId(b"e4".into()), 1),
        "time" => {
            let time = sage_chronicle::Timestamp::of_text(b"2026-01-01T00:00:03Z").unwrap();
            (Place::Time(time), 2)
        }
        _ => {
            let mut whole = log.follow(Place::Start);
            assert_eq!(whole.fresh(), [1, 2, 3, 4]);
            (Place::Cursor(whole.cursor.unwrap()), 0)
        }
    };
    let mut following = log.follow(from);
    assert_eq!(following.fresh().len(), count, "{kind}");
    following
}

/// Runs the cases side by side, because most of their time is waiting.
fn in_each_case(run: impl Fn(Way, &'static str) + Send + Sync) {
    thread::scope(|scope| {
        let run = &run;
        for way in WAYS {
            for kind in KINDS {
                scope.spawn(move || run(way, kind));
            }
        }
    });
}

#[test]
fn while_it_waits_each_new_event_comes_once_and_no_old_one_again() {
    in_each_case(|way, kind| {
        let log = Log::new();
        log.fill();
        let mut following = follow_from(&log, kind);
        let expected = log.replace(way);
        assert_eq!(following.wait_for(expected.len()), expected, "{way:?} from {kind}");
        log.append([20]);
        assert_eq!(following.wait_for(1), [20], "{way:?} from {kind}");
    });
}

#[test]
fn while_it_does_not_run_each_new_event_comes_once_and_no_old_one_again() {
    in_each_case(|way, kind| {
        let log = Log::new();
        log.fill();
        let cursor = follow_from(&log, kind).cursor.unwrap();
        let cursor = cursor.to_string().parse().unwrap();
        let expected = log.replace(way);
        let mut following = log.follow(Place::Cursor(cursor));
        let met = following.wait_for(expected.len());
        if way == Way::RepairInOrder {
            // One record from before the last given one is behind it now.
            assert_eq!(met, [3, 11, 12], "from {kind}");
            // The cursors of these places have no numbers, so only the line identifies the record.
            let is_known = !matches!(kind, "end" | "offset");
            assert_eq!(following.states.contains(&FileState::Rewritten), is_known, "{kind}");
        } else {
            assert_eq!(met, expected, "{way:?} from {kind}");
        }
    });
}

/// A follow of whole lines.
struct Shipping<'a> {
    log: &'a Log,
    follower: BatchFollower,
    /// The number of the record given last, if it is known.
    given: Option<u64>,
}

impl Shipping<'_> {
    fn begin(log: &Log, cursor: Cursor, is_synced: bool) -> Shipping<'_> {
        let from = Place::Cursor(cursor.to_string().parse().unwrap());
        let selection = Selection { from, ..Selection::default() };
        let (disk, limits) =
            (Arc::new(FileDisk), BatchLimits { max_events: 2, ..Default::default() });
        let follower = match is_synced {
            true => BatchFollower::synced(disk, selection, limits),
            false => BatchFollower::new(disk, selection, limits),
        };
        Shipping { log, follower, given: Some(4) }
    }

    fn fresh(&mut self) -> Vec<LineBatch> {
        let mut batches = Vec::new();
        loop {
            let look = self.follower.look(&self.log.path).unwrap();
            batches.extend(look.batch);
            if look.is_idle {
                return batches;
            }
        }
    }

    /// Waits for the last of the new records. Within a file no number is missing or repeated, and a
    /// rewritten file is given as a whole.
    fn check(&mut self, expected: &[u64], case: &str) {
        let begin = Instant::now();
        let is_last = |batch: &LineBatch| numbers_in(&batch.bytes).last() == expected.last();
        let mut batches = self.fresh();
        while !batches.iter().any(is_last) {
            assert!(begin.elapsed() < HANG, "only {batches:?}, {case}");
            thread::sleep(Duration::from_millis(5));
            batches.extend(self.fresh());
        }
        batches.extend(self.fresh());
        for batch in &batches {
            let is_new = batch.file != FileState::Same;
            let before = if is_new { 0 } else { self.given.unwrap_or(batch.after) };
            let numbers = [batch.after, batch.first, batch.count];
            assert_eq!(numbers, [before, before + 1, batch.last - before], "{case}");
            self.given = Some(batch.last);
        }
        let met =
            numbers_in(&batches.iter().flat_map(|batch| batch.bytes.clone()).collect::<Vec<_>>());
        match batches[0].file {
            FileState::Rewritten => {
                assert_eq!(met, numbers_in(&fs::read(self.log.file()).unwrap()), "{case}");
            }
            _ => assert_eq!(met, expected, "{case}"),
        }
    }
}

fn numbers_in(lines: &[u8]) -> Vec<u64> {
    let records = lines.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{"));
    let number =
        |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).unwrap()["n"].as_u64();
    records.map(|line| number(line).unwrap()).collect()
}

#[test]
fn as_lines_each_new_record_comes_once_with_its_number_in_its_file() {
    in_each_case(|way, kind| {
        for is_synced in [false, true] {
            let log = Log::new();
            log.fill();
            let cursor = follow_from(&log, kind).cursor.unwrap();
            let mut waiting = Shipping::begin(&log, cursor, is_synced);
            assert!(waiting.fresh().is_empty());
            let expected = log.replace(way);
            let mut later = Shipping::begin(&log, cursor, is_synced);
            // Before the first record a cursor of these places has no number, so only the line
            // identifies it.
            let has_numbers = !["end", "offset"].contains(&kind);
            if !has_numbers {
                (waiting.given, later.given) = (None, None);
            }
            let moved: &[u64] = if way == Way::RepairInOrder && !has_numbers { &[3] } else { &[] };
            let case = |when| format!("{way:?} from {kind}, {when}, {is_synced}");
            later.check(&[moved, &expected].concat(), &case("later"));
            waiting.check(&[moved, &expected].concat(), &case("waiting"));
        }
    });
}
