//! Repairing a log: lines that are moved out, lines that stay byte for byte, files that are left,
//! and logs that are refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sage_chronicle::internals::plan::RemovedKind;
use sage_chronicle::repair::Report;
use sage_chronicle::verify::Verifier;
use sage_chronicle::{AppendOptions, ChroniclePath, Code, RepairOptions, append, repair};
use tempfile::TempDir;

/// One line of each kind: a good one with odd white space, a blank one, bad ones, and a torn tail.
const DAMAGED: &[u8] =
    b" {\"a\" : 1}\t\r\n\n \t\nno object\n{\"b\":\0}\n{\"c\":\"\xe2\x80\xa8\"}\r\n[1]\n{\"torn\":";
const GOOD: &[u8] = b" {\"a\" : 1}\t\r\n\n \t\n{\"c\":\"\xe2\x80\xa8\"}\r\n";
const BAD: &[u8] = b"no object\n{\"b\":\0}\n[1]\n{\"torn\":";

struct Log {
    folder: TempDir,
    path: ChroniclePath,
}

impl Log {
    fn of(bytes: impl AsRef<[u8]>) -> Log {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log.sage");
        fs::write(&file, bytes).unwrap();
        let path = ChroniclePath::parse(file.to_str().unwrap()).unwrap();
        Log { folder, path }
    }

    fn file(&self) -> &Path {
        self.path.as_path()
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.file()).unwrap()
    }

    fn repaired(&self) -> Report {
        self.with(|_| {})
    }

    fn with(&self, set: impl FnOnce(&mut RepairOptions)) -> Report {
        let mut options = RepairOptions::default();
        set(&mut options);
        repair(&self.path, options).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Asserts that the log is the only name in the folder.
    fn assert_alone(&self) {
        assert_eq!(self.names(), ["log.sage"]);
    }

    fn findings(&self) -> Vec<&'static str> {
        let mut verifier = Verifier::open(&self.path).unwrap();
        let mut kinds = Vec::new();
        loop {
            let progress = verifier.next_page(&self.path).unwrap();
            kinds.extend(progress.findings.iter().map(|finding| finding.kind.as_str()));
            if progress.done {
                return kinds;
            }
        }
    }
}

fn kinds(report: &Report) -> Vec<(&'static str, u64)> {
    report.removed.iter().map(|line| (line.kind.as_str(), line.line)).collect()
}

fn event(mark: &str) -> String {
    format!(
        r#"{{"type":"NOTE","timestamp":"2026-01-02T03:04:05Z","actor":{{"agent":"a","id":"b"}},"mark":"{mark}"}}"#
    )
}

#[test]
fn bad_lines_are_moved_out_and_good_ones_stay_byte_for_byte() {
    let log = Log::of(DAMAGED);
    assert_eq!(log.findings(), ["malformed", "nul", "malformed", "torn"]);
    let report = log.repaired();
    assert!(report.repaired);
    assert_eq!(log.bytes(), GOOD);
    assert_eq!(fs::read(report.removed_file.as_ref().unwrap()).unwrap(), BAD);
    assert_eq!(fs::read(report.backup.as_ref().unwrap()).unwrap(), DAMAGED);
    assert_eq!(kinds(&report), [("malformed", 4), ("nul", 5), ("malformed", 7), ("torn", 8)]);
    for line in &report.removed {
        let bytes = &DAMAGED[line.offset as usize..(line.offset + line.length) as usize];
        assert!(BAD.windows(bytes.len()).any(|window| window == bytes));
    }
    assert_eq!((report.kept, report.reordered), (2, 0));
    assert_eq!(report.changes.len(), 3);
    assert_eq!(report.warnings, Vec::<String>::new());
    assert_eq!(log.names().len(), 3);
    assert_eq!(log.findings(), Vec::<&str>::new());
}

#[test]
fn what_is_left_beside_a_log_is_named_after_it() {
    let log = Log::of(DAMAGED);
    let report = log.repaired();
    for (path, kind) in [(report.backup, "backup"), (report.removed_file, "removed")] {
        let path = path.unwrap();
        assert_eq!(path.parent(), Some(fs::canonicalize(log.folder.path()).unwrap().as_path()));
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let stamp = name.strip_prefix(&format!("log.sage.{kind}.")).unwrap();
        assert!(stamp.parse::<u64>().unwrap() > 1_700_000_000_000);
    }
}

#[test]
fn a_second_repair_finds_nothing_to_do() {
    let log = Log::of(DAMAGED);
    log.with(|options| options.remove_duplicates = true);
    let names = log.names();
    let inode = fs::metadata(log.file()).unwrap().ino();
    let again = log.with(|options| {
        options.remove_duplicates = true;
        options.fix_timestamp_order = true;
    });
    assert_eq!(again, Report { kept: 2, ..Report::default() });
    assert_eq!(fs::metadata(log.file()).unwrap().ino(), inode);
    assert_eq!(log.names(), names);
}

#[test]
fn a_dry_run_returns_the_plan_and_changes_nothing() {
    let log = Log::of(DAMAGED);
    let before = fs::metadata(log.file()).unwrap();
    // Another process holds the lock, which a dry run does not need.
    let holder = File::open(log.file()).unwrap();
    fs4::FileExt::try_lock(&holder).unwrap();
    let planned = log.with(|options| options.dry_run = true);
    drop(holder);
    let after = fs::metadata(log.file()).unwrap();
    assert_eq!(log.bytes(), DAMAGED);
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    log.assert_alone();
    assert!(!planned.repaired && planned.changes.is_empty());
    let done = log.repaired();
    assert_eq!((planned.kept, planned.removed), (done.kept, done.removed));
}

#[test]
fn a_good_log_is_left_alone_and_its_lock_is_not_asked_for() {
    let good = b"{\"a\":1}\n\n{\"a\":1}\r\n{\"b\":2}";
    let log = Log::of(good);
    let holder = File::open(log.file()).unwrap();
    fs4::FileExt::try_lock(&holder).unwrap();
    assert_eq!(log.repaired(), Report { kept: 3, ..Report::default() });
    assert_eq!(log.bytes(), good);
    log.assert_alone();
}

#[test]
fn a_missing_file_is_repaired_by_nothing() {
    let log = Log::of("");
    fs::remove_file(log.file()).unwrap();
    assert_eq!(log.repaired(), Report::default());
    assert_eq!(log.names(), Vec::<String>::new());
}

#[test]
fn an_unterminated_record_at_the_end_stays_and_gets_its_newline() {
    let log = Log::of("bad\n{\"a\":1}\n{\"b\":2}");
    let report = log.repaired();
    assert_eq!(log.bytes(), b"{\"a\":1}\n{\"b\":2}\n");
    assert_eq!((report.kept, kinds(&report)), (2, vec![("malformed", 1)]));
}

#[test]
fn later_records_with_an_id_or_key_of_an_earlier_one_are_moved_out_on_request() {
    let lines = [
        r#"{"eventId":"a","n":1}"#,
        r#"{"eventId":"b","idempotencyKey":"a","n":2}"#,
        r#"{"eventId":"c","idempotencyKey":"k"}"#,
        r#"{"eventId":"k"}"#,
        r#"{"eventId":"a","n":5}"#,
    ];
    let log = Log::of(lines.join("\n") + "\n");
    assert!(!log.repaired().repaired);
    let report = log.with(|options| options.remove_duplicates = true);
    assert_eq!(kinds(&report), [("duplicate", 2), ("duplicate", 4), ("duplicate", 5)]);
    assert_eq!(log.bytes(), format!("{}\n{}\n", lines[0], lines[2]).into_bytes());
    let removed = fs::read_to_string(report.removed_file.unwrap()).unwrap();
    assert_eq!(removed, format!("{}\n{}\n{}\n", lines[1], lines[3], lines[4]));
    assert_eq!(report.changes, ["moved out 3 duplicate records"]);
}

#[test]
fn records_are_sorted_by_time_on_request_and_what_lies_between_stays_in_place() {
    let at = |time: &str, n: u8| format!("{{\"timestamp\":\"{time}\",\"n\":{n}}} ");
    let (b, a1, a2, c) = (
        at("2026-01-02T00:00:00Z", 1),
        at("2026-01-02T00:30:00+01:00", 2),
        at("2026-01-01T23:30:00Z", 3),
        at("2026-01-03T00:00:00Z", 4),
    );
    let none = "{\"n\":0}";
    let log = Log::of(format!("{none}\n{c}\n\nbad\n{b}\n{a1}\n{a2}"));
    let planned = log.with(|options| {
        options.fix_timestamp_order = true;
        options.dry_run = true;
    });
    assert_eq!(planned.reordered, 4);
    let report = log.with(|options| options.fix_timestamp_order = true);
    let expected = format!("{none}\n{a1}\n\n{a2}\n{b}\n{c}\n");
    assert_eq!(String::from_utf8(log.bytes()).unwrap(), expected);
    assert_eq!((report.kept, report.reordered, kinds(&report)), (5, 4, vec![("malformed", 4)]));
    assert_eq!((report.changes.len(), report.warnings.len()), (2, 1));
    assert_eq!(log.findings(), Vec::<&str>::new());
    assert!(!log.with(|options| options.fix_timestamp_order = true).repaired);
}

#[test]
fn consecutive_duplicates_alone_are_moved_out_and_bad_lines_stay() {
    let (a, b) = (r#"{"eventId":"a"}"#, r#"{"eventId":"b"}"#);
    let log = Log::of(format!("{a}\n{a}\nbad\n{a}\n{b}\n\n{b}\n{a}\n{{\"torn"));
    let report = log.with(|options| options.only_consecutive = true);
    assert_eq!(kinds(&report), [("duplicate", 2), ("duplicate", 7)]);
    let expected = format!("{a}\nbad\n{a}\n{b}\n\n{a}\n{{\"torn");
    assert_eq!(String::from_utf8(log.bytes()).unwrap(), expected);
    assert!(!log.with(|options| options.only_consecutive = true).repaired);
}

#[test]
fn lines_too_long_to_be_records_are_moved_whole_and_a_log_larger_than_a_chunk_is_copied_whole() {
    let long = vec![b'x'; (67 << 20) + 17];
    let good: Vec<u8> =
        (0..30_000).flat_map(|n| format!("{}\n", event(&n.to_string())).into_bytes()).collect();
    for only_consecutive in [false, true] {
        let log = Log::of(
            [
                &good[..],
                &long,
                b"\n",
                &good,
                b"{\"eventId\":\"a\"}\n{\"eventId\":\"a\"}\nbad\n",
                &long,
            ]
            .concat(),
        );
        let report = log.with(|options| {
            options.only_consecutive = only_consecutive;
            options.remove_duplicates = true;
        });
        let (kept, removed) = if only_consecutive {
            let kept =
                [&good[..], &long, b"\n", &good, b"{\"eventId\":\"a\"}\nbad\n", &long].concat();
            (kept, b"{\"eventId\":\"a\"}\n".to_vec())
        } else {
            let kept = [&good[..], &good, b"{\"eventId\":\"a\"}\n"].concat();
            (kept, [&long[..], b"\n{\"eventId\":\"a\"}\nbad\n", &long].concat())
        };
        assert!(log.bytes() == kept);
        assert!(fs::read(report.removed_file.unwrap()).unwrap() == removed);
        assert_eq!(report.kept, 60_001);
    }
}

#[test]
fn mode_and_owner_are_kept_and_the_other_files_have_them_too() {
    let log = Log::of(DAMAGED);
    fs::set_permissions(log.file(), fs::Permissions::from_mode(0o640)).unwrap();
    // Only root may change the owner of a file.
    let is_root = std::os::unix::fs::chown(log.file(), Some(1234), Some(4321)).is_ok();
    let before = fs::metadata(log.file()).unwrap();
    assert!(!is_root || before.uid() == 1234);
    let report = log.repaired();
    for path in [log.file().to_owned(), report.removed_file.unwrap()] {
        let after = fs::metadata(path).unwrap();
        assert_eq!(
            (after.mode(), after.uid(), after.gid()),
            (before.mode(), before.uid(), before.gid())
        );
        assert_eq!(after.mode() & 0o7777, 0o640);
    }
}

#[test]
fn a_symlink_stays_one_and_the_file_behind_it_is_repaired() {
    let log = Log::of(DAMAGED);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.sage");
    symlink(log.file(), &link).unwrap();
    let path = ChroniclePath::parse(link.to_str().unwrap()).unwrap();
    let report = repair(&path, RepairOptions::default()).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(log.bytes(), GOOD);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    let home = fs::canonicalize(log.folder.path()).unwrap();
    assert!(report.backup.unwrap().starts_with(home));
    fs::remove_file(log.file()).unwrap();
    assert_eq!(repair(&path, RepairOptions::default()).unwrap(), Report::default());
}

#[test]
fn a_file_with_several_hard_links_is_refused() {
    let log = Log::of(DAMAGED);
    let other = log.folder.path().join("other.sage");
    fs::hard_link(log.file(), &other).unwrap();
    for dry_run in [false, true] {
        let error = repair(&log.path, RepairOptions { dry_run, ..Default::default() }).unwrap_err();
        assert_eq!(error.code(), Code::Validation);
        assert!(error.message().contains("hard links"), "{error}");
    }
    assert_eq!(log.bytes(), DAMAGED);
    fs::remove_file(other).unwrap();
    assert!(log.repaired().repaired);
}

#[test]
fn what_a_killed_repair_left_does_not_stand_in_the_way() {
    let log = Log::of(DAMAGED);
    // A repair was killed between the backup and the rename.
    fs::hard_link(log.file(), log.folder.path().join("log.sage.backup.17")).unwrap();
    fs::write(log.folder.path().join(".log.sage.chronicle-repair"), "half of").unwrap();
    let report = log.repaired();
    assert_eq!(log.bytes(), GOOD);
    assert_eq!(fs::metadata(report.backup.unwrap()).unwrap().nlink(), 1);
    assert!(!log.names().contains(&"log.sage.backup.17".to_owned()));
    assert_eq!(log.names().len(), 3);
}

#[test]
fn two_names_of_other_files_are_nobodys_leftovers() {
    let log = Log::of(DAMAGED);
    let earlier = log.folder.path().join("log.sage.backup.17");
    fs::write(&earlier, "an earlier backup").unwrap();
    fs::hard_link(log.file(), log.folder.path().join("log.sage.backup.x")).unwrap();
    let error = repair(&log.path, RepairOptions::default()).unwrap_err();
    assert_eq!(error.code(), Code::Validation);
    assert_eq!(fs::read(earlier).unwrap(), b"an earlier backup");
}

#[test]
fn a_stranger_in_the_place_of_the_new_file_is_not_followed() {
    let log = Log::of(DAMAGED);
    let victim = log.folder.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, log.folder.path().join(".log.sage.chronicle-repair")).unwrap();
    assert!(log.repaired().repaired);
    assert_eq!(fs::read(victim).unwrap(), b"precious");
    assert!(fs::symlink_metadata(log.file()).unwrap().is_file());
}

#[test]
fn a_new_file_that_a_living_process_writes_is_left_to_it() {
    let log = Log::of(DAMAGED);
    let side = log.folder.path().join(".log.sage.chronicle-repair");
    let holder = File::create(&side).unwrap();
    fs4::FileExt::try_lock(&holder).unwrap();
    let error = repair(&log.path, RepairOptions::default()).unwrap_err();
    assert_eq!(error.code(), Code::Io);
    assert!(side.exists());
    assert_eq!(log.bytes(), DAMAGED);
    drop(holder);
    assert!(log.repaired().repaired);
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("folder.sage");
    fs::create_dir(&name).unwrap();
    let path = ChroniclePath::parse(name.to_str().unwrap()).unwrap();
    let error = repair(&path, RepairOptions::default()).unwrap_err();
    assert_eq!(error.code(), Code::Validation);
}

#[test]
fn a_lock_that_is_not_free_in_time_is_reported_and_nothing_was_touched() {
    let log = Log::of(DAMAGED);
    let holder = File::open(log.file()).unwrap();
    fs4::FileExt::try_lock(&holder).unwrap();
    for lock_timeout in [Duration::ZERO, Duration::from_millis(80)] {
        let options = RepairOptions { lock_timeout, ..Default::default() };
        let error = repair(&log.path, options).unwrap_err();
        assert_eq!(error.code(), Code::LockTimeout);
        assert!(error.waited().unwrap() >= lock_timeout);
        assert_eq!(error.written().map(|written| written.as_str()), Some("no"));
        if cfg!(target_os = "linux") {
            assert_eq!(error.holder_pid(), Some(std::process::id()));
        }
    }
    assert_eq!(log.bytes(), DAMAGED);
    log.assert_alone();
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_is_replaced_while_its_lock_is_waited_for_is_left_alone_and_the_new_one_repaired() {
    /// Whether this process has opened the file for appending, as a repair that waits for the lock
    /// does.
    fn is_open_for_appending(path: &Path) -> bool {
        let is_it = |entry: fs::DirEntry| {
            let flags = fs::read_to_string(Path::new("/proc/self/fdinfo").join(entry.file_name()));
            let flags = flags.unwrap_or_default();
            let octal = flags.lines().find_map(|line| line.strip_prefix("flags:"));
            fs::read_link(entry.path()).is_ok_and(|open| open == path)
                && octal.is_some_and(|octal| {
                    i64::from_str_radix(octal.trim(), 8).unwrap() & 0o2000 != 0
                })
        };
        fs::read_dir("/proc/self/fd").unwrap().any(|entry| entry.is_ok_and(is_it))
    }
    let log = Log::of(DAMAGED);
    let file = fs::canonicalize(log.file()).unwrap();
    let holder = File::open(&file).unwrap();
    fs4::FileExt::try_lock(&holder).unwrap();
    let path = log.path.clone();
    let options = RepairOptions { lock_timeout: Duration::from_secs(60), ..Default::default() };
    let repairing = std::thread::spawn(move || repair(&path, options).unwrap());
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !is_open_for_appending(&file) {
        assert!(std::time::Instant::now() < deadline, "the repair never asked for the lock");
        std::thread::yield_now();
    }
    let moved = log.folder.path().join("moved");
    fs::rename(&file, &moved).unwrap();
    fs::write(&file, DAMAGED).unwrap();
    drop(holder);
    assert!(repairing.join().unwrap().repaired);
    assert_eq!(fs::read(moved).unwrap(), DAMAGED);
    assert_eq!(log.bytes(), GOOD);
}

#[test]
fn a_tail_that_its_writer_ends_while_the_lock_is_waited_for_is_no_reason_for_a_rewrite() {
    let log = Log::of("{\"a\":1}\n{\"b\":");
    let mut writer = OpenOptions::new().append(true).open(log.file()).unwrap();
    fs4::FileExt::try_lock(&writer).unwrap();
    let path = log.path.clone();
    let options = RepairOptions { lock_timeout: Duration::from_secs(60), ..Default::default() };
    let repairing = std::thread::spawn(move || repair(&path, options).unwrap());
    // The plan is most likely made by then. If not, the repair finds nothing to do.
    std::thread::sleep(Duration::from_millis(200));
    writer.write_all(b"2}\n").unwrap();
    fs4::FileExt::unlock(&writer).unwrap();
    assert_eq!(repairing.join().unwrap(), Report { kept: 2, ..Report::default() });
    assert_eq!(log.bytes(), b"{\"a\":1}\n{\"b\":2}\n");
    log.assert_alone();
}

#[test]
fn the_old_file_lives_on_under_its_second_name_and_takes_a_late_write() {
    let log = Log::of(DAMAGED);
    let mut late = OpenOptions::new().append(true).open(log.file()).unwrap();
    let inode = late.metadata().unwrap().ino();
    let report = log.repaired();
    let backup = report.backup.unwrap();
    assert_eq!(fs::metadata(&backup).unwrap().ino(), inode);
    late.write_all(b"late\n").unwrap();
    assert_eq!(fs::read(backup).unwrap(), [DAMAGED, b"late\n"].concat());
    assert_eq!(log.bytes(), GOOD);
}

#[test]
fn without_a_backup_the_old_file_goes_and_what_was_moved_out_stays() {
    let log = Log::of(DAMAGED);
    let report = log.with(|options| options.create_backup = false);
    assert_eq!(report.backup, None);
    assert_eq!(log.bytes(), GOOD);
    assert_eq!(fs::read(report.removed_file.unwrap()).unwrap(), BAD);
    assert_eq!(log.names().len(), 2);
}

#[test]
fn appends_after_a_repair_know_what_the_log_holds() {
    let log = Log::of("");
    let first = append(&log.path, &event("first"), AppendOptions::default()).unwrap();
    assert_eq!(first.seq, 1);
    let whole = log.bytes();
    fs::write(log.file(), [b"no object\n", &whole[..], b"{\"torn"].concat()).unwrap();
    assert!(log.repaired().repaired);
    assert_eq!(log.bytes(), whole);
    let again = append(&log.path, &event("first"), AppendOptions::default()).unwrap();
    assert_eq!((again.seq, again.offset, again.duplicate), (1, 0, true));
    let next = append(&log.path, &event("next"), AppendOptions::default()).unwrap();
    assert_eq!((next.seq, next.offset, next.duplicate), (2, whole.len() as u64, false));
}

#[test]
fn the_side_index_of_the_old_file_is_gone() {
    let log = Log::of(DAMAGED);
    let index: PathBuf = log.path.index_path();
    fs::write(&index, "about another inode").unwrap();
    log.repaired();
    assert!(!index.exists());
}

#[test]
fn names_that_are_taken_are_passed_over() {
    let log = Log::of(DAMAGED);
    let first = log.repaired();
    fs::write(log.file(), "bad\n").unwrap();
    let second = log.repaired();
    assert_ne!(first.backup, second.backup);
    assert_ne!(first.removed_file, second.removed_file);
    assert_eq!(second.removed[0].kind, RemovedKind::Malformed);
    assert_eq!(log.bytes(), b"");
    assert_eq!(fs::read(first.backup.unwrap()).unwrap(), DAMAGED);
}
