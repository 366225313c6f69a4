//! Sequences of operations by two processes and by other programs, against a model. The model holds
//! the file as plain bytes and searches it from the start. All sequences of up to three operations
//! run, and random longer ones.
//!
//! `CHRONICLE_MODEL_CASES` is the number of random sequences; the default runs for a few seconds.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod common;

use std::sync::Arc;

use common::{
    EIO, ENOSPC, Kind, Machine, OTHER_NAME, PATH, Process, Verdict, When, alone, named, options,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sage_chronicle::{
    AppendOptions, Code, Durability, Id, Place, Reader, Receipt, Result, Rules, Selection, Written,
    event::compute_id,
};
use serde_json::Value;

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    /// One process appends.
    Append(usize, Given),
    /// One process appends several events.
    Batch(usize, [Given; 3]),
    /// Both processes append at once.
    Both(Given, Given),
    /// Another program writes at the end without the lock.
    Stranger(&'static str),
    /// The log gets another name.
    Rename,
    /// The log is deleted.
    Unlink,
    /// A copy of the good lines replaces the log, as in a repair.
    Replace,
    /// A process ends and another one begins.
    Reopen(usize),
    /// The machine restarts with the contents of its disk, and both processes are new.
    PowerCut,
    /// The next sync of the process fails in its append, which is then tried again.
    SyncFails(usize, Given),
    /// The device fills up during the write.
    NoSpace(usize, Given),
    /// The first process has two names of the log, and appends by the second one.
    OtherName(Given),
    /// While the append waits for its sync, another program replaces the log by a copy or an empty
    /// file.
    ReplacedInSync(Given, bool),
}

/// An event and how it is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Given {
    id: &'static str,
    text: &'static str,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Plain,
    /// It need not be synced.
    Os,
    Key(&'static str),
    /// It has no id and is chained.
    Chain,
    /// It has no id, and its hash becomes the id.
    Hashed,
    /// It has no id and gets none: nothing identifies it.
    Nameless,
    /// The last record has this id.
    After(&'static str),
    /// There is no record.
    First,
}

use How::{After, Chain, First, Hashed, Key, Nameless, Os, Plain};

const fn given(id: &'static str, text: &'static str, how: How) -> Given {
    Given { id, text, how }
}

const RECORD: &str = "{\"eventId\":\"e0\",\"by\":\"a stranger\"}\n";
const OPEN: &str = "{\"eventId\":\"e2\",\"idempotencyKey\":\"k1\"}";
const TORN: &str = "{\"eventId\":\"e1\",\"te";

/// The first operations of the alphabet are tried at every place of a sequence.
const COMMON: usize = 19;

/// Of each kind, the operations that affect the others most.
const ALPHABET: [Op; 23] = [
    Op::Append(0, given("e0", "", Plain)),
    Op::Append(1, given("e0", "other", Plain)),
    Op::Append(0, given("e1", "", Os)),
    Op::Append(0, given("e3", "", Key("e0"))),
    Op::Append(1, given("", "", Chain)),
    Op::Append(0, given("e4", "", First)),
    Op::Append(1, given("e4", "", After("e0"))),
    Op::Batch(1, [given("e1", "", Plain), given("e2", "", Plain), given("e1", "other", Plain)]),
    Op::Both(given("e0", "", Plain), given("e2", "", Plain)),
    Op::Stranger(RECORD),
    Op::Stranger(OPEN),
    Op::Stranger(TORN),
    Op::Rename,
    Op::Unlink,
    Op::Replace,
    Op::Reopen(0),
    Op::PowerCut,
    Op::SyncFails(0, given("e5", "", Plain)),
    Op::NoSpace(1, given("e5", "", Plain)),
    Op::Append(1, given("", "nameless", Nameless)),
    Op::OtherName(given("e1", "", Plain)),
    Op::ReplacedInSync(given("e3", "", Plain), true),
    Op::ReplacedInSync(given("", "nameless", Nameless), false),
];

impl Given {
    /// The event as the caller gives it.
    fn event(&self) -> String {
        let event = named(self.id, self.text);
        if self.id.is_empty() { event.replacen(r#""eventId":"","#, "", 1) } else { event }
    }

    fn options(&self) -> AppendOptions {
        let mut options = options();
        let id = |text: &str| Id::new(text).unwrap();
        match self.how {
            Plain | Hashed => {}
            Os => options.durability = Durability::Os,
            Key(key) => {
                options.rules = Rules { idempotency_key: Some(id(key)), ..Rules::default() };
            }
            Chain => options.rules = Rules { chain: true, ..Rules::default() },
            After(tail) => options.expected_tail = Some(Some(id(tail))),
            First => options.expected_tail = Some(None),
            Nameless => options.rules = Rules { compute_id: false, ..Rules::default() },
        }
        options
    }

    fn is_durable(&self) -> bool {
        self.how != Os
    }

    /// The line that the event becomes behind a record with the id `last`.
    fn line(&self, last: Option<&str>) -> String {
        let mut line = self.event();
        let mut add = |name: &str, value: &str| {
            line.pop();
            line.push_str(&format!(",\"{name}\":\"{value}\"}}"));
        };
        if let Key(key) = self.how {
            add("idempotencyKey", key);
        }
        if self.how == Chain {
            add("idempotencyKey", &hash(&self.event()));
            if let Some(last) = last {
                add("prevEventId", last);
            }
        }
        if self.id.is_empty() && self.how != Nameless {
            let id = hash(&line);
            let kind = r#"{"type":"X","#;
            line.insert_str(kind.len(), &format!(r#""eventId":"{id}","#));
        }
        line
    }

    /// The ids and keys by which the log may have the event already.
    fn names(&self) -> Vec<String> {
        match self.how {
            Key(key) => vec![self.id.into(), key.into()],
            Chain => vec![hash(&self.event())],
            Hashed => vec![hash(&self.event())],
            Nameless => Vec::new(),
            Plain | Os | After(_) | First => vec![self.id.into()],
        }
    }
}

fn hash(text: &str) -> String {
    String::from_utf8(compute_id(text.as_bytes()).unwrap().to_vec()).unwrap()
}

/// A record of the model.
#[derive(Debug, Clone)]
struct Record {
    line: String,
    value: Value,
    offset: u64,
    seq: u64,
    line_number: u64,
}

impl Record {
    fn text(&self, name: &str) -> Option<&str> {
        self.value.get(name)?.as_str()
    }

    fn is_named(&self, name: &str) -> bool {
        [self.text("eventId"), self.text("idempotencyKey")].contains(&Some(name))
    }

    /// The same as `line`, but for the id.
    fn is_identical(&self, line: &str) -> bool {
        let mut both = [self.value.clone(), serde_json::from_str(line).unwrap()];
        for value in &mut both {
            value.as_object_mut().unwrap().remove("eventId");
        }
        both[0] == both[1]
    }
}

/// The expectation of the model for an append.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Receipts(Vec<Receipt>),
    Conflict,
}

/// The expected log.
#[derive(Debug, Clone, Default)]
struct Model {
    exists: bool,
    bytes: Vec<u8>,
    /// Lines that the disk must have.
    durable: Vec<String>,
    /// Syncs failed: lines that were not durable may be gone, and each process reports the failure
    /// once.
    doubtful: bool,
}

impl Model {
    fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        let mut offset = 0;
        for (at, line) in self.bytes.split(|byte| *byte == b'\n').enumerate() {
            if let Ok(value @ Value::Object(_)) = serde_json::from_slice(line) {
                let line = String::from_utf8(line.to_vec()).unwrap();
                let (seq, line_number) = (records.len() as u64 + 1, at as u64 + 1);
                records.push(Record { line, value, offset, seq, line_number });
            }
            offset += line.len() as u64 + 1;
        }
        records
    }

    /// Complete lines that are neither records nor blank: number, offset and length.
    fn bad_lines(&self) -> Vec<(u64, u64, u64)> {
        let records = self.records();
        let mut bad = Vec::new();
        let mut offset = 0;
        let lines: Vec<&[u8]> = self.bytes.split(|byte| *byte == b'\n').collect();
        for (at, line) in lines[..lines.len() - 1].iter().enumerate() {
            let is_record = records.iter().any(|record| record.offset == offset);
            if !is_record && !line.is_empty() {
                bad.push((at as u64 + 1, offset, line.len() as u64));
            }
            offset += line.len() as u64 + 1;
        }
        bad
    }

    /// Appends events that succeed or fail together.
    fn append(&mut self, events: &[Given]) -> Said {
        let before = self.bytes.clone();
        let mut receipts = Vec::new();
        let mut asked = false;
        self.exists = true;
        for given in events {
            let records = self.records();
            let found = given
                .names()
                .iter()
                .find_map(|name| records.iter().find(|record| record.is_named(name)).cloned());
            let duplicate = found.is_some();
            if !duplicate && !std::mem::replace(&mut asked, true) {
                let tail = records.last();
                let holds = match given.how {
                    After(id) => tail.is_some_and(|record| record.text("eventId") == Some(id)),
                    First => tail.is_none(),
                    _ => true,
                };
                if !holds {
                    self.bytes = before;
                    return Said::Conflict;
                }
            }
            let last = records.iter().rev().find_map(|record| record.text("eventId"));
            let line = given.line(last);
            let record = found.unwrap_or_else(|| {
                if !self.bytes.is_empty() && !self.bytes.ends_with(b"\n") {
                    self.bytes.push(b'\n');
                }
                self.bytes.extend_from_slice(line.as_bytes());
                self.bytes.push(b'\n');
                self.records().pop().unwrap()
            });
            // An unterminated record is terminated before it is acknowledged.
            if !self.bytes.ends_with(b"\n")
                && record.offset + record.line.len() as u64 == self.bytes.len() as u64
            {
                self.bytes.push(b'\n');
            }
            let identical = record.is_identical(&given.line(record.text("prevEventId")));
            receipts.push(self.receipt(&record, duplicate, identical));
            if given.is_durable() {
                self.durable.push(record.line);
            }
        }
        Said::Receipts(receipts)
    }

    fn receipt(&self, record: &Record, duplicate: bool, identical: bool) -> Receipt {
        // A receipt cannot be made outside of the crate, only changed.
        let mut receipt = blank_receipt();
        receipt.event_id = record.text("eventId").and_then(Id::new);
        receipt.seq = record.seq;
        receipt.offset = record.offset;
        receipt.length = record.line.len() as u64;
        receipt.duplicate = duplicate;
        receipt.identical = identical;
        receipt.durable = true;
        receipt
    }

    /// Another file is the log from now on.
    fn begin_file(&mut self, bytes: Vec<u8>, exists: bool) {
        *self = Model { bytes, exists, ..Model { doubtful: self.doubtful, ..Model::default() } };
    }

    /// Takes the contents of the file, which must have every durable line.
    fn adopt(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
        let records = self.records();
        for line in &self.durable {
            let there = records.iter().filter(|record| record.line == *line).count();
            // An event without id and key is there once for each time that it was acknowledged.
            let wanted = match records.iter().find(|record| record.line == *line) {
                Some(record) if record.text("eventId").is_none() => {
                    self.durable.iter().filter(|durable| *durable == line).count()
                }
                _ => 1,
            };
            assert!(there >= wanted, "{line} is lost");
        }
        for id in ["e3", "e4", "e5"] {
            let count = records.iter().filter(|record| record.text("eventId") == Some(id)).count();
            assert!(count <= 1, "{id} is there {count} times");
        }
    }
}

fn blank_receipt() -> Receipt {
    use std::sync::OnceLock;
    static BLANK: OnceLock<Receipt> = OnceLock::new();
    let make = || Machine::new().start().append(&named("blank", "")).unwrap();
    BLANK.get_or_init(make).clone()
}

/// A machine, its processes, and the model of its log.
struct World {
    machine: Arc<Machine>,
    processes: [Process; 2],
    model: Model,
    /// Files that were the log, and their bytes.
    renamed: Vec<(String, Vec<u8>)>,
    /// The name that the next append uses.
    path: &'static str,
}

impl World {
    fn new() -> World {
        let machine = Machine::new();
        let processes = [machine.start_session(), machine.start()];
        World { machine, processes, model: Model::default(), renamed: Vec::new(), path: PATH }
    }

    fn bytes(&self) -> Vec<u8> {
        self.machine.content_or_nothing(PATH)
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Append(who, given) => self.append(who, &[given]),
            Op::Batch(who, events) => self.append(who, &events),
            Op::Both(first, second) => self.append_both(first, second),
            Op::Stranger(text) => {
                if self.model.exists {
                    self.machine.stranger_appends(text.as_bytes());
                    self.model.bytes.extend_from_slice(text.as_bytes());
                }
            }
            Op::Rename => {
                if self.model.exists {
                    let name = format!("/machine/log-{}.sage", self.renamed.len());
                    self.machine.rename(PATH, &name);
                    self.renamed.push((name, self.model.bytes.clone()));
                    self.model.begin_file(Vec::new(), false);
                }
            }
            Op::Unlink => {
                if self.model.exists {
                    self.machine.unlink(PATH);
                    self.model.begin_file(Vec::new(), false);
                }
            }
            Op::Replace => {
                if self.model.exists {
                    let lines = self.model.records().into_iter().map(|record| record.line + "\n");
                    let bytes = lines.collect::<String>().into_bytes();
                    self.machine.put(PATH, &bytes);
                    self.model.begin_file(bytes, true);
                }
            }
            Op::Reopen(0) => self.processes[0] = self.machine.start_session(),
            Op::Reopen(who) => self.processes[who] = self.machine.start(),
            Op::PowerCut => self.cut_power(),
            Op::SyncFails(who, given) => {
                let process = self.processes[who].id;
                self.machine.inject(When::next(Kind::Sync).of(process), Verdict::Fail(EIO));
                self.model.doubtful = true;
                self.append(who, &[given]);
                self.machine.heal();
            }
            Op::NoSpace(who, given) => self.append_without_space(who, given),
            Op::OtherName(given) => {
                self.path = OTHER_NAME;
                self.append(0, &[given]);
                self.path = PATH;
            }
            Op::ReplacedInSync(given, is_copied) => self.append_replaced(given, is_copied),
        }
        self.check();
    }

    fn try_append(&self, who: usize, events: &[Given]) -> Result<Vec<Receipt>> {
        let texts: Vec<String> = events.iter().map(Given::event).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        common::settle(self.processes[who].submit_to(self.path, &texts, events[0].options()))
    }

    fn append(&mut self, who: usize, events: &[Given]) {
        let before = self.model.clone();
        let outcome = self.try_append(who, events);
        match &outcome {
            Err(error) if self.model.doubtful && error.code() == Code::Io => {
                self.try_again(who, events);
            }
            _ => {
                let said = self.model.append(events);
                if self.model.doubtful && self.bytes() != self.model.bytes {
                    // A lost page came back.
                    self.model = before;
                    self.settle_doubt(events, &outcome.unwrap());
                } else {
                    compare(events, outcome, &said);
                }
            }
        }
    }

    /// After a failed sync: repeats the append until every descriptor has reported the failure.
    fn try_again(&mut self, who: usize, events: &[Given]) {
        let mut again = (0..3).map(|_| self.try_append(who, events));
        let settled = again
            .find(|outcome| !outcome.as_ref().is_err_and(|error| error.code() == Code::Io))
            .expect("an append fails again and again although no sync does");
        match settled {
            Ok(receipts) => self.settle_doubt(events, &receipts),
            Err(error) => {
                assert_eq!(error.code(), Code::Conflict, "{error}");
                self.model.adopt(self.machine.content_or_nothing(PATH));
            }
        }
    }

    /// Takes the file as it is, with these receipts for it.
    fn settle_doubt(&mut self, events: &[Given], receipts: &[Receipt]) {
        self.model.exists = true;
        self.model.adopt(self.machine.content(PATH));
        let records = self.model.records();
        for (given, receipt) in events.iter().zip(receipts) {
            let record = &records[usize::try_from(receipt.seq).unwrap() - 1];
            let place = (record.offset, record.line.len() as u64);
            assert_eq!((receipt.offset, receipt.length), place);
            let is_it = given.names().iter().any(|name| record.is_named(name))
                || (given.how == Nameless && record.line == given.line(None));
            assert!(is_it || given.how == Chain, "{given:?} is not {record:?}");
            if given.is_durable() {
                self.model.durable.push(record.line.clone());
            }
        }
    }

    fn append_both(&mut self, first: Given, second: Given) {
        if self.model.doubtful {
            self.append(0, &[first]);
            return self.append(1, &[second]);
        }
        let both = [first, second];
        let pending = [0, 1].map(|who| {
            let given: Given = both[who];
            self.processes[who].submit_to(PATH, &[&given.event()], given.options())
        });
        let outcomes = pending.map(|pending| common::settle(pending).unwrap());
        let mut told = Vec::new();
        for order in [[0, 1], [1, 0]] {
            let mut model = self.model.clone();
            let said = order.map(|who| (who, model.append(&[both[who]])));
            let fits =
                said.iter().all(|(who, said)| *said == Said::Receipts(outcomes[*who].clone()));
            if fits && model.bytes == self.bytes() {
                self.model = model;
                return;
            }
            told.push(said);
        }
        panic!("neither order gives {outcomes:?}\n{told:#?}");
    }

    fn append_without_space(&mut self, who: usize, given: Given) {
        if self.model.doubtful {
            return self.append(who, &[given]);
        }
        let process = self.processes[who].id;
        self.machine.inject(When::next(Kind::Append).of(process), Verdict::Short(20));
        self.machine.inject(When::next(Kind::Append).of(process), Verdict::Fail(ENOSPC));
        let outcome = self.try_append(who, &[given]);
        self.machine.heal();
        match outcome {
            Err(error) if error.code() == Code::Io => {
                assert_eq!(error.written(), Some(Written::No), "{error}");
                self.model.exists = true;
            }
            outcome => compare(&[given], outcome, &self.model.append(&[given])),
        }
    }

    /// Whatever the outcome of the append, its event is in the new file once. An event without a
    /// name is there as often as is certain.
    fn append_replaced(&mut self, given: Given, is_copied: bool) {
        if self.model.doubtful {
            return self.append(1, &[given]);
        }
        let before = self.model.records();
        let process = &self.processes[1];
        let sync = self.machine.hold(When::next(Kind::Sync).of(process.id));
        let mut pending = process.submit_to(PATH, &[&given.event()], given.options());
        let waited = std::time::Duration::from_micros(50);
        while !sync.is_reached_within(waited) && !pending.is_settled() {}
        let there = self.bytes();
        if self.machine.has(PATH) {
            self.machine.unlink(PATH);
        }
        self.machine.put(PATH, if is_copied { &there } else { b"" });
        sync.release(Verdict::Go);
        self.machine.heal();
        let outcome = common::settle(pending);
        self.model.begin_file(self.bytes(), true);
        let records = self.model.records();
        let there = |record: &&Record| given.names().iter().any(|name| record.is_named(name));
        match outcome {
            Ok(receipts)
                if given.how != Nameless && records.iter().any(|record| there(&record)) =>
            {
                // Another program may have written it, too.
                let most = before.iter().filter(there).count().max(1);
                assert!(records.iter().filter(there).count() <= most);
                self.settle_doubt(&[given], &receipts);
            }
            // Acknowledged before the log was replaced.
            Ok(_) => {}
            Err(error) => {
                assert_eq!((error.code(), error.written()), (Code::Io, Some(Written::Unknown)));
                assert_eq!(given.how, Nameless);
            }
        }
    }

    fn cut_power(&mut self) {
        let after = self.machine.after_power_cut();
        let found = after.content_or_nothing(PATH);
        if !self.model.doubtful {
            assert!(self.model.bytes.starts_with(&found), "{}", found.escape_ascii());
        }
        self.model.adopt(found);
        self.model.exists = after.disk().stat(PATH.as_ref()).unwrap().is_some();
        self.model.doubtful = false;
        self.renamed.clear();
        self.processes = [after.start_session(), after.start()];
        self.machine = after;
    }

    /// Checks the file, and the views of its readers.
    fn check(&self) {
        let model = &self.model;
        assert_eq!(self.bytes().escape_ascii().to_string(), model.bytes.escape_ascii().to_string());
        for (name, bytes) in &self.renamed {
            assert!(self.machine.content(name) == *bytes, "{name} changed");
        }
        let records = model.records();
        let numbered = Selection { numbered: true, all_bad_lines: true, ..Selection::default() };
        self.check_read(&numbered, &records);
        let tail = Selection { reverse: true, limit: Some(2), ..numbered.clone() };
        self.check_read(&tail, &records.iter().rev().take(2).cloned().collect::<Vec<_>>());
        let from = Selection { from: Place::Seq(2), ..numbered };
        self.check_read(&from, records.get(1..).unwrap_or_default());
    }

    fn check_read(&self, selection: &Selection, expected: &[Record]) {
        let path = common::log_path();
        let disk = self.machine.disk();
        let mut reader = Reader::select(&*disk, &path, selection).unwrap();
        let mut texts = Vec::new();
        let mut places = Vec::new();
        let mut bad = Vec::new();
        loop {
            let slice = reader.next_page(&path).unwrap();
            let read: Vec<Value> = serde_json::from_slice(&slice.json).unwrap();
            texts.extend(read);
            places.extend(slice.places);
            bad.extend(slice.bad.iter().map(|bad| (bad.line, bad.offset, bad.length)));
            if slice.done {
                break;
            }
        }
        assert_eq!(texts, expected.iter().map(|record| record.value.clone()).collect::<Vec<_>>());
        let place = |record: &Record| {
            (record.seq, record.line_number, record.offset, record.line.len() as u64)
        };
        let places: Vec<_> = places
            .iter()
            .map(|place| (place.seq, place.line, place.offset, place.length))
            .collect();
        assert_eq!(places, expected.iter().map(place).collect::<Vec<_>>());
        if !selection.reverse && matches!(selection.from, Place::Start) {
            assert_eq!(bad, self.model.bad_lines());
        }
    }

    /// A new process appends everything again, and the power fails.
    fn finish(mut self) {
        self.run(Op::Reopen(1));
        for id in ["e0", "e1", "e2", "e3", "e4", "e5"] {
            self.run(Op::Append(1, given(id, "", Plain)));
        }
        self.run(Op::Append(0, given("", "", Chain)));
        self.run(Op::PowerCut);
    }
}

fn compare(events: &[Given], outcome: Result<Vec<Receipt>>, said: &Said) {
    match (outcome, said) {
        (Ok(mut receipts), Said::Receipts(said)) => {
            for (given, receipt) in events.iter().zip(&mut receipts) {
                // Without a sync of its own, the record may be durable by the sync of another
                // append.
                receipt.durable |= !given.is_durable();
            }
            assert_eq!(receipts, *said, "{events:?}");
        }
        (Err(error), Said::Conflict) => {
            assert_eq!((error.code(), error.written()), (Code::Conflict, Some(Written::No)));
        }
        (outcome, said) => panic!("{events:?}: {outcome:?} instead of {said:?}"),
    }
}

fn run(sequence: &[Op]) {
    let mut world = World::new();
    sequence.iter().for_each(|op| world.run(*op));
    world.finish();
}

/// Whether tests run in full size, as they do in `.ci/run`.
fn is_long() -> bool {
    std::env::var("CHRONICLE_LONG").is_ok_and(|value| value == "1")
}

/// Runs a sequence, and names it in a failure.
fn try_run(sequence: &[Op]) -> std::result::Result<(), String> {
    let outcome = std::panic::catch_unwind(|| run(sequence));
    outcome.map_err(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        format!("{sequence:?}\n{}", message.unwrap_or_else(|| "see above".to_owned()))
    })
}

#[test]
fn every_sequence_of_up_to_three_operations_does_what_the_model_says() {
    let _alone = alone();
    let common = if is_long() { COMMON } else { COMMON / 2 };
    let mut count = 0;
    let mut sequences: Vec<Vec<Op>> = vec![Vec::new()];
    for length in 1..=3 {
        let longer = |sequence: &Vec<Op>| {
            let with = |op| [&sequence[..], &[op]].concat();
            ALPHABET.into_iter().map(with).collect::<Vec<_>>()
        };
        // A late operation of the alphabet is tried with each other one, which saves seconds.
        let is_common = |sequence: &&Vec<Op>| {
            length < 3 || sequence.iter().all(|op| ALPHABET[..common].contains(op))
        };
        sequences = sequences.iter().filter(is_common).flat_map(longer).collect();
        for sequence in &sequences {
            try_run(sequence).unwrap();
            count += 1;
        }
    }
    let all = ALPHABET.len();
    assert_eq!(count, all + all * all + common * common * all);
}

fn any_given() -> impl Strategy<Value = Given> {
    let how = prop_oneof![
        6 => Just(Plain),
        2 => Just(Os),
        2 => prop::sample::select(&["e0", "e1", "k1", "k2"][..]).prop_map(Key),
        2 => Just(Chain),
        1 => Just(Hashed),
        1 => Just(Nameless),
        1 => prop::sample::select(&["e0", "e1", "e3"][..]).prop_map(After),
        1 => Just(First),
    ];
    let id = prop::sample::select(&["e0", "e1", "e2", "e3", "e4", "e5"][..]);
    let text = prop_oneof![3 => Just(""), 1 => Just("other"), 1 => Just(long())];
    (id, text, how).prop_map(|(id, text, how)| match how {
        Chain | Hashed | Nameless => given("", text, how),
        how => given(id, text, how),
    })
}

/// A text longer than a page.
fn long() -> &'static str {
    use std::sync::OnceLock;
    static LONG: OnceLock<String> = OnceLock::new();
    LONG.get_or_init(|| "x".repeat(5000))
}

fn any_op() -> impl Strategy<Value = Op> {
    let strangers = [RECORD, OPEN, TORN, "{\"anonymous\":1}\n", "no object\n", "{\"e\":\"\0", "\n"];
    prop_oneof![
        8 => (0..2_usize, any_given()).prop_map(|(who, given)| Op::Append(who, given)),
        2 => (0..2_usize, any_given(), any_given(), any_given())
            .prop_map(|(who, a, b, c)| Op::Batch(who, [a, b, c].map(plain))),
        2 => (any_given(), any_given()).prop_map(|(a, b)| Op::Both(plain(a), plain(b))),
        4 => prop::sample::select(strangers.to_vec()).prop_map(Op::Stranger),
        1 => Just(Op::Rename),
        1 => Just(Op::Unlink),
        1 => Just(Op::Replace),
        2 => (0..2_usize).prop_map(Op::Reopen),
        1 => Just(Op::PowerCut),
        1 => (0..2_usize, any_given()).prop_map(|(who, given)| Op::SyncFails(who, plain(given))),
        1 => (0..2_usize, any_given()).prop_map(|(who, given)| Op::NoSpace(who, plain(given))),
        3 => any_given().prop_map(Op::OtherName),
        1 => (any_given(), any::<bool>())
            .prop_map(|(given, is_copied)| Op::ReplacedInSync(once(given), is_copied)),
    ]
}

/// An event that neither conflicts nor is appended without a sync.
fn once(given: Given) -> Given {
    if given.how == Nameless { given } else { plain(given) }
}

/// The events of a batch share their options.
fn plain(given: Given) -> Given {
    let how = if given.id.is_empty() { Hashed } else { Plain };
    Given { how, ..given }
}

#[test]
fn random_sequences_do_what_the_model_says() {
    let _alone = alone();
    let fallback = if is_long() { 150 } else { 50 };
    let cases =
        std::env::var("CHRONICLE_MODEL_CASES").map_or(fallback, |cases| cases.parse().unwrap());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let sequences = prop::collection::vec(any_op(), 4..25);
    let outcome = TestRunner::new(config)
        .run(&sequences, |sequence| try_run(&sequence).map_err(TestCaseError::fail));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
