//! Any text: its canonical form is canonical. If another implementation of RFC 8785 has a canonical
//! form, both forms are the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sage_chronicle::event::{compute_id, same_canonical, verify_id};
use sage_chronicle::internals::canonical::{Form, canonicalize};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(canonical) = canonicalize(bytes, Form::Jcs, None) else {
        let parsed = serde_json::from_slice::<Value>(bytes);
        assert!(parsed.is_err(), "{parsed:?} has no canonical form");
        return;
    };
    let again = canonicalize(&canonical, Form::Jcs, None).expect("a canonical form is JSON");
    assert_eq!(again, canonical);
    let legacy = canonicalize(bytes, Form::Legacy, None).expect("one form, both forms");
    assert_eq!(canonicalize(&legacy, Form::Jcs, None).as_deref(), Ok(&canonical[..]));
    assert_eq!(canonicalize(&canonical, Form::Legacy, None).as_deref(), Ok(&legacy[..]));
    // serde_json cannot hold lone surrogates and numbers beyond a double.
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        let other = serde_json_canonicalizer::to_vec(&value).expect("a value has a canonical form");
        assert_eq!(
            String::from_utf8_lossy(&canonical),
            String::from_utf8_lossy(&other),
            "of {}",
            bytes.escape_ascii()
        );
    }
    if canonical.first() == Some(&b'{') {
        check_id(bytes, &canonical);
    }
});

/// The id depends neither on the spelling of the event nor on the id that the event has.
fn check_id(bytes: &[u8], canonical: &[u8]) {
    let id = compute_id(bytes).expect("an object has an id");
    assert_eq!(compute_id(canonical).ok(), Some(id));
    let id = std::str::from_utf8(&id).expect("hexadecimal digits");
    let named = canonicalize(bytes, Form::Jcs, Some("eventId")).expect("it had one with it");
    let rest = &named[1..];
    let comma = if rest == b"}" { "" } else { "," };
    let with_id = [format!(r#"{{"eventId":"{id}"{comma}"#).as_bytes(), rest].concat();
    assert_eq!(verify_id(&with_id).ok(), Some(Some(Form::Jcs)));
    assert!(same_canonical(&with_id, bytes));
}
