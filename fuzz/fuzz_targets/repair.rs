//! Any file: a repair keeps every good line byte for byte and in its order, moves the others out,
//! and leaves nothing to do. It removes a byte order mark before a record, and keeps the record.
#![no_main]

use std::fs;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use sage_chronicle::internals::classify::{Tail, Verdict, classify, classify_tail, complete_lines};
use sage_chronicle::{ChroniclePath, RepairOptions, repair};
use tempfile::TempDir;

/// In memory where there is such a folder, because repair syncs.
fn folder() -> &'static TempDir {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = tempfile::tempdir_in("/dev/shm");
        memory.or_else(|_| tempfile::tempdir()).expect("a folder")
    })
}

fuzz_target!(|bytes: &[u8]| {
    let folder = folder().path();
    let file = folder.join("log.sage");
    fs::write(&file, bytes).expect("the file is written");
    let path = ChroniclePath::parse(file.to_str().expect("a plain name")).expect("a path");

    let mut good = Vec::new();
    let mut bad = Vec::new();
    let mut records = 0;
    let mut marks = 0;
    let behind = complete_lines(bytes, |_, line| {
        let verdict = classify(line);
        records += u64::from(matches!(verdict, Verdict::Record(_) | Verdict::Marked(_)));
        if let Some(record) = unmarked(line) {
            marks += 1;
            good.extend_from_slice(record);
            good.push(b'\n');
            return;
        }
        let kept = matches!(verdict, Verdict::Record(_) | Verdict::Blank);
        let to = if kept { &mut good } else { &mut bad };
        to.extend_from_slice(line);
        to.push(b'\n');
    });
    let tail = &bytes[behind..];
    match (unmarked(tail), classify_tail(tail)) {
        (Some(record), _) => {
            records += 1;
            marks += 1;
            good.extend_from_slice(record);
        }
        (None, Tail::Clean) => good.extend_from_slice(tail),
        (None, Tail::Record(_)) => {
            records += 1;
            good.extend_from_slice(tail);
        }
        (None, Tail::Torn { .. }) => bad.extend_from_slice(tail),
    }

    let planned = repair(&path, RepairOptions { dry_run: true, ..RepairOptions::default() });
    let planned = planned.expect("a plan");
    assert_eq!(fs::read(&file).expect("the file"), bytes);
    let report = repair(&path, RepairOptions::default()).expect("a repair");
    assert_eq!(report.repaired, marks > 0 || !bad.is_empty());
    assert_eq!((report.kept, &report.removed), (records, &planned.removed));
    let now = fs::read(&file).expect("the file");
    assert_eq!(
        without_last_newline(&now),
        without_last_newline(&good),
        "of {}",
        bytes.escape_ascii()
    );
    if let Some(backup) = &report.backup {
        assert_eq!(fs::read(backup).expect("the backup"), bytes);
        fs::remove_file(backup).expect("it is ours");
    }
    if let Some(removed) = &report.removed_file {
        let removed_bytes = fs::read(removed).expect("the removed lines");
        assert_eq!(without_last_newline(&removed_bytes), without_last_newline(&bad));
        fs::remove_file(removed).expect("it is ours");
    }
    assert_eq!(
        (report.backup.is_some(), report.removed_file.is_some()),
        (report.repaired, !bad.is_empty())
    );
    let again = repair(&path, RepairOptions::default()).expect("a repair");
    assert!(!again.repaired && again.removed.is_empty());
});

/// The record behind a byte order mark.
fn unmarked(line: &[u8]) -> Option<&[u8]> {
    let is_marked = matches!(classify(line), Verdict::Marked(_));
    line.strip_prefix(b"\xef\xbb\xbf").filter(|_| is_marked)
}

fn without_last_newline(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\n").unwrap_or(bytes)
}
