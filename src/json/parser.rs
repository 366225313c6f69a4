//! The grammar of JSON as `JSON.parse` reads it: one pass, no values built, no recursion.

use crate::json::nesting::{Fault, Nesting, Shape};
use crate::json::string_mask::StringMask;

/// U+FEFF in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Receives the tokens of a text in order. Spans are byte offsets; strings include their quotes.
/// `plain` strings have no escapes.
pub(crate) trait Visitor {
    /// Whitespace between tokens.
    fn space(&mut self, _from: usize, _to: usize) {}
    /// A value begins.
    fn value(&mut self, _from: usize) {}
    /// The value that began last is a string.
    fn string(&mut self, _from: usize, _to: usize, _plain: bool) {}
    /// The value that began last is a number. An `integer` has digits and perhaps a minus sign.
    fn number(&mut self, _from: usize, _to: usize, _integer: bool) {}
    /// A container opens with the bracket at `at`.
    fn open(&mut self, _at: usize, _shape: Shape) {}
    /// The key of a member of the innermost object.
    fn key(&mut self, _from: usize, _to: usize, _plain: bool) {}
    /// A value of the innermost container ended before `to`.
    fn done(&mut self, _to: usize, _container: Shape) {}
    /// The innermost container closes with the bracket at `at`.
    fn close(&mut self, _at: usize, _shape: Shape) {}
}

/// Parses one JSON text of any shape. It accepts exactly what `JSON.parse` accepts, except nesting
/// beyond `MAX_DEPTH`.
pub(crate) fn parse<V: Visitor>(text: &[u8], visitor: &mut V) -> Result<Shape, Fault> {
    let mut cursor = TextCursor::new(text);
    let parsed = cursor.whole(visitor);
    // The grammar checked every byte outside strings: those are ASCII.
    if (parsed.is_err() || cursor.mask.saw_beyond_ascii)
        && let Err(error) = std::str::from_utf8(text)
    {
        return Err(Fault::Invalid { at: error.valid_up_to() });
    }
    parsed
}

/// Checks that `text` is one JSON object; whitespace around it is allowed. Calls `member` with the
/// raw key and value of each top-level member, in order. The key is inside its quotes, still
/// escaped.
///
/// Members before a fault are reported before the fault is returned.
pub fn object<'a>(text: &'a [u8], member: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), Fault> {
    match parse(text, &mut Members { text, member, depth: 0, key: 0..0, value: 0 })? {
        Shape::Object => Ok(()),
        Shape::Array | Shape::Scalar => Err(Fault::NotAnObject),
    }
}

/// Reports the top-level members of an object.
struct Members<'a, F> {
    text: &'a [u8],
    member: F,
    depth: usize,
    key: std::ops::Range<usize>,
    value: usize,
}

impl<'a, F: FnMut(&'a [u8], &'a [u8])> Visitor for Members<'a, F> {
    #[inline]
    fn value(&mut self, from: usize) {
        if self.depth == 1 {
            self.value = from;
        }
    }

    #[inline]
    fn open(&mut self, _at: usize, _shape: Shape) {
        self.depth += 1;
    }

    #[inline]
    fn key(&mut self, from: usize, to: usize, _plain: bool) {
        if self.depth == 1 {
            self.key = from + 1..to - 1;
        }
    }

    #[inline]
    fn done(&mut self, to: usize, container: Shape) {
        if self.depth == 1 && container == Shape::Object {
            let key = self.text.get(self.key.clone()).unwrap_or_default();
            let value = self.text.get(self.value..to).unwrap_or_default();
            (self.member)(key, value);
        }
    }

    #[inline]
    fn close(&mut self, _at: usize, _shape: Shape) {
        self.depth -= 1;
    }
}

/// Parses lines that are one object each.
///
/// The end of a line does not have to be searched for first, and each byte of its strings is
/// examined once, wherever the line begins.
pub(crate) struct Objects<'a> {
    cursor: TextCursor<'a>,
    is_utf8: Option<bool>,
}

impl<'a> Objects<'a> {
    pub(crate) fn new(lines: &'a [u8]) -> Self {
        Objects {
            cursor: TextCursor { within_lines: true, ..TextCursor::new(lines) },
            is_utf8: None,
        }
    }

    /// Parses the line that begins at `from` and returns the offset of its newline. `None` if the
    /// line is no object or has no newline, or if a line is no UTF-8.
    #[inline]
    pub(crate) fn line<V: Visitor>(&mut self, from: usize, visitor: &mut V) -> Option<usize> {
        let cursor = &mut self.cursor;
        cursor.at = from;
        if cursor.token(visitor) != Some(b'{') {
            return None;
        }
        cursor.value(visitor).ok()?;
        if cursor.token(visitor) != Some(b'\n') {
            return None;
        }
        let newline = cursor.at;
        self.is_good_so_far().then_some(newline)
    }

    pub(crate) fn text(&self) -> &'a [u8] {
        self.cursor.text
    }

    /// The end of the plain run at `at` in a string: its closing quote, unless the string has an
    /// escape or a fault.
    #[inline(always)]
    pub(crate) fn end_of_plain(&mut self, at: usize) -> usize {
        self.cursor.mask.find(self.cursor.text, at)
    }

    /// Whether the strings up to here are UTF-8. Also false if later ones are not.
    #[inline]
    pub(crate) fn is_good_so_far(&mut self) -> bool {
        !self.cursor.mask.saw_beyond_ascii || self.is_utf8()
    }

    fn is_utf8(&mut self) -> bool {
        let text = self.cursor.text;
        *self.is_utf8.get_or_insert_with(|| std::str::from_utf8(text).is_ok())
    }
}

/// An offset in a text, and the state of the grammar there.
struct TextCursor<'a> {
    text: &'a [u8],
    at: usize,
    mask: StringMask,
    open: Nesting,
    /// A newline is no whitespace.
    within_lines: bool,
}

impl<'a> TextCursor<'a> {
    fn new(text: &'a [u8]) -> Self {
        TextCursor {
            text,
            at: 0,
            mask: StringMask::new(),
            open: Nesting::default(),
            within_lines: false,
        }
    }

    /// Parses a value that is the whole text, except whitespace around it.
    #[inline(always)]
    fn whole<V: Visitor>(&mut self, visitor: &mut V) -> Result<Shape, Fault> {
        self.space(visitor);
        let outermost = match self.peek() {
            None => return Err(Fault::Empty),
            Some(b'{') => Shape::Object,
            Some(b'[') => Shape::Array,
            Some(_) => Shape::Scalar,
        };
        self.value(visitor)?;
        self.space(visitor);
        if self.at == self.text.len() { Ok(outermost) } else { self.fault() }
    }

    /// Parses a value with everything inside it.
    #[inline(always)]
    fn value<V: Visitor>(&mut self, visitor: &mut V) -> Result<(), Fault> {
        self.open.clear();
        let mut innermost = None;
        loop {
            let from = self.at;
            visitor.value(from);
            match self.peek() {
                Some(b'"') => {
                    let plain = self.string()?;
                    visitor.string(from, self.at, plain);
                }
                Some(b'{') => {
                    self.open.push(Shape::Object)?;
                    visitor.open(from, Shape::Object);
                    self.at += 1;
                    if self.token(visitor) != Some(b'}') {
                        innermost = Some(Shape::Object);
                        self.key(visitor)?;
                        continue;
                    }
                    visitor.close(self.at, Shape::Object);
                    self.open.pop();
                    self.at += 1;
                }
                Some(b'[') => {
                    self.open.push(Shape::Array)?;
                    visitor.open(from, Shape::Array);
                    self.at += 1;
                    if self.token(visitor) != Some(b']') {
                        innermost = Some(Shape::Array);
                        continue;
                    }
                    visitor.close(self.at, Shape::Array);
                    self.open.pop();
                    self.at += 1;
                }
                Some(b'-' | b'0'..=b'9') => {
                    let integer = self.number()?;
                    visitor.number(from, self.at, integer);
                }
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => return self.fault(),
            }
            loop {
                let Some(container) = innermost else { return Ok(()) };
                visitor.done(self.at, container);
                match (self.token(visitor), container) {
                    (Some(b','), Shape::Object) => {
                        self.at += 1;
                        self.token(visitor);
                        self.key(visitor)?;
                        break;
                    }
                    (Some(b','), _) => {
                        self.at += 1;
                        self.token(visitor);
                        break;
                    }
                    (Some(b'}'), Shape::Object) | (Some(b']'), Shape::Array) => {
                        visitor.close(self.at, container);
                        innermost = self.open.pop();
                        self.at += 1;
                    }
                    _ => return self.fault(),
                }
            }
        }
    }

    /// Skips whitespace and returns the next byte.
    #[inline(always)]
    fn token<V: Visitor>(&mut self, visitor: &mut V) -> Option<u8> {
        let byte = self.peek()?;
        if byte > b' ' {
            return Some(byte);
        }
        self.space(visitor);
        self.peek()
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn fault<T>(&self) -> Result<T, Fault> {
        Err(Fault::Invalid { at: self.at })
    }

    #[cold]
    fn space<V: Visitor>(&mut self, visitor: &mut V) {
        if self.peek().is_some_and(|byte| byte <= b' ') {
            let from = self.at;
            while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek()
                && !(self.within_lines && self.peek() == Some(b'\n'))
            {
                self.at += 1;
            }
            visitor.space(from, self.at);
        }
    }

    /// Parses a key and its colon, up to the value.
    #[inline(always)]
    fn key<V: Visitor>(&mut self, visitor: &mut V) -> Result<(), Fault> {
        if self.peek() != Some(b'"') {
            return self.fault();
        }
        let from = self.at;
        let plain = self.string()?;
        visitor.key(from, self.at, plain);
        if self.token(visitor) != Some(b':') {
            return self.fault();
        }
        self.at += 1;
        self.token(visitor);
        Ok(())
    }

    /// Parses a string from its opening quote to behind its closing one. Returns whether it is
    /// plain.
    #[inline(always)]
    fn string(&mut self) -> Result<bool, Fault> {
        self.at = self.mask.find(self.text, self.at + 1);
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(true);
        }
        self.string_with_escapes()?;
        Ok(false)
    }

    /// Parses a string from its first escape on.
    #[inline(never)]
    fn string_with_escapes(&mut self) -> Result<(), Fault> {
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                            self.at += 1;
                        }
                        Some(b'u') => {
                            for _ in 0..4 {
                                self.at += 1;
                                if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                                    return self.fault();
                                }
                            }
                            self.at += 1;
                        }
                        _ => return self.fault(),
                    }
                }
                _ => return self.fault(),
            }
            self.at = self.mask.find(self.text, self.at);
        }
    }

    /// Parses a number by its grammar alone. Returns whether it is an integer without fraction and
    /// exponent.
    #[inline]
    fn number(&mut self) -> Result<bool, Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut integer = true;
        if self.peek() == Some(b'.') {
            integer = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            integer = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(integer)
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Fault> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == from { self.fault() } else { Ok(()) }
    }

    #[inline]
    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        for &byte in word {
            if self.peek() != Some(byte) {
                return self.fault();
            }
            self.at += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8]) -> Result<(), Fault> {
        object(text, |_, _| ())
    }

    #[test]
    fn emptiness_other_values_and_invalid_texts_are_distinct_faults() {
        for text in ["", " ", " \t\r\n"] {
            assert_eq!(check(text.as_bytes()), Err(Fault::Empty));
        }
        for text in ["[]", "[{}]", "1", "\"{}\"", "null", " true"] {
            assert_eq!(check(text.as_bytes()), Err(Fault::NotAnObject));
        }
    }

    #[test]
    fn a_thousand_arrays_and_objects_may_be_open_and_no_more() {
        let nested = |depth: usize| {
            let (open, close) =
                if depth.is_multiple_of(2) { ("{\"a\":[", "]}") } else { ("[{\"a\":", "}]") };
            format!("{}0{}", open.repeat(depth / 2), close.repeat(depth / 2))
        };
        assert_eq!(check(nested(1000).as_bytes()), Ok(()));
        assert_eq!(check(format!("{{\"a\":[{}]}}", nested(998)).as_bytes()), Ok(()));
        assert_eq!(check(format!("{{\"a\":{}}}", nested(1000)).as_bytes()), Err(Fault::TooDeep));
        assert_eq!(check("[".repeat(1 << 20).as_bytes()), Err(Fault::TooDeep));
        let wide = format!("{{\"a\":[{}0]}}", "[],{},".repeat(5000));
        assert_eq!(check(wide.as_bytes()), Ok(()));
    }

    #[test]
    fn reports_the_raw_members_of_the_outermost_object_alone() {
        let text =
            br#" { "a" : 1 , "b\n" : { "c" : [ 2 , { "d" : 3 } ] } , "" : "x\"" , "a" : [ ] } "#;
        let mut members = Vec::new();
        object(text, |key, value| members.push((key, value))).unwrap();
        let expected: [(&[u8], &[u8]); 4] = [
            (b"a", b"1"),
            (br"b\n", br#"{ "c" : [ 2 , { "d" : 3 } ] }"#),
            (b"", br#""x\"""#),
            (b"a", b"[ ]"),
        ];
        assert_eq!(members, expected);
        object(br#"[{"a":1}]"#, |_, _| panic!("a member of no object")).unwrap_err();
    }

    #[test]
    fn the_end_of_a_string_is_found_at_every_distance() {
        // Each neighbour is one away from a special byte, or has its highest bit set.
        for filler in ["!", "#", "[", "]", " ", "\u{7f}", "\u{a2}", "\u{dc}", "\u{100}"] {
            for length in 0..40 {
                let inside = filler.repeat(length);
                for (end, good) in [("\"", true), ("\\\"\"", true), ("\x1f\"", false), ("", false)]
                {
                    let text = format!("{{\"k\":\"{inside}{end}}}");
                    assert_eq!(check(text.as_bytes()).is_ok(), good, "{text:?}");
                }
            }
        }
    }
}
