//! The fields of an event: the required ones, the optional ones, and their kinds.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::json::escape;
use crate::json::excerpt::excerpt;
use crate::json::{self, BYTE_ORDER_MARK, Fault, Visitor};

/// The top-level members of an event.
pub(crate) struct Envelope<'a> {
    text: &'a [u8],
    /// Keys as WTF-8, values raw.
    members: Vec<(Cow<'a, [u8]>, &'a [u8])>,
}

impl<'a> Envelope<'a> {
    pub(crate) fn of(text: &'a [u8]) -> Result<Envelope<'a>> {
        let mut members = Vec::with_capacity(16);
        json::object(text, |key, value| members.push((escape::unescape(key), value)))
            .map_err(|fault| invalid_text("event", text, fault))?;
        Ok(Envelope { text, members })
    }

    /// The raw value of a field; of equal keys the last counts.
    pub(crate) fn get(&self, name: &str) -> Option<&'a [u8]> {
        let found = self.members.iter().rfind(|(key, _)| **key == *name.as_bytes());
        found.map(|(_, value)| *value)
    }

    /// The value of a field that is a non-empty string, as WTF-8.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        match self.get(name)? {
            [b'"', inside @ .., b'"'] if !inside.is_empty() => Some(escape::unescape(inside)),
            _ => None,
        }
    }

    /// The offset in the text at which the value of a field ends.
    pub(crate) fn end_of(&self, name: &str) -> Option<usize> {
        let end = self.get(name)?.as_ptr_range().end.addr();
        end.checked_sub(self.text.as_ptr().addr())
    }

    /// Checks the envelope and the payload. If `lenient`, only a type is required.
    pub(crate) fn check(&self, lenient: bool) -> Result<()> {
        self.need("type", is_text, "a non-empty string")?;
        if lenient {
            self.allow("timestamp", is_string, "a string")?;
            self.allow("actor", is_object, "an object")?;
        } else {
            self.need("timestamp", is_text, "a non-empty string")?;
            self.check_actor()?;
            self.check_payload()?;
        }
        for field in ["eventId", "idempotencyKey"] {
            self.allow(field, is_text, "a non-empty string")?;
        }
        for field in ["planHash", "graphCommit", "prevEventId"] {
            self.allow(field, is_string, "a string")?;
        }
        self.allow("tags", is_list_of_strings, "an array of strings")
    }

    /// An error about this event; `what` says what is wrong.
    pub(crate) fn fault(&self, what: &str) -> Error {
        let name = self.text("type").unwrap_or_default();
        let name = excerpt(&name);
        let space = if name.is_empty() { "" } else { " " };
        Error::validation(format!("{name}{space}event {what}"))
    }

    fn check_actor(&self) -> Result<()> {
        self.need("actor", is_object, "an object")?;
        let actor = Envelope::of(self.get("actor").unwrap_or_default())?;
        for field in ["agent", "id"] {
            if !actor.get(field).is_some_and(is_text) {
                return Err(self.fault(&format!("needs a non-empty string actor.{field}")));
            }
        }
        Ok(())
    }

    fn check_payload(&self) -> Result<()> {
        let kind = self.text("type").unwrap_or_default();
        let texts: &[&str] = match &*kind {
            b"PLAN_DRAFTED" => &["planId", "summary"],
            b"PLAN_APPROVED" | b"PLAN_DENIED" => &["planId", "reviewerId"],
            b"ROGUE_EDIT_DETECTED" => &["filePath", "hash"],
            b"FILE_ADDED" | b"FILE_REMOVED" => &["filePath"],
            b"FILE_RENAMED" => &["oldPath", "newPath"],
            _ => &[],
        };
        for field in texts {
            self.need(field, is_text, "a non-empty string")?;
        }
        if *kind == *b"PLAN_DRAFTED" {
            self.need("steps", is_array, "an array")?;
        }
        Ok(())
    }

    fn need(&self, field: &str, holds: fn(&[u8]) -> bool, kind: &str) -> Result<()> {
        if self.get(field).is_some_and(holds) {
            return Ok(());
        }
        Err(self.fault(&format!("needs {kind} {field}")))
    }

    fn allow(&self, field: &str, holds: fn(&[u8]) -> bool, kind: &str) -> Result<()> {
        if self.get(field).is_none_or(holds) {
            return Ok(());
        }
        Err(self.fault(&format!("has a field {field} that is not {kind}")))
    }
}

/// An error about a text that should be an event.
pub(crate) fn invalid(fault: Fault) -> Error {
    Error::validation(format!("event {fault}"))
}

/// An error about a text that should be a `what`. It names a byte order mark and bytes that are no
/// UTF-8, because these are invisible.
pub(crate) fn invalid_text(what: &str, text: &[u8], fault: Fault) -> Error {
    if text.starts_with(BYTE_ORDER_MARK) {
        return Error::validation(format!(
            "{what} begins with a byte order mark (U+FEFF), which is no JSON: remove it"
        ));
    }
    match (fault, std::str::from_utf8(text)) {
        (Fault::Invalid { .. }, Err(error)) => {
            Error::validation(format!("{what} is not UTF-8 at byte {}", error.valid_up_to()))
        }
        _ => Error::validation(format!("{what} {fault}")),
    }
}

fn is_string(value: &[u8]) -> bool {
    value.first() == Some(&b'"')
}

fn is_text(value: &[u8]) -> bool {
    is_string(value) && value.len() > 2
}

fn is_object(value: &[u8]) -> bool {
    value.first() == Some(&b'{')
}

fn is_array(value: &[u8]) -> bool {
    value.first() == Some(&b'[')
}

fn is_list_of_strings(value: &[u8]) -> bool {
    #[derive(Default)]
    struct ListTally {
        values: usize,
        strings: usize,
    }
    impl Visitor for ListTally {
        fn value(&mut self, _from: usize) {
            self.values += 1;
        }
        fn string(&mut self, _from: usize, _to: usize, _plain: bool) {
            self.strings += 1;
        }
    }
    let mut tally = ListTally::default();
    // The array itself counts as a value.
    is_array(value) && json::parse(value, &mut tally).is_ok() && tally.values == tally.strings + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, lenient: bool) -> std::result::Result<(), String> {
        Envelope::of(text.as_bytes())
            .and_then(|envelope| envelope.check(lenient))
            .map_err(|error| error.message().to_owned())
    }

    fn event(kind: &str, payload: &str) -> String {
        let comma = if payload.is_empty() { "" } else { "," };
        format!(
            r#"{{"type":"{kind}","timestamp":"t","actor":{{"agent":"a","id":"b"}}{comma}{payload}}}"#
        )
    }

    #[test]
    fn type_timestamp_and_actor_must_be_there() {
        let actor = r#""actor":{"agent":"a","id":"b"}"#;
        for (text, fault) in [
            ("{}".to_owned(), "event needs a non-empty string type"),
            (r#"{"type":""}"#.to_owned(), "event needs a non-empty string type"),
            (r#"{"type":5}"#.to_owned(), "event needs a non-empty string type"),
            (r#"{"type":"X","type":null}"#.to_owned(), "event needs a non-empty string type"),
            (format!(r#"{{"type":"X",{actor}}}"#), "X event needs a non-empty string timestamp"),
            (
                format!(r#"{{"type":"X","timestamp":"",{actor}}}"#),
                "X event needs a non-empty string timestamp",
            ),
            (
                format!(r#"{{"type":"X","timestamp":1700000000000,{actor}}}"#),
                "X event needs a non-empty string timestamp",
            ),
            (r#"{"type":"X","timestamp":"t"}"#.to_owned(), "X event needs an object actor"),
            (
                r#"{"type":"X","timestamp":"t","actor":["agent","id"]}"#.to_owned(),
                "X event needs an object actor",
            ),
            (
                r#"{"type":"X","timestamp":"t","actor":{"id":"b"}}"#.to_owned(),
                "X event needs a non-empty string actor.agent",
            ),
            (
                r#"{"type":"X","timestamp":"t","actor":{"agent":"a","id":""}}"#.to_owned(),
                "X event needs a non-empty string actor.id",
            ),
            (
                r#"{"type":"X","timestamp":"t","actor":{"agent":"a","x":{"id":"b"}}}"#.to_owned(),
                "X event needs a non-empty string actor.id",
            ),
        ] {
            assert_eq!(check(&text, false), Err(fault.to_owned()), "{text}");
        }
        let unusual =
            r#"{"\u0074ype":"\u0058","timestamp":" ","actor":{"i\u0064":"b","agent":"a"}}"#;
        assert_eq!(check(unusual, false), Ok(()));
    }

    #[test]
    fn optional_fields_have_the_right_kind_where_they_are_there() {
        for (field, kind, good, bad) in [
            ("eventId", "a non-empty string", "\"x\"", ["\"\"", "5", "null"]),
            ("idempotencyKey", "a non-empty string", "\"x\"", ["\"\"", "{}", "null"]),
            ("planHash", "a string", "\"\"", ["5", "[\"x\"]", "null"]),
            ("graphCommit", "a string", "\"x\"", ["true", "{}", "null"]),
            ("prevEventId", "a string", "\"\"", ["1", "[]", "null"]),
            ("tags", "an array of strings", "[]", ["\"x\"", "[\"x\",5]", "null"]),
            ("tags", "an array of strings", "[\"x\",\"\"]", ["{}", "[[\"x\"]]", "[{\"x\":\"y\"}]"]),
        ] {
            for lenient in [false, true] {
                let given = |value: &str| event("X", &format!("\"{field}\":{value}"));
                assert_eq!(check(&given(good), lenient), Ok(()), "{field} {good}");
                for bad in bad {
                    let fault = format!("X event has a field {field} that is not {kind}");
                    assert_eq!(check(&given(bad), lenient), Err(fault), "{field} {bad}");
                }
            }
        }
    }

    #[test]
    fn the_known_types_need_their_payload() {
        for (kind, fields) in [
            ("PLAN_DRAFTED", &["planId", "summary"][..]),
            ("PLAN_APPROVED", &["planId", "reviewerId"]),
            ("PLAN_DENIED", &["planId", "reviewerId"]),
            ("ROGUE_EDIT_DETECTED", &["filePath", "hash"]),
            ("FILE_ADDED", &["filePath"]),
            ("FILE_REMOVED", &["filePath"]),
            ("FILE_RENAMED", &["oldPath", "newPath"]),
        ] {
            let payload = |value: &str| -> Vec<String> {
                let steps =
                    if kind == "PLAN_DRAFTED" { Some("\"steps\":[]".to_owned()) } else { None };
                fields.iter().map(|field| format!("\"{field}\":{value}")).chain(steps).collect()
            };
            let whole = payload("\"x\"");
            assert_eq!(check(&event(kind, &whole.join(",")), false), Ok(()));
            for (index, field) in fields.iter().enumerate() {
                let fault = format!("{kind} event needs a non-empty string {field}");
                for bad in ["\"\"", "5", "null"] {
                    let mut broken = whole.clone();
                    broken[index] = format!("\"{field}\":{bad}");
                    assert_eq!(check(&event(kind, &broken.join(",")), false), Err(fault.clone()));
                }
                let mut missing = whole.clone();
                missing.remove(index);
                assert_eq!(check(&event(kind, &missing.join(",")), false), Err(fault));
            }
            assert_eq!(check(&event(kind, ""), true), Ok(()));
        }
        let fault = Err("PLAN_DRAFTED event needs an array steps".to_owned());
        for steps in ["", ",\"steps\":{}", ",\"steps\":\"x\""] {
            let payload = format!("\"planId\":\"p\",\"summary\":\"s\"{steps}");
            assert_eq!(check(&event("PLAN_DRAFTED", &payload), false), fault);
        }
    }

    #[test]
    fn every_other_type_needs_no_payload() {
        for kind in [
            "BUILD",
            "DEPLOY",
            "FILE_SPLIT",
            "FILE_MERGED",
            "POSTMORTEM",
            "plan_drafted",
            "\u{1f600}",
        ] {
            assert_eq!(check(&event(kind, ""), false), Ok(()));
        }
    }

    #[test]
    fn a_lenient_event_needs_a_type_alone() {
        for text in [
            r#"{"type":"X"}"#,
            r#"{"type":"FILE_ADDED","timestamp":""}"#,
            r#"{"type":"X","timestamp":"t","actor":{}}"#,
        ] {
            assert_eq!(check(text, true), Ok(()), "{text}");
        }
        for (text, fault) in [
            (r#"{"timestamp":"t"}"#, "event needs a non-empty string type"),
            (r#"{"type":"X","timestamp":5}"#, "X event has a field timestamp that is not a string"),
            (r#"{"type":"X","actor":"me"}"#, "X event has a field actor that is not an object"),
        ] {
            assert_eq!(check(text, true), Err(fault.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_fault_names_no_more_than_the_beginning_of_a_long_type() {
        let fault = check(&format!(r#"{{"type":"{}"}}"#, "\u{e9}".repeat(5000)), false);
        assert_eq!(
            fault,
            Err(format!("{}… event needs a non-empty string timestamp", "\u{e9}".repeat(80)))
        );
    }
}
