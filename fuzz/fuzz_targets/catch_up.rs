//! A log that other programs extend step by step: a writer that reads each step finds the same as a
//! writer that comes last.
#![no_main]

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sage_chronicle::internals::classify::{
    RecordIds, Tail, Verdict, classify, classify_tail, complete_lines,
};
use sage_chronicle::internals::storage::Disk;
use sage_chronicle::internals::storage::MemoryDisk;
use sage_chronicle::{AppendOptions, ChroniclePath, Receipt, Registry, Rules};

const LOG: &str = "/log.sage";
/// Number of different ids.
const IDS: u8 = 16;

#[derive(Debug, Arbitrary)]
enum Step {
    /// Another program appends any bytes.
    Bytes(Vec<u8>),
    /// Another program appends a record.
    Record { id: u8, key: Option<u8>, newline: bool },
    /// The writer appends.
    Append(u8),
    /// Another file replaces the log, with the same bytes except for the first.
    Replace(u8),
}

fuzz_target!(|steps: Vec<Step>| {
    let disk = Arc::new(MemoryDisk::default());
    let path = ChroniclePath::parse(LOG).expect("a path");
    let log = Path::new(LOG);
    let here = Registry::new(disk.clone());
    let append = |writer: &Arc<Registry>, ids: Range<u8>| -> Vec<Receipt> {
        let text = |id: u8| format!(r#"{{"type":"X","eventId":"{id}"}}"#).into_bytes();
        let rules = Rules { lenient: true, ..Rules::default() };
        let options = AppendOptions { rules, ..AppendOptions::default() };
        let receipts = writer.append(&path, ids.map(text).collect::<Vec<_>>(), false, options);
        receipts.expect("memory does not fail").0
    };
    for step in steps.iter().take(16) {
        match step {
            Step::Bytes(bytes) => grow(&*disk, log, bytes),
            Step::Record { id, key, newline } => {
                let id = id % IDS;
                let key = key.map_or_else(String::new, |key| {
                    format!(r#","idempotencyKey":"{}""#, key % IDS)
                });
                let end = if *newline { "\n" } else { "" };
                grow(&*disk, log, format!(r#"{{"eventId":"{id}"{key}}}{end}"#).as_bytes());
            }
            Step::Append(id) => {
                let id = id % IDS;
                append(&here, id..id + 1);
            }
            Step::Replace(first) => {
                let mut bytes = disk.bytes(log).unwrap_or_default();
                if let Some(byte) = bytes.first_mut() {
                    *byte = *first;
                }
                disk.put(log, &bytes);
            }
        }
    }
    let before = disk.bytes(log).unwrap_or_default();
    let there = Registry::new(disk.clone());
    let first = append(&here, 0..IDS);
    let after = disk.bytes(log).unwrap_or_default();
    let second = append(&there, 0..IDS);
    for (id, (first, second)) in first.iter().zip(&second).enumerate() {
        let id = id.to_string();
        assert_eq!(first.duplicate, find(&before, &id).is_some(), "{id}");
        assert_eq!(find(&after, &id), Some((first.seq, first.offset, first.length)), "{id}");
        assert!(second.duplicate, "{id}");
        assert_eq!((first.seq, first.offset), (second.seq, second.offset), "{id}");
    }
    assert!(disk.bytes(log).unwrap_or_default().starts_with(&before), "something was changed");
});

fn grow(disk: &MemoryDisk, log: &Path, bytes: &[u8]) {
    let file = disk.open(log).expect("memory does not fail");
    file.append(bytes).expect("memory does not fail");
}

/// Number, offset and length of the first record with this id or key, searched from the start.
fn find(bytes: &[u8], name: &str) -> Option<(u64, u64, u64)> {
    let mut seq = 0;
    let mut found = None;
    let mut meet = |keys: RecordIds<'_>, start: usize, line: &[u8]| {
        seq += 1;
        let is_it = [keys.event_id, keys.idempotency_key]
            .iter()
            .flatten()
            .any(|key| **key == *name.as_bytes());
        if is_it && found.is_none() {
            found = Some((seq, start as u64, line.len() as u64));
        }
    };
    let behind = complete_lines(bytes, |start, line| {
        if let Verdict::Record(keys) = classify(line) {
            meet(keys, start, line);
        }
    });
    if let Tail::Record(keys) = classify_tail(&bytes[behind..]) {
        meet(keys, behind, &bytes[behind..]);
    }
    found
}
