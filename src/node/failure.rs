//! Errors as JSON texts, and the texts around a value or an error.

use serde::Serialize;

use crate::error::{ActualTail, Cause, Error, Written};
use crate::json::escape::escape_into;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorJson<'a> {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder_pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<FailureCause<'a>>,
}

#[derive(Serialize)]
struct FailureCause<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<i32>,
    syscall: &'a str,
    message: String,
}

/// `{"error":..}`
pub(super) fn error(error: &Error) -> String {
    let position = error.position();
    let failure = ErrorJson {
        code: error.code().as_str(),
        message: error.to_string(),
        path: error.path().map(|path| path.to_string_lossy().into_owned()),
        written: error.written().map(Written::as_str),
        waited_ms: error.waited().map(|waited| waited.as_millis()),
        holder_pid: error.holder_pid(),
        index: error.index(),
        line: position.map(|position| position.line),
        offset: position.map(|position| position.offset),
        cause: error.cause().map(cause),
    };
    let mut text = json(&failure);
    if let Some(tail) = error.actual_tail() {
        text.pop();
        text.push_str(&tail_json(tail));
    }
    wrap("error", &text)
}

/// Further members of the object and its end. By hand, because an id may have lone surrogates.
fn tail_json(tail: &ActualTail) -> String {
    let ActualTail { id, seq } = tail;
    let mut out = Vec::new();
    match id {
        Some(id) => {
            out.extend_from_slice(b",\"actualTail\":");
            escape_into(id, &mut out);
        }
        None if *seq == 0 => out.extend_from_slice(b",\"actualTail\":null"),
        None => {}
    }
    out.extend_from_slice(format!(",\"seq\":{seq}}}").as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

fn cause(cause: &Cause) -> FailureCause<'_> {
    FailureCause {
        code: cause.code(),
        errno: cause.error.raw_os_error(),
        syscall: cause.operation,
        message: cause.error.to_string(),
    }
}

pub(super) fn json(value: &impl Serialize) -> String {
    // These types have string keys and no failing parts.
    serde_json::to_string(value).unwrap_or_else(|_| "null".into())
}

pub(super) fn wrap(name: &str, json: &str) -> String {
    format!("{{\"{name}\":{json}}}")
}
