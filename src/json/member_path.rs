//! Places in a JSON text as messages name them: `payload.items[2].v`.

use std::collections::HashSet;
use std::ops::Range;

use crate::json::escape;
use crate::json::nesting::Shape;
use crate::json::parser::{self, Visitor};

/// The longest path in a message, in characters.
const MAX_CHARACTERS: usize = 80;

/// The path of the value that begins at the byte `at` of a JSON text.
pub(crate) fn path_at(text: &[u8], at: usize) -> String {
    let mut walk = PathWalk { text, look_for: Some(at), ..PathWalk::default() };
    let _ = parser::parse(text, &mut walk);
    walk.found.unwrap_or_default()
}

/// The path of the first member whose key its object has already. Keys are compared unescaped.
pub(crate) fn repeated_key(text: &[u8]) -> Option<String> {
    let mut walk = PathWalk { text, keeps_keys: true, ..PathWalk::default() };
    let _ = parser::parse(text, &mut walk);
    walk.found
}

#[derive(Default)]
struct PathWalk<'a> {
    text: &'a [u8],
    look_for: Option<usize>,
    keeps_keys: bool,
    /// The open containers, outermost first.
    open: Vec<OpenContainer>,
    /// The keys of each open object, if keys are compared.
    keys: Vec<HashSet<Vec<u8>>>,
    found: Option<String>,
}

/// How far an open container was read.
enum OpenContainer {
    /// The key of the current member, inside its quotes.
    Key(Range<usize>),
    /// The index of the current element.
    Element(usize),
}

impl PathWalk<'_> {
    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.open {
            match step {
                OpenContainer::Element(number) => path.push_str(&format!("[{number}]")),
                OpenContainer::Key(key) => {
                    let raw = self.text.get(key.clone()).unwrap_or_default();
                    let name = escape::unescape(raw);
                    let name = String::from_utf8_lossy(&name);
                    if !is_name(&name) {
                        path.push_str(&format!("[\"{}\"]", name.escape_debug()));
                    } else if path.is_empty() {
                        path.push_str(&name);
                    } else {
                        path.push_str(&format!(".{name}"));
                    }
                }
            }
        }
        // A long path keeps its end, which names the member.
        match path.chars().count().checked_sub(MAX_CHARACTERS) {
            None | Some(0) => path,
            Some(more) => {
                let end: String = path.chars().skip(more + 1).collect();
                format!("\u{2026}{end}")
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-');
    !text.is_empty() && text.chars().all(is_part)
}

impl Visitor for PathWalk<'_> {
    fn value(&mut self, from: usize) {
        if self.look_for == Some(from) {
            self.found = Some(self.path());
        }
    }

    fn open(&mut self, _at: usize, shape: Shape) {
        let is_object = shape == Shape::Object;
        self.open.push(if is_object {
            OpenContainer::Key(0..0)
        } else {
            OpenContainer::Element(0)
        });
        if is_object && self.keeps_keys {
            self.keys.push(HashSet::new());
        }
    }

    fn key(&mut self, from: usize, to: usize, _plain: bool) {
        let key = from + 1..to - 1;
        if let Some(last) = self.open.last_mut() {
            *last = OpenContainer::Key(key.clone());
        }
        if let Some(keys) = self.keys.last_mut()
            && !keys.insert(escape::unescape(self.text.get(key).unwrap_or_default()).into_owned())
            && self.found.is_none()
        {
            self.found = Some(self.path());
        }
    }

    fn done(&mut self, _to: usize, _container: Shape) {
        if let Some(OpenContainer::Element(number)) = self.open.last_mut() {
            *number += 1;
        }
    }

    fn close(&mut self, _at: usize, shape: Shape) {
        self.open.pop();
        if shape == Shape::Object {
            self.keys.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_named_by_its_keys_and_places() {
        let text = r#"{"a":[1,{"b":2}],"c d":{"\u0065":{"":[[],[3,4]]}},"n\n\u202e":null}"#;
        for (value, path) in [
            ("1", "a[0]"),
            ("2", "a[1].b"),
            ("3", r#"["c d"].e[""][1][0]"#),
            ("4", r#"["c d"].e[""][1][1]"#),
            ("null", r#"["n\n\u{202e}"]"#),
            ("[1,", "a"),
        ] {
            assert_eq!(path_at(text.as_bytes(), text.find(value).unwrap()), path);
        }
    }

    #[test]
    fn a_long_path_keeps_its_end() {
        let text = format!("{}1{}", r#"{"level":"#.repeat(50), "}".repeat(50));
        let path = path_at(text.as_bytes(), text.find('1').unwrap());
        assert_eq!(path.chars().count(), MAX_CHARACTERS);
        assert!(path.starts_with('\u{2026}') && path.ends_with(".level.level"), "{path}");
    }

    #[test]
    fn a_key_is_repeated_within_one_object_only() {
        for (text, path) in [
            (r#"{"a":1,"b":{"a":2},"c":[{"a":1},{"a":1}]}"#, None),
            (r#"{"a":1,"\u0061":2}"#, Some("a")),
            (r#"{"x":[0,{"y":{"k":1,"l":2,"k":{"k":1,"k":2}}}]}"#, Some("x[1].y.k")),
            (r#"{"a":{"b":{}},"c":1,"a":2}"#, Some("a")),
            (r#"{"":1,"":2}"#, Some(r#"[""]"#)),
        ] {
            assert_eq!(repeated_key(text.as_bytes()).as_deref(), path, "{text}");
        }
    }
}
