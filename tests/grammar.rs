//! The texts that are JSON: tables, and the verdict of another parser.

#![allow(clippy::indexing_slicing, reason = "a test")]

use proptest::prelude::*;
use sage_chronicle::internals::json::{Fault, object};

fn check(text: &[u8]) -> Result<(), Fault> {
    object(text, |_, _| ())
}

fn is_json(text: &[u8]) -> bool {
    matches!(check(text), Ok(()) | Err(Fault::NotAnObject))
}

#[test]
fn accepts_what_json_parse_accepts() {
    for text in [
        "{}",
        " \t\r\n{ \t\r\n} \t\r\n",
        r#"{"":""}"#,
        r#"{"a":null,"b":true,"c":false,"d":[],"e":{},"f":[[],{}],"g":"\u0000\uD800\"\\\/"}"#,
        r#"[0,-0,1,10,-1,0.0,-0.10,1.5e0,1E+1,2e-1,0e5,1e400,-1e-400,1234567890123456789012]"#,
        "[1 , 2\n]",
        "{\"\u{7f}\u{2028}\u{ffff}\u{1f600}\":1}",
        "\"s\"",
        "1",
        " null ",
    ] {
        assert!(is_json(text.as_bytes()), "{text}");
    }
}

#[test]
fn refuses_the_first_byte_that_does_not_fit() {
    for (text, at) in [
        (&b"{"[..], 1),
        (b"}", 0),
        (b"{]", 1),
        (b"{,}", 1),
        (b"{\"a\"}", 4),
        (b"{\"a\":}", 5),
        (b"{\"a\":1,}", 7),
        (b"{\"a\":1 \"b\":2}", 7),
        (b"{\"a\":[1,]}", 8),
        (b"{\"a\":[1}", 7),
        (b"{\"a\":[}", 6),
        (b"{a:1}", 1),
        (b"{'a':1}", 1),
        (b"{\"a\":1}{}", 7),
        (b"{\"a\":1} x", 8),
        (b"{}\0", 2),
        (b"{}\x0c", 2),
        (b"\xef\xbb\xbf{}", 0),
        (b"{\"a\":tru}", 8),
        (b"{\"a\":nul", 8),
        (b"{\"a\":True}", 5),
        (b"{\"a\":NaN}", 5),
        (b"{\"a\":+1}", 5),
        (b"{\"a\":01}", 6),
        (b"{\"a\":-}", 6),
        (b"{\"a\":.5}", 5),
        (b"{\"a\":1.}", 7),
        (b"{\"a\":1e}", 7),
        (b"{\"a\":1e+}", 8),
        (b"{\"a\":0x1}", 6),
        (b"{\"a\":\"\n\"}", 6),
        (b"{\"a\":\"\x1f\"}", 6),
        (b"{\"a\":\"\\x\"}", 7),
        (b"{\"a\":\"\\u12g4\"}", 10),
        (b"{\"a\":\"\\u123", 11),
        (b"{\"a\":\"\\", 7),
        (b"{\"a\":\"b", 7),
        (b"{\"a\":\"\xff\"}", 6),
        (b"{\"a\":\"\xed\xa0\x80\"}", 6),
        (b"{\"a\":\"\xc0\x80\"}", 6),
    ] {
        assert_eq!(check(text), Err(Fault::Invalid { at }), "{}", text.escape_ascii());
    }
}

proptest! {
    #![proptest_config(
        ProptestConfig { cases: 4000, failure_persistence: None, ..Default::default() }
    )]

    #[test]
    fn agrees_with_another_parser_about_mutated_texts(
        edits in proptest::collection::vec(
            (any::<proptest::sample::Index>(), 0..3,
             proptest::sample::select(&b"\"\\{}[]:,0123456789-+.eEunltrfabs \n\t\x00\x1f\xc3\xa9\xed"[..])),
            0..4)
    ) {
        let mut text = br#"{"a":[1,-2.5e+3,{"b":"\u00e9\n"},true],"c":{"d":null,"e":false}, "f":0}"#.to_vec();
        for (index, edit, byte) in edits {
            let at = index.index(text.len());
            match edit {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => { text.remove(at); }
            }
        }
        // The other parser checks neither the range of numbers nor surrogates when it ignores
        // values.
        let other = std::str::from_utf8(&text)
            .is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
        prop_assert_eq!(is_json(&text), other, "{}", text.escape_ascii());
    }
}
