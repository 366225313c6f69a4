//! A line too long to be a record does not affect the records around it, however they are read.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;

use sage_chronicle::{AppendOptions, ChroniclePath, Reader, append};

const EVENT: &str =
    r#"{"type":"X","timestamp":"t","actor":{"agent":"a","id":"b"},"eventId":"new"}"#;

fn long_line() -> String {
    "x".repeat((65 << 20) + 1)
}

/// The offsets of the records that a reader returns.
fn offsets(mut reader: Reader, path: &ChroniclePath) -> Vec<u64> {
    let mut found = Vec::new();
    loop {
        let slice = reader.next_page(path).unwrap();
        found.extend(slice.places.iter().map(|place| place.offset));
        if slice.done {
            return found;
        }
    }
}

#[test]
fn records_between_and_behind_long_lines_are_read_and_known() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.sage");
    let path = ChroniclePath::parse(file.to_str().unwrap()).unwrap();
    let long = long_line();
    let between = "{\"eventId\":\"a\"}\n{\"eventId\":\"b\"}\n";
    let behind = "{\"eventId\":\"c\"}\n{\"eventId\":\"new\"}\n";
    fs::write(&file, format!("{long}\n{between}{long}\n{behind}")).unwrap();
    let first = long.len() as u64 + 1;
    let second = first + between.len() as u64 + first;
    let expected = [first, first + 16, second, second + 16];
    assert_eq!(offsets(Reader::open(&path).unwrap(), &path), expected);
    assert_eq!(offsets(Reader::open_tail(&path, 3).unwrap(), &path), expected[1..]);
    let receipt = append(&path, EVENT, AppendOptions::default()).unwrap();
    assert_eq!((receipt.duplicate, receipt.seq, receipt.offset), (true, 4, second + 16));
}

#[test]
fn records_behind_a_long_line_are_read_at_the_very_end_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.sage");
    let path = ChroniclePath::parse(file.to_str().unwrap()).unwrap();
    let long = long_line();
    fs::write(&file, format!("{long}\n{{}}\n{{\"eventId\":\"new\"}}\n")).unwrap();
    let first = long.len() as u64 + 1;
    assert_eq!(offsets(Reader::open(&path).unwrap(), &path), [first, first + 3]);
    assert!(append(&path, EVENT, AppendOptions::default()).unwrap().duplicate);
}
