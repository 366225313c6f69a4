//! How an event becomes a line, and when it is refused.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;
use sage_chronicle::error::Code;
use sage_chronicle::event::{Event, Id, Rules, compute_id, same_canonical, verify_id};
use sage_chronicle::internals::canonical::Form;
use sage_chronicle::internals::classify::MAX_LINE_BYTES;
use sage_chronicle::internals::json::unescape;
use sha2::{Digest, Sha256};

const SMALLEST: &str = r#"{"type":"X","timestamp":"t","actor":{"agent":"a","id":"b"}}"#;
const SMALLEST_ID: &str = "a50d1b2524ab64bb60fe88340c702b78ecebb00c1f1c0113c2c65e5d56b7ea8f";

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn parse(text: &str, rules: &Rules) -> Event {
    Event::parse(text.as_bytes(), rules).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn line(event: &Event) -> &str {
    std::str::from_utf8(event.line()).unwrap()
}

fn fault(text: &str, rules: &Rules) -> String {
    let error = Event::parse(text.as_bytes(), rules).unwrap_err();
    assert_eq!(error.code(), Code::Validation);
    error.message().to_owned()
}

fn keyed(key: &str) -> Rules {
    Rules { idempotency_key: Some(id(key)), ..Rules::default() }
}

/// The event with these members behind `type`.
fn with(members: &str) -> String {
    SMALLEST.replace(r#""X","#, &format!(r#""X",{members},"#))
}

#[test]
fn a_computed_id_is_put_right_behind_the_type() {
    let event = parse(SMALLEST, &Rules::default());
    let expected = SMALLEST.replace("\"X\",", &format!("\"X\",\"eventId\":\"{SMALLEST_ID}\","));
    assert_eq!(line(&event), expected);
    assert_eq!(event.id(), Some(&id(SMALLEST_ID)));
    assert_eq!(event.key(), None);
    assert!(!event.is_chained_later());
    for (before, behind) in [
        (r#"{"timestamp":"t","actor":{"agent":"a","id":"b"},"type":"X""#, "}"),
        (
            r#"{"timestamp":"t","type":"Y","type":"X""#,
            r#","actor":{"type":"Z","agent":"a","id":"b"}}"#,
        ),
        (r#"{"\u0074ype":"X""#, r#","timestamp":"t","actor":{"agent":"a","id":"b"}}"#),
        (r#"{"type" : "X""#, r#" , "timestamp":"t","actor":{"agent":"a","id":"b"}}"#),
    ] {
        let event = parse(&format!("{before}{behind}"), &Rules::default());
        let id = event.id().unwrap();
        assert_eq!(line(&event), format!("{before},\"eventId\":\"{id}\"{behind}"));
        assert_eq!(verify_id(event.line()).unwrap(), Some(Form::Jcs), "{before}");
    }
}

#[test]
fn a_given_id_stays_as_it_is_and_where_it_is() {
    for given in ["\"x\"", "\"\\u0078\\n\"", "\"\\ud800\"", "\"\u{1f600}\""] {
        let text = SMALLEST.replace("}}", &format!("}},\"eventId\":{given}}}"));
        for compute_id in [true, false] {
            let event = parse(&text, &Rules { compute_id, ..Rules::default() });
            assert_eq!(line(&event), text);
            let inside = &given.as_bytes()[1..given.len() - 1];
            assert_eq!(event.id().unwrap().as_bytes(), &*unescape(inside));
        }
    }
}

#[test]
fn an_event_can_go_without_an_id_unless_one_is_required() {
    let without = Rules { compute_id: false, ..Rules::default() };
    let event = parse(SMALLEST, &without);
    assert_eq!((line(&event), event.id()), (SMALLEST, None));
    let required = Rules { require_id: true, ..Rules::default() };
    assert_eq!(fault(SMALLEST, &required), "X event needs a non-empty string eventId");
    assert_eq!(parse(&with(r#""eventId":"x""#), &required).id(), Some(&id("x")));
}

#[test]
fn what_json_stringify_wrote_stays_byte_for_byte() {
    let without = Rules { compute_id: false, ..Rules::default() };
    let text = with(r#""a":[1e+21,-0,1.50,"\/\u0041\u2028 \u2028"],"a" : { "b":[ ]} ,"2":1,"1":2"#);
    assert_eq!(line(&parse(&text, &without)), text);
    assert_eq!(line(&parse(&format!(" \t{text} "), &without)), text);
}

#[test]
fn a_line_break_never_gets_into_a_line() {
    let without = Rules { compute_id: false, ..Rules::default() };
    for space in ["\n", "\r", "\r\n", " \n\t"] {
        let spaced =
            SMALLEST.replace(':', &format!("{space}:{space}")).replace('{', &format!("{{{space}"));
        assert_eq!(line(&parse(&format!("{space}{spaced}{space}"), &without)), SMALLEST);
    }
    let text = with("\"a\":\n\" \\n : \\\" { \"");
    assert_eq!(line(&parse(&text, &without)), text.replace('\n', ""));
    assert_eq!(fault(&with("\"a\":\"\n\""), &without), "event is not valid JSON at byte 17");
    assert_eq!(fault(&with("\"a\":1\n2"), &without), "event is not valid JSON at byte 18");
}

#[test]
fn what_is_no_object_is_refused() {
    let rules = Rules::default();
    for text in ["[]", "null", "\"x\"", "5"] {
        assert_eq!(fault(text, &rules), "event is not a JSON object");
        compute_id(text.as_bytes()).unwrap_err();
        verify_id(text.as_bytes()).unwrap_err();
    }
    assert_eq!(fault(" ", &rules), "event is empty");
    assert_eq!(fault("{\"a\"", &rules), "event is not valid JSON at byte 4");
    let deep = |depth: usize| with(&format!("\"a\":{}{}", "[".repeat(depth), "]".repeat(depth)));
    assert_eq!(fault(&deep(1000), &rules), "event nests deeper than 1000");
    parse(&deep(999), &rules);
}

#[test]
fn the_key_of_the_rules_is_stored_last_and_hashed() {
    let event = parse(SMALLEST, &keyed("k\"\u{e9}"));
    let stored = SMALLEST.replace("\"}}", "\"},\"idempotencyKey\":\"k\\\"\u{e9}\"}");
    assert_eq!(event.key(), Some(&id("k\"\u{e9}")));
    assert_eq!(event.id().unwrap().as_bytes(), compute_id(stored.as_bytes()).unwrap());
    assert_ne!(event.id(), Some(&id(SMALLEST_ID)));
    assert_eq!(line(&event), line(&parse(&stored, &Rules::default())));
    let without = Rules { compute_id: false, ..keyed("k\"\u{e9}") };
    assert_eq!(line(&parse(SMALLEST, &without)), stored);
}

#[test]
fn a_key_in_the_event_counts_like_the_option() {
    let text = with(r#""idempotencyKey":"\u006b""#);
    let event = parse(&text, &Rules::default());
    assert_eq!(event.key(), Some(&id("k")));
    assert_eq!(line(&parse(&text, &keyed("k"))), line(&event));
    assert_eq!(
        fault(&text, &keyed("other")),
        "X event has another idempotencyKey than the option says"
    );
}

#[test]
fn a_chained_event_keeps_the_id_that_it_had_as_its_key() {
    let chain = Rules { chain: true, ..Rules::default() };
    let event = parse(SMALLEST, &chain);
    assert!(event.is_chained_later());
    assert_eq!((event.id(), event.key()), (None, Some(&id(SMALLEST_ID))));

    let first = event.chained(None).unwrap();
    let stored = SMALLEST.replace("\"}}", &format!("\"}},\"idempotencyKey\":\"{SMALLEST_ID}\"}}"));
    assert_eq!(line(&first), line(&parse(&stored, &Rules::default())));
    assert!(!first.is_chained_later());

    let second = event.chained(Some(&id("p\n"))).unwrap();
    let chained = format!("{},\"prevEventId\":\"p\\n\"}}", &stored[..stored.len() - 1]);
    assert_eq!(line(&second), line(&parse(&chained, &Rules::default())));
    assert_eq!(verify_id(second.line()).unwrap(), Some(Form::Jcs));
    assert_eq!(second.key(), Some(&id(SMALLEST_ID)));
    assert_ne!(second.id(), first.id());
    // The event itself is unchanged, because a batch may be decided twice.
    assert_eq!(line(&event.chained(None).unwrap()), line(&first));
}

#[test]
fn a_chained_event_keeps_the_key_that_it_was_given() {
    for (text, rules) in [
        (SMALLEST.to_owned(), Rules { chain: true, ..keyed("k") }),
        (with(r#""idempotencyKey":"k""#), Rules { chain: true, ..Rules::default() }),
    ] {
        let event = parse(&text, &rules);
        assert_eq!(event.key(), Some(&id("k")));
        let chained = event.chained(Some(&id("p"))).unwrap();
        assert!(line(&chained).ends_with(",\"prevEventId\":\"p\"}"));
        assert_eq!(line(&chained).matches("idempotencyKey").count(), 1);
    }
}

#[test]
fn what_cannot_be_chained_is_refused() {
    let chain = Rules { chain: true, ..Rules::default() };
    for (text, rules, why) in [
        (with(r#""eventId":"x""#), chain.clone(), "with an eventId of its own"),
        (with(r#""prevEventId":"x""#), chain.clone(), "with a prevEventId of its own"),
        (with(r#""prevEventId":"""#), chain.clone(), "with a prevEventId of its own"),
        (SMALLEST.to_owned(), Rules { compute_id: false, ..chain }, "without a computed id"),
    ] {
        assert_eq!(fault(&text, &rules), format!("X event cannot be chained {why}"));
    }
}

#[test]
fn a_line_has_room_for_64_mib_with_all_that_is_added() {
    let sized = |length: usize| {
        let text = with("\"a\":\"\"");
        let fill = "x".repeat(length - text.len());
        text.replace("\"\"", &format!("\"{fill}\""))
    };
    let added = ",\"eventId\":\"\"".len() + 64;
    let longest =
        Event::parse(sized(MAX_LINE_BYTES - added).as_bytes(), &Rules::default()).unwrap();
    assert_eq!(longest.line().len(), MAX_LINE_BYTES);
    let too_long = Event::parse(sized(MAX_LINE_BYTES - added + 1).as_bytes(), &Rules::default());
    assert_eq!(
        too_long.unwrap_err().message(),
        "event is 67108865 bytes long, a line may have 67108864"
    );
    let chain = Rules { chain: true, ..keyed("k") };
    let room = added + ",\"idempotencyKey\":\"k\"".len();
    let event = Event::parse(sized(MAX_LINE_BYTES - room).as_bytes(), &chain).unwrap();
    assert_eq!(event.chained(None).unwrap().line().len(), MAX_LINE_BYTES);
    event.chained(Some(&id("p"))).unwrap_err();
}

#[test]
fn an_id_verifies_in_the_order_that_it_was_computed_in() {
    let text = |id: &str| format!(r#"{{"10":1,"2":{{"b":1,"10":2,"9":3}},"eventId":"{id}"}}"#);
    for (form, canonical) in [
        (Form::Jcs, r#"{"10":1,"2":{"10":2,"9":3,"b":1}}"#),
        (Form::Legacy, r#"{"2":{"9":3,"10":2,"b":1},"10":1}"#),
    ] {
        let hash = Sha256::digest(canonical);
        let id: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(verify_id(text(&id).as_bytes()).unwrap(), Some(form));
        let capitals = id.to_ascii_uppercase();
        assert_eq!(verify_id(text(&capitals).as_bytes()).unwrap(), None);
    }
    assert_eq!(verify_id(text("").as_bytes()).unwrap(), None);
    assert_eq!(verify_id(text("x").as_bytes()).unwrap(), None);
    assert_eq!(verify_id(b"{\"a\":1}").unwrap(), None);
    assert_eq!(verify_id(b"{\"eventId\":5}").unwrap(), None);
    assert_eq!(&compute_id(SMALLEST.as_bytes()).unwrap()[..], SMALLEST_ID.as_bytes());
}

#[test]
fn events_are_the_same_whatever_their_id_and_the_order_of_their_keys() {
    for (a, b, same) in [
        (r#"{"a":1,"b":2}"#, r#" {"b":2.0,"eventId":"x","\u0061":1e0}"#, true),
        (r#"{"a":1}"#, r#"{"a":2}"#, false),
        (r#"{"a":1}"#, r#"{"a":"1"}"#, false),
        (r#"{"a":{"eventId":1}}"#, r#"{"a":{}}"#, false),
        (r#"{"a":1"#, r#"{"a":1"#, false),
        ("[]", "[]", false),
    ] {
        assert_eq!(same_canonical(a.as_bytes(), b.as_bytes()), same, "{a} {b}");
    }
}

#[test]
fn an_id_is_a_string_that_json_can_hold() {
    for good in [&b"x"[..], b" ", b"\0", "\u{1f600}".as_bytes(), b"\xed\xa0\x80x", b"\xed\xb0\x80"]
    {
        assert_eq!(Id::new(good).unwrap().as_bytes(), good);
    }
    for bad in [&b""[..], b"\xff", b"a\xc3", b"\xed\xa0", b"\xed\xa0\x80\xed\xb0\x80", b"\xc0\x80"]
    {
        assert_eq!(Id::new(bad), None, "{}", bad.escape_ascii());
    }
    let mut token = Vec::new();
    id("a\"\n\u{e9}").to_json(&mut token);
    assert_eq!(token, "\"a\\\"\\n\u{e9}\"".as_bytes());
    assert_eq!(id("\u{e9}").to_string(), "\u{e9}");
    assert_eq!(Id::new(b"a\xed\xa0\x80").unwrap().to_string(), "a\u{fffd}\u{fffd}\u{fffd}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_was_parsed_verifies_and_parses_to_itself(
        note in any::<String>(), key in "\\PC{0,3}", field in any::<String>(), number in any::<f64>()
    ) {
        let note = serde_json::to_string(&note).unwrap();
        let field = serde_json::to_string(&format!("x{field}")).unwrap();
        // Of two shortest texts of a double, `{:e}` may give the one that JavaScript does not use.
        let number = if number.is_finite() { number } else { 0.0 };
        let number = serde_json::to_string(&number).unwrap();
        let text = with(&format!("{field}:{note},\"n\":{number}"));
        let rules = Rules { idempotency_key: Id::new(&key), ..Rules::default() };
        let event = parse(&text, &rules);
        prop_assert!(!event.line().contains(&b'\n'));
        prop_assert_eq!(verify_id(event.line()).unwrap(), Some(Form::Jcs));
        prop_assert!(same_canonical(event.line(), line(&parse(line(&event), &rules)).as_bytes()));
        let again = parse(line(&event), &Rules::default());
        prop_assert_eq!(again.line(), event.line());
        prop_assert_eq!((again.id(), again.key()), (event.id(), event.key()));
    }
}
