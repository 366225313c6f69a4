//! Numbers that no double represents: refused where an id is computed, kept everywhere else.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Machine, alone, options};
use proptest::prelude::*;
use sage_chronicle::error::{Code, Written};
use sage_chronicle::event::{Event, Rules, compute_id, same_content, verify_id};
use sage_chronicle::internals::canonical::{Form, canonicalize};
use sage_chronicle::{AppendOptions, Id, OnIdReuse};

/// Numbers whose shortest text as a double has another value.
const CHANGING: [&str; 11] = [
    "738529527931269425",
    "-738529527931269426",
    "9007199254740993",
    "12345678901234567890",
    "1e400",
    "-1E+400",
    "1e-400",
    "0.1000000000000000055",
    "0.30000000000000000001",
    "1.00000000000000000000000000000000000001",
    "18446744073709551615.0",
];

/// Numbers that are values of doubles, whatever their spelling.
const KEPT: [&str; 16] = [
    "0",
    "-0",
    "-0.0e99999999999999999999",
    "1.0",
    "1e2",
    "100",
    "0.10",
    "0.1",
    "1E-7",
    "9007199254740991",
    "9007199254740992",
    "738529527931269400",
    "1e23",
    "5e-324",
    "1.7976931348623157e308",
    "0.30000000000000004000",
];

fn event(value: &str) -> String {
    format!(r#"{{"type":"X","timestamp":"t","actor":{{"agent":"a","id":"b"}},"v":{value}}}"#)
}

fn with_id(id: &str, value: &str) -> String {
    event(value).replace(r#""v":"#, &format!(r#""eventId":"{id}","v":"#))
}

fn check(text: &str, rules: &Rules) -> Result<String, String> {
    match Event::parse(text.as_bytes(), rules) {
        Ok(event) => Ok(String::from_utf8(event.line().to_vec()).unwrap()),
        Err(error) => {
            assert_eq!(error.code(), Code::Validation);
            Err(error.message().to_owned())
        }
    }
}

#[test]
fn a_number_that_changes_as_a_double_gets_no_computed_id() {
    let chain = Rules { chain: true, ..Rules::default() };
    for number in CHANGING {
        let fault = format!(
            "X event has a number in v that changes as a double, {number}: write it as a string \
             (ids are computed from doubles, RFC 8785)"
        );
        for rules in [&Rules::default(), &chain] {
            assert_eq!(check(&event(number), rules), Err(fault.clone()), "{rules:?}");
        }
    }
    for number in KEPT {
        let line = check(&event(number), &Rules::default()).unwrap();
        assert!(line.ends_with(&format!("\"v\":{number}}}")), "{line}");
        check(&event(number), &chain).unwrap();
    }
    // The same holds for a text that is too long for the shared memory of small ones.
    let long = event(&format!("[\"{}\",1e400]", "x".repeat(2 << 20)));
    assert!(check(&long, &Rules::default()).unwrap_err().contains("a number in v[1] that"));
}

#[test]
fn the_field_of_such_a_number_is_named_and_its_digits_are_cut() {
    let digits = "7".repeat(300);
    for (value, what) in [
        (r#"{"items":[{},1,{"v":1e999}]}"#, "in v.items[2].v that changes as a double, 1e999:"),
        (r#"{"a b":{"\n":[[1e999]]}}"#, r#"in v["a b"]["\n"][0][0] that"#),
        (
            &*format!("[1,{digits},1e999]"),
            &*format!("in v[1] that changes as a double, {}\u{2026}:", "7".repeat(40)),
        ),
        (r#"1,"w":[1e999]"#, "in w[0] that"),
    ] {
        let fault = check(&event(value), &Rules::default()).unwrap_err();
        assert!(fault.contains(what), "{fault}");
    }
}

#[test]
fn where_no_id_is_computed_the_digits_stay() {
    for number in CHANGING {
        for (text, rules) in [
            (event(number), Rules { compute_id: false, ..Rules::default() }),
            (with_id("x", number), Rules::default()),
            (event(number), Rules { whole_line: true, ..Rules::default() }),
        ] {
            assert_eq!(check(&text, &rules), Ok(text));
        }
    }
}

#[test]
fn ids_of_records_with_such_numbers_stay_valid() {
    for number in CHANGING.iter().chain(&KEPT) {
        let id = String::from_utf8(compute_id(event(number).as_bytes()).unwrap().to_vec()).unwrap();
        let double = canonicalize(event(number).as_bytes(), Form::Jcs, None).unwrap();
        assert_eq!(compute_id(&double).unwrap(), *id.as_bytes(), "{number}");
        let record = with_id(&id, number);
        assert_eq!(verify_id(record.as_bytes()).unwrap(), Some(Form::Jcs), "{number}");
    }
}

#[test]
fn content_is_the_same_where_the_text_of_its_numbers_is() {
    for (a, b, same) in [
        (r#"{"a":1,"b":[2]}"#, r#" {"b":[2],"eventId":"x","\u0061":1}"#, true),
        (r#"{"a":738529527931269425}"#, r#"{"a":738529527931269426}"#, false),
        (r#"{"a":1e400}"#, r#"{"a":null}"#, false),
        (r#"{"a":1e400}"#, r#"{"eventId":"x","a":1e400}"#, true),
        (r#"{"a":1.0}"#, r#"{"a":1}"#, false),
        (r#"{"a":-0}"#, r#"{"a":0}"#, false),
        (r#"{"a":{"b":1,"c":1e2}}"#, r#"{"a":{"c":1e2,"b":1}}"#, true),
        (r#"{"a":1e2,"a":1}"#, r#"{"a":1}"#, true),
        (r#"{"a":1"#, r#"{"a":1"#, false),
        ("[]", "[]", false),
    ] {
        assert_eq!(same_content(a.as_bytes(), b.as_bytes()), same, "{a} {b}");
    }
}

#[test]
fn an_event_is_not_taken_for_one_with_other_digits() {
    let _alone = alone();
    let machine = Machine::new();
    let process = machine.start();
    let one = with_id("x", "738529527931269425");
    let other = with_id("x", "738529527931269426");
    assert!(process.append(&one).unwrap().identical);
    let again = process.append(&one).unwrap();
    assert!(again.duplicate && again.identical);
    let receipt = process.append(&other).unwrap();
    assert_eq!((receipt.seq, receipt.duplicate, receipt.identical), (1, true, false));
    let reject = AppendOptions { on_id_reuse: OnIdReuse::Reject, ..options() };
    let error = process.append_with(&other, reject).unwrap_err();
    assert_eq!((error.code(), error.written()), (Code::Conflict, Some(Written::No)));
    let error = process.append(&event("1e400")).unwrap_err();
    assert_eq!((error.code(), error.written()), (Code::Validation, Some(Written::No)));
    assert_eq!(machine.text(), one + "\n");
}

#[test]
fn a_whole_line_stands_as_it_is_with_the_names_in_it() {
    let rules = Rules { whole_line: true, ..Rules::default() };
    for (line, id, key) in [
        (" {\"eventId\" : \"\\u0061\"} \r", Some("a"), None),
        (r#"{"type":5,"idempotencyKey":"k","eventId":5}"#, None, Some("k")),
        (r#"{"eventId":"","a":1,"a":2}"#, None, None),
    ] {
        let event = Event::parse(line.as_bytes(), &rules).unwrap();
        assert_eq!(event.line(), line.as_bytes());
        assert_eq!(event.id().map(Id::to_string).as_deref(), id);
        assert_eq!(event.key().map(Id::to_string).as_deref(), key);
    }
    for (line, fault) in [
        ("{\n}", "line has a line break in it"),
        (" ", "line is empty"),
        ("\u{feff}{}", "line begins with a byte order mark (U+FEFF), which is no JSON: remove it"),
    ] {
        assert_eq!(check(line, &rules), Err(fault.to_owned()));
    }
    for other in [
        Rules { chain: true, ..rules.clone() },
        Rules { compute_id: false, ..rules.clone() },
        Rules { idempotency_key: Id::new("k"), ..rules.clone() },
    ] {
        assert_eq!(check("{}", &other), Err("no other rule goes with whole lines".to_owned()));
    }
}

#[test]
fn a_key_that_an_object_has_twice_is_refused_where_that_is_asked() {
    let rules = Rules { unique_keys: true, ..Rules::default() };
    for (value, path) in [
        (r#"1,"v":2"#, "v"),
        (r#"1,"\u0076":2"#, "v"),
        (r#"[{"a":{"b":1,"c":2,"b":3}}]"#, "v[0].a.b"),
        (r#"1,"type":"Y""#, "type"),
    ] {
        let fault = check(&event(value), &rules).unwrap_err();
        assert!(fault.ends_with(&format!("event has two members {path}")), "{fault}");
        check(&event(value), &Rules::default()).unwrap();
    }
    check(&event(r#"[{"v":1},{"v":1,"w":{"v":1}}]"#), &rules).unwrap();
}

/// A number of the grammar: short and long, near doubles and far from them.
fn number() -> impl Strategy<Value = String> {
    let text = "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?";
    let double = any::<f64>().prop_filter("finite", |double| double.is_finite());
    prop_oneof![
        2 => text.prop_map(|text: String| text),
        1 => double.clone().prop_map(|double| format!("{double:e}")),
        1 => double.clone().prop_map(|double| format!("{double:.20e}")),
        1 => double.prop_map(|double| format!("{double:?}00")),
    ]
}

/// A decimal as an exact fraction of two whole numbers, by schoolbook arithmetic on their digits.
#[derive(Debug)]
struct Fraction {
    is_negative: bool,
    top: Vec<u32>,
    bottom: Vec<u32>,
}

/// `digits * 10^power + add`, least significant first, to the base of a billion.
fn grown(mut digits: Vec<u32>, factor: u32, add: u32) -> Vec<u32> {
    const BASE: u64 = 1_000_000_000;
    let mut carry = u64::from(add);
    for digit in &mut digits {
        let value = u64::from(*digit) * u64::from(factor) + carry;
        *digit = u32::try_from(value % BASE).unwrap();
        carry = value / BASE;
    }
    if carry > 0 {
        digits.push(u32::try_from(carry).unwrap());
    }
    digits
}

fn product(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut sum = vec![0_u64; a.len() + b.len() + 1];
    for (at, x) in a.iter().enumerate() {
        for (by, y) in b.iter().enumerate() {
            let value = sum[at + by] + u64::from(*x) * u64::from(*y);
            sum[at + by] = value % 1_000_000_000;
            sum[at + by + 1] += value / 1_000_000_000;
        }
    }
    for at in 0..sum.len() - 1 {
        sum[at + 1] += sum[at] / 1_000_000_000;
        sum[at] %= 1_000_000_000;
    }
    let mut digits: Vec<u32> = sum.into_iter().map(|digit| u32::try_from(digit).unwrap()).collect();
    while digits.pop_if(|digit| *digit == 0).is_some() {}
    digits
}

impl Fraction {
    fn of(text: &str) -> Fraction {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let power = power.parse::<i32>().unwrap() - i32::try_from(fraction.len()).unwrap();
        let mut top = Vec::new();
        for digit in whole.bytes().chain(fraction.bytes()) {
            top = grown(top, 10, u32::from(digit - b'0'));
        }
        let mut bottom = vec![1];
        for _ in 0..power.abs() {
            let grows = if power > 0 { &mut top } else { &mut bottom };
            *grows = grown(std::mem::take(grows), 10, 0);
        }
        Fraction { is_negative: is_negative && !top.is_empty(), top, bottom }
    }

    fn is(&self, other: &Fraction) -> bool {
        self.is_negative == other.is_negative
            && product(&self.top, &other.bottom) == product(&other.top, &self.bottom)
    }
}

proptest! {
    #![proptest_config(
        ProptestConfig { cases: 250, failure_persistence: None, ..Default::default() }
    )]

    #[test]
    fn a_number_is_refused_exactly_where_its_double_is_another_fraction(number in number()) {
        let double = canonicalize(number.as_bytes(), Form::Jcs, None).unwrap();
        let double = String::from_utf8(double).unwrap();
        let kept = double != "null" && Fraction::of(&double).is(&Fraction::of(&number));
        let checked = check(&event(&number), &Rules::default());
        prop_assert_eq!(checked.is_ok(), kept, "{} {} {:?}", number, double, checked);
    }
}
