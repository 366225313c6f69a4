//! What a log holds: counts by type, actor and hour, sizes, copies, and whether its links lead anywhere.

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

/// A larger event is warned of.
const LARGE: u64 = 10_000;
/// Fewer events than this in a longer time than this are warned of.
const FEW: u64 = 10;
const LONG_SECONDS: i128 = 24 * 3600;
/// UTF-16 units of a timestamp that name its hour.
const HOUR: usize = 13;

/// A string of a record, as WTF-8.
pub type Text = Box<[u8]>;

/// What a log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Records.
    pub total_events: u64,
    /// Records of each type, in the order in which the types come up; those without one are in none.
    pub event_types: Vec<(Text, u64)>,
    /// The earliest and the latest readable timestamp.
    pub time_range: Option<TimeRange>,
    /// Actors by `agent:id`, in the order in which they come up; records without both are nobody's.
    pub actors: Vec<(Text, Actor)>,
    /// Complete lines that are no records.
    pub corrupted_lines: u64,
    /// Records whose canonical form, `eventId` aside, an earlier one has.
    pub duplicate_events: u64,
    /// Records that have an id and name one before them.
    pub chained_events: u64,
    /// Those of them whose link leads to no earlier record.
    pub broken_links: Vec<BrokenLink>,
    /// UTF-16 units of the JSON texts of all records together.
    pub total_size: u64,
    /// The largest of them, the first of equal ones.
    pub largest_event: Option<Largest>,
    /// Records by the first 13 UTF-16 units of their timestamps, where these are strings.
    pub events_by_hour: Vec<(Text, u64)>,
    /// What may be wrong, in words.
    pub warnings: Vec<String>,
    /// What is wrong, in words.
    pub errors: Vec<String>,
}

/// Two timestamps as they stand in the log: raw JSON values, strings or numbers of milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeRange {
    /// The earliest.
    pub start: Box<[u8]>,
    /// The latest.
    pub end: Box<[u8]>,
    first: Timestamp,
    last: Timestamp,
}

/// Somebody who made events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `actor.agent`.
    pub agent: Text,
    /// Records.
    pub event_count: u64,
    /// When; none if no timestamp can be read.
    pub seen: Option<TimeRange>,
}

/// A record by its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Largest {
    /// Its place among the records, from 0.
    pub index: u64,
    /// UTF-16 units of its JSON text.
    pub size: u64,
    /// Its type; empty where it has none.
    pub event_type: Text,
}

/// A link that does not lead to an earlier record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenLink {
    /// Place of the record among the records, from 0.
    pub index: u64,
    /// Its id.
    pub event_id: Text,
    /// What is wrong.
    pub issue: LinkIssue,
    /// The same in words.
    pub details: String,
}

/// What can be wrong with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkIssue {
    /// No record has the id.
    Missing,
    /// It leads to the record itself.
    Circular,
    /// It leads to a later record.
    Later,
    /// It leads to a record to which an earlier one leads, too.
    Fork,
}

impl LinkIssue {
    /// The word callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            LinkIssue::Missing => "missing_prev",
            LinkIssue::Circular => "circular_reference",
            LinkIssue::Later => "invalid_prev",
            LinkIssue::Fork => "fork",
        }
    }
}

/// Looks at the log from its beginning to where it ended when the look began. It takes no lock and writes nothing.
///
/// # Errors
/// `EVALIDATION` for what is no regular file, `EIO`.
pub fn analyze(path: &ChroniclePath) -> Result<Analysis> {
    let mut analyzer = Analyzer::new(path.clone());
    loop {
        if let Resumed::Done(analysis) = analyzer.resume()? {
            return Ok(analysis);
        }
    }
}

/// An analysis under way: a piece of the log a turn. It keeps a hash of each id and each canonical form, the links that lead nowhere yet, and
/// the names it counts by.
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
            // A torn tail is no record and no error: it may be an append that is under way.
            Ok(LineChunk::Tail { bytes, .. }) => {
                if let Verdict::Record(keys) = classify::classify(bytes) {
                    tally.record(bytes, &keys);
                }
            }
            // Somebody cut the file: what is left of it was read.
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
    /// Canonical forms so far, by a hash so wide that no two collide.
    forms: HashSet<u128>,
    /// The place of the first record with each id, by the same hash.
    ids: HashMap<u128, u64>,
    /// The first record that leads to each, by hashes of both ids.
    followers: HashMap<u128, u128>,
    /// Links that lead to nothing before, or not alone: the record's place and id, and the id it names.
    open_links: Vec<(u64, Text, Text)>,
}

impl Tally {
    fn new() -> Tally {
        // A random key, so that nobody can make two texts collide.
        let random = || RandomState::new().build_hasher().finish();
        Tally {
            analysis: Analysis::default(),
            types: HashMap::new(),
            actors: HashMap::new(),
            hours: HashMap::new(),
            hasher: SipHasher13::new_with_keys(random(), random()),
            forms: HashSet::new(),
            ids: HashMap::new(),
            followers: HashMap::new(),
            open_links: Vec::new(),
        }
    }

    fn line(&mut self, line: &[u8]) {
        match classify::classify(line) {
            Verdict::Record(keys) => self.record(line, &keys),
            Verdict::Blank => {}
            Verdict::Malformed | Verdict::Nul | Verdict::Marked(_) => {
                self.analysis.corrupted_lines += 1;
            }
        }
    }

    fn record(&mut self, line: &[u8], keys: &RecordIds<'_>) {
        let Ok(envelope) = Envelope::of(line) else { return };
        let index = self.analysis.total_events;
        self.analysis.total_events += 1;
        if let Some(name) = envelope.text("type") {
            count(&mut self.analysis.event_types, &mut self.types, &name);
        }
        self.measure(&envelope, line, index);
        let timestamp = envelope.get("timestamp");
        let time = timestamp.and_then(|raw| Some((Timestamp::of_json(raw)?, raw)));
        see(&mut self.analysis.time_range, time);
        if let Some(timestamp) = envelope.text("timestamp") {
            let hour = first_units(&timestamp, HOUR);
            count(&mut self.analysis.events_by_hour, &mut self.hours, hour);
        }
        self.meet_actor(&envelope, time);
        self.follow(index, keys.event_id.as_deref(), &envelope);
    }

    /// Its canonical form is as long as what `JSON.stringify` makes of it: the same tokens in another order.
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

    fn meet_actor(&mut self, envelope: &Envelope<'_>, time: Option<(Timestamp, &[u8])>) {
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
            see(&mut actor.seen, time);
        }
    }

    fn follow(&mut self, index: u64, id: Option<&[u8]>, envelope: &Envelope<'_>) {
        let Some(id) = id else { return };
        if let Some(previous) = envelope.text("prevEventId") {
            self.analysis.chained_events += 1;
            let leads_back = self.ids.contains_key(&self.hash(&previous));
            let own = self.hash(id);
            let is_circle = *previous == *id;
            // The same record once more is no other branch.
            let mut is_fork = || {
                let target = self.hasher.hash(&previous).as_u128();
                *self.followers.entry(target).or_insert(own) != own
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
        && size > LARGE
    {
        warnings.push(format!("event {index} is large: {size} UTF-16 units"));
    }
    if let Some(range) = &analysis.time_range {
        let seconds = range.first.seconds_until(range.last);
        if seconds > LONG_SECONDS && total_events < FEW {
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

/// Widens a range to a time. Of equal times the first one named stays.
fn see(range: &mut Option<TimeRange>, time: Option<(Timestamp, &[u8])>) {
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

/// How long the text is for JavaScript.
fn utf16_units(text: &[u8]) -> u64 {
    text.iter().map(|byte| units_begun(*byte) as u64).sum()
}

/// UTF-16 units of the character that begins with this byte; 0 within one.
fn units_begun(byte: u8) -> usize {
    match byte {
        0x80..=0xbf => 0,
        0xf0.. => 2,
        _ => 1,
    }
}

/// The beginning of a text of at most so many UTF-16 units.
fn first_units(text: &[u8], most: usize) -> &[u8] {
    let mut units = 0;
    let end = text.iter().position(|byte| {
        units += units_begun(*byte);
        units > most
    });
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}
