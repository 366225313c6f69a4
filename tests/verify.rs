//! Checking a log: findings, their places, and harmless lines.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use sage_chronicle::event::{compute_id, verify_id};
use sage_chronicle::internals::json;
use sage_chronicle::internals::storage::{Disk, FileDisk};
use sage_chronicle::verify::{Finding, Progress, Verifier};
use sage_chronicle::{AppendOptions, ChroniclePath, append};
use tempfile::TempDir;

struct Log {
    _folder: TempDir,
    path: ChroniclePath,
}

impl Log {
    fn of(bytes: impl AsRef<[u8]>) -> Log {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log.sage");
        fs::write(&file, bytes).unwrap();
        let path = ChroniclePath::parse(file.to_str().unwrap()).unwrap();
        Log { _folder: folder, path }
    }

    fn file(&self) -> &Path {
        self.path.as_path()
    }

    /// All pages together.
    fn verified(&self) -> Progress {
        drained(Verifier::open(&self.path).unwrap(), &self.path)
    }
}

fn drained(mut verifier: Verifier, path: &ChroniclePath) -> Progress {
    let mut findings = Vec::new();
    loop {
        let mut progress = verifier.next_page(path).unwrap();
        findings.append(&mut progress.findings);
        if progress.done {
            return Progress { findings, ..progress };
        }
    }
}

fn kinds(progress: &Progress) -> Vec<(&'static str, u64)> {
    progress.findings.iter().map(|finding| (finding.kind.as_str(), finding.line)).collect()
}

fn event(mark: &str) -> String {
    format!(
        r#"{{"type":"NOTE","timestamp":"2026-01-02T03:04:05Z","actor":{{"agent":"a","id":"b"}},"mark":"{mark}"}}"#
    )
}

#[test]
fn what_was_appended_is_good() {
    let log = Log::of("");
    for n in 0..20 {
        let chain = n % 2 == 0;
        let mut options = AppendOptions::default();
        options.rules.chain = chain;
        append(&log.path, &event(&n.to_string()), options).unwrap();
    }
    let progress = log.verified();
    assert_eq!(progress.findings, []);
    let bytes = fs::metadata(log.file()).unwrap().len();
    assert!(progress.ok && progress.done);
    assert_eq!((progress.bytes, progress.total), (bytes, bytes));
    assert_eq!((progress.lines, progress.records), (20, 20));
}

#[test]
fn a_missing_file_is_an_empty_log() {
    let log = Log::of("");
    fs::remove_file(log.file()).unwrap();
    let progress = log.verified();
    assert_eq!(progress, Progress { ok: true, done: true, ..Progress::default() });
    assert!(!log.file().exists());
}

#[test]
fn each_kind_of_bad_line_is_found_where_it_is() {
    let log = Log::of("{\"a\":1}\nno object\n \t\r\n{\"b\":\0\0\n\n[1]\n{\"c\":2}\n{\"torn\":");
    let progress = log.verified();
    let expected = [("malformed", 2), ("nul", 4), ("malformed", 6), ("torn", 8)];
    assert_eq!(kinds(&progress), expected);
    let places: Vec<(u64, u64)> =
        progress.findings.iter().map(|finding| (finding.offset, finding.length)).collect();
    assert_eq!(places, [(8, 9), (22, 7), (31, 3), (43, 8)]);
    assert!(!progress.ok);
    assert_eq!((progress.lines, progress.records), (8, 2));
}

#[test]
fn a_torn_tail_alone_leaves_a_log_good() {
    for tail in [&b"{\"a\""[..], b"\0\0\0", b"x"] {
        let log = Log::of([&b"{\"a\":1}\n"[..], tail].concat());
        let progress = log.verified();
        assert_eq!(kinds(&progress), [("torn", 2)]);
        assert!(progress.ok);
    }
    let whole = Log::of("{\"a\":1}\n{\"b\":1}").verified();
    assert_eq!((whole.findings.len(), whole.records, whole.lines), (0, 2, 2));
}

#[test]
fn a_torn_tail_is_not_reported_while_a_writer_holds_the_lock() {
    let log = Log::of("{\"a\":1}\n{\"b\":");
    let writer = FileDisk.open(log.file()).unwrap();
    assert!(writer.lock().try_lock().unwrap());
    assert_eq!(kinds(&log.verified()), []);
    writer.lock().unlock().unwrap();
    assert_eq!(kinds(&log.verified()), [("torn", 2)]);
    // The check of the tail has released the lock.
    assert!(writer.lock().try_lock().unwrap());
}

#[test]
fn a_tail_that_was_finished_meanwhile_is_not_torn() {
    let log = Log::of("{\"a\":1}\n{\"b\":");
    let verifier = Verifier::open(&log.path).unwrap();
    let writer = FileDisk.open(log.file()).unwrap();
    writer.append(b"1}\n").unwrap();
    let progress = drained(verifier, &log.path);
    assert_eq!(kinds(&progress), []);
    assert_eq!((progress.records, progress.bytes), (1, 13));
}

#[test]
fn an_id_is_a_mismatch_only_if_it_claims_to_be_the_hash() {
    let canonical = r#"{"eventId":"4489ac68dd5e0c9eb21f0e6c3294139a7d51b793c0e2e515bdf6c12948537df1","10":1,"2":2}"#;
    let legacy = r#"{"eventId":"078a7eaa2aa16f0bcf6f2e6497eb4daf291258288488ad318184052eed092065","10":1,"2":2}"#;
    let wrong = legacy.replace("078a", "178a");
    let opaque = r#"{"eventId":"order-7","10":1}"#;
    let long = format!(r#"{{"eventId":"{}"}}"#, "g".repeat(64));
    let log = Log::of(format!("{canonical}\n{legacy}\n{wrong}\n{opaque}\n{long}\n"));
    let progress = log.verified();
    assert_eq!(kinds(&progress), [("id-mismatch", 3)]);
    assert!(!progress.ok);
    let id = progress.findings[0].event_id.as_ref().unwrap().to_string();
    assert!(id.starts_with("178a"), "{id}");
}

#[test]
fn an_id_or_key_of_an_earlier_record_is_a_duplicate() {
    let log = Log::of(concat!(
        "{\"eventId\":\"a\",\"idempotencyKey\":\"k\"}\n",
        "{\"eventId\":\"b\",\"idempotencyKey\":\"b\"}\n",
        "{\"eventId\":\"k\"}\n",
        "{\"eventId\":\"c\",\"idempotencyKey\":\"a\"}\n",
        "{\"\\u0065ventId\":\"\\u0061\"}\n",
        "{\"eventId\":7}\n{\"eventId\":7}\n",
    ));
    let progress = log.verified();
    assert_eq!(kinds(&progress), [("duplicate", 3), ("duplicate", 4), ("duplicate", 5)]);
    assert!(!progress.ok);
    let details: Vec<&str> =
        progress.findings.iter().map(|finding| finding.details.as_str()).collect();
    assert_eq!(
        details,
        [
            "eventId is that of an earlier record, on line 1",
            "idempotencyKey is that of an earlier record, on line 1",
            "eventId is that of an earlier record, on line 1",
        ]
    );
}

#[test]
fn a_chain_is_broken_where_no_earlier_record_has_the_id() {
    let log = Log::of(concat!(
        "{\"eventId\":\"a\",\"idempotencyKey\":\"k\"}\n",
        "{\"eventId\":\"b\",\"prevEventId\":\"a\"}\n",
        "{\"eventId\":\"c\",\"prevEventId\":\"d\"}\n",
        "{\"eventId\":\"d\",\"prevEventId\":\"d\"}\n",
        "{\"eventId\":\"e\",\"prevEventId\":\"k\"}\n",
        "{\"eventId\":\"f\",\"prevEventId\":\"\"}\n",
        "{\"eventId\":\"g\",\"prevEventId\":null}\n",
    ));
    let progress = log.verified();
    let expected = [("broken-chain", 3), ("broken-chain", 4), ("broken-chain", 5)];
    assert_eq!(kinds(&progress), expected);
    assert!(!progress.ok);
}

#[test]
fn timestamps_are_compared_as_instants() {
    let log = Log::of(
        [
            r#""2026-01-02T03:00:00Z""#,
            // An hour later as a text, but the same instant.
            r#""2026-01-02T04:00:00+01:00""#,
            r#""2026-01-02T03:00:00.001""#,
            "1767322800000",
            r#""soon""#,
            r#""2020-01-01""#,
            r#""2019-12-31T23:59:59.999999999Z""#,
        ]
        .map(|time| format!("{{\"timestamp\":{time}}}\n"))
        .concat(),
    );
    let progress = log.verified();
    assert_eq!(kinds(&progress), [("out-of-order", 4), ("no-time", 5), ("out-of-order", 7)]);
    assert!(progress.ok);
    assert_eq!(progress.findings[0].details, "timestamp is earlier than that of line 3");
}

#[test]
fn a_line_too_long_to_be_a_record_is_malformed_and_its_neighbours_are_good() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(65 << 20));
    let log = Log::of(format!("{{\"eventId\":\"a\"}}\n{long}\n{{\"prevEventId\":\"a\"}}\n{long}"));
    let progress = log.verified();
    assert_eq!(kinds(&progress), [("malformed", 2), ("torn", 4)]);
    let Finding { offset, length, .. } = progress.findings[0];
    assert_eq!((offset, length), (16, long.len() as u64));
    assert_eq!((progress.records, progress.lines), (2, 4));
    assert_eq!(progress.bytes, progress.total);
}

#[test]
fn a_large_log_is_checked_in_pages() {
    let lines: String =
        (0..60_000).map(|n| format!("{{\"eventId\":\"{n}\",\"pad\":\"{n:60}\"}}\n")).collect();
    let log = Log::of(format!("{lines}{{\"eventId\":\"17\",\"prevEventId\":\"59999\"}}\n"));
    let mut verifier = Verifier::open(&log.path).unwrap();
    let (mut slices, mut last, mut found) = (0, 0, Vec::new());
    loop {
        let progress = verifier.next_page(&log.path).unwrap();
        assert!(progress.bytes >= last && progress.bytes <= progress.total);
        assert_eq!(progress.total, fs::metadata(log.file()).unwrap().len());
        slices += 1;
        last = progress.bytes;
        found.extend(kinds(&progress));
        if progress.done {
            break;
        }
    }
    assert!(slices > 4, "{slices}");
    assert_eq!(found, [("duplicate", 60_001)]);
}

#[test]
fn what_is_appended_after_the_start_is_not_seen() {
    let log = Log::of("{\"a\":1}\n");
    let verifier = Verifier::open(&log.path).unwrap();
    FileDisk.open(log.file()).unwrap().append(b"no object\n").unwrap();
    let progress = drained(verifier, &log.path);
    assert_eq!((progress.findings.len(), progress.bytes, progress.total), (0, 8, 8));
}

#[test]
fn a_file_that_is_cut_is_checked_as_far_as_it_goes() {
    let log = Log::of("{\"a\":1}\n{\"b\":1}\n");
    let verifier = Verifier::open(&log.path).unwrap();
    FileDisk.open(log.file()).unwrap().set_len(0).unwrap();
    let progress = drained(verifier, &log.path);
    assert_eq!((progress.records, progress.bytes, progress.total), (0, 0, 16));
}

/// Records in many spellings, some with their own id and some with that of another record.
fn records_of_all_kinds() -> Vec<String> {
    let values = [
        r#""plain""#,
        r#""\u0061\/\n\ud83d\ude00""#,
        "\"\u{1f600}\u{ffff}\"",
        r#""a\ud800""#,
        "-0",
        "12.50",
        "1e400",
        "123456789012345678",
        "[]",
        r#"[ 1 , {"b":1,"a":{"d":[],"c":""}} ]"#,
        r#"{"z":{"y":1,"x":{"b":1,"a":2}},"10":1,"2":2}"#,
        r#"{"a":1,"a":2}"#,
        "{ }",
        "null",
    ];
    let keys = ["a", "zz", "type", "\\u0062", "\u{1f600}", "\u{ffff}", "timestamp", "10", "2", ""];
    let mut records = Vec::new();
    for number in 0..4000_usize {
        let count = number % 7;
        let members: Vec<String> = (0..count)
            .map(|at| {
                let key = keys[(number / 3 + at * (number % 5 + 1)) % keys.len()];
                let value = values[(number * 7 + at * 5) % values.len()];
                format!(r#""{key}":{value}"#)
            })
            .collect();
        let event = format!("{{{}}}", members.join(","));
        let mut id = String::from_utf8(compute_id(event.as_bytes()).unwrap().to_vec()).unwrap();
        match number % 6 {
            0 => id = id.to_uppercase(),
            1 => id.replace_range(..1, if id.starts_with('0') { "1" } else { "0" }),
            2 => id.truncate(63),
            _ => {}
        }
        let mut members = members;
        members.insert(number % (count + 1), format!(r#""event\u0049d" : "{id}""#));
        records.push(format!("{{{}}}", members.join(if number % 4 == 0 { " , " } else { "," })));
    }
    records
}

#[test]
fn every_record_is_judged_as_it_is_alone() {
    let records = records_of_all_kinds();
    let log = Log::of(records.join("\n"));
    let progress = log.verified();
    assert_eq!(progress.records, records.len() as u64);
    let wrong: Vec<u64> = progress
        .findings
        .iter()
        .filter(|finding| finding.kind.as_str() == "id-mismatch")
        .map(|finding| finding.line)
        .collect();
    let is_wrong = |record: &str| {
        let mut id = String::new();
        json::object(record.as_bytes(), |key, value| {
            if *json::unescape(key) == *b"eventId" {
                id = String::from_utf8(value[1..value.len() - 1].to_vec()).unwrap();
            }
        })
        .unwrap();
        let is_like_a_hash = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_like_a_hash && verify_id(record.as_bytes()).unwrap().is_none()
    };
    let expected: Vec<u64> =
        (1..).zip(&records).filter(|(_, record)| is_wrong(record)).map(|(line, _)| line).collect();
    assert_eq!(wrong, expected);
    assert!(wrong.len() > 1000 && wrong.len() < 1400, "{}", wrong.len());
}

#[test]
fn a_second_record_behind_the_same_one_is_a_fork_and_the_same_record_once_more_is_not() {
    let log = Log::of(
        [
            r#"{"eventId":"a"}"#,
            r#"{"eventId":"b","prevEventId":"a"}"#,
            r#"{"eventId":"c","prevEventId":"a"}"#,
            r#"{"eventId":"b","prevEventId":"a"}"#,
            r#"{"prevEventId":"c"}"#,
            r#"{"prevEventId":"c"}"#,
            r#"{"eventId":"d","prevEventId":"gone"}"#,
            r#"{"eventId":"gone"}"#,
            r#"{"eventId":"e","prevEventId":"gone"}"#,
        ]
        .join("\n"),
    );
    let progress = log.verified();
    let wanted = [("fork", 3), ("duplicate", 4), ("fork", 6), ("broken-chain", 7), ("fork", 9)];
    assert_eq!(kinds(&progress), wanted);
    assert!(!progress.ok);
    assert_eq!(progress.findings[0].details, "an earlier record has the prevEventId a too");
}

#[test]
fn a_timestamp_that_is_no_point_in_time_is_found_and_leaves_the_log_good() {
    let times = ["2026-01-01 10:00:00", "20260101T100000Z", "Thu, 01 Jan 2026 10:00:00 GMT"];
    let mut lines: Vec<String> =
        times.iter().map(|time| format!(r#"{{"timestamp":"{time}"}}"#)).collect();
    lines.extend(
        [r#""1767225600""#, "1.5", "null", "{}"].map(|time| format!(r#"{{"timestamp":{time}}}"#)),
    );
    let bad = lines.len() as u64;
    lines.extend(
        [r#""2026-01-01T10:00:00Z""#, "1767261600000"]
            .map(|time| format!(r#"{{"timestamp":{time}}}"#)),
    );
    lines.push(r#"{"a":1}"#.into());
    let progress = Log::of(lines.join("\n")).verified();
    assert_eq!(kinds(&progress), (1..=bad).map(|line| ("no-time", line)).collect::<Vec<_>>());
    assert!(progress.ok);
}

#[test]
fn where_every_line_is_bad_a_page_has_no_more_findings_than_elsewhere() {
    let count = 300_000;
    let log = Log::of("x\n".repeat(count));
    let mut verifier = Verifier::open(&log.path).unwrap();
    let (mut lines, mut most) = (Vec::new(), 0);
    loop {
        let progress = verifier.next_page(&log.path).unwrap();
        most = most.max(progress.findings.len());
        lines.extend(progress.findings.iter().map(|finding| finding.line));
        if progress.done {
            break;
        }
    }
    assert!(most < 4_000, "{most} in a slice");
    assert!(lines.into_iter().eq(1..=count as u64));
    assert!(verifier.next_page(&log.path).unwrap().done);
}
