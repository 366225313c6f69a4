//! The canonical form of JSON: RFC 8785 of what `JSON.stringify(JSON.parse(text))` writes.
//!
//! It never changes for a published version, because event ids are hashes of it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use crate::json::{self, Fault, Shape, Visit};
use crate::string;

/// In which order the keys of an object stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// RFC 8785: by UTF-16 code units.
    Jcs,
    /// Array-index keys (`0` to `4294967294` in canonical decimal) first in numeric order, the rest
    /// by UTF-16 code units: what the first, TypeScript, chronicle hashed.
    Legacy,
}

/// The canonical bytes of any JSON value, without the top-level member whose key is `without`. Of
/// equal keys the last counts; a number beyond the range of a double is `null`, as in JavaScript.
pub fn canonicalize(text: &[u8], form: Form, without: Option<&str>) -> Result<Vec<u8>, Fault> {
    let mut draft = Draft {
        text,
        form,
        without: without.map(str::as_bytes),
        out: Vec::with_capacity(text.len()),
        taken: 0,
        open: Vec::with_capacity(8),
        members: Vec::with_capacity(32),
        shuffled: Vec::with_capacity(4),
        order: Vec::with_capacity(32),
        depth: 0,
    };
    json::walk(text, &mut draft)?;
    draft.take_up_to(text.len());
    Ok(draft.finish())
}

/// The text with canonical tokens and no whitespace, its members still in the order of the source,
/// and beside it how the members of objects are to be moved. One pass to build, one to write, so
/// that deep nesting does not copy anything twice.
struct Draft<'a> {
    text: &'a [u8],
    form: Form,
    without: Option<&'a [u8]>,
    /// Canonical tokens for the source up to `taken`; what follows is still to be copied as it is.
    out: Vec<u8>,
    taken: usize,
    open: Vec<OpenObject>,
    /// The members so far of all open objects, outermost first.
    members: Vec<Member<'a>>,
    /// Objects whose members change places, inner ones before outer ones.
    shuffled: Vec<Shuffled>,
    /// Their members as they are to stand: spans of `out`.
    order: Vec<Range<usize>>,
    depth: usize,
}

struct OpenObject {
    /// Where its brace is in `out`.
    from: usize,
    /// Its first member in `members`.
    first: usize,
    in_order: bool,
}

struct Member<'a> {
    /// The key as WTF-8.
    key: Cow<'a, [u8]>,
    /// Key and value in `out`.
    from: usize,
    to: usize,
}

struct Shuffled {
    /// Its braces in `out`.
    span: Range<usize>,
    /// Its members in `order`.
    members: Range<usize>,
}

impl<'a> Draft<'a> {
    /// Where the source position `at`, not before `taken`, is in `out`.
    #[inline]
    fn place(&self, at: usize) -> usize {
        self.out.len() + (at - self.taken)
    }

    #[inline]
    fn take_up_to(&mut self, at: usize) {
        self.out.extend_from_slice(self.text.get(self.taken..at).unwrap_or_default());
        self.taken = at;
    }

    fn inside_quotes(&self, from: usize, to: usize) -> &'a [u8] {
        self.text.get(from + 1..to - 1).unwrap_or_default()
    }

    fn replace_string(&mut self, from: usize, to: usize) {
        self.take_up_to(from);
        string::normalize_into(self.inside_quotes(from, to), &mut self.out);
        self.taken = to;
    }

    fn replace_number(&mut self, from: usize, to: usize) {
        let raw = self.text.get(from..to).and_then(|raw| std::str::from_utf8(raw).ok());
        let number = raw.and_then(|raw| raw.parse::<f64>().ok()).unwrap_or(f64::NAN);
        let mut buffer = ryu_js::Buffer::new();
        let canonical = if number.is_finite() { buffer.format_finite(number) } else { "null" };
        if raw != Some(canonical) {
            self.take_up_to(from);
            self.out.extend_from_slice(canonical.as_bytes());
            self.taken = to;
        }
    }

    /// Whether a member of the innermost object with this key is left out.
    #[inline]
    fn is_left_out(&self, key: &[u8]) -> bool {
        self.depth == 1 && self.without == Some(key)
    }

    /// Notes the order of an object's members where it is not that of the source.
    fn shuffle(&mut self, object: OpenObject, to: usize) {
        let form = self.form;
        let start = self.order.len();
        let members = self.members.get_mut(object.first..).unwrap_or_default();
        members.sort_unstable_by(|a, b| {
            compare(form, &a.key, &b.key).then_with(|| a.from.cmp(&b.from))
        });
        let members = self.members.get(object.first..).unwrap_or_default();
        for (index, member) in members.iter().enumerate() {
            let overruled = members.get(index + 1).is_some_and(|next| next.key == member.key);
            if !overruled && !self.is_left_out(&member.key) {
                self.order.push(member.from..member.to);
            }
        }
        self.members.truncate(object.first);
        let members = start..self.order.len();
        self.shuffled.push(Shuffled { span: object.from..to, members });
    }

    fn finish(mut self) -> Vec<u8> {
        if self.shuffled.is_empty() {
            return self.out;
        }
        self.shuffled.sort_unstable_by_key(|object| object.span.start);
        let mut written = Vec::with_capacity(self.out.len());
        // Objects being written: the members left, where they go on, where what is around them ends.
        let mut around: Vec<(Range<usize>, usize, usize)> = Vec::new();
        let mut rest = 0..self.out.len();
        loop {
            let next = self.shuffled.partition_point(|object| object.span.start < rest.start);
            match self.shuffled.get(next) {
                Some(object) if object.span.start < rest.end => {
                    self.copy(rest.start..object.span.start + 1, &mut written);
                    around.push((object.members.clone(), object.span.end, rest.end));
                }
                _ => self.copy(rest, &mut written),
            }
            let Some((members, resume, end)) = around.last_mut() else {
                return written;
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

    #[inline]
    fn copy(&self, span: Range<usize>, to: &mut Vec<u8>) {
        to.extend_from_slice(self.out.get(span).unwrap_or_default());
    }
}

impl Visit for Draft<'_> {
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
        // Every integer of up to 15 digits is a double of its own and stands as it is, but for -0.
        if !integer || to - from > 15 || self.text.get(from..from + 2) == Some(b"-0") {
            self.replace_number(from, to);
        }
    }

    #[inline]
    fn open(&mut self, at: usize, shape: Shape) {
        self.depth += 1;
        if shape == Shape::Object {
            let from = self.place(at);
            self.open.push(OpenObject { from, first: self.members.len(), in_order: true });
        }
    }

    #[inline]
    fn key(&mut self, from: usize, to: usize, plain: bool) {
        let place = self.place(from);
        let mut key = Cow::Borrowed(self.inside_quotes(from, to));
        if !plain {
            key = string::unescape(self.inside_quotes(from, to));
            self.replace_string(from, to);
        }
        let left_out = self.is_left_out(&key);
        if let Some(object) = self.open.last_mut() {
            let before = self.members.get(object.first..).and_then(<[_]>::last);
            let in_order = |last: &Member| compare(self.form, &last.key, &key) == Ordering::Less;
            object.in_order = object.in_order && !left_out && before.is_none_or(in_order);
        }
        self.members.push(Member { key, from: place, to: place });
    }

    #[inline]
    fn done(&mut self, to: usize, container: Shape) {
        if container == Shape::Object {
            let to = self.place(to);
            if let Some(member) = self.members.last_mut() {
                member.to = to;
            }
        }
    }

    #[inline]
    fn close(&mut self, at: usize, shape: Shape) {
        if shape == Shape::Object
            && let Some(object) = self.open.pop()
        {
            if object.in_order {
                self.members.truncate(object.first);
            } else {
                self.shuffle(object, self.place(at));
            }
        }
        self.depth -= 1;
    }
}

fn compare(form: Form, a: &[u8], b: &[u8]) -> Ordering {
    if form == Form::Legacy {
        match (array_index(a), array_index(b)) {
            (Some(a), Some(b)) => return a.cmp(&b),
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
    }
    compare_utf16(a, b)
}

/// The order of two WTF-8 texts by UTF-16 code units. It is that of their bytes, unless they first
/// differ where one has a character beyond U+FFFF (a pair of surrogates) and the other one of
/// U+D000 to U+FFFF.
fn compare_utf16(a: &[u8], b: &[u8]) -> Ordering {
    let Some((at, x, y)) =
        a.iter().zip(b).enumerate().find_map(|(at, (x, y))| (x != y).then_some((at, *x, *y)))
    else {
        return a.len().cmp(&b.len());
    };
    if x.max(y) >= 0xf0 && (0xed..0xf0).contains(&x.min(y)) {
        units(a.get(at..).unwrap_or_default()).cmp(units(b.get(at..).unwrap_or_default()))
    } else {
        x.cmp(&y)
    }
}

/// The UTF-16 code units of WTF-8.
fn units(wtf8: &[u8]) -> impl Iterator<Item = u16> {
    let mut bytes = wtf8.iter().map(|&byte| byte as u32);
    let mut low = None;
    std::iter::from_fn(move || {
        if low.is_some() {
            return low.take();
        }
        let first = bytes.next()?;
        let mut more = |code: u32| code << 6 | bytes.next().unwrap_or_default() & 0x3f;
        let code = match first {
            0..0xc0 => first,
            0xc0..0xe0 => more(first & 0x1f),
            0xe0..0xf0 => {
                let code = more(first & 0xf);
                more(code)
            }
            _ => {
                let code = more(first & 7);
                let code = more(code);
                let above = more(code).wrapping_sub(0x10000);
                low = Some(0xdc00 | (above & 0x3ff) as u16);
                0xd800 | above >> 10
            }
        };
        Some(code as u16)
    })
}

/// The value of a key that JavaScript takes for an array index.
fn array_index(key: &[u8]) -> Option<u32> {
    let canonical = matches!(key, [b'0'] | [b'1'..=b'9', ..]) && key.len() <= 10;
    if !canonical || !key.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let index = std::str::from_utf8(key).ok()?.parse().ok()?;
    (index < u32::MAX).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jcs(text: &str) -> String {
        String::from_utf8(canonicalize(text.as_bytes(), Form::Jcs, None).unwrap()).unwrap()
    }

    #[test]
    fn keys_are_ordered_by_utf16_code_units() {
        let keys: Vec<Vec<u16>> = [
            &[][..],
            &[0x61],
            &[0x61, 0x62],
            &[0x7f],
            &[0x80],
            &[0x7ff],
            &[0x800],
            &[0xd7ff],
            &[0xd800],
            &[0xd800, 0x61],
            &[0xd800, 0xd83d],
            &[0xd800, 0xdc00],
            &[0xd800, 0xe000],
            &[0xd83d],
            &[0xd83d, 0xd83d, 0xde00],
            &[0xd83d, 0xde00],
            &[0xd83d, 0xde01],
            &[0xd83d, 0xe000],
            &[0xdbff, 0xdfff],
            &[0xdc00],
            &[0xde00, 0xd83d],
            &[0xdfff],
            &[0xe000],
            &[0xfb33],
            &[0xffff],
            &[0x61, 0xd83d, 0xde00],
            &[0x61, 0xffff],
        ]
        .map(<[u16]>::to_vec)
        .to_vec();
        let wtf8 = |units: &[u16]| {
            let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            string::unescape(escaped.as_bytes()).into_owned()
        };
        for a in &keys {
            assert_eq!(units(&wtf8(a)).collect::<Vec<_>>(), *a);
            for b in &keys {
                assert_eq!(compare_utf16(&wtf8(a), &wtf8(b)), a.cmp(b), "{a:x?} {b:x?}");
            }
        }
    }

    #[test]
    fn array_indexes_are_canonical_decimals_below_4294967295() {
        for (key, index) in [
            ("0", Some(0)),
            ("9", Some(9)),
            ("10", Some(10)),
            ("4294967294", Some(4294967294)),
            ("4294967295", None),
            ("4294967296", None),
            ("9999999999", None),
            ("10000000000", None),
            ("", None),
            ("00", None),
            ("01", None),
            ("-1", None),
            ("+1", None),
            ("1.", None),
            ("1e1", None),
            (" 1", None),
            ("\u{661}", None),
        ] {
            assert_eq!(array_index(key.as_bytes()), index, "{key:?}");
        }
    }

    #[test]
    fn a_key_is_left_out_at_the_top_level_only() {
        let without = |text: &str| {
            let bytes = canonicalize(text.as_bytes(), Form::Jcs, Some("eventId")).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        for (text, expected) in [
            (r#"{"eventId":1}"#, "{}"),
            (r#"{"a":1,"eventId":{"x":[1,{"b":2,"a":1}]},"z":2}"#, r#"{"a":1,"z":2}"#),
            (
                r#"{"eventId":"a","b":{"eventId":2,"a":1},"eventId":"c"}"#,
                r#"{"b":{"a":1,"eventId":2}}"#,
            ),
            (r#"{"event\u0049d":1,"a":2}"#, r#"{"a":2}"#),
            (r#"[{"eventId":1}]"#, r#"[{"eventId":1}]"#),
            (r#"{"eventI":1,"eventIdd":2}"#, r#"{"eventI":1,"eventIdd":2}"#),
            (r#""eventId""#, r#""eventId""#),
        ] {
            assert_eq!(without(text), expected);
        }
    }

    #[test]
    fn objects_in_objects_are_ordered_at_every_level() {
        for (text, expected) in [
            (
                "{\"b\":{\"d\":[{\"f\":1,\"e\":2},3],\"c\":4},\"a\":{}}",
                "{\"a\":{},\"b\":{\"c\":4,\"d\":[{\"e\":2,\"f\":1},3]}}",
            ),
            (" [ { \"b\" : [ ] , \"a\" : { } } , { } ] ", "[{\"a\":{},\"b\":[]},{}]"),
            (
                "{\"b\":{\"z\":1,\"y\":2},\"b\":{\"x\":3,\"w\":4},\"a\":{\"z\":1,\"y\":2}}",
                "{\"a\":{\"y\":2,\"z\":1},\"b\":{\"w\":4,\"x\":3}}",
            ),
        ] {
            assert_eq!(jcs(text), expected);
        }
    }

    #[test]
    fn deep_nesting_around_a_long_text_costs_no_copy_per_level() {
        let long = "x".repeat(1 << 20);
        let nested = "{\"b\":1,\"a\":".repeat(1000) + "\"" + &long + "\"" + &"}".repeat(1000);
        let expected = "{\"a\":".repeat(1000) + "\"" + &long + "\"" + &",\"b\":1}".repeat(1000);
        assert!(jcs(&nested) == expected);
        assert_eq!(
            canonicalize(format!("[{nested}]").as_bytes(), Form::Jcs, None),
            Err(Fault::TooDeep)
        );
    }
}
