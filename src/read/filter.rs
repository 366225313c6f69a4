//! The filter of a query, which reads the raw bytes of a line and builds no values.

use std::borrow::Cow;

use memchr::memchr;
use memchr::memmem::{self, Finder};

use crate::event::timestamp::Timestamp;
use crate::json::escape;
use crate::json::{self, Shape, Visitor};
use crate::record::classify::{self, Verdict};

/// The conditions on a record. Strings are compared after unescaping, timestamps as points in time.
/// An empty or absent condition holds for every record.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// `type` is one of these.
    pub types: Vec<Vec<u8>>,
    /// `actor.agent`.
    pub agent: Option<Vec<u8>>,
    /// `actor.id`.
    pub actor_id: Option<Vec<u8>>,
    /// `tags` has all of these.
    pub tags: Vec<Vec<u8>>,
    /// `planHash`.
    pub plan_hash: Option<Vec<u8>>,
    /// `graphCommit`.
    pub graph_commit: Option<Vec<u8>>,
    /// `eventId`.
    pub event_id: Option<Vec<u8>>,
    /// `prevEventId`.
    pub prev_event_id: Option<Vec<u8>>,
    /// `timestamp` is this or later.
    pub since: Option<Timestamp>,
    /// `timestamp` is this or earlier.
    pub until: Option<Timestamp>,
}

/// Decides which lines are wanted records.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    wanted: Wanted,
    /// A line without any of these byte strings is no wanted record. `None` if no such strings
    /// exist.
    needles: Option<Needles>,
}

#[derive(Debug, Clone)]
struct Needles {
    any: Vec<Finder<'static>>,
    has_slash: bool,
}

/// The raw members of a record that a filter reads. Of equal keys the last counts.
#[derive(Default)]
struct FilterMembers<'a> {
    kind: Option<&'a [u8]>,
    timestamp: Option<&'a [u8]>,
    actor: Option<&'a [u8]>,
    tags: Option<&'a [u8]>,
    plan_hash: Option<&'a [u8]>,
    graph_commit: Option<&'a [u8]>,
    event_id: Option<&'a [u8]>,
    prev_event_id: Option<&'a [u8]>,
}

impl Filter {
    /// A filter for these conditions.
    pub fn new(wanted: Wanted) -> Filter {
        let needles = Needles::of(&wanted);
        Filter { wanted, needles }
    }

    /// Whether every record is wanted.
    pub(crate) fn is_all(&self) -> bool {
        let Wanted {
            types,
            agent,
            actor_id,
            tags,
            plan_hash,
            graph_commit,
            event_id,
            prev_event_id,
            since,
            until,
        } = &self.wanted;
        let texts = [agent, actor_id, plan_hash, graph_commit, event_id, prev_event_id];
        types.is_empty()
            && tags.is_empty()
            && texts.iter().all(|text| text.is_none())
            && since.is_none()
            && until.is_none()
    }

    /// Whether a line may be a wanted record, by a byte search. The search takes a tenth of the
    /// time of a parse.
    pub(crate) fn may_want(&self, line: &[u8]) -> bool {
        self.needles.as_ref().is_none_or(|needles| needles.may_be_in(line))
    }

    /// Classifies a line. Also returns whether it is a wanted record.
    pub(crate) fn classify<'a>(&self, line: &'a [u8]) -> (Verdict<'a>, bool) {
        if self.is_all() {
            let verdict = classify::classify_members(line, |_, _| {});
            let is_record = matches!(verdict, Verdict::Record(_));
            return (verdict, is_record);
        }
        let mut members = FilterMembers::default();
        let verdict = classify::classify_members(line, |key, value| members.note(key, value));
        let wants = matches!(verdict, Verdict::Record(_)) && self.wanted.has(&members);
        (verdict, wants)
    }
}

impl Wanted {
    fn has(&self, members: &FilterMembers<'_>) -> bool {
        self.has_type(members.kind)
            && is_text(&self.event_id, members.event_id)
            && is_text(&self.prev_event_id, members.prev_event_id)
            && is_text(&self.plan_hash, members.plan_hash)
            && is_text(&self.graph_commit, members.graph_commit)
            && self.has_actor(members.actor)
            && self.has_tags(members.tags)
            && self.has_time(members.timestamp)
    }

    fn has_type(&self, raw: Option<&[u8]>) -> bool {
        self.types.is_empty()
            || text(raw).is_some_and(|kind| self.types.iter().any(|wanted| **wanted == *kind))
    }

    fn has_actor(&self, raw: Option<&[u8]>) -> bool {
        if self.agent.is_none() && self.actor_id.is_none() {
            return true;
        }
        let (mut agent, mut id) = (None, None);
        let is_object =
            json::object(raw.unwrap_or_default(), |key, value| match &*escape::unescape(key) {
                b"agent" => agent = Some(value),
                b"id" => id = Some(value),
                _ => {}
            });
        is_object.is_ok() && is_text(&self.agent, agent) && is_text(&self.actor_id, id)
    }

    fn has_tags(&self, raw: Option<&[u8]>) -> bool {
        if self.tags.is_empty() {
            return true;
        }
        let Some(tags) = raw.and_then(strings) else { return false };
        self.tags.iter().all(|wanted| tags.iter().any(|tag| **tag == **wanted))
    }

    fn has_time(&self, raw: Option<&[u8]>) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let Some(time) = raw.and_then(Timestamp::of_json) else { return false };
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time <= until)
    }
}

impl<'a> FilterMembers<'a> {
    #[inline]
    fn note(&mut self, key: &'a [u8], value: &'a [u8]) {
        match self.slot(key) {
            Some(slot) => *slot = Some(value),
            None if memchr(b'\\', key).is_some() => {
                if let Some(slot) = self.slot(&escape::unescape(key)) {
                    *slot = Some(value);
                }
            }
            None => {}
        }
    }

    #[inline]
    fn slot(&mut self, key: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        Some(match key {
            b"type" => &mut self.kind,
            b"timestamp" => &mut self.timestamp,
            b"actor" => &mut self.actor,
            b"tags" => &mut self.tags,
            b"planHash" => &mut self.plan_hash,
            b"graphCommit" => &mut self.graph_commit,
            b"eventId" => &mut self.event_id,
            b"prevEventId" => &mut self.prev_event_id,
            _ => return None,
        })
    }
}

impl Needles {
    /// The longest text that every wanted record contains, or else the types it may have.
    fn of(wanted: &Wanted) -> Option<Needles> {
        let Wanted { agent, actor_id, plan_hash, graph_commit, event_id, prev_event_id, .. } =
            wanted;
        let texts = [agent, actor_id, plan_hash, graph_commit, event_id, prev_event_id];
        let single = texts
            .into_iter()
            .flatten()
            .chain(&wanted.tags)
            .chain(wanted.types.first().filter(|_| wanted.types.len() == 1))
            .filter(|text| is_written_plainly(text))
            .max_by_key(|text| text.len());
        let any: Vec<&Vec<u8>> = match single {
            Some(text) => vec![text],
            None if wanted.types.iter().all(|kind| is_written_plainly(kind)) => {
                wanted.types.iter().collect()
            }
            None => Vec::new(),
        };
        let has_slash = any.iter().any(|text| memchr(b'/', text).is_some());
        let any: Vec<_> = any.into_iter().map(|text| Finder::new(text).into_owned()).collect();
        (!any.is_empty()).then_some(Needles { any, has_slash })
    }

    fn may_be_in(&self, line: &[u8]) -> bool {
        self.any.iter().any(|needle| needle.find(line).is_some())
            // Other writers may escape more characters than necessary.
            || memmem::find(line, b"\\u").is_some()
            || (self.has_slash && memmem::find(line, b"\\/").is_some())
    }
}

/// Whether JSON writes the text as it is. Only `\u` and `\/` could spell it otherwise.
fn is_written_plainly(text: &[u8]) -> bool {
    !text.is_empty()
        && std::str::from_utf8(text).is_ok()
        && text.iter().all(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\')
}

/// Whether a raw JSON value is the wanted string. True if no string is wanted.
fn is_text(wanted: &Option<Vec<u8>>, raw: Option<&[u8]>) -> bool {
    wanted.as_ref().is_none_or(|wanted| text(raw).is_some_and(|text| *text == **wanted))
}

/// The text of a raw JSON string.
fn text(raw: Option<&[u8]>) -> Option<Cow<'_, [u8]>> {
    match raw? {
        [b'"', inside @ .., b'"'] => Some(escape::unescape(inside)),
        _ => None,
    }
}

/// The strings of a raw JSON array. Other elements are ignored.
fn strings(raw: &[u8]) -> Option<Vec<Cow<'_, [u8]>>> {
    struct Strings<'a> {
        text: &'a [u8],
        depth: usize,
        found: Vec<Cow<'a, [u8]>>,
    }
    impl Visitor for Strings<'_> {
        fn string(&mut self, from: usize, to: usize, _plain: bool) {
            if self.depth == 1 {
                let inside = self.text.get(from + 1..to - 1).unwrap_or_default();
                self.found.push(escape::unescape(inside));
            }
        }
        fn open(&mut self, _at: usize, _shape: Shape) {
            self.depth += 1;
        }
        fn close(&mut self, _at: usize, _shape: Shape) {
            self.depth -= 1;
        }
    }
    let mut strings = Strings { text: raw, depth: 0, found: Vec::new() };
    (json::parse(raw, &mut strings) == Ok(Shape::Array)).then_some(strings.found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> Option<Timestamp> {
        Some(Timestamp::of_text(text.as_bytes()).unwrap())
    }

    fn wants(wanted: Wanted, line: &str) -> bool {
        let filter = Filter::new(wanted);
        let (_, wants) = filter.classify(line.as_bytes());
        assert!(!wants || filter.may_want(line.as_bytes()), "passed over: {line}");
        wants
    }

    #[test]
    fn strings_are_compared_after_unescaping_and_the_last_of_equal_keys_counts() {
        let build = || Wanted { types: vec![b"BUILD".into(), b"A/B".into()], ..Wanted::default() };
        for line in [
            r#"{"type":"BUILD"}"#,
            r#"{"type":"\u0042UILD"}"#,
            r#"{"\u0074ype":"BUILD"}"#,
            r#"{"type":"A\/B"}"#,
            r#"{"type":"X","type":"BUILD"}"#,
        ] {
            assert!(wants(build(), line), "{line}");
        }
        for line in [
            r#"{"type":"BUILD","type":"X"}"#,
            r#"{"type":["BUILD"]}"#,
            r#"{"kind":"BUILD"}"#,
            r#"{"type":"BUILD""#,
            r#"["BUILD"]"#,
            r#"{"a":{"type":"BUILD"}}"#,
        ] {
            assert!(!wants(build(), line), "{line}");
        }
    }

    #[test]
    fn an_actor_is_asked_by_agent_and_id_and_tags_must_all_be_there() {
        let line = r#"{"actor":{"agent":"ci","id":"7"},"tags":["a","b\n","c"]}"#;
        let actor = |agent: &str, id: &str| Wanted {
            agent: Some(agent.into()),
            actor_id: Some(id.into()),
            ..Wanted::default()
        };
        assert!(wants(actor("ci", "7"), line));
        assert!(!wants(actor("ci", "8"), line));
        assert!(!wants(actor("ci", "7"), r#"{"actor":"ci7","id":"7"}"#));
        let tags = |tags: &[&str]| Wanted {
            tags: tags.iter().map(|tag| tag.as_bytes().to_vec()).collect(),
            ..Wanted::default()
        };
        assert!(wants(tags(&["c", "a"]), line));
        assert!(wants(tags(&["b\n"]), line));
        assert!(!wants(tags(&["a", "d"]), line));
        assert!(!wants(tags(&["a"]), r#"{"tags":{"a":"a"}}"#));
        assert!(!wants(tags(&["a"]), r#"{"tags":"a"}"#));
        assert!(wants(tags(&["a"]), r#"{"tags":[1,["x"],"a"]}"#));
        assert!(!wants(tags(&["x"]), r#"{"tags":[1,["x"],"a"]}"#));
    }

    #[test]
    fn times_are_compared_as_instants_and_both_ends_are_included() {
        let between = || Wanted {
            since: at("2026-01-01T00:00:00Z"),
            until: at("2026-01-02"),
            ..Wanted::default()
        };
        for time in [
            r#""2026-01-01T00:00:00Z""#,
            r#""2026-01-01T02:00:00+02:00""#,
            r#""2026-01-02T00:00:00.000Z""#,
            "1767225600000",
        ] {
            assert!(wants(between(), &format!("{{\"timestamp\":{time}}}")), "{time}");
        }
        for time in
            [r#""2026-01-02T00:00:00.000000001Z""#, "1767225599999", "\"soon\"", "null", "[]"]
        {
            assert!(!wants(between(), &format!("{{\"timestamp\":{time}}}")), "{time}");
        }
        assert!(!wants(between(), "{}"));
    }

    #[test]
    fn an_empty_string_is_a_text_like_others() {
        let wanted = || Wanted { plan_hash: Some(Vec::new()), ..Wanted::default() };
        assert!(wants(wanted(), r#"{"planHash":""}"#));
        assert!(!wants(wanted(), r#"{"planHash":"x"}"#));
        assert!(!wants(wanted(), "{}"));
    }
}
