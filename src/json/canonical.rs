//! The canonical form of JSON: RFC 8785 of what `JSON.stringify(JSON.parse(text))` writes.
//!
//! It never changes for a published version, because event ids are hashes of it.

use crate::json::canonicalizer::Canonicalizer;
use crate::json::nesting::Fault;

pub use crate::json::key_order::Form;

/// Returns the canonical bytes of any JSON value, without the top-level member whose key is
/// `without`.
///
/// Of equal keys the last counts. A number beyond the range of a double is `null`, as in
/// JavaScript.
pub fn canonicalize(text: &[u8], form: Form, without: Option<&str>) -> Result<Vec<u8>, Fault> {
    let mut canonicalizer = Canonicalizer::default();
    canonicalizer.parse(text, form, without)?;
    let mut written = Vec::with_capacity(text.len());
    canonicalizer.write(text, &mut written);
    Ok(written)
}

/// Returns the bytes of [`canonicalize`], but each number keeps its own text. Equal bytes mean
/// equal values, also where numbers are no doubles.
pub(crate) fn canonicalize_exactly(text: &[u8], without: Option<&str>) -> Result<Vec<u8>, Fault> {
    let mut canonicalizer = Canonicalizer::keeping_numbers();
    canonicalizer.parse(text, Form::Jcs, without)?;
    let mut written = Vec::with_capacity(text.len());
    canonicalizer.write(text, &mut written);
    Ok(written)
}

/// Returns the canonical bytes and, if a number has another value in them, those of
/// [`canonicalize_exactly`]. Texts of one value, and no others, have the same last bytes.
pub(crate) fn canonicalize_by_value(
    text: &[u8],
    without: Option<&str>,
) -> Result<(Vec<u8>, Option<Vec<u8>>), Fault> {
    let mut canonicalizer = Canonicalizer::default();
    canonicalizer.parse(text, Form::Jcs, without)?;
    let mut written = Vec::with_capacity(text.len());
    canonicalizer.write(text, &mut written);
    let exact =
        canonicalizer.changed_number().map(|_| canonicalize_exactly(text, without)).transpose()?;
    Ok((written, exact))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jcs(text: &str) -> String {
        String::from_utf8(canonicalize(text.as_bytes(), Form::Jcs, None).unwrap()).unwrap()
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
