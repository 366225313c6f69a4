//! The contents of a log: counts by type, actor and hour, sizes, copies, and broken links.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

use siphasher::sip128::SipHasher13;

use crate::error::Result;
use crate::event::envelope::Envelope;
use crate::event::timestamp::Timestamp;
use crate::json::canonical::{Form, canonicalize, canonicalize_by_value};
use crate::json::excerpt::excerpt;
use crate::path::ChroniclePath;
use crate::record::classify::{self, RecordIds, Verdict};
use crate::record::lines::{LineChunk, LineReader};
use crate::storage::{Disk, FileDisk, OpenFile, cannot_read};
use crate::threads::resumable::{Resumable, Resumed};

/// Size of an event, in UTF-16 units, above which a warning is given.
const LARGE_UNITS: u64 = 10_000;
/// A log with fewer events than this, over a longer time than `LONG_SECONDS`, gives a warning.
const FEW_EVENTS: u64 = 10;
const LONG_SECONDS: i128 = 24 * 3600;
/// UTF-16 units of a timestamp down to its hour.
const HOUR_UNITS: usize = 13;

/// A string of a record, as WTF-8.
pub type Text = Box<[u8]>;

/// The contents of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Number of records.
    pub total_events: u64,
    /// Number of records of each type, in order of first appearance. Records without a type are not
    /// in the list.
    pub event_types: Vec<(Text, u64)>,
    /// The earliest and the latest readable timestamp.
    pub time_range: Option<TimeRange>,
    /// Actors by `agent:id`, in order of first appearance. Records without both members are not
    /// counted.
    pub actors: Vec<(Text, Actor)>,
    /// Complete lines that are no records.
    pub corrupted_lines: u64,
    /// Records with the canonical form of an earlier record, `eventId` left out.
    pub duplicate_events: u64,
    /// Records that have an id and a `prevEventId`.
    pub chained_events: u64,
    /// Links of these records that lead to no earlier record.
    pub broken_links: Vec<BrokenLink>,
    /// Sum of the sizes of all records, in UTF-16 units of their JSON texts.
    pub total_size: u64,
    /// The largest record, the first of equal ones.
    pub largest_event: Option<Largest>,
    /// Records by the first 13 UTF-16 units of their timestamps, if these are strings.
    pub events_by_hour: Vec<(Text, u64)>,
    /// Possible faults, in words.
    pub warnings: Vec<String>,
    /// Faults, in words.
    pub errors: Vec<String>,
}

/// Two timestamps as they are in the log: raw JSON values, strings or numbers of milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeRange {
    /// The earliest.
    pub start: Box<[u8]>,
    /// The latest.
    pub end: Box<[u8]>,
    first: Timestamp,
    last: Timestamp,
}

/// The author of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `actor.agent`.
    pub agent: Text,
    /// Number of records.
    pub event_count: u64,
    /// The time of these records; `None` if no timestamp is readable.
    pub seen: Option<TimeRange>,
}

/// A record and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Largest {
    /// Index of the record, from 0.
    pub index: u64,
    /// UTF-16 units of its JSON text.
    pub size: u64,
    /// Its type; empty if it has none.
    pub event_type: Text,
}

/// A link that does not lead to an earlier record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenLink {
    /// Index of the record, from 0.
    pub index: u64,
    /// Its id.
    pub event_id: Text,
    /// The fault.
    pub issue: LinkIssue,
    /// The fault in words.
    pub details: String,
}

/// Faults of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkIssue {
    /// No record has the id.
    Missing,
    /// The link leads to its own record.
    Circular,
    /// The link leads to a later record.
    Later,
    /// An earlier record has the same link.
    Fork,
}

impl LinkIssue {
    /// The word in the JavaScript API.
    pub fn as_str(self) -> &'static str {
        match self {
            LinkIssue::Missing => "missing_prev",
            LinkIssue::Circular => "circular_reference",
            LinkIssue::Later => "invalid_prev",
            LinkIssue::Fork => "fork",
        }
    }
}

/// Analyzes the log up to its end at the start of the call.
///
/// # Errors
/// `EVALIDATION` for anything but a regular file, `EIO`.
pub fn analyze(path: &ChroniclePath) -> Result<Analysis> {
    let mut analyzer = Analyzer::new(path.clone());
    loop {
        if let Resumed::Done(analysis) = analyzer.resume()? {
            return Ok(analysis);
        }
    }
}

/// An analysis under way; each resume reads one chunk of the log.
///
/// It keeps a hash of each id and each canonical form, the open links, and the names it counts by.
pub(crate) struct Analyzer {
    path: ChroniclePath,
    source: Option<(OpenFile, LineReader)>,
    tally: Option<Tally>,
}

impl Analyzer {
    pub(crate) fn new(path: ChroniclePath) -> Analyzer {
        Analyzer { path, source: None, tally: None }
    }
}

impl Resumable for Analyzer {
    type Output = Analysis;

    fn resume(&mut self) -> Result<Resumed<Analysis>> {
        let tally = match &mut self.tally {
            Some(tally) => tally,
            None => {
                if let Some(storage) = FileDisk.open_for_reading(self.path.as_path())? {
                    let end = storage
                        .stat()
                        .map_err(|error| cannot_read(self.path.as_path(), "fstat", error))?;
                    self.source = Some((storage, LineReader::new(0, end.length)));
                }
                self.tally.insert(Tally::new())
            }
        };
        let Some((storage, lines)) = &mut self.source else {
            return Ok(Resumed::Done(tally.finish()));
        };
        match lines.next(&**storage) {
            Ok(LineChunk::Whole { bytes, .. }) => {
                classify::complete_lines(bytes, |_, line| tally.line(line));
                return Ok(Resumed::More);
            }
            Ok(LineChunk::TooLong { .. }) => {
                tally.analysis.corrupted_lines += 1;
                return Ok(Resumed::More);
            }
            // A torn tail is neither a record nor a fault: it may be an append under way.
            Ok(LineChunk::Tail { bytes, .. }) => {
                if let Verdict::Record(ids) = classify::classify(bytes) {
                    tally.record(bytes, &ids);
                }
            }
            // Another process truncated the file: the rest was read.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(cannot_read(self.path.as_path(), "pread", error)),
        }
        self.source = None;
        Ok(Resumed::Done(tally.finish()))
    }
}

struct Tally {
    analysis: Analysis,
    types: HashMap<Text, usize>,
    actors: HashMap<Text, usize>,
    hours: HashMap<Text, usize>,
    hasher: SipHasher13,
    /// Hashes of the canonical forms. 128 bits make collisions negligible.
    forms: HashSet<u128>,
    /// Index of the first record with each id, by the hash of the id.
    ids: HashMap<u128, u64>,
    /// The first record with each link: from the hash of the link's target to the hash of the
    /// record's id.
    successors: HashMap<u128, u128>,
    /// Links without an earlier target, and second links to one: index and id of the record, and
    /// the id of the target.
    open_links: Vec<(u64, Text, Text)>,
}

impl Tally {
    fn new() -> Tally {
        // A random key, so that no input can be made to collide.
        let random = || RandomState::new().build_hasher().finish();
        Tally {
            analysis: Analysis::default(),
            types: HashMap::new(),
            actors: HashMap::new(),
            hours: HashMap::new(),
            hasher: SipHasher13::new_with_keys(random(), random()),
            forms: HashSet::new(),
            ids: HashMap::new(),
            successors: HashMap::new(),
            open_links: Vec::new(),
        }
    }

    fn line(&mut self, line: &[u8]) {
        match classify::classify(line) {
            Verdict::Record(ids) => self.record(line, &ids),
            Verdict::Blank => {}
            Verdict::Malformed | Verdict::Nul | Verdict::Marked(_) => {
                self.analysis.corrupted_lines += 1;
            }
        }
    }

    fn record(&mut self, line: &[u8], ids: &RecordIds<'_>) {
        let Ok(envelope) = Envelope::of(line) else { return };
        let index = self.analysis.total_events;
        self.analysis.total_events += 1;
        if let Some(name) = envelope.text("type") {
            count(&mut self.analysis.event_types, &mut self.types, &name);
        }
        self.measure(&envelope, line, index);
        let timestamp = envelope.get("timestamp");
        let time = timestamp.and_then(|raw| Some((Timestamp::of_json(raw)?, raw)));
        extend(&mut self.analysis.time_range, time);
        if let Some(timestamp) = envelope.text("timestamp") {
            let hour = first_units(&timestamp, HOUR_UNITS);
            count(&mut self.analysis.events_by_hour, &mut self.hours, hour);
        }
        self.count_actor(&envelope, time);
        self.check_link(index, ids.event_id.as_deref(), &envelope);
    }

    /// The canonical form has the length of `JSON.stringify`: the same tokens in another order.
    fn measure(&mut self, envelope: &Envelope<'_>, line: &[u8], index: u64) {
        let Ok((form, exact)) = canonicalize_by_value(line, Some("eventId")) else { return };
        let id = envelope.get("eventId").and_then(|id| canonicalize(id, Form::Jcs, None).ok());
        let comma = u64::from(form != b"{}");
        let size = utf16_units(&form)
            + id.map_or(0, |id| utf16_units(b"\"eventId\":") + utf16_units(&id) + comma);
        self.analysis.total_size += size;
        if self.analysis.largest_event.as_ref().is_none_or(|largest| size > largest.size) {
            let event_type = envelope.text("type").unwrap_or_default().as_ref().into();
            self.analysis.largest_event = Some(Largest { index, size, event_type });
        }
        let hash = self.hasher.hash(exact.as_ref().unwrap_or(&form)).as_u128();
        self.analysis.duplicate_events += u64::from(!self.forms.insert(hash));
    }

    fn count_actor(&mut self, envelope: &Envelope<'_>, time: Option<(Timestamp, &[u8])>) {
        let actor = envelope.get("actor").and_then(|actor| Envelope::of(actor).ok());
        let Some(actor) = actor else { return };
        let (Some(agent), Some(id)) = (actor.text("agent"), actor.text("id")) else { return };
        let key = [&*agent, b":", &*id].concat();
        let place = *self.actors.entry(key.clone().into()).or_insert_with(|| {
            let agent = agent.as_ref().into();
            self.analysis.actors.push((key.into(), Actor { agent, event_count: 0, seen: None }));
            self.analysis.actors.len() - 1
        });
        if let Some((_, actor)) = self.analysis.actors.get_mut(place) {
            actor.event_count += 1;
            extend(&mut actor.seen, time);
        }
    }

    fn check_link(&mut self, index: u64, id: Option<&[u8]>, envelope: &Envelope<'_>) {
        let Some(id) = id else { return };
        if let Some(previous) = envelope.text("prevEventId") {
            self.analysis.chained_events += 1;
            let leads_back = self.ids.contains_key(&self.hash(&previous));
            let own = self.hash(id);
            let is_circle = *previous == *id;
            // A copy of the same record is not a fork.
            let mut is_fork = || {
                let target = self.hasher.hash(&previous).as_u128();
                *self.successors.entry(target).or_insert(own) != own
            };
            if is_circle || !leads_back || is_fork() {
                self.open_links.push((index, id.into(), previous.as_ref().into()));
            }
        }
        let hash = self.hash(id);
        self.ids.entry(hash).or_insert(index);
    }

    fn hash(&self, id: &[u8]) -> u128 {
        self.hasher.hash(id).as_u128()
    }

    fn finish(&mut self) -> Analysis {
        for (index, event_id, previous) in std::mem::take(&mut self.open_links) {
            let (issue, details) = match self.ids.get(&self.hash(&previous)) {
                _ if previous == event_id => {
                    (LinkIssue::Circular, "prevEventId is the event itself".into())
                }
                Some(target) if *target < index => {
                    (LinkIssue::Fork, "prevEventId is that of an earlier event, too".into())
                }
                Some(target) => {
                    let details = format!(
                        "prevEventId is that of event {target}, which is not earlier in the file"
                    );
                    (LinkIssue::Later, details)
                }
                None => {
                    let previous = excerpt(&previous);
                    (LinkIssue::Missing, format!("no event has the eventId {previous}"))
                }
            };
            self.analysis.broken_links.push(BrokenLink { index, event_id, issue, details });
        }
        let mut analysis = std::mem::take(&mut self.analysis);
        analysis.warnings = warnings(&analysis);
        if !analysis.broken_links.is_empty() {
            let count = analysis.broken_links.len();
            analysis.errors.push(format!("the causal chain is broken: {}", of(count, "link")));
        }
        analysis
    }
}

fn warnings(analysis: &Analysis) -> Vec<String> {
    let Analysis { total_events, duplicate_events, .. } = *analysis;
    if total_events == 0 {
        return vec!["the chronicle is empty".into()];
    }
    let mut warnings = Vec::new();
    if duplicate_events > 0 {
        let copies = if duplicate_events == 1 { "event is a copy" } else { "events are copies" };
        warnings.push(format!("{duplicate_events} {copies} of earlier ones"));
    }
    if let Some(Largest { index, size, .. }) = analysis.largest_event
        && size > LARGE_UNITS
    {
        warnings.push(format!("event {index} is large: {size} UTF-16 units"));
    }
    if let Some(range) = &analysis.time_range {
        let seconds = range.first.seconds_until(range.last);
        if seconds > LONG_SECONDS && total_events < FEW_EVENTS {
            let hours = seconds / 3600;
            warnings
                .push(format!("only {total_events} events in {hours} hours: some may be missing"));
        }
    }
    let single = analysis.actors.iter().filter(|(_, actor)| actor.event_count == 1).count() as u64;
    if single * 5 > total_events * 4 {
        warnings.push("most actors have a single event: their ids may not be stable".into());
    }
    warnings
}

fn of(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn count(counts: &mut Vec<(Text, u64)>, places: &mut HashMap<Text, usize>, name: &[u8]) {
    if let Some((_, count)) = places.get(name).and_then(|place| counts.get_mut(*place)) {
        *count += 1;
        return;
    }
    places.insert(name.into(), counts.len());
    counts.push((name.into(), 1));
}

/// Extends a range to a time. Of equal times the first one stays.
fn extend(range: &mut Option<TimeRange>, time: Option<(Timestamp, &[u8])>) {
    let Some((time, raw)) = time else { return };
    let Some(range) = range else {
        *range = Some(TimeRange { start: raw.into(), end: raw.into(), first: time, last: time });
        return;
    };
    if time < range.first {
        (range.first, range.start) = (time, raw.into());
    }
    if time > range.last {
        (range.last, range.end) = (time, raw.into());
    }
}

/// Length of the text in JavaScript.
fn utf16_units(text: &[u8]) -> u64 {
    text.iter().map(|byte| units_begun(*byte) as u64).sum()
}

/// UTF-16 units of the character that begins with this byte; 0 for a byte within one.
fn units_begun(byte: u8) -> usize {
    match byte {
        0x80..=0xbf => 0,
        0xf0.. => 2,
        _ => 1,
    }
}

/// The start of a text, of at max_units `max_units` UTF-16 units.
fn first_units(text: &[u8], max_units: usize) -> &[u8] {
    let mut units = 0;
    let end = text.iter().position(|byte| {
        units += units_begun(*byte);
        units > max_units
    });
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}
