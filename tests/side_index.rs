//! The side index is a cache: it saves reading the log, and no state of it changes an answer.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod indexed;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs4::FileExt;
use indexed::{EVENTS, Process, indexed_log, is_long, log_length, wait_for};
use rustix::fs::{CWD, Mode, mkfifoat};
use sage_chronicle::internals::storage::{Disk, FileDisk};
use sage_chronicle::{AppendOptions, ChroniclePath, Durability};
use sha2::{Digest, Sha256};

#[test]
fn a_new_process_learns_the_log_from_its_index_without_reading_it() {
    let folder = tempfile::tempdir().unwrap();
    let (log, receipts, _) = indexed_log(folder.path());
    let process = Process::new();
    for n in [0, 1, EVENTS / 2, EVENTS - 1] {
        let (again, read) = process.again(&log, n);
        let first = &receipts[usize::try_from(n).unwrap()];
        assert!(again.duplicate && again.identical && again.durable);
        assert_eq!((again.seq, again.offset, again.length), (n + 1, first.offset, first.length));
        assert!(read < log_length(&log) / 4, "{read} bytes were read for event {n}");
    }
    let new = process.append(&log, EVENTS..EVENTS + 1).remove(0);
    assert_eq!((new.seq, new.duplicate), (EVENTS + 1, false));
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_is_not_used_keeps_no_descriptor_of_its_index_either() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _, index) = indexed_log(folder.path());
    let is_open = || {
        let found = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        found.flat_map(|entry| std::fs::read_link(entry.path())).any(|file| file == index)
    };
    let wait_for_close = || {
        wait_for(|| {
            // No event signals the end. A busy wait would last seconds.
            std::thread::sleep(Duration::from_millis(20));
            !is_open()
        });
    };
    let process = Process::new();
    assert!(process.again(&log, 0).0.duplicate);
    wait_for_close();
    let (again, read) = process.again(&log, 1);
    assert!(again.duplicate);
    assert!(read < log_length(&log) / 4, "{read} bytes were read");
    wait_for_close();
    // Another file under its name is not taken for the index that was loaded.
    let mut other = std::fs::read(&index).unwrap();
    other[40] ^= 1;
    std::fs::remove_file(&index).unwrap();
    std::fs::write(&index, &other).unwrap();
    let (again, read) = process.again(&log, EVENTS - 1);
    assert!(again.duplicate);
    assert!(read >= log_length(&log), "only {read} bytes were read");
}

#[test]
fn an_index_is_extended_as_the_log_grows() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _, index) = indexed_log(folder.path());
    let before = std::fs::metadata(&index).unwrap().len();
    Process::new().append(&log, EVENTS..3 * EVENTS);
    wait_for(|| std::fs::metadata(&index).is_ok_and(|metadata| metadata.len() > 2 * before));
    let process = Process::new();
    for n in [0, EVENTS, 3 * EVENTS - 1] {
        let (again, read) = process.again(&log, n);
        assert_eq!((again.duplicate, again.seq), (true, n + 1));
        assert!(read < log_length(&log) / 4, "{read} bytes were read for event {n}");
    }
}

#[test]
fn a_damaged_index_is_never_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _, index) = indexed_log(folder.path());
    let good = std::fs::read(&index).unwrap();
    let step = good.len() / 97;
    for at in
        (0..good.len()).step_by(step).chain([0, 8, 16, 24, 32, 40, 48, 56, 64, 72, good.len() - 1])
    {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        std::fs::write(&index, bad).unwrap();
        let process = Process::new();
        for n in [0, EVENTS / 3, EVENTS - 1] {
            let (again, _) = process.again(&log, n);
            assert_eq!((again.duplicate, again.seq), (true, n + 1), "byte {at} flipped");
        }
    }
    for length in [0, 1, 4095, 4096, good.len() / 2, good.len() - 1] {
        std::fs::write(&index, &good[..length]).unwrap();
        let (again, _) = Process::new().again(&log, 7);
        assert_eq!((again.duplicate, again.seq), (true, 8), "cut to {length} bytes");
    }
    assert_eq!(Process::new().append(&log, EVENTS..EVENTS + 1)[0].seq, EVENTS + 1);
}

#[test]
fn an_index_of_another_file_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _, _) = indexed_log(folder.path());
    let other = folder.path().join("other");
    // A file of the same length and with the same last bytes, but with another first record.
    let mut bytes = std::fs::read(log.as_path()).unwrap();
    let line_end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    bytes[..line_end].fill(b' ');
    std::fs::write(&other, bytes).unwrap();
    std::fs::rename(&other, log.as_path()).unwrap();
    let process = Process::new();
    assert!(!process.again(&log, 0).0.duplicate);
    assert_eq!(process.again(&log, 1).0.seq, 1);
}

#[test]
fn an_index_is_not_believed_after_the_log_was_cut_and_grew_again() {
    let folder = tempfile::tempdir().unwrap();
    let (log, receipts, _) = indexed_log(folder.path());
    let file = std::fs::OpenOptions::new().write(true).open(log.as_path()).unwrap();
    file.set_len(receipts[10].offset).unwrap();
    let process = Process::new();
    assert!(!process.again(&log, EVENTS - 1).0.duplicate);
    assert_eq!(process.again(&log, 3).0.seq, 4);
}

#[test]
fn a_short_log_gets_no_index() {
    let folder = tempfile::tempdir().unwrap();
    let log = ChroniclePath::parse(folder.path().join("short.sage").to_str().unwrap()).unwrap();
    let process = Process::new();
    process.append(&log, 0..1_000);
    // All work that follows the batch has ended once a second batch is settled.
    process.append(&log, 1_000..1_001);
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["short.sage"]);
}

/// Whether a new process uses the index of the log, and does not read the log.
fn is_believed(log: &ChroniclePath) -> bool {
    let (again, read) = Process::new().again(log, 5);
    assert_eq!((again.duplicate, again.seq), (true, 6));
    read < log_length(log) / 4
}

/// A record that fills the first line of a log, and the event of the record.
fn put_first(bytes: &mut [u8], id: &str) -> Vec<u8> {
    let event = format!(
        r#"{{"type":"NOTE","eventId":"{id}","timestamp":"2026-01-01T00:00:00Z","actor":{{"agent":"a","id":"b"}}}}"#
    );
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    bytes[..end].fill(b' ');
    bytes[..event.len()].copy_from_slice(event.as_bytes());
    event.into_bytes()
}

#[test]
fn an_index_hides_no_record_of_a_file_that_took_the_place_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _, _) = indexed_log(folder.path());
    let mut bytes = fs::read(log.as_path()).unwrap();
    let event = put_first(&mut bytes, "hidden");
    let other = folder.path().join("other");
    fs::write(&other, bytes).unwrap();
    fs::rename(&other, log.as_path()).unwrap();
    let options = AppendOptions::default();
    let receipts = Process::new().registry.append(&log, vec![event], true, options).unwrap().0;
    assert_eq!((receipts[0].duplicate, receipts[0].seq), (true, 1));
}

#[test]
fn an_index_hides_no_record_that_was_written_where_others_were_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let (log, receipts, _) = indexed_log(folder.path());
    let elsewhere = ChroniclePath::parse(folder.path().join("b.sage").to_str().unwrap()).unwrap();
    Process::new().append(&elsewhere, 2 * EVENTS..4 * EVENTS);
    let kept = usize::try_from(receipts[10].offset).unwrap();
    let mut bytes = fs::read(log.as_path()).unwrap();
    bytes.truncate(kept);
    bytes.extend(fs::read(elsewhere.as_path()).unwrap());
    // Into the same file.
    fs::write(log.as_path(), bytes).unwrap();
    let (again, _) = Process::new().again(&log, 2 * EVENTS + 3);
    assert_eq!((again.duplicate, again.seq), (true, 14));
}

#[test]
fn a_header_or_directory_with_any_other_byte_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _, index) = indexed_log(folder.path());
    let good = fs::read(&index).unwrap();
    let number = |at: usize| u64::from_le_bytes(good[at..at + 8].try_into().unwrap());
    let meta = good.len() - usize::try_from(number(56)).unwrap();
    // The lock keeps others from building one meanwhile.
    let fresh = fs::File::create(folder.path().join(".long.sage.chronicle-index-new")).unwrap();
    FileExt::try_lock(&fresh).unwrap();
    let step = if is_long() { 5 } else { 17 };
    for at in (0..160).chain(meta..good.len()).step_by(step) {
        for flip in [0x01, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            fs::write(&index, bad).unwrap();
            assert!(!is_believed(&log), "byte {at} flipped");
        }
    }
}

#[test]
fn entries_that_lead_elsewhere_hide_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _, index) = indexed_log(folder.path());
    let mut bad = fs::read(&index).unwrap();
    let blocks = usize::try_from(u64::from_le_bytes(bad[48..56].try_into().unwrap())).unwrap();
    for entry in bad[4096..4096 * (1 + blocks)].chunks_exact_mut(16) {
        entry[8] ^= 0x01;
    }
    fs::write(&index, bad).unwrap();
    let process = Process::new();
    for n in [0, 1, EVENTS / 2, EVENTS - 1] {
        let (again, _) = process.again(&log, n);
        assert_eq!((again.duplicate, again.seq), (true, n + 1));
    }
}

#[test]
fn a_link_in_the_place_of_an_index_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _, index) = indexed_log(folder.path());
    assert!(is_believed(&log));
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&index, &elsewhere).unwrap();
    symlink(&elsewhere, &index).unwrap();
    assert!(!is_believed(&log));
}

#[test]
fn an_index_of_another_version_is_not_believed() {
    for version in [1, 2, 3] {
        // Each case has a log of its own, because a process that rejects an index builds a new one
        // in the background.
        let folder = tempfile::tempdir().unwrap();
        let (log, _, index) = indexed_log(folder.path());
        let mut bytes = fs::read(&index).unwrap();
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let meta = bytes.len() - usize::try_from(number(56)).unwrap();
        bytes[8] = version;
        let digest =
            Sha256::new().chain_update(&bytes[..128]).chain_update(&bytes[meta..]).finalize();
        bytes[128..160].copy_from_slice(&digest);
        fs::write(&index, bytes).unwrap();
        assert_eq!(is_believed(&log), version == 2, "version {version}");
    }
}

/// Appends to a log that is due for an index. Returns once it has an index, or gets none. Indexes
/// are built one after the other, so the index of a second log comes later.
fn append_and_wait(log: &ChroniclePath) {
    Process::new().append(log, 0..EVENTS);
    indexed_log(tempfile::tempdir().unwrap().path());
}

#[test]
fn an_index_that_another_process_makes_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = ChroniclePath::parse(folder.path().join("log.sage").to_str().unwrap()).unwrap();
    let fresh = folder.path().join(".log.sage.chronicle-index-new");
    fs::write(&fresh, "half of").unwrap();
    let others = fs::File::open(&fresh).unwrap();
    FileExt::try_lock(&others).unwrap();
    append_and_wait(&log);
    assert_eq!(fs::read(&fresh).unwrap(), b"half of");
    assert!(!folder.path().join(".log.sage.chronicle-index").exists());
}

#[test]
fn what_stands_in_the_place_of_a_new_index_is_left_alone() {
    type Plant = fn(&Path, &Path) -> io::Result<()>;
    let plants: [(&str, Plant); 5] = [
        ("a link to nothing", |_, fresh| symlink(fresh.with_file_name("nothing"), fresh)),
        ("a link to a file", |file, fresh| symlink(file, fresh)),
        ("another name of a file", |file, fresh| fs::hard_link(file, fresh)),
        ("a directory", |_, fresh| fs::create_dir(fresh)),
        ("a FIFO", |_, fresh| Ok(mkfifoat(CWD, fresh, Mode::from(0o600))?)),
    ];
    for (what, plant) in plants {
        let folder = tempfile::tempdir().unwrap();
        let log = ChroniclePath::parse(folder.path().join("log.sage").to_str().unwrap()).unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let mode = fs::metadata(&precious).unwrap().mode();
        plant(&precious, &folder.path().join(".log.sage.chronicle-index-new")).unwrap();
        append_and_wait(&log);
        assert_eq!(fs::read(&precious).unwrap(), b"precious", "{what}");
        assert_eq!(fs::metadata(&precious).unwrap().mode(), mode, "{what}");
        assert!(!folder.path().join("nothing").exists(), "{what}");
        assert!(!folder.path().join(".log.sage.chronicle-index").exists(), "{what}");
    }
}

/// A log without an index that is too long to be scanned under the lock. It has `EVENTS` events and
/// a long record, and perhaps a tail.
fn unindexed_log(folder: &Path, tail: &str) -> (ChroniclePath, PathBuf) {
    let (log, _, index) = indexed_log(folder);
    let mut file = fs::OpenOptions::new().append(true).open(log.as_path()).unwrap();
    file.write_all(format!("{{\"text\":\"{}\"}}\n{tail}", "x".repeat(8 << 20)).as_bytes()).unwrap();
    fs::remove_file(&index).unwrap();
    (log, index)
}

#[test]
fn where_a_process_came_to_no_index_the_next_one_makes_it_first_and_scans_nothing_into_memory() {
    for tail in ["", "{\"eventId\":\"torn", "{\"eventId\":\"open\"}"] {
        let first = || {
            let folder = tempfile::tempdir().unwrap();
            let (log, index) = unindexed_log(folder.path(), tail);
            // The marker that a process leaves if it exits at once.
            fs::File::create(folder.path().join(".long.sage.chronicle-index-new")).unwrap();
            let (again, read) = Process::new().again(&log, EVENTS / 2);
            let is_indexed = index.exists();
            assert_eq!((again.duplicate, again.seq), (true, EVENTS / 2 + 1), "{tail}");
            let outcome = (is_indexed, read < log_length(&log) / 4);
            (outcome, read, folder, log)
        };
        // A program builds one index at a time, and a test beside this one may build its own.
        let (outcome, read, _folder, log) = (0..10)
            .map(|_| first())
            .find(|(outcome, ..)| *outcome == (true, true))
            .unwrap_or_else(first);
        assert!(outcome.0, "before the first append was settled");
        assert!(outcome.1, "{read} bytes were read into memory, {tail}");
        let is_record = u64::from(tail.ends_with('}'));
        let next = Process::new();
        let (again, read) = next.again(&log, EVENTS - 1);
        assert!(again.duplicate && read < log_length(&log) / 4, "{read} bytes were read, {tail}");
        let new = next.append(&log, EVENTS..EVENTS + 1).remove(0);
        assert_eq!((new.duplicate, new.seq), (false, EVENTS + 2 + is_record), "{tail}");
    }
}

#[test]
fn a_log_without_an_index_is_scanned_into_memory_once_and_word_is_left_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (log, index) = unindexed_log(folder.path(), "");
    let fresh = folder.path().join(".long.sage.chronicle-index-new");
    // Nothing of it is synced, so that no index is built in the background.
    let unsynced = || AppendOptions { durability: Durability::Os, ..AppendOptions::default() };
    let (again, read) = Process::new().again_with(&log, 7, unsynced());
    assert_eq!((again.duplicate, again.seq), (true, 8));
    assert!(read >= log_length(&log), "only {read} bytes were read");
    assert!(fresh.exists() && !index.exists());
    let (again, read) = Process::new().again_with(&log, 8, unsynced());
    assert_eq!((again.duplicate, again.seq), (true, 9));
    assert!(read < log_length(&log) / 4, "{read} bytes were read into memory");
    assert!(index.exists() && !fresh.exists());
}

#[test]
fn what_cannot_be_indexed_first_is_scanned_into_memory() {
    type Hinder = fn(&Path) -> Option<fs::File>;
    let hinders: [(&str, Hinder); 2] = [
        ("another process makes one", |fresh| {
            let file = fs::File::create(fresh).unwrap();
            FileExt::try_lock(&file).unwrap();
            Some(file)
        }),
        ("something else stands there", |fresh| {
            fs::create_dir(fresh).unwrap();
            None
        }),
    ];
    for (what, hinder) in hinders {
        let folder = tempfile::tempdir().unwrap();
        let (log, index) = unindexed_log(folder.path(), "");
        let _hindered = hinder(&folder.path().join(".long.sage.chronicle-index-new"));
        let (again, read) = Process::new().again(&log, 7);
        assert_eq!((again.duplicate, again.seq), (true, 8), "{what}");
        assert!(read >= log_length(&log), "only {read} bytes were read: {what}");
        assert!(!index.exists(), "{what}");
    }
}

#[test]
fn a_living_process_learns_much_that_others_wrote_from_their_index_or_one_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (log, index) = unindexed_log(folder.path(), "");
    let length_of_index = || fs::metadata(&index).map_or(0, |index| index.len());
    let process = Process::new();
    assert!(process.again(&log, 0).0.duplicate);
    wait_for(|| index.exists());
    let before = length_of_index();
    let line = format!("{{\"text\":\"{}\"}}\n", "x".repeat(8 << 20));
    let mut file = fs::OpenOptions::new().append(true).open(log.as_path()).unwrap();
    file.write_all(line.as_bytes()).unwrap();
    Process::new().append(&log, EVENTS..2 * EVENTS);
    wait_for(|| length_of_index() > before);
    file.write_all(line.as_bytes()).unwrap();
    let (again, read) = process.again(&log, 2 * EVENTS - 1);
    assert_eq!((again.duplicate, again.seq), (true, 2 * EVENTS + 2));
    // The new line, and not the lines that the index covers.
    assert!(read < 9 << 20, "{read} bytes were read");
    // Cut back and extended by other lines: the old view no longer holds, with or without an index.
    let cut = process.append(&log, 100..101)[0].offset;
    file.set_len(cut).unwrap();
    file.write_all(line.repeat(3).as_bytes()).unwrap();
    assert!(!process.append(&log, 2 * EVENTS - 1..2 * EVENTS)[0].duplicate);
    let (again, _) = process.again(&log, 99);
    assert_eq!((again.duplicate, again.seq), (true, 100));
    let new = process.append(&log, 3 * EVENTS..3 * EVENTS + 1).remove(0);
    assert_eq!((new.duplicate, new.seq), (false, 100 + 3 + 2));
}

#[test]
fn a_damaged_block_is_met_once_and_the_log_is_scanned_without_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let log = ChroniclePath::parse(folder.path().join("long.sage").to_str().unwrap()).unwrap();
    let index = folder.path().join(".long.sage.chronicle-index");
    Process::new().append(&log, 0..20_000);
    assert!(log_length(&log) > 5 << 20, "not scanned ahead");
    wait_for(|| index.exists());
    let mut bad = fs::read(&index).unwrap();
    let blocks = usize::try_from(u64::from_le_bytes(bad[48..56].try_into().unwrap())).unwrap();
    for block in bad[4096..4096 * (1 + blocks)].chunks_exact_mut(4096) {
        block[8] ^= 0x01;
    }
    fs::write(&index, &bad).unwrap();
    let process = Process::new();
    let (again, _) = process.again(&log, 7);
    assert_eq!((again.duplicate, again.seq), (true, 8));
    let read = process.read_under_lock();
    assert!(read < 1 << 20, "{read} bytes were read under the lock");
    let is_old = fs::read(&index).is_ok_and(|now| now.get(..160) == bad.get(..160));
    assert!(!is_old, "the next process meets it again");
    // The index is not used even if it could not be removed.
    fs::write(&index, &bad).unwrap();
    assert!(!is_believed(&log));
}

#[test]
fn an_index_is_not_believed_of_a_file_that_got_the_inode_number_of_the_first_one() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (log, _, _) = indexed_log(folder.path());
    let stat = || FileDisk.stat(log.as_path()).unwrap().unwrap();
    let first = stat();
    let donor = ChroniclePath::parse(folder.path().join("donor.sage").to_str().unwrap()).unwrap();
    Process::new().append(&donor, 7_000..7_001);
    let line = fs::read(donor.as_path()).unwrap();
    let mut bytes = fs::read(log.as_path()).unwrap();
    let start = bytes.windows(8).position(|text| text == b"\"n\":1000").unwrap();
    let start = bytes[..start].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    bytes[start..start + line.len()].copy_from_slice(&line);
    let edited = folder.path().join("edited");
    for _ in 0..200 {
        fs::write(&edited, &bytes).unwrap();
        fs::rename(&edited, log.as_path()).unwrap();
        if stat().inode == first.inode {
            break;
        }
    }
    if first.born.is_none() || stat().inode != first.inode {
        println!("SKIPPED the birth time of an index: inode numbers do not return here");
        return;
    }
    let (again, _) = Process::new().again(&log, 7_000);
    assert_eq!((again.duplicate, again.seq), (true, 1_001));
}
