//! A follow of a log through everything that can happen to its file.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sage_chronicle::cursor::{Cursor, Step};
use sage_chronicle::error::Result;
use sage_chronicle::internals::storage::{Disk, FileDisk, OpenFile, Stat, Storage};
use sage_chronicle::{ChroniclePath, Filter, Follower, Place, Selection, Wanted};
use tempfile::TempDir;

/// A log in a folder of its own, and a follow of it.
struct Log {
    folder: TempDir,
    path: ChroniclePath,
}

struct Following<'a> {
    log: &'a Log,
    follower: Follower,
    last: Option<Cursor>,
}

impl Log {
    fn new() -> Log {
        let folder = tempfile::tempdir().unwrap();
        let path = ChroniclePath::parse(folder.path().join("log.sage").to_str().unwrap()).unwrap();
        Log { folder, path }
    }

    fn file(&self) -> PathBuf {
        self.path.as_path().to_owned()
    }

    fn append(&self, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.file()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, name: &str) -> PathBuf {
        let to = self.folder.path().join(name);
        fs::rename(self.file(), &to).unwrap();
        to
    }

    fn follow(&self, from: Place) -> Following<'_> {
        self.select(Selection { from, numbered: true, ..Selection::default() })
    }

    fn select(&self, selection: Selection) -> Following<'_> {
        Following { log: self, follower: Follower::new(Arc::new(FileDisk), selection), last: None }
    }
}

impl Following<'_> {
    /// The numbers `n` and `seq` of the new records, until nothing is left to read.
    fn fresh(&mut self) -> Vec<(u64, u64)> {
        let mut met = Vec::new();
        loop {
            let look = self.follower.look(&self.log.path).unwrap();
            let mut at = 1;
            for place in &look.page.places {
                let end = at + usize::try_from(place.length).unwrap();
                let line = &look.page.json[at..end];
                let value: serde_json::Value = serde_json::from_slice(line).unwrap();
                met.push((value["n"].as_u64().unwrap(), place.seq));
                let step = Step { reverse: false, is_counted: look.is_counted };
                self.last = Some(Cursor::of_record(&look.stat.unwrap(), place, line, step));
                at = end + 1;
            }
            self.last = self.last.or(look.start);
            if look.is_idle {
                return met;
            }
        }
    }

    /// Waits until the file at the path is the one that is read, and all its records were given
    /// before.
    fn settle(&mut self) {
        let inode = FileDisk.stat(&self.log.file()).unwrap().unwrap().inode;
        let begin = Instant::now();
        loop {
            let look = self.follower.look(&self.log.path).unwrap();
            assert!(look.page.places.is_empty());
            if look.is_idle && look.stat.is_some_and(|stat| stat.inode == inode) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "still at another file");
        }
    }

    /// The records until `count` are there. A replaced file is left only after a while.
    fn wait_for(&mut self, count: usize) -> Vec<(u64, u64)> {
        let begin = Instant::now();
        let mut met = self.fresh();
        while met.len() < count {
            assert!(begin.elapsed() < Duration::from_secs(30), "only {met:?}");
            met.extend(self.fresh());
        }
        met
    }
}

fn lines(numbers: impl IntoIterator<Item = u64>) -> String {
    numbers.into_iter().map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

fn seqs(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    numbers.into_iter().map(|n| (n, n)).collect()
}

#[test]
fn what_is_there_comes_first_then_what_is_appended_and_nothing_twice() {
    let log = Log::new();
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), []);
    log.append(&lines(1..=3));
    assert_eq!(following.fresh(), seqs(1..=3));
    assert_eq!(following.fresh(), []);
    log.append("{\"n\":4");
    assert_eq!(following.fresh(), []);
    log.append("}\n{\"n\":5}\nbad\n");
    assert_eq!(following.fresh(), seqs(4..=5));
    log.append(&lines(6..=6));
    assert_eq!(following.fresh(), seqs(6..=6));
}

#[test]
fn an_unterminated_record_is_given_once_and_the_rest_of_its_line_is_none() {
    let log = Log::new();
    log.append("{\"n\":1}\n{\"n\":2}");
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), seqs(1..=2));
    log.append("\n");
    assert_eq!(following.fresh(), []);
    log.append("{\"n\":3}");
    assert_eq!(following.fresh(), seqs(3..=3));
    log.append("\n{\"n\":4}\n");
    assert_eq!(following.fresh(), seqs(4..=4));
}

#[test]
fn from_the_end_only_what_comes_is_given_also_the_rest_of_a_record_under_way() {
    let log = Log::new();
    log.append("{\"n\":1}\n{\"n\":2");
    let mut following = log.follow(Place::End);
    assert_eq!(following.fresh(), []);
    log.append("}\n{\"n\":3}\n");
    assert_eq!(following.fresh(), seqs(2..=3));

    let whole = Log::new();
    whole.append("{\"n\":1}");
    let mut following = whole.follow(Place::End);
    assert_eq!(following.fresh(), []);
    whole.append("\n{\"n\":2}\n");
    assert_eq!(following.fresh(), seqs(2..=2));

    let missing = Log::new();
    let mut following = missing.follow(Place::End);
    assert_eq!(following.fresh(), []);
    missing.append(&lines(1..=1));
    assert_eq!(following.fresh(), seqs(1..=1));
}

#[test]
fn a_file_that_was_renamed_away_is_read_on_until_another_stands_in_its_place() {
    let log = Log::new();
    log.append(&lines(1..=2));
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), seqs(1..=2));
    let old = log.rename("old");
    OpenOptions::new().append(true).open(&old).unwrap().write_all(b"{\"n\":3}\n").unwrap();
    assert_eq!(following.fresh(), seqs(3..=3));
    log.append("{\"n\":10}\n{\"n\":11}\n");
    // A writer checked the path just before the new file was there.
    OpenOptions::new().append(true).open(&old).unwrap().write_all(b"{\"n\":4}\n").unwrap();
    assert_eq!(following.wait_for(3), [(4, 4), (10, 1), (11, 2)]);
}

#[test]
fn a_file_that_was_deleted_is_read_to_its_end_and_its_successor_from_the_beginning() {
    let log = Log::new();
    log.append(&lines(1..=2));
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), seqs(1..=2));
    log.append(&lines(3..=3));
    fs::remove_file(log.file()).unwrap();
    assert_eq!(following.fresh(), seqs(3..=3));
    assert_eq!(following.fresh(), []);
    log.append("{\"n\":7}\n");
    assert_eq!(following.fresh(), [(7, 1)]);
}

#[test]
fn a_replacement_that_has_the_last_record_is_read_on_behind_it() {
    let log = Log::new();
    log.append(&lines(1..=5));
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), seqs(1..=5));
    // As an editor or a repair does: fewer lines, another inode.
    log.rename("backup");
    log.append("{\"n\":1}\n{\"n\":3}\n{\"n\":5}\n{\"n\":6}\n");
    assert_eq!(following.wait_for(1), [(6, 4)]);
}

#[test]
fn a_file_cut_to_a_record_that_was_given_goes_on_behind_it() {
    let log = Log::new();
    log.append(&lines(1..=5));
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), seqs(1..=5));
    OpenOptions::new().write(true).open(log.file()).unwrap().set_len(3 * 8).unwrap();
    assert_eq!(following.fresh(), []);
    log.append("{\"n\":8}\n{\"n\":9}\n{\"n\":6}\n");
    assert_eq!(following.fresh(), [(8, 4), (9, 5), (6, 6)]);
}

#[test]
fn a_file_cut_to_nothing_is_a_new_one_also_when_it_grew_longer_meanwhile() {
    let log = Log::new();
    log.append(&lines(1..=5));
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), seqs(1..=5));
    fs::write(log.file(), "").unwrap();
    assert_eq!(following.fresh(), []);
    log.append("{\"n\":20}\n");
    assert_eq!(following.fresh(), [(20, 1)]);
    fs::write(log.file(), lines(30..=39)).unwrap();
    let seen: Vec<u64> = following.fresh().into_iter().map(|(n, _)| n).collect();
    assert_eq!(seen, (30..=39).collect::<Vec<_>>());
}

#[test]
fn a_cursor_goes_on_in_its_file_or_behind_its_record_in_another_one() {
    let log = Log::new();
    log.append(&lines(1..=5));
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), seqs(1..=5));
    let cursor = following.last.unwrap();
    log.append(&lines(6..=7));
    assert_eq!(log.follow(Place::Cursor(cursor)).fresh(), seqs(6..=7));
    log.rename("old");
    log.append(&lines(4..=9));
    assert_eq!(log.follow(Place::Cursor(cursor)).fresh(), [(6, 3), (7, 4), (8, 5), (9, 6)]);
    log.rename("older");
    assert_eq!(log.follow(Place::Cursor(cursor)).fresh(), []);
    log.append(&lines(8..=9));
    assert_eq!(log.follow(Place::Cursor(cursor)).fresh(), [(8, 1), (9, 2)]);
}

#[test]
fn the_cursor_before_the_first_record_is_where_the_follow_began() {
    let log = Log::new();
    log.append(&lines(1..=5));
    let mut following = log.follow(Place::End);
    assert_eq!(following.fresh(), []);
    let cursor = following.last.unwrap();
    log.append(&lines(6..=6));
    assert_eq!(log.follow(Place::Cursor(cursor)).fresh(), seqs(6..=6));

    let missing = Log::new();
    let mut following = missing.follow(Place::End);
    assert_eq!(following.fresh(), []);
    let cursor = following.last.unwrap();
    missing.append(&lines(1..=1));
    assert_eq!(missing.follow(Place::Cursor(cursor)).fresh(), seqs(1..=1));
}

#[test]
fn a_place_to_begin_at_that_was_not_met_is_looked_for_in_the_next_file() {
    let log = Log::new();
    log.append(&lines(1..=2));
    let mut following = log.follow(Place::Seq(4));
    assert_eq!(following.fresh(), []);
    log.append(&lines(3..=5));
    assert_eq!(following.fresh(), seqs(4..=5));

    let other = Log::new();
    other.append(&lines(1..=2));
    let mut following = other.follow(Place::Seq(3));
    assert_eq!(following.fresh(), []);
    fs::remove_file(other.file()).unwrap();
    assert_eq!(following.fresh(), []);
    other.append(&lines(1..=3));
    assert_eq!(following.fresh(), seqs(3..=3));
}

#[test]
fn an_unknown_id_to_begin_at_is_an_error_at_the_first_look() {
    let log = Log::new();
    log.append("{\"eventId\":\"a\",\"n\":1}\n{\"eventId\":\"b\",\"n\":2}\n");
    assert_eq!(log.follow(Place::EventId(b"b".into())).fresh(), seqs(2..=2));
    let selection = Selection { from: Place::EventId(b"c".into()), ..Selection::default() };
    let error = Follower::new(Arc::new(FileDisk), selection.clone()).look(&log.path).unwrap_err();
    assert_eq!(error.code().as_str(), "EVALIDATION");
    let missing = Log::new();
    let error = Follower::new(Arc::new(FileDisk), selection).look(&missing.path).unwrap_err();
    assert_eq!(error.code().as_str(), "EVALIDATION");
}

#[test]
fn only_wanted_records_are_given_and_a_replacement_is_known_by_any_record() {
    let log = Log::new();
    let line = |kind: &str, n: u64| format!("{{\"type\":\"{kind}\",\"n\":{n}}}\n");
    log.append(&(line("A", 1) + &line("B", 2)));
    let wanted = Wanted { types: vec![b"A".into()], ..Wanted::default() };
    let filter = Filter::new(wanted);
    let mut following = log.select(Selection { filter, ..Selection::default() });
    let numbers = |met: Vec<(u64, u64)>| met.into_iter().map(|(n, _)| n).collect::<Vec<_>>();
    assert_eq!(numbers(following.fresh()), [1]);
    log.rename("old");
    log.append(&(line("A", 0) + &line("B", 2) + &line("A", 3)));
    assert_eq!(numbers(following.wait_for(1)), [3]);
}

#[test]
fn a_directory_in_the_place_of_the_file_is_an_error() {
    let log = Log::new();
    fs::create_dir(log.file()).unwrap();
    let error = Follower::new(Arc::new(FileDisk), Selection::default()).look(&log.path);
    assert_eq!(error.unwrap_err().code().as_str(), "EVALIDATION");
}

#[test]
fn a_second_replacement_right_after_the_first_gives_nothing_again() {
    let log = Log::new();
    log.append(&lines(1..=5));
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), seqs(1..=5));
    log.rename("one");
    log.append("{\"n\":2}\n{\"n\":5}\n{\"n\":6}\n");
    assert_eq!(following.wait_for(1), [(6, 3)]);
    log.rename("two");
    log.append("{\"n\":6}\n");
    following.settle();
    log.rename("three");
    log.append("{\"n\":5}\n{\"n\":6}\n{\"n\":7}\n");
    assert_eq!(following.wait_for(1), [(7, 3)]);
}

#[test]
fn a_file_that_came_while_the_one_before_was_read_is_given_also_when_it_is_gone_by_then() {
    let log = Log::new();
    log.append(&lines(1..=2));
    let mut following = log.follow(Place::Start);
    assert_eq!(following.fresh(), seqs(1..=2));
    log.rename("first");
    log.append("{\"n\":10}\n");
    // The first file is still watched.
    assert_eq!(following.fresh(), []);
    log.rename("second");
    log.append("{\"n\":20}\n");
    assert_eq!(following.wait_for(2), [(10, 1), (20, 1)]);
}

#[test]
fn a_blank_line_is_nothing_to_know_a_place_by() {
    let log = Log::new();
    log.append("{\"type\":\"A\",\"n\":1}\n \n");
    let wanted = Wanted { types: vec![b"A".into()], ..Wanted::default() };
    let mut following =
        log.select(Selection { filter: Filter::new(wanted), ..Selection::default() });
    let numbers = |met: Vec<(u64, u64)>| met.into_iter().map(|(n, _)| n).collect::<Vec<_>>();
    assert_eq!(numbers(following.fresh()), [1]);
    log.rename("old");
    log.append("{\"type\":\"A\",\"n\":1}\n{\"type\":\"A\",\"n\":2}\n \n{\"type\":\"A\",\"n\":3}\n");
    assert_eq!(numbers(following.wait_for(1)), [2, 3]);
}

#[test]
fn an_offset_that_the_file_has_not_reached_is_waited_for() {
    for numbered in [true, false] {
        let log = Log::new();
        log.append(&lines(1..=1));
        let selection = Selection { from: Place::Offset(20), numbered, ..Selection::default() };
        let mut following = log.select(selection);
        assert_eq!(following.fresh(), []);
        assert_eq!(following.last, None);
        log.append(&lines(2..=5));
        let numbers: Vec<_> = following.fresh().into_iter().map(|(n, _)| n).collect();
        assert_eq!(numbers, [4, 5]);
    }
}

#[test]
fn a_place_to_begin_at_that_was_not_met_is_still_looked_for_when_the_file_was_cut() {
    let log = Log::new();
    log.append(&lines(1..=3));
    let mut following = log.follow(Place::Seq(4));
    assert_eq!(following.fresh(), []);
    OpenOptions::new().write(true).open(log.file()).unwrap().set_len(8).unwrap();
    assert_eq!(following.fresh(), []);
    log.append(&lines(2..=5));
    assert_eq!(following.fresh(), seqs(4..=5));
}

#[test]
fn a_file_that_is_missing_has_no_place_yet_where_a_follow_begins_in_its_middle() {
    let log = Log::new();
    for from in [Place::Seq(3), Place::Offset(9)] {
        let mut following = log.follow(from);
        assert_eq!(following.fresh(), []);
        assert_eq!(following.last, None);
    }
}

#[test]
fn a_file_cut_while_it_is_opened_is_opened_again() {
    for case in 0..3 {
        let log = Log::new();
        log.append(&lines(1..=2));
        let mut following = log.follow(Place::Start);
        assert_eq!(following.fresh(), seqs(1..=2));
        let from = match case {
            0 => Place::End,
            1 => Place::Offset(10),
            _ => Place::Cursor(following.last.unwrap()),
        };
        if case == 2 {
            log.rename("old");
            log.append(&lines(3..=5));
        }
        let selection = Selection { from, ..Selection::default() };
        let (is_cut, file) = (AtomicBool::new(false), log.file());
        let disk = MeddledDisk::new(move |moment| {
            if moment == Moment::LengthAsked && !is_cut.swap(true, Ordering::Relaxed) {
                OpenOptions::new().write(true).open(&file).unwrap().set_len(0).unwrap();
            }
        });
        let follower = Follower::new(disk, selection);
        let mut following = Following { log: &log, follower, last: None };
        assert_eq!(following.fresh(), [], "case {case}");
        log.append(&lines(7..=9));
        let numbers: Vec<_> = following.fresh().into_iter().map(|(n, _)| n).collect();
        let expected: &[u64] = if case == 1 { &[9] } else { &[7, 8, 9] };
        assert_eq!(numbers, expected, "case {case}");
    }
}

#[test]
fn a_replaced_file_is_read_once_more_before_it_is_left() {
    let log = Log::new();
    log.append(&lines(1..=2));
    // A deleted file is not watched any longer: the next look leaves it, if nothing more is in it.
    let late = OpenOptions::new().append(true).open(log.file()).unwrap();
    let is_late = Arc::new(AtomicBool::new(false));
    let comes_late = is_late.clone();
    let disk = MeddledDisk::new(move |moment| {
        if moment == Moment::PathLookedAt && comes_late.swap(false, Ordering::Relaxed) {
            (&late).write_all(b"{\"n\":3}\n").unwrap();
        }
    });
    let selection = Selection { numbered: true, ..Selection::default() };
    let mut following =
        Following { log: &log, follower: Follower::new(disk, selection), last: None };
    assert_eq!(following.fresh(), seqs(1..=2));
    fs::remove_file(log.file()).unwrap();
    log.append("{\"n\":10}\n");
    is_late.store(true, Ordering::Relaxed);
    assert_eq!(following.fresh(), [(3, 3), (10, 1)]);
}

/// The moments at which a test changes the files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The length of an open file is requested.
    LengthAsked,
    /// The file at the path is examined.
    PathLookedAt,
}

type Meddle = Arc<dyn Fn(Moment) + Send + Sync>;

/// Real files that a test changes at chosen moments.
struct MeddledDisk {
    meddle: Meddle,
}

struct MeddledStorage {
    real: Arc<dyn Storage>,
    meddle: Meddle,
}

impl MeddledDisk {
    fn new(meddle: impl Fn(Moment) + Send + Sync + 'static) -> Arc<MeddledDisk> {
        Arc::new(MeddledDisk { meddle: Arc::new(meddle) })
    }
}

impl Disk for MeddledDisk {
    fn beneath(&self) -> Option<&dyn Disk> {
        Some(&FileDisk)
    }
    fn open_for_reading(&self, path: &Path) -> Result<Option<OpenFile>> {
        let file = FileDisk.open_for_reading(path)?;
        Ok(file.map(|file| {
            let (real, meddle) = (file.storage().clone(), self.meddle.clone());
            file.with_storage(Arc::new(MeddledStorage { real, meddle }))
        }))
    }
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        (self.meddle)(Moment::PathLookedAt);
        FileDisk.stat(path)
    }
}

impl Storage for MeddledStorage {
    fn stat(&self) -> io::Result<Stat> {
        let stat = self.real.stat();
        (self.meddle)(Moment::LengthAsked);
        stat
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
    fn drop_cached(&self, range: Range<u64>) -> io::Result<bool> {
        self.real.drop_cached(range)
    }
}

#[test]
fn a_place_to_begin_at_that_was_not_met_does_not_keep_at_a_file_that_was_renamed_away() {
    let log = Log::new();
    log.append(&lines(1..=2));
    let mut following = log.follow(Place::Seq(3));
    assert_eq!(following.fresh(), []);
    log.rename("old");
    log.append(&lines(1..=3));
    assert_eq!(following.wait_for(1), seqs(3..=3));
}
