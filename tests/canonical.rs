//! The canonical form against its published vectors and against an independent implementation.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;

use sage_chronicle::event::{compute_id, same_canonical, verify_id};
use sage_chronicle::internals::canonical::{Form, canonicalize};
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};

fn canonical(text: &str, form: Form) -> String {
    let bytes = canonicalize(text.as_bytes(), form, None);
    String::from_utf8(bytes.unwrap_or_else(|fault| panic!("{fault}: {text}"))).unwrap()
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

#[test]
fn every_vector_has_its_canonical_text_and_hash() {
    let vectors: Value = serde_json::from_str(include_str!("../fixtures/vectors.json")).unwrap();
    let vectors = vectors.as_array().unwrap();
    assert!(vectors.len() >= 44);
    for vector in vectors {
        let field = |name: &str| vector[name].as_str().unwrap();
        let form = match field("form") {
            "jcs" => Form::Jcs,
            "legacy" => Form::Legacy,
            other => panic!("no form {other}"),
        };
        let (name, json) = (field("name"), field("json"));
        let text = canonical(json, form);
        assert_eq!(text, field("canonical"), "{name} ({form:?})");
        assert_eq!(sha256(&text), field("sha256"), "{name} ({form:?})");
        if !text.starts_with('{') {
            assert!(compute_id(json.as_bytes()).is_err(), "{name}: no object, but it has an id");
            continue;
        }
        let same = canonical(json, Form::Jcs) == canonical(json, Form::Legacy);
        let found = if same { Form::Jcs } else { form };
        let stored = json.trim_end().strip_suffix('}').unwrap();
        let comma = if text == "{}" { "" } else { "," };
        let stored = format!("{stored}{comma}\"eventId\":\"{}\"}}", field("sha256"));
        assert_eq!(verify_id(stored.as_bytes()).unwrap(), Some(found), "{name} ({form:?})");
        assert!(same_canonical(stored.as_bytes(), json.as_bytes()), "{name}");
        if form == Form::Jcs {
            assert_eq!(compute_id(json.as_bytes()).unwrap(), *field("sha256").as_bytes(), "{name}");
        }
    }
}

#[test]
fn numbers_are_the_shortest_that_mean_the_same_double() {
    for (bits, expected) in [
        (0x0000000000000000, "0"),
        (0x8000000000000000, "0"),
        (0x0000000000000001, "5e-324"),
        (0x8000000000000001, "-5e-324"),
        (0x7fefffffffffffff, "1.7976931348623157e+308"),
        (0x4340000000000000, "9007199254740992"),
        (0x444b1ae4d6e2ef4e, "999999999999999700000"),
        (0x444b1ae4d6e2ef50, "1e+21"),
        (0x44b52d02c7e14af5, "9.999999999999997e+22"),
        (0x44b52d02c7e14af6, "1e+23"),
        (0x44b52d02c7e14af7, "1.0000000000000001e+23"),
        (0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"),
        (0x3eb0c6f7a0b5ed8d, "0.000001"),
        (0x41b3de4355555553, "333333333.3333332"),
        (0x41b3de4355555557, "333333333.33333343"),
        (0xbecbf647612f3696, "-0.0000033333333333333333"),
        (0x43143ff3c1cb0959, "1424953923781206.2"),
    ] {
        let exact = f64::from_bits(bits);
        assert_eq!(canonical(&format!("{exact:e}"), Form::Jcs), expected);
        assert_eq!(canonical(&format!("{exact:.800}"), Form::Jcs), expected);
    }
}

#[test]
fn plain_integers_stand_as_they_are_and_others_are_rounded() {
    for (text, expected) in [
        ("-0", "0"),
        ("-1", "-1"),
        ("-0.0", "0"),
        ("-0e7", "0"),
        ("1.0", "1"),
        ("1e2", "100"),
        ("999999999999999", "999999999999999"),
        ("-99999999999999", "-99999999999999"),
        ("-999999999999999", "-999999999999999"),
        ("9007199254740993", "9007199254740992"),
        ("-9007199254740993", "-9007199254740992"),
        ("18446744073709551615", "18446744073709552000"),
        ("1e400", "null"),
        ("-1e400", "null"),
        ("1e-400", "0"),
    ] {
        assert_eq!(canonical(text, Form::Jcs), expected, "{text}");
        assert_eq!(canonical(&format!("[{text},\"\"]"), Form::Jcs), format!("[{expected},\"\"]"));
    }
}

#[test]
fn decimals_near_the_middle_of_two_doubles_are_rounded_to_the_right_one() {
    for (text, expected) in [
        ("9007199254740993", "9007199254740992"),
        ("9007199254740993.0000000000000000000000000000000000001", "9007199254740994"),
        ("9007199254740995", "9007199254740996"),
        ("9007199254740994.9999999999999999999999999999999999999", "9007199254740994"),
        ("1.00000000000000011102230246251565404236316680908203125", "1"),
        ("1.00000000000000011102230246251565404236316680908203126", "1.0000000000000002"),
        ("1.00000000000000033306690738754696212708950042724609375", "1.0000000000000004"),
        ("2.2250738585072011e-308", "2.225073858507201e-308"),
        ("2.4703282292062327208e-324", "0"),
        ("2.4703282292062327209e-324", "5e-324"),
        ("1.7976931348623158e308", "1.7976931348623157e+308"),
        ("1.797693134862315807e308", "1.7976931348623157e+308"),
        ("1.797693134862315808e308", "null"),
        ("6.6312368467664760e-316", "6.63123685e-316"),
    ] {
        assert_eq!(canonical(text, Form::Jcs), expected, "{text}");
    }
}

/// A small generator (splitmix64), so that the seed reproduces a failure.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// One value in two forms: as text in one of many spellings, and as the other implementation takes
/// it.
struct Sample<'a> {
    random: &'a mut Random,
    text: String,
}

impl Sample<'_> {
    fn space(&mut self) {
        if self.random.one_in(12) {
            self.text.push_str([" ", "\t", "\n", "\r\n", "  "][self.random.below(5) as usize]);
        }
    }

    fn value(&mut self, budget: &mut u32, depth: u32) -> Value {
        self.space();
        *budget = budget.saturating_sub(1);
        let value = match self.random.below(if *budget == 0 || depth == 0 { 6 } else { 10 }) {
            0 => self.word("null", Value::Null),
            1 => self.word("true", Value::Bool(true)),
            2 => self.integer(),
            3 | 4 => self.double(),
            5 => Value::String(self.string()),
            6 => self.array(budget, depth),
            _ => self.object(budget, depth),
        };
        self.space();
        value
    }

    fn word(&mut self, word: &str, value: Value) -> Value {
        self.text.push_str(word);
        value
    }

    fn array(&mut self, budget: &mut u32, depth: u32) -> Value {
        self.text.push('[');
        let mut elements = Vec::new();
        for index in 0..self.random.below(4) {
            if index > 0 {
                self.text.push(',');
            }
            elements.push(self.value(budget, depth - 1));
        }
        self.space();
        self.text.push(']');
        Value::Array(elements)
    }

    fn object(&mut self, budget: &mut u32, depth: u32) -> Value {
        self.text.push('{');
        let mut members = Map::new();
        for index in 0..self.random.below(7) {
            if index > 0 {
                self.text.push(',');
            }
            self.space();
            let key = self.string();
            self.space();
            self.text.push(':');
            let value = self.value(budget, depth - 1);
            members.insert(key, value);
        }
        self.space();
        self.text.push('}');
        Value::Object(members)
    }

    fn integer(&mut self) -> Value {
        let bits = self.random.below(54);
        let magnitude = (self.random.next() >> (63 - bits)) as i64 & ((1 << 53) - 1);
        let number = if self.random.one_in(2) { -magnitude } else { magnitude };
        write!(self.text, "{number}").unwrap();
        Value::from(number)
    }

    fn double(&mut self) -> Value {
        let number = loop {
            let number = f64::from_bits(self.random.next());
            let number = match self.random.below(4) {
                // Where fractions are written out.
                0 => (number % 1e6) * 1e-3,
                1 => (self.random.below(1 << 60) as f64) / 1e4,
                _ => number,
            };
            if number.is_finite() {
                break number;
            }
        };
        match self.random.below(5) {
            0 => write!(self.text, "{number}"),
            1 => write!(self.text, "{number:?}"),
            2 => write!(self.text, "{number:E}"),
            3 => write!(self.text, "{number:.30e}"),
            _ => write!(self.text, "{number:.16e}"),
        }
        .unwrap();
        Value::Number(Number::from_f64(number).unwrap())
    }

    fn string(&mut self) -> String {
        let mut string = String::new();
        match self.random.below(4) {
            0 => write!(string, "{}", self.random.below(30)).unwrap(),
            1 => string.push_str(
                ["a", "b", "id", "type", "__proto__", "", "\u{7f}"][self.random.below(7) as usize],
            ),
            _ => {
                for _ in 0..self.random.below(6) {
                    string.push(self.character());
                }
            }
        }
        self.text.push('"');
        for char in string.chars() {
            self.write_character(char);
        }
        self.text.push('"');
        string
    }

    fn character(&mut self) -> char {
        let code = match self.random.below(8) {
            0..3 => 0x20 + self.random.below(0x60),
            3 => self.random.below(0x20),
            4 => 0x80 + self.random.below(0xd800 - 0x80),
            5 => 0xe000 + self.random.below(0x2000),
            6 => 0x10000 + self.random.below(0x10_0000),
            _ => [0xd7ff, 0xe000, 0xfb33, 0xffff, 0x10000, 0x10ffff][self.random.below(6) as usize],
        };
        char::from_u32(code as u32).unwrap()
    }

    fn write_character(&mut self, char: char) {
        let short = match char {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '/' => Some("\\/"),
            '\u{8}' => Some("\\b"),
            '\u{c}' => Some("\\f"),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            _ => None,
        };
        let must = char < ' ' || char == '"' || char == '\\';
        match short {
            Some(short) if self.random.one_in(2) => self.text.push_str(short),
            _ if must || self.random.one_in(6) => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    match self.random.below(2) {
                        0 => write!(self.text, "\\u{unit:04x}"),
                        _ => write!(self.text, "\\u{unit:04X}"),
                    }
                    .unwrap();
                }
            }
            _ => self.text.push(char),
        }
    }
}

fn sample(random: &mut Random, mut budget: u32, depth: u32) -> (String, Value) {
    let mut sample = Sample { random, text: String::new() };
    let value = sample.value(&mut budget, depth);
    (sample.text, value)
}

#[test]
fn a_hundred_thousand_values_agree_with_another_implementation() {
    let mut largest = 0;
    for seed in 0..100_000 {
        let (text, value) = sample(&mut Random(seed), 24, 8);
        let expected = serde_json_canonicalizer::to_string(&value).unwrap();
        let ours = canonical(&text, Form::Jcs);
        assert!(ours == expected, "seed {seed}\ntext {text}\nours {ours}\nother {expected}");
        let again = canonical(&ours, Form::Jcs);
        assert!(again == ours, "seed {seed}: canonical twice\nonce {ours}\ntwice {again}");
        let legacy = canonical(&text, Form::Legacy);
        assert!(canonical(&legacy, Form::Jcs) == ours, "seed {seed}: legacy {legacy}");
        assert!(canonical(&ours, Form::Legacy) == legacy, "seed {seed}: legacy {legacy}");
        largest = largest.max(text.len());
    }
    assert!(largest > 500, "the generator makes nothing but small values");
}

#[test]
fn values_nested_to_200_agree_with_another_implementation() {
    for seed in 0..200 {
        let random = &mut Random(seed);
        let (mut text, mut value) = sample(random, 8, 2);
        for level in 0..198 {
            let (beside_text, beside) = sample(random, 2, 1);
            if random.one_in(3) {
                text = format!("[{beside_text},{text}]");
                value = Value::Array(vec![beside, value]);
            } else {
                let key = random.below(4);
                text = format!("{{\"b\":{text} , \"{key}\":{beside_text},\"a\":{level}}}");
                let members = [
                    ("b".to_owned(), value),
                    (key.to_string(), beside),
                    ("a".to_owned(), Value::from(level)),
                ];
                value = Value::Object(members.into_iter().collect());
            }
        }
        let expected = serde_json_canonicalizer::to_string(&value).unwrap();
        assert!(canonical(&text, Form::Jcs) == expected, "seed {seed}\ntext {text}");
    }
}

#[test]
fn a_hundred_thousand_doubles_survive_every_way_to_write_them() {
    let random = &mut Random(8785);
    for _ in 0..100_000 {
        let bits = random.next();
        let double = f64::from_bits(bits);
        if !double.is_finite() {
            continue;
        }
        let expected = canonical(&format!("{double:e}"), Form::Jcs);
        assert_eq!(expected.parse::<f64>().unwrap().to_bits() << 1, bits << 1, "bits {bits:#x}");
        for text in [format!("{double:.16e}"), format!("{double:.25e}"), format!("{double:.60e}")] {
            assert_eq!(canonical(&text, Form::Jcs), expected, "bits {bits:#x}, text {text}");
        }
    }
}
