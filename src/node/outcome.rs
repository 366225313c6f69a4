//! Results as JSON texts, the only form in which they cross to JavaScript.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::failure::{error, json, wrap};
use super::listing::{self, Entries};
use crate::append::request::{BatchFacts, Outcome, Receipt, Warning};
use crate::check::analyze::{Analysis, BrokenLink, Largest, Text, TimeRange};
use crate::check::verify::{Finding, Progress};
use crate::error::{Error, Written};
use crate::json::escape::escape_into;
use crate::os;
use crate::read::follow::{FileState, Look};
use crate::read::line_batch::BatchLook;
use crate::read::page::{BadLine, Page, RecordPlace};
use crate::repair::Report;
use crate::repair::plan::RemovedLine;
use crate::storage::Stat;

/// The outcome of a cancelled request.
pub(super) const CANCELLED: &str = "{\"cancelled\":true}";

/// `{"ok":..}` with any serialisable value.
pub(super) fn ok(value: &impl Serialize) -> String {
    wrap("ok", &json(value))
}

/// The outcome of an append.
pub(super) fn append(outcome: &Outcome) -> String {
    let mut out = Vec::new();
    write_append(outcome, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// The number of an append and its outcome, as two elements of a JSON array.
pub(super) fn append_into(number: u32, outcome: &Outcome, out: &mut Vec<u8>) {
    write(out, &number);
    out.push(b',');
    write_append(outcome, out);
}

/// Bytes of one outcome at most. V8 has no string of more than 2^29 - 24 characters.
pub(super) const MAX_BYTES: usize = 256 << 20;

/// The error that replaces an outcome that is too large.
pub(super) fn too_large() -> Error {
    let message = format!("the result has more than {} MiB", MAX_BYTES >> 20);
    Error::io(message, "settle", os::too_large())
}

fn write_append(outcome: &Outcome, out: &mut Vec<u8>) {
    let begin = out.len();
    match outcome {
        Outcome::Done(receipts, warnings) => {
            done(receipts, warnings, out);
            if out.len() - begin > MAX_BYTES {
                out.truncate(begin);
                let unknown = too_large().with_written(Written::Unknown);
                out.extend_from_slice(error(&unknown).as_bytes());
            }
        }
        Outcome::Failed(failed) => out.extend_from_slice(error(failed).as_bytes()),
        Outcome::Cancelled => out.extend_from_slice(CANCELLED.as_bytes()),
    }
}

/// The file of the records, as cursors need it.
#[derive(Serialize)]
pub(super) struct FileJson {
    /// Decimal text, because the value exceeds the safe integers of JavaScript.
    device: String,
    inode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    born: Option<String>,
    /// Whether line and record numbers count from the start of the file.
    counted: bool,
}

impl FileJson {
    pub(super) fn new(stat: &Stat, counted: bool) -> FileJson {
        FileJson {
            device: stat.device.to_string(),
            inode: stat.inode.to_string(),
            born: stat.born.map(|born| born.to_string()),
            counted,
        }
    }
}

#[derive(Serialize)]
struct BadLineJson {
    kind: &'static str,
    line: u64,
    offset: u64,
    length: u64,
}

impl BadLineJson {
    fn new(bad: &BadLine) -> BadLineJson {
        let BadLine { kind, line, offset, length } = *bad;
        BadLineJson { kind: kind.as_str(), line, offset, length }
    }
}

/// A page without its records, which cross as a separate text.
#[derive(Serialize)]
struct PageJson {
    done: bool,
    count: u64,
    bad: Vec<BadLineJson>,
    /// Seq, offset, length and line of each record.
    #[serde(skip_serializing_if = "Option::is_none")]
    places: Option<Vec<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle: Option<bool>,
    /// The relation of the file to the one before, unless it is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// The error that keeps the path from being read.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

impl PageJson {
    fn new(page: &Page, places: bool, file: Option<FileJson>) -> PageJson {
        let four = |place: &RecordPlace| [place.seq, place.offset, place.length, place.line];
        PageJson {
            done: page.done,
            count: page.count,
            bad: page.bad.iter().map(BadLineJson::new).collect(),
            places: places.then(|| page.places.iter().flat_map(four).collect()),
            file,
            start: None,
            idle: None,
            state: None,
            trouble: None,
        }
    }
}

/// The outcome of a read.
pub(super) fn page(page: &Page, places: bool, file: Option<FileJson>) -> String {
    ok(&PageJson::new(page, places, file))
}

/// The outcome of a look of a follow.
pub(super) fn look(look: &Look) -> String {
    let file = look.stat.as_ref().map(|stat| FileJson::new(stat, look.is_counted));
    ok(&PageJson {
        start: look.start.map(|start| start.to_string()),
        idle: Some(look.is_idle),
        state: (look.file != FileState::Same).then(|| look.file.as_str()),
        trouble: look.trouble.as_ref().map(ToString::to_string),
        ..PageJson::new(&look.page, true, file)
    })
}

/// The outcome of a look for whole lines, which cross as a separate buffer.
pub(super) fn batch_look(look: &BatchLook) -> String {
    #[derive(Serialize)]
    struct LineBatchJson {
        count: u64,
        first: u64,
        last: u64,
        after: u64,
        cursor: String,
        file: &'static str,
    }
    #[derive(Serialize)]
    struct BatchUpdateJson {
        bad: Vec<BadLineJson>,
        #[serde(skip_serializing_if = "Option::is_none")]
        batch: Option<LineBatchJson>,
        #[serde(skip_serializing_if = "Option::is_none")]
        start: Option<String>,
        idle: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        trouble: Option<String>,
    }
    let state = look.batch.as_ref().map(|batch| batch.file);
    let batch = look.batch.as_ref().map(|batch| LineBatchJson {
        count: batch.count,
        first: batch.first,
        last: batch.last,
        after: batch.after,
        cursor: batch.cursor.to_string(),
        file: batch.file.as_str(),
    });
    ok(&BatchUpdateJson {
        bad: look.bad.iter().map(BadLineJson::new).collect(),
        batch,
        start: look.start.map(|start| start.to_string()),
        idle: look.is_idle,
        state: state.filter(|state| *state != FileState::Same).map(FileState::as_str),
        trouble: look.trouble.as_ref().map(ToString::to_string),
    })
}

/// The records of a page as a text.
pub(super) fn text(page: Page) -> String {
    // Records are valid UTF-8: the scanner accepts nothing else.
    String::from_utf8(page.json)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The facts of a batch.
pub(super) fn facts(facts: &BatchFacts) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct BatchFactsJson {
        path: String,
        appends: usize,
        events: usize,
        duplicates: usize,
        bytes: usize,
        lock_wait_ms: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        sync_ms: Option<f64>,
    }
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    json(&BatchFactsJson {
        path: facts.path.to_string_lossy().into_owned(),
        appends: facts.appends,
        events: facts.events,
        duplicates: facts.duplicates,
        bytes: facts.bytes,
        lock_wait_ms: milliseconds(facts.lock_wait),
        sync_ms: facts.sync.map(milliseconds),
    })
}

/// The progress of a check.
pub(super) fn progress(progress: &Progress) -> String {
    let Progress { ok, bytes, total, lines, records, findings, done } = progress;
    let head = format!(
        "{{\"ok\":{{\"ok\":{ok},\"bytes\":{bytes},\"total\":{total},\"lines\":{lines},\"records\":{records},\"done\":{done},\"findings\":["
    );
    let mut out = head.into_bytes();
    for (at, finding) in findings.iter().enumerate() {
        let Finding { kind, line, offset, length, event_id, details } = finding;
        out.extend_from_slice(if at == 0 { b"{" } else { b",{" });
        let place = format!(
            "\"kind\":\"{}\",\"line\":{line},\"offset\":{offset},\"length\":{length},",
            kind.as_str()
        );
        out.extend_from_slice(place.as_bytes());
        if let Some(id) = event_id {
            out.extend_from_slice(b"\"eventId\":");
            id.to_json(&mut out);
            out.push(b',');
        }
        out.extend_from_slice(format!("\"details\":{}}}", json(details)).as_bytes());
    }
    out.extend_from_slice(b"]}}");
    String::from_utf8_lossy(&out).into_owned()
}

/// The result of a repair, or its plan.
pub(super) fn report(report: &Report) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ReportJson<'a> {
        repaired: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        backup_path: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        removed_path: Option<String>,
        changes_applied: &'a [String],
        warnings: &'a [String],
    }
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let mut out = json(&ReportJson {
        repaired: report.repaired,
        backup_path: report.backup.as_ref().map(text),
        removed_path: report.removed_file.as_ref().map(text),
        changes_applied: &report.changes,
        warnings: &report.warnings,
    });
    // The plan is one more member.
    out.pop();
    let (removed, listed) = listing::part(&report.removed, 0);
    let removed = String::from_utf8_lossy(&removed);
    let Report { kept, reordered, .. } = report;
    out += &format!(",\"plan\":{{\"kept\":{kept},\"removed\":{removed},");
    match report.removed.len() - listed {
        0 => {}
        omitted => out += &format!("\"removedOmitted\":{omitted},"),
    }
    out += &format!("\"reordered\":{reordered}}}}}");
    wrap("ok", &out)
}

impl Entries for Vec<RemovedLine> {
    fn count(&self) -> usize {
        self.len()
    }

    fn entry(&self, at: usize, out: &mut Vec<u8>) {
        let Some(RemovedLine { kind, line, offset, length }) = self.get(at) else { return };
        let text = format!(
            "{{\"kind\":\"{}\",\"line\":{line},\"offset\":{offset},\"length\":{length}}}",
            kind.as_str()
        );
        out.extend_from_slice(text.as_bytes());
    }
}

impl Entries for Vec<BrokenLink> {
    fn count(&self) -> usize {
        self.len()
    }

    fn entry(&self, at: usize, out: &mut Vec<u8>) {
        let Some(link) = self.get(at) else { return };
        let head = format!(
            "{{\"eventIndex\":{},\"issue\":\"{}\",\"details\":{},\"eventId\":",
            link.index,
            link.issue.as_str(),
            json(&link.details)
        );
        out.extend_from_slice(head.as_bytes());
        escape_into(&link.event_id, out);
        out.push(b'}');
    }
}

/// The result of an analysis. Names may have lone surrogates, which Rust strings cannot hold, so
/// the text is built by hand.
pub(super) fn analysis(found: &Analysis) -> String {
    let mut out = format!(
        "{{\"ok\":{{\"totalEvents\":{},\"corruptedLines\":{},\"duplicateEvents\":{},\"totalSize\":{},\"chainedEvents\":{},\"warnings\":{},\"errors\":{}",
        found.total_events,
        found.corrupted_lines,
        found.duplicate_events,
        found.total_size,
        found.chained_events,
        json(&found.warnings),
        json(&found.errors),
    )
    .into_bytes();
    for (name, counts) in
        [("eventTypes", &found.event_types), ("eventsByHour", &found.events_by_hour)]
    {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        members(&mut out, counts, |out, count| out.extend_from_slice(count.to_string().as_bytes()));
    }
    if let Some(range) = &found.time_range {
        out.extend_from_slice(b",\"timeRange\":");
        times(&mut out, range);
    }
    out.extend_from_slice(b",\"actors\":");
    members(&mut out, &found.actors, |out, actor| {
        out.extend_from_slice(b"{\"agent\":");
        escape_into(&actor.agent, out);
        out.extend_from_slice(format!(",\"eventCount\":{}", actor.event_count).as_bytes());
        if let Some(seen) = &actor.seen {
            out.extend_from_slice(b",\"seen\":");
            times(out, seen);
        }
        out.push(b'}');
    });
    if let Some(Largest { index, size, event_type }) = &found.largest_event {
        let head = format!(",\"largestEvent\":{{\"index\":{index},\"size\":{size},\"type\":");
        out.extend_from_slice(head.as_bytes());
        escape_into(event_type, &mut out);
        out.push(b'}');
    }
    let (links, listed) = listing::part(&found.broken_links, 0);
    out.extend_from_slice(b",\"brokenLinks\":");
    out.extend_from_slice(&links);
    let omitted = found.broken_links.len() - listed;
    out.extend_from_slice(format!(",\"omitted\":{omitted}}}}}").as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

fn members<T>(out: &mut Vec<u8>, members: &[(Text, T)], value: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'{');
    for (at, (name, member)) in members.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        escape_into(name, out);
        out.push(b':');
        value(out, member);
    }
    out.push(b'}');
}

fn times(out: &mut Vec<u8>, range: &TimeRange) {
    for part in [b"{\"start\":", &range.start[..], b",\"end\":", &range.end, b"}"] {
        out.extend_from_slice(part);
    }
}

fn done(receipts: &[Receipt], warnings: &[Warning], out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct ReceiptJson {
        seq: u64,
        offset: u64,
        length: u64,
        duplicate: bool,
        identical: bool,
        durable: bool,
    }
    out.extend_from_slice(b"{\"ok\":[");
    for (at, receipt) in receipts.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let Receipt { seq, offset, length, duplicate, identical, durable, .. } = *receipt;
        if let Some(id) = &receipt.event_id {
            // An id may have lone surrogates, which Rust strings cannot hold. Its JSON form escapes
            // them.
            out.extend_from_slice(b"{\"eventId\":");
            id.to_json(out);
        }
        let rest = out.len();
        write(out, &ReceiptJson { seq, offset, length, duplicate, identical, durable });
        if let Some(brace) = out.get_mut(rest).filter(|_| receipt.event_id.is_some()) {
            *brace = b',';
        }
    }
    out.push(b']');
    if !warnings.is_empty() {
        #[derive(Serialize)]
        struct WarningJson<'a> {
            code: &'a str,
            message: &'a str,
        }
        let told: Vec<WarningJson<'_>> = warnings
            .iter()
            .map(|warning| WarningJson { code: warning.code, message: &warning.message })
            .collect();
        out.extend_from_slice(b",\"warnings\":");
        write(out, &told);
    }
    out.push(b'}');
}

fn write(out: &mut Vec<u8>, value: &impl Serialize) {
    // These types have string keys and no failing parts, and writing to a vector never fails.
    let _ = serde_json::to_writer(out, value);
}
