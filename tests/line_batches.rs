//! A follow by whole lines: lines as stored, numbered, in batches.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use sage_chronicle::internals::storage::FileDisk;
use sage_chronicle::{
    BatchFollower, BatchLimits, ChroniclePath, Cursor, FileState, Filter, LineBatch, Place,
    Selection, Wanted,
};
use tempfile::TempDir;

struct Log {
    folder: TempDir,
    path: ChroniclePath,
}

impl Log {
    fn holding(bytes: &[u8]) -> Log {
        let folder = tempfile::tempdir().unwrap();
        let path = ChroniclePath::parse(folder.path().join("log.sage").to_str().unwrap()).unwrap();
        fs::write(path.as_path(), bytes).unwrap();
        Log { folder, path }
    }

    fn append(&self, bytes: &[u8]) {
        let mut file = OpenOptions::new().append(true).open(self.path.as_path()).unwrap();
        file.write_all(bytes).unwrap();
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the log by another file.
    fn replace(&self, bytes: &[u8]) {
        fs::write(self.beside("new"), bytes).unwrap();
        fs::rename(self.beside("new"), self.path.as_path()).unwrap();
    }

    fn follow(&self, from: Place, limits: BatchLimits) -> BatchFollower {
        let selection = Selection { from, ..Selection::default() };
        BatchFollower::new(Arc::new(FileDisk), selection, limits)
    }

    /// All batches until nothing is left for now.
    fn drain(&self, follower: &mut BatchFollower) -> Vec<LineBatch> {
        let mut batches = Vec::new();
        loop {
            let look = follower.look(&self.path).unwrap();
            batches.extend(look.batch);
            if look.is_idle {
                return batches;
            }
        }
    }

    fn all(&self, from: Place) -> Vec<LineBatch> {
        self.drain(&mut self.follow(from, BatchLimits::default()))
    }
}

fn bytes_of(batches: &[LineBatch]) -> Vec<u8> {
    batches.iter().flat_map(|batch| batch.bytes.clone()).collect()
}

fn numbers(batch: &LineBatch) -> [u64; 4] {
    [batch.after, batch.first, batch.last, batch.count]
}

fn after(cursor: &Cursor) -> Place {
    Place::Cursor(cursor.to_string().parse().unwrap())
}

fn lines(numbers: std::ops::RangeInclusive<u64>) -> Vec<u8> {
    numbers.flat_map(|n| format!("{{\"n\":{n}}}\n").into_bytes()).collect()
}

fn by(max_bytes: usize, max_events: usize) -> BatchLimits {
    BatchLimits { max_bytes, max_events }
}

/// Records that a parser and a serialiser would change, and a long one.
fn odd_lines() -> Vec<Vec<u8>> {
    let long = format!("{{\"long\":\"{}\"}}\n", "x".repeat(8 << 20));
    let records: [&[u8]; 12] = [
        b"{\"n\":12345678901234567890123}\n",
        b"{\"n\":1e400,\"m\":-0,\"k\":1.50E+1,\"z\":0.10}\n",
        b"{\"s\":\"\\ud800\",\"t\":\"\\u0000\\u00e9\\/\"}\n",
        b"{\"a\":1,\"a\":2,\"eventId\":\"one\",\"eventId\":\"two\"}\n",
        b"{}\n",
        b" { \"spaced\" : [ ] } \n",
        b"{\"crlf\":true}\r\n",
        "{\"text\":\"\u{2028}\u{85}\u{1f600}\"}\n".as_bytes(),
        b"{\"eventId\":5,\"idempotencyKey\":null}\n",
        b"\t{\"tab\":1}\n",
        b"{\"\":{\"deep\":[[[[{}]]]]}}\n",
        long.as_bytes(),
    ];
    records.iter().map(|record| record.to_vec()).collect()
}

#[test]
fn every_record_is_given_byte_for_byte_whatever_the_limits() {
    let records = odd_lines().concat();
    let log = Log::holding(&records);
    for limits in [by(1, 1), by(64, 1000), by(1 << 30, 3), BatchLimits::default()] {
        let batches = log.drain(&mut log.follow(Place::Start, limits));
        assert!(bytes_of(&batches) == records, "{limits:?}");
        let mut last = 0;
        for batch in &batches {
            assert_eq!([batch.after, batch.first], [last, last + 1], "{limits:?}");
            assert_eq!(batch.last + 1 - batch.first, batch.count);
            assert!(batch.count as usize <= limits.max_events);
            assert!(batch.bytes.len() <= limits.max_bytes || batch.count == 1);
            let newlines = batch.bytes.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(newlines as u64, batch.count);
            assert_eq!(batch.file, FileState::Same);
            last = batch.last;
        }
        assert_eq!(last, 12);
    }
}

#[test]
fn a_batch_has_no_blank_line_and_no_bad_one() {
    let log =
        Log::holding(b"\n{\"n\":1}\n \t\r\nbad\n{\"n\":2}\n{\"n\":\"\0\"}\n[]\n{\"n\":3}\n{\"torn");
    let look = log.follow(Place::Start, BatchLimits::default()).look(&log.path).unwrap();
    let batch = look.batch.unwrap();
    assert_eq!(batch.bytes, lines(1..=3));
    assert_eq!(numbers(&batch), [0, 1, 3, 3]);
    let bad: Vec<_> = look.bad.iter().map(|bad| (bad.kind.as_str(), bad.line)).collect();
    assert_eq!(bad, [("malformed", 4), ("nul", 6), ("malformed", 7)]);
}

#[test]
fn each_cursor_goes_on_behind_its_batch_with_the_numbers_of_the_file() {
    let log = Log::holding(&lines(1..=9));
    for batch in log.drain(&mut log.follow(Place::Start, by(1 << 20, 2))) {
        let rest = log.all(after(&batch.cursor));
        assert_eq!(bytes_of(&rest), lines(batch.last + 1..=9));
        assert!(
            rest.first()
                .is_none_or(|next| next.after == batch.last && next.file == FileState::Same)
        );
    }
    let selection =
        [(Place::Seq(4), 3), (Place::Offset(9), 2), (Place::Offset(0), 0), (Place::Start, 0)];
    for (from, records_before) in selection {
        let batches = log.all(from);
        assert_eq!(
            numbers(&batches[0]),
            [records_before, records_before + 1, 9, 9 - records_before]
        );
    }
    let mut follower = log.follow(Place::End, BatchLimits::default());
    assert!(log.drain(&mut follower).is_empty());
    log.append(&lines(10..=11));
    assert_eq!(numbers(&log.drain(&mut follower)[0]), [9, 10, 11, 2]);
}

#[test]
fn with_a_filter_the_numbers_say_what_was_left_out() {
    let log = Log::holding(b"");
    for n in 1..=9 {
        let kind = if n % 3 == 0 { "A" } else { "B" };
        log.append(format!("{{\"type\":\"{kind}\",\"n\":{n}}}\n").as_bytes());
    }
    let wanted = Wanted { types: vec![b"A".to_vec()], ..Wanted::default() };
    let selection =
        |from| Selection { from, filter: Filter::new(wanted.clone()), ..Selection::default() };
    let disk = Arc::new(FileDisk);
    let mut follower = BatchFollower::new(disk.clone(), selection(Place::Start), by(1 << 20, 2));
    let batches = log.drain(&mut follower);
    assert_eq!(batches.iter().map(numbers).collect::<Vec<_>>(), [[0, 3, 6, 2], [6, 9, 9, 1]]);
    for (from, before) in [(after(&batches[0].cursor), 6), (Place::Seq(5), 4), (Place::Seq(6), 5)] {
        let mut follower = BatchFollower::new(disk.clone(), selection(from), by(1 << 20, 1));
        assert_eq!(log.drain(&mut follower)[0].after, before);
    }
}

#[test]
fn a_last_record_without_newline_is_given_once_as_it_stands() {
    let log = Log::holding(b"{\"n\":1}\n{\"n\":2");
    let mut follower = log.follow(Place::Start, BatchLimits::default());
    assert_eq!(bytes_of(&log.drain(&mut follower)), b"{\"n\":1}\n");
    log.append(b"}");
    let open = log.drain(&mut follower);
    assert_eq!(open[0].bytes, b"{\"n\":2}");
    assert_eq!(numbers(&open[0]), [1, 2, 2, 1]);
    assert!(log.all(after(&open[0].cursor)).is_empty());
    log.append(b"\n");
    assert!(log.drain(&mut follower).is_empty());
    log.append(b"{\"n\":3}\n");
    for batches in [log.drain(&mut follower), log.all(after(&open[0].cursor))] {
        assert_eq!(bytes_of(&batches), b"{\"n\":3}\n");
        assert_eq!(numbers(&batches[0]), [2, 3, 3, 1]);
    }
    let log = Log::holding(b"{\"n\":1}\n{\"n\":2}");
    let batches = log.drain(&mut log.follow(Place::Start, by(8, 1)));
    assert_eq!(batches.iter().map(|batch| batch.bytes.len()).collect::<Vec<_>>(), [8, 7]);
}

#[test]
fn a_file_that_takes_the_place_of_another_begins_its_numbers_again() {
    let line = |kind, n| format!("{{\"type\":\"{kind}\",\"n\":{n}}}\n");
    let log = Log::holding(line("A", 1).as_bytes());
    let wanted = Wanted { types: vec![b"A".to_vec()], ..Wanted::default() };
    let selection = Selection { filter: Filter::new(wanted), ..Selection::default() };
    let mut follower = BatchFollower::new(Arc::new(FileDisk), selection, BatchLimits::default());
    assert_eq!(numbers(&log.drain(&mut follower)[0]), [0, 1, 1, 1]);
    fs::rename(log.path.as_path(), log.beside("log.sage.1")).unwrap();
    fs::write(log.path.as_path(), [line("B", 2), line("B", 3), line("A", 4)].concat()).unwrap();
    let mut batches = Vec::new();
    while batches.is_empty() {
        batches = log.drain(&mut follower);
    }
    assert_eq!((batches[0].file, numbers(&batches[0])), (FileState::Next, [0, 3, 3, 1]));
    log.append([line("B", 5), line("A", 6)].concat().as_bytes());
    let batches = log.drain(&mut follower);
    assert_eq!((batches[0].file, numbers(&batches[0])), (FileState::Same, [3, 5, 5, 1]));
}

#[test]
fn a_file_that_was_reordered_is_given_again_from_its_start() {
    let log = Log::holding(&lines(1..=4));
    let mut follower = log.follow(Place::Start, by(1 << 20, 3));
    let batches = log.drain(&mut follower);
    let cursor = batches[0].cursor;
    log.replace(&[lines(4..=4), lines(1..=3), lines(5..=6)].concat());
    let mut live = Vec::new();
    while live.is_empty() {
        live = log.drain(&mut follower);
    }
    for batches in [live, log.drain(&mut log.follow(after(&cursor), by(1 << 20, 3)))] {
        assert_eq!(bytes_of(&batches), fs::read(log.path.as_path()).unwrap());
        let states: Vec<_> = batches.iter().map(|batch| (batch.file, numbers(batch))).collect();
        let wanted = [(FileState::Rewritten, [0, 1, 3, 3]), (FileState::Same, [3, 4, 6, 3])];
        assert_eq!(states, wanted);
    }
}
