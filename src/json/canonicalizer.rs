//! One pass over a JSON text that prepares its canonical form, and one that writes it. Deep nesting
//! copies nothing twice.

use std::cmp::Ordering;
use std::ops::Range;

use crate::json::decimal;
use crate::json::escape;
use crate::json::key_order::{self, Form};
use crate::json::nesting::{Fault, Shape};
use crate::json::parser::{self, Visitor};

/// A text with canonical tokens and without whitespace. Its members are still in the order of the
/// source; the order of the canonical form is noted beside them.
///
/// One value serves for text after text. Fresh memory for each would take a fifth of the time of
/// small records, in the allocator.
#[derive(Default)]
pub(crate) struct Canonicalizer {
    /// The canonical tokens; empty if the source has no others.
    out: Vec<u8>,
    is_source: bool,
    open: Vec<OpenObject>,
    /// The members so far of all open objects, outermost first. At the end: those of the outermost
    /// value.
    members: Vec<Member>,
    /// Objects whose members change places.
    reordered: Vec<Reordered>,
    /// The members of reordered objects, in canonical order: spans of `out`.
    order: Vec<Range<usize>>,
    /// The members of the object ordered last: their indexes, in the order of their keys.
    sorted: Vec<usize>,
    /// Keys that have escapes in the source.
    unescaped: Vec<u8>,
    /// Numbers are copied, not written as doubles.
    keeps_numbers: bool,
    /// The first number of the source that has another value as a double.
    changed: Option<Range<usize>>,
}

struct OpenObject {
    /// The offset of its brace in `out`.
    from: usize,
    /// The index of its first member in `members`.
    first: usize,
    in_order: bool,
}

struct Member {
    /// The first eight bytes of the key, as a number that orders ASCII keys.
    head: u64,
    /// The key as WTF-8, in the source or in `unescaped`.
    key: Range<usize>,
    is_escaped: bool,
    /// Offsets in `out` of the key, of the value, and of the end of the value.
    from: usize,
    value: usize,
    to: usize,
}

struct Reordered {
    /// From its opening brace to its closing one, in `out`.
    span: Range<usize>,
    /// Its members in `order`.
    members: Range<usize>,
}

impl Canonicalizer {
    /// Copies numbers instead of writing them as doubles.
    pub(crate) fn keeping_numbers() -> Self {
        Canonicalizer { keeps_numbers: true, ..Canonicalizer::default() }
    }

    /// Parses a text; nothing of an earlier text remains.
    pub(crate) fn parse(
        &mut self,
        text: &[u8],
        form: Form,
        without: Option<&str>,
    ) -> Result<Shape, Fault> {
        self.out.clear();
        self.open.clear();
        self.members.clear();
        self.reordered.clear();
        self.order.clear();
        self.unescaped.clear();
        self.changed = None;
        let without = without.map(str::as_bytes);
        let mut visitor =
            CanonicalVisitor { text, form, without, result: self, taken: 0, depth: 0 };
        let shape = parser::parse(text, &mut visitor)?;
        let taken = visitor.taken;
        self.is_source = taken == 0;
        if taken > 0 {
            self.out.extend_from_slice(text.get(taken..).unwrap_or_default());
        }
        // Inner objects were noted before the object around them. The writer searches by the
        // offset.
        self.reordered.sort_unstable_by_key(|object| object.span.start);
        Ok(shape)
    }

    /// Returns the members of the outermost object, the omitted one included: keys as WTF-8, values
    /// canonical but for the order of their members. Of equal keys the last counts. `text` is the
    /// text that was parsed.
    pub(crate) fn members<'a>(
        &'a self,
        text: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let source = self.source(text);
        self.members.iter().map(move |member| {
            let value = source.get(member.value..member.to).unwrap_or_default();
            (key_of(member, text, &self.unescaped), value)
        })
    }

    /// Appends the canonical form of `text`, the text that was parsed.
    pub(crate) fn write(&self, text: &[u8], written: &mut Vec<u8>) {
        let source = self.source(text);
        let copy = |span: Range<usize>, written: &mut Vec<u8>| {
            written.extend_from_slice(source.get(span).unwrap_or_default());
        };
        // The usual case: only the members of the outermost object move.
        if let [object] = &*self.reordered
            && object.span == (0..source.len() - 1)
        {
            written.push(b'{');
            for member in self.order.get(object.members.clone()).unwrap_or_default() {
                copy(member.clone(), written);
                written.push(b',');
            }
            written.pop_if(|last| *last == b',');
            return written.push(b'}');
        }
        // For each object being written: its remaining members, where it ends, and where the text
        // around it ends.
        let mut around: Vec<(Range<usize>, usize, usize)> = Vec::new();
        let mut rest = 0..source.len();
        loop {
            let next = self.reordered.partition_point(|object| object.span.start < rest.start);
            match self.reordered.get(next) {
                Some(object) if object.span.start < rest.end => {
                    copy(rest.start..object.span.start + 1, written);
                    around.push((object.members.clone(), object.span.end, rest.end));
                }
                _ => copy(rest, written),
            }
            let Some((members, resume, end)) = around.last_mut() else {
                return;
            };
            if let Some(member) = members.next().and_then(|next| self.order.get(next)) {
                if written.last() != Some(&b'{') {
                    written.push(b',');
                }
                rest = member.clone();
            } else {
                rest = *resume..*end;
                around.pop();
            }
        }
    }

    /// The first number, in the text that was parsed, whose canonical form has another value.
    pub(crate) fn changed_number(&self) -> Option<Range<usize>> {
        self.changed.clone()
    }

    fn source<'a>(&'a self, text: &'a [u8]) -> &'a [u8] {
        if self.is_source { text } else { &self.out }
    }
}

/// Collects tokens and members into a [`Canonicalizer`].
struct CanonicalVisitor<'a> {
    text: &'a [u8],
    form: Form,
    without: Option<&'a [u8]>,
    result: &'a mut Canonicalizer,
    /// `out` has the source up to here. The rest is not copied yet. 0 as long as nothing differs.
    taken: usize,
    depth: usize,
}

fn key_of<'a>(member: &Member, text: &'a [u8], unescaped: &'a [u8]) -> &'a [u8] {
    let all = if member.is_escaped { unescaped } else { text };
    all.get(member.key.clone()).unwrap_or_default()
}

/// Returns the first eight bytes of a key, filled up with zeros. Of two ASCII texts whose heads
/// differ, the one with the lower head is the lower one.
#[inline]
fn head_of(text: &[u8], key: Range<usize>) -> u64 {
    let Some(bytes) = text.get(key.start..).and_then(<[u8]>::first_chunk) else {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(text.get(key).unwrap_or_default()) {
            *to = *from;
        }
        return u64::from_be_bytes(bytes);
    };
    let head = u64::from_be_bytes(*bytes);
    match key.len() {
        0 => 0,
        length @ 1..8 => head & (u64::MAX << (64 - length * 8)),
        _ => head,
    }
}

impl CanonicalVisitor<'_> {
    /// The offset in `out` of the source offset `at`, which is not before `taken`.
    #[inline]
    fn offset_in_out(&self, at: usize) -> usize {
        self.result.out.len() + (at - self.taken)
    }

    #[inline]
    fn take_up_to(&mut self, at: usize) {
        self.result.out.extend_from_slice(self.text.get(self.taken..at).unwrap_or_default());
        self.taken = at;
    }

    fn replace_string(&mut self, from: usize, to: usize) {
        self.take_up_to(from);
        let inside = self.text.get(from + 1..to - 1).unwrap_or_default();
        escape::normalize_into(inside, &mut self.result.out);
        self.taken = to;
    }

    fn replace_number(&mut self, from: usize, to: usize) {
        let raw = self.text.get(from..to).and_then(|raw| std::str::from_utf8(raw).ok());
        let number = raw.and_then(|raw| raw.parse::<f64>().ok()).unwrap_or(f64::NAN);
        let mut buffer = ryu_js::Buffer::new();
        let canonical = if number.is_finite() { buffer.format_finite(number) } else { "null" };
        if raw != Some(canonical) {
            let is_same = |raw: &str| decimal::is_same_number(raw.as_bytes(), canonical.as_bytes());
            if self.result.changed.is_none() && !(number.is_finite() && raw.is_some_and(is_same)) {
                self.result.changed = Some(from..to);
            }
            self.take_up_to(from);
            self.result.out.extend_from_slice(canonical.as_bytes());
            self.taken = to;
        }
    }

    /// Whether a member with this key is omitted from the innermost object.
    #[inline]
    fn is_left_out(&self, key: &[u8]) -> bool {
        self.depth == 1 && self.without == Some(key)
    }

    #[inline]
    fn compare(&self, a: &Member, b: &Member) -> Ordering {
        // Two comparisons of integers decide for most pairs of keys: ASCII, and different within
        // eight bytes.
        const ASCII: u64 = 0x8080_8080_8080_8080;
        if a.head != b.head && (a.head | b.head) & ASCII == 0 && self.form == Form::Jcs {
            return a.head.cmp(&b.head);
        }
        match self.form {
            Form::Jcs => key_order::by_utf16(self.key_of(a), self.key_of(b)),
            Form::Legacy => key_order::by_index_and_utf16(self.key_of(a), self.key_of(b)),
        }
    }

    /// Notes the canonical order of an object's members.
    fn reorder(&mut self, object: &OpenObject, to: usize) {
        let mut sorted = std::mem::take(&mut self.result.sorted);
        let mut order = std::mem::take(&mut self.result.order);
        let members = self.result.members.get(object.first..).unwrap_or_default();
        let compare = |a: usize, b: usize| match (members.get(a), members.get(b)) {
            (Some(a), Some(b)) => self.compare(a, b),
            _ => Ordering::Equal,
        };
        // Most objects have the keys of the one before, in the same order. Then nothing has to be
        // sorted.
        let mut pairs = sorted.windows(2);
        let is_known = sorted.len() == members.len()
            && pairs.all(|pair| matches!(pair, [a, b] if compare(*a, *b) == Ordering::Less));
        if !is_known {
            sorted.clear();
            sorted.extend(0..members.len());
            sorted.sort_unstable_by(|a, b| compare(*a, *b).then(a.cmp(b)));
        }
        let start = order.len();
        let mut rest = sorted.iter();
        while let Some(index) = rest.next() {
            let Some(member) = members.get(*index) else { continue };
            // Of equal keys the last one stays.
            let is_next = |next: &usize| !is_known && compare(*index, *next) == Ordering::Equal;
            let is_overridden = rest.as_slice().first().is_some_and(is_next);
            if !is_overridden && !self.is_left_out(self.key_of(member)) {
                order.push(member.from..member.to);
            }
        }
        let members = start..order.len();
        self.result.sorted = sorted;
        self.result.order = order;
        self.result.reordered.push(Reordered { span: object.from..to, members });
    }

    #[inline]
    fn key_of<'a>(&'a self, member: &Member) -> &'a [u8] {
        key_of(member, self.text, &self.result.unescaped)
    }
}

impl Visitor for CanonicalVisitor<'_> {
    #[inline]
    fn space(&mut self, from: usize, to: usize) {
        self.take_up_to(from);
        self.taken = to;
    }

    #[inline]
    fn string(&mut self, from: usize, to: usize, plain: bool) {
        if !plain {
            self.replace_string(from, to);
        }
    }

    #[inline]
    fn number(&mut self, from: usize, to: usize, integer: bool) {
        // Every integer of up to 15 digits is exact as a double and written as it is, except -0.
        let is_canonical =
            integer && to - from <= 15 && self.text.get(from..from + 2) != Some(b"-0");
        if !is_canonical && !self.result.keeps_numbers {
            self.replace_number(from, to);
        }
    }

    #[inline]
    fn open(&mut self, at: usize, shape: Shape) {
        self.depth += 1;
        if shape == Shape::Object {
            let from = self.offset_in_out(at);
            let first = self.result.members.len();
            self.result.open.push(OpenObject { from, first, in_order: true });
        }
    }

    #[inline]
    fn key(&mut self, from: usize, to: usize, plain: bool) {
        let place = self.offset_in_out(from);
        let mut key = from + 1..to - 1;
        let head = if plain {
            head_of(self.text, key.clone())
        } else {
            let start = self.result.unescaped.len();
            let meant = escape::unescape(self.text.get(key).unwrap_or_default());
            self.result.unescaped.extend_from_slice(&meant);
            key = start..self.result.unescaped.len();
            self.replace_string(from, to);
            head_of(&self.result.unescaped, key.clone())
        };
        // In `out` only the colon is between a key and its value.
        let value = self.offset_in_out(to) + 1;
        let member = Member { head, key, is_escaped: !plain, from: place, value, to: value };
        let left_out = self.is_left_out(self.key_of(&member));
        if let Some(object) = self.result.open.last()
            && object.in_order
        {
            let before = self.result.members.get(object.first..).and_then(<[_]>::last);
            let in_order = |last| self.compare(last, &member) == Ordering::Less;
            if (left_out || !before.is_none_or(in_order))
                && let Some(object) = self.result.open.last_mut()
            {
                object.in_order = false;
            }
        }
        self.result.members.push(member);
    }

    #[inline]
    fn done(&mut self, to: usize, container: Shape) {
        if container == Shape::Object {
            let to = self.offset_in_out(to);
            if let Some(member) = self.result.members.last_mut() {
                member.to = to;
            }
        }
    }

    #[inline]
    fn close(&mut self, at: usize, shape: Shape) {
        if shape == Shape::Object
            && let Some(object) = self.result.open.pop()
        {
            if !object.in_order {
                self.reorder(&object, self.offset_in_out(at));
            }
            if self.depth > 1 {
                self.result.members.truncate(object.first);
            }
        }
        self.depth -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::canonical::canonicalize;

    #[test]
    fn a_canonicalizer_has_nothing_left_of_the_texts_before() {
        let texts = [
            r#"{"type":"X","eventId":"i","actor":{"id":1,"agent":2}}"#,
            r#"{"type":"Y","eventId":"j","actor":{"id":3,"agent":4}}"#,
            // The same number of keys, in another order; then one key twice.
            r#"{"eventId":"k","actor":{"agent":5,"id":6},"type":"Z"}"#,
            r#"{"type":"Z","actor":{"id":6,"id":5},"type":"A"}"#,
            r#"{"a":1,"b":[]}"#,
            r#"{"a":1e400,"\u0062":[ {"d":1,"c":2} ],"a\n":"\/"}"#,
            r#"{"a":{"b":{"d":1,"c":2}},"eventId":{"b":1,"a":2}}"#,
            "[{\"b\":1,\"a\":2}]",
            "{\"\u{ffff}\":1,\"\u{1f600}\":2}",
            "{\"b\":1,\"a\"",
            "\"s\"",
            "{}",
        ];
        let mut canonicalizer = Canonicalizer::default();
        for form in [Form::Jcs, Form::Legacy] {
            for (before, text) in texts.iter().flat_map(|a| texts.map(|b| (a, b))) {
                let _ = canonicalizer.parse(before.as_bytes(), form, Some("eventId"));
                let text = text.as_bytes();
                let mut written = Vec::new();
                let parsed = canonicalizer.parse(text, form, Some("eventId"));
                let written = parsed.map(|_| {
                    canonicalizer.write(text, &mut written);
                    written
                });
                let expected = canonicalize(text, form, Some("eventId"));
                assert_eq!(written, expected, "{} after {before}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn the_members_of_the_outermost_object_have_canonical_values() {
        for (text, expected) in [
            (
                r#"{"b":1,"eventId":"x","a":{"d":[],"c":0}}"#,
                "b=1 eventId=\"x\" a={\"d\":[],\"c\":0} ",
            ),
            (r#" { "\u0062" : 1.0 , "a" : [ "\u0061" ] , "b" : null } "#, "b=1 a=[\"a\"] b=null "),
            (r#"{"a":1}"#, "a=1 "),
            (r#"{"":"","\n":true}"#, "=\"\" \n=true "),
            (r#"[{"a":1}]"#, ""),
            ("{}", ""),
        ] {
            let mut canonicalizer = Canonicalizer::default();
            canonicalizer.parse(text.as_bytes(), Form::Jcs, Some("eventId")).unwrap();
            let mut found = Vec::new();
            for (key, value) in canonicalizer.members(text.as_bytes()) {
                found.extend([key, b"=", value, b" "].concat());
            }
            assert_eq!(String::from_utf8(found).unwrap(), expected, "{text}");
        }
    }
}
