//! An event for a log: checked, on one line, with its id.
//!
//! The folder owns the envelope (which fields an event has), the id, and the timestamp. It never
//! touches a file. The files are in the order of dependence; `mod.rs` builds the line of an event
//! from them.

pub(crate) mod envelope;
pub(crate) mod id;
pub(crate) mod timestamp;

use std::cell::RefCell;
use std::ops::Range;

use memchr::{memchr, memchr2};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::event::envelope::{Envelope, invalid, invalid_text};
use crate::json::canonical::{Form, canonicalize, canonicalize_exactly};
use crate::json::member_path::{path_at, repeated_key};
use crate::json::{self, BYTE_ORDER_MARK, Canonicalizer, Fault, Shape, Visitor};
use crate::record::classify::{MAX_LINE_BYTES, Verdict, classify};

pub use id::Id;
pub use timestamp::Timestamp;

/// Bytes that an id and a chain add to a line, at most.
pub(crate) const MAX_ADDED_BYTES: usize = 192;

/// What an event must have, and what is added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Gives the event the hash of its canonical form as id, if it has none.
    pub compute_id: bool,
    /// Stores this key as the last member of the event.
    pub idempotency_key: Option<Id>,
    /// Chains the event to the record before it: see [`Event::chained`].
    pub chain: bool,
    /// Refuses an event without an id.
    pub require_id: bool,
    /// Requires only a `type`: no timestamp, no actor, no payload.
    pub lenient: bool,
    /// Refuses an event in which an object has a key twice. Without this rule the last one counts.
    pub unique_keys: bool,
    /// The text is a record of a log, written byte for byte: its envelope is not checked, nothing
    /// is computed and nothing added. No other rule can be combined with this one.
    pub whole_line: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            compute_id: true,
            idempotency_key: None,
            chain: false,
            require_id: false,
            lenient: false,
            unique_keys: false,
            whole_line: false,
        }
    }
}

/// A checked event and its line.
#[derive(Debug, Clone)]
pub struct Event {
    line: Vec<u8>,
    id: Option<Id>,
    key: Option<Id>,
    /// The end of the member `type` in `line`: an id is inserted there.
    type_end: usize,
    chained_later: bool,
}

impl Event {
    /// Checks the envelope and the payload of an event given as JSON text, and makes its line.
    ///
    /// The output of `JSON.stringify` stays byte for byte. Whitespace around the text is dropped,
    /// and whitespace between tokens if a line break is among it. A computed `eventId` is inserted
    /// right behind `type`; the key of the rules is the last member.
    pub fn parse(text: &[u8], rules: &Rules) -> Result<Event> {
        Event::made_of(text.to_vec(), rules)
    }

    /// [`Event::parse`], of a text that becomes the line.
    ///
    /// # Errors
    /// `EVALIDATION`: the rules refuse it. Where an id is computed, also for a number that has
    /// another value as a double, because ids are hashes of doubles.
    pub fn made_of(text: Vec<u8>, rules: &Rules) -> Result<Event> {
        if rules.whole_line {
            return Event::of_line(text, rules);
        }
        let mut line = one_line(text)?;
        let envelope = Envelope::of(&line)?;
        envelope.check(rules.lenient)?;
        if rules.unique_keys
            && let Some(path) = repeated_key(&line)
        {
            return Err(envelope.fault(&format!("has two members {path}")));
        }
        let id = envelope.text("eventId");
        if id.is_none() && rules.require_id {
            return Err(envelope.fault("needs a non-empty string eventId"));
        }
        let own_key = envelope.text("idempotencyKey");
        if let (Some(own), Some(option)) = (&own_key, &rules.idempotency_key)
            && **own != *option.as_bytes()
        {
            return Err(envelope.fault("has another idempotencyKey than the option says"));
        }
        if rules.chain {
            check_chain(&envelope, rules)?;
        }

        let [id, key] = [id, own_key].map(|name| name.map(|name| Id::of(&name)));
        let type_end = envelope.end_of("type").unwrap_or_default();
        line.reserve(MAX_ADDED_BYTES);
        let mut event = Event { line, id, key, type_end, chained_later: rules.chain };
        if event.key.is_none()
            && let Some(key) = &rules.idempotency_key
        {
            event.add_key(key.clone());
        }
        if rules.chain {
            if event.key.is_none() {
                event.add_key(Id::of(&exact_id(&event.line)?));
            }
        } else if event.id.is_none() && rules.compute_id {
            event.add_id()?;
        }
        event.check_length()
    }

    /// A record as it is, without newline, with its own id and key.
    fn of_line(line: Vec<u8>, rules: &Rules) -> Result<Event> {
        if *rules != (Rules { whole_line: true, ..Rules::default() }) {
            return Err(Error::validation("no other rule goes with whole lines"));
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(Error::validation(format!(
                "line is {} bytes long, a line may have {MAX_LINE_BYTES}",
                line.len()
            )));
        }
        if memchr(b'\n', &line).is_some() {
            return Err(Error::validation("line has a line break in it"));
        }
        let keys = match classify(&line) {
            Verdict::Record(keys) if !line.starts_with(BYTE_ORDER_MARK) => keys,
            _ => {
                let fault = json::object(&line, |_, _| ()).err().unwrap_or(Fault::NotAnObject);
                return Err(invalid_text("line", &line, fault));
            }
        };
        let [id, key] = [keys.event_id, keys.idempotency_key]
            .map(|name| name.and_then(|name| Id::of_member(&name)));
        Ok(Event { line, id, key, type_end: 0, chained_later: false })
    }

    /// The line without its newline. For an event that [is chained later](Event::is_chained_later)
    /// it is not final yet.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// The event's own id or the computed one. None where the rules ask for none, and for an event
    /// that is chained later.
    pub fn id(&self) -> Option<&Id> {
        self.id.as_ref()
    }

    /// The idempotency key. An event to be chained that has none uses its id as given. So a retry
    /// is recognised although the chain has grown since.
    pub fn key(&self) -> Option<&Id> {
        self.key.as_ref()
    }

    /// Whether the line and the id are final only after [`Event::chained`].
    pub fn is_chained_later(&self) -> bool {
        self.chained_later
    }

    /// The event with `previous` as its `prevEventId`, the last member. Without a previous id it
    /// gets none.
    pub fn chained(&self, previous: Option<&Id>) -> Result<Event> {
        let mut event = Event { chained_later: false, ..self.clone() };
        if let Some(previous) = previous {
            event.add_last("prevEventId", previous);
        }
        event.add_id()?;
        event.check_length()
    }

    fn add_key(&mut self, key: Id) {
        self.add_last("idempotencyKey", &key);
        self.key = Some(key);
    }

    fn add_last(&mut self, name: &str, value: &Id) {
        // The object is not empty: it has a type.
        self.line.pop();
        self.line.extend_from_slice(format!(",\"{name}\":").as_bytes());
        value.to_json(&mut self.line);
        self.line.push(b'}');
    }

    fn add_id(&mut self) -> Result<()> {
        let id = exact_id(&self.line)?;
        let before = self.line.len();
        for part in [b",\"eventId\":\"".as_slice(), &id, b"\""] {
            self.line.extend_from_slice(part);
        }
        let added = self.line.len() - before;
        if let Some(behind_type) = self.line.get_mut(self.type_end..) {
            behind_type.rotate_right(added);
        }
        self.id = Some(Id::of(&id));
        Ok(())
    }

    fn check_length(self) -> Result<Event> {
        if self.line.len() > MAX_LINE_BYTES {
            return Err(too_long(self.line.len()));
        }
        Ok(self)
    }
}

/// The id of an event given as JSON text: the lower-case hexadecimal SHA-256 of its canonical form
/// without `eventId`.
///
/// Numbers are doubles in that form, whatever their text says, so that the ids of existing records
/// stay valid. An append refuses to compute an id where this changes a value.
pub fn compute_id(text: &[u8]) -> Result<[u8; 64]> {
    hash(text, Form::Jcs)
}

/// The canonical form whose hash is the event's `eventId`. None if the event has no id, or an id
/// that is not its hash.
pub fn verify_id(text: &[u8]) -> Result<Option<Form>> {
    let Some(stored) = Envelope::of(text)?.text("eventId") else {
        return Ok(None);
    };
    for form in [Form::Jcs, Form::Legacy] {
        if hash(text, form)? == *stored {
            return Ok(Some(form));
        }
    }
    Ok(None)
}

/// Whether two events given as JSON text have the same canonical form, except for their `eventId`.
pub fn same_canonical(a: &[u8], b: &[u8]) -> bool {
    match (canonical_event(a, Form::Jcs), canonical_event(b, Form::Jcs)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Whether two events given as JSON text are the same except for their `eventId`: their canonical
/// forms agree, and so does the text of each number. In canonical forms `1e400` is `null`, and
/// `1.0` is `1`.
pub fn same_content(a: &[u8], b: &[u8]) -> bool {
    let exact = |text| canonicalize_exactly(text, Some("eventId")).ok();
    let is_object = |text: &Vec<u8>| text.first() == Some(&b'{');
    match (exact(a).filter(is_object), exact(b).filter(is_object)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

fn hash(text: &[u8], form: Form) -> Result<[u8; 64]> {
    Ok(digest(text, form)?.0)
}

/// The id of a line in whose canonical form each number keeps its value.
fn exact_id(line: &[u8]) -> Result<[u8; 64]> {
    match digest(line, Form::Jcs)? {
        (id, None) => Ok(id),
        (_, Some(number)) => Err(changed_number(line, number)),
    }
}

fn changed_number(line: &[u8], number: Range<usize>) -> Error {
    const MAX_CHARACTERS: usize = 40;
    let path = path_at(line, number.start);
    let mut text = String::from_utf8_lossy(line.get(number).unwrap_or_default()).into_owned();
    if text.len() > MAX_CHARACTERS {
        text.truncate(MAX_CHARACTERS);
        text.push('\u{2026}');
    }
    let what = format!(
        "has a number in {path} that changes as a double, {text}: write it as a string \
         (ids are computed from doubles, RFC 8785)"
    );
    Envelope::of(line).map_or_else(|error| error, |envelope| envelope.fault(&what))
}

/// The hash, and the first number whose canonical form has another value.
fn digest(text: &[u8], form: Form) -> Result<([u8; 64], Option<Range<usize>>)> {
    /// For a longer text the thread keeps no buffers.
    const MAX_KEPT_TEXT_BYTES: usize = 1 << 20;
    thread_local! {
        static USED: RefCell<(Canonicalizer, Vec<u8>)> = RefCell::default();
    }
    let digest = |canonicalizer: &mut Canonicalizer, canonical: &mut Vec<u8>| match canonicalizer
        .parse(text, form, Some("eventId"))
        .map_err(invalid)?
    {
        Shape::Object => {
            canonical.clear();
            canonicalizer.write(text, canonical);
            Ok((hash_of(canonical), canonicalizer.changed_number()))
        }
        Shape::Array | Shape::Scalar => Err(invalid(Fault::NotAnObject)),
    };
    if text.len() > MAX_KEPT_TEXT_BYTES {
        return digest(&mut Canonicalizer::default(), &mut Vec::with_capacity(text.len()));
    }
    USED.with_borrow_mut(|(canonicalizer, canonical)| digest(canonicalizer, canonical))
}

/// The lower-case hexadecimal SHA-256.
pub(crate) fn hash_of(canonical: &[u8]) -> [u8; 64] {
    let mut hex = [0; 64];
    let digest = Sha256::digest(canonical);
    for (pair, byte) in hex.as_chunks_mut().0.iter_mut().zip(digest) {
        *pair = [hex_digit(byte >> 4), hex_digit(byte & 0xf)];
    }
    hex
}

/// Computed without a branch, because the digits of a hash are unpredictable.
#[inline]
fn hex_digit(value: u8) -> u8 {
    b'0' + value + u8::from(value > 9) * (b'a' - b'0' - 10)
}

/// The canonical form of an event given as JSON text, without its `eventId`: the bytes that its id
/// hashes.
pub fn canonical_form(text: &[u8]) -> Result<Vec<u8>> {
    canonical_event(text, Form::Jcs)
}

fn canonical_event(text: &[u8], form: Form) -> Result<Vec<u8>> {
    let canonical = canonicalize(text, form, Some("eventId")).map_err(invalid)?;
    match canonical.first() {
        Some(b'{') => Ok(canonical),
        _ => Err(invalid(Fault::NotAnObject)),
    }
}

fn too_long(length: usize) -> Error {
    Error::validation(format!("event is {length} bytes long, a line may have {MAX_LINE_BYTES}"))
}

fn check_chain(envelope: &Envelope, rules: &Rules) -> Result<()> {
    let refused = if envelope.get("eventId").is_some() {
        "with an eventId of its own"
    } else if envelope.get("prevEventId").is_some() {
        "with a prevEventId of its own"
    } else if !rules.compute_id {
        "without a computed id"
    } else {
        return Ok(());
    };
    Err(envelope.fault(&format!("cannot be chained {refused}")))
}

/// Removes whitespace around the text, and whitespace between its tokens if a line break is among
/// it. A line break inside a string would be no JSON.
fn one_line(mut text: Vec<u8>) -> Result<Vec<u8>> {
    let solid = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let to = text.iter().rposition(solid).map_or(0, |last| last + 1);
    text.truncate(to);
    let from = text.iter().position(solid).unwrap_or_default();
    if from > 0 {
        text.drain(..from);
    }
    if memchr2(b'\n', b'\r', &text).is_some() {
        text = compact(&text)?;
    }
    if text.len() > MAX_LINE_BYTES {
        return Err(too_long(text.len()));
    }
    Ok(text)
}

fn compact(text: &[u8]) -> Result<Vec<u8>> {
    struct Compact<'a> {
        text: &'a [u8],
        out: Vec<u8>,
        taken: usize,
    }
    impl Visitor for Compact<'_> {
        fn space(&mut self, from: usize, to: usize) {
            self.out.extend_from_slice(self.text.get(self.taken..from).unwrap_or_default());
            self.taken = to;
        }
    }
    let mut tokens = Compact { text, out: Vec::with_capacity(text.len()), taken: 0 };
    json::parse(text, &mut tokens).map_err(invalid)?;
    Visitor::space(&mut tokens, text.len(), text.len());
    Ok(tokens.out)
}
