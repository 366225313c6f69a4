//! Any bytes: the lines and the tail are exactly the input, and every verdict is that of another
//! parser.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sage_chronicle::internals::classify::{
    RecordIds, Tail, Verdict, classify, classify_tail, complete_lines,
};
use serde_json::Value;

/// serde_json stops at 128 levels by default, the library at 1,000.
const DEPTH_OF_SERDE: usize = 127;

fuzz_target!(|bytes: &[u8]| {
    let mut rebuilt = Vec::new();
    let behind = complete_lines(bytes, |start, line| {
        assert_eq!(start, rebuilt.len());
        assert!(!line.contains(&b'\n'));
        rebuilt.extend_from_slice(line);
        rebuilt.push(b'\n');
        check(line);
    });
    let tail = &bytes[behind..];
    assert_eq!(behind, rebuilt.len());
    assert!(!tail.contains(&b'\n'));
    assert_eq!([&rebuilt, tail].concat(), bytes);
    check(tail);
    // A line has no newline, but the verdict must not depend on that.
    check(bytes);
});

fn check(line: &[u8]) {
    let verdict = classify(line);
    let blank = line.iter().all(|byte| b" \t\r\n".contains(byte));
    let nul = line.contains(&0);
    match &verdict {
        Verdict::Record(keys) => check_record(line, keys),
        Verdict::Blank => assert!(blank),
        Verdict::Nul => assert!(nul && !is_object(line)),
        Verdict::Malformed => assert!(!nul && !blank && !is_object(line)),
        Verdict::Marked(keys) => {
            let rest = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or_default();
            assert_eq!(classify(rest), Verdict::Record(keys.clone()));
        }
    }
    match (classify_tail(line), verdict) {
        (Tail::Record(keys), verdict) => assert_eq!(verdict, Verdict::Record(keys)),
        (Tail::Clean, verdict) => assert_eq!(verdict, Verdict::Blank),
        (Tail::Torn { nul: told }, Verdict::Malformed | Verdict::Nul | Verdict::Marked(_)) => {
            assert_eq!(told, nul);
        }
        (Tail::Torn { .. }, verdict) => panic!("a tail is torn that is {verdict:?}"),
    }
}

/// Whether the line is an object that serde_json can hold: no string has a lone surrogate.
fn is_object(line: &[u8]) -> bool {
    matches!(serde_json::from_slice(line), Ok(Value::Object(_))) && depth(line) <= DEPTH_OF_SERDE
}

fn check_record(line: &[u8], keys: &RecordIds<'_>) {
    let text = std::str::from_utf8(line).expect("a record is UTF-8");
    assert!(!line.contains(&0));
    if depth(line) > DEPTH_OF_SERDE {
        return;
    }
    // Strings and numbers are skipped, because numbers beyond a double and lone surrogates are JSON
    // too.
    serde_json::from_str::<serde::de::IgnoredAny>(text).expect("a record is JSON");
    // No object is the start of another one.
    if let Some(end) = line.iter().rposition(|byte| *byte == b'}') {
        assert!(!matches!(classify_tail(&line[..end]), Tail::Record(_)));
    }
    if let Ok(Value::Object(members)) = serde_json::from_str(text) {
        for (name, found) in
            [("eventId", &keys.event_id), ("idempotencyKey", &keys.idempotency_key)]
        {
            let wanted = members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
            assert_eq!(found.as_deref(), wanted.map(str::as_bytes), "{name}");
        }
    }
}

/// Upper bound of the open brackets. Brackets in strings count too, which only weakens the check.
fn depth(line: &[u8]) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for byte in line {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}
