//! The binding for Node.js: converts arguments, calls the core and converts results.
//!
//! This folder has no rule about events and never reads or writes a file itself. Results cross as
//! JSON texts (`outcome`). Asynchronous work goes through the port of a realm: a request has a
//! number, and settlements come back in bulk (`port`, `settlement_queue`, `wake`).

mod wake;
mod text;
mod memory;
mod options;
mod listing;
mod failure;
mod outcome;
mod settlement_queue;
mod follows;
mod port;
mod paging;
mod jobs;
mod reader;
mod session;
mod follower;
mod verifier;

use std::time::Duration;

use napi_derive::napi;

use self::text::lines;
use crate::error::{Error, Result};
use crate::event::{self, Event};
use crate::json::canonical::{self, Form};
use crate::writer::registry::Registry;

/// Appends events and waits for the outcome.
#[napi(catch_unwind)]
pub fn append_sync(path: String, events: String, options: Option<String>) -> String {
    port::append_now(&path, events, options.as_deref(), None)
}

/// The counters of the process.
#[napi(catch_unwind)]
pub fn stats() -> String {
    outcome::ok(&Registry::global().stats())
}

/// Waits for all pending appends of the process. False if some are pending after the timeout.
#[napi(catch_unwind)]
pub fn flush_sync(timeout_ms: f64) -> bool {
    let timeout = Duration::try_from_secs_f64(timeout_ms / 1000.0).unwrap_or(Duration::MAX);
    Registry::global().flush(timeout)
}

/// Checks a path.
#[napi(catch_unwind)]
pub fn validate_path(path: String, any_extension: bool) -> String {
    settle(options::check_path(&path, any_extension).map(|()| path))
}

/// The lines that an append would write.
#[napi(catch_unwind)]
pub fn check_events(events: String, options: Option<String>) -> String {
    let lines = || {
        let rules = options::AppendOptionsJson::parse(options.as_deref())?.into_core()?.rules;
        let line = |text: Vec<u8>| {
            let event = Event::made_of(text, &rules)?;
            Ok(String::from_utf8_lossy(event.line()).into_owned())
        };
        lines(events.as_bytes()).map(line).collect::<Result<Vec<String>>>()
    };
    settle(lines())
}

/// The ids that events get.
#[napi(catch_unwind)]
pub fn compute_ids(events: String) -> String {
    let id = |(index, text): (usize, Vec<u8>)| {
        let id = event::compute_id(&text).map_err(|error| error.with_index(index))?;
        Ok(String::from_utf8_lossy(&id).into_owned())
    };
    settle(lines(events.as_bytes()).enumerate().map(id).collect::<Result<Vec<String>>>())
}

/// The canonical forms of events without their ids: the input of the hashes.
#[napi(catch_unwind)]
pub fn canonical_forms(events: String) -> String {
    let form = |(index, text): (usize, Vec<u8>)| {
        let form = event::canonical_form(&text).map_err(|error| error.with_index(index))?;
        Ok(String::from_utf8_lossy(&form).into_owned())
    };
    settle(lines(events.as_bytes()).enumerate().map(form).collect::<Result<Vec<String>>>())
}

/// The canonical form whose hash is the event's own id.
#[napi(catch_unwind)]
pub fn verify_id(event: String) -> String {
    let word = |form| match form {
        Form::Jcs => "jcs",
        Form::Legacy => "legacy",
    };
    settle(event::verify_id(event.as_bytes()).map(|form| form.map(word)))
}

/// The canonical text of a JSON value.
#[napi(catch_unwind)]
pub fn canonical_text(json: String, legacy: bool) -> String {
    let form = if legacy { Form::Legacy } else { Form::Jcs };
    let text = canonical::canonicalize(json.as_bytes(), form, None)
        .map_err(|fault| Error::validation(format!("not a JSON text: {fault}")))
        .map(|text| String::from_utf8_lossy(&text).into_owned());
    settle(text)
}

/// Points in time as numbers that order them: for each JSON value its rank among the different
/// points, from 0. A value that is no point in time becomes null.
#[napi(catch_unwind)]
pub fn instants(values: String) -> String {
    settle(options::instants(&values))
}

/// The cursor of a record.
#[napi(catch_unwind)]
pub fn cursor_of(line: String, place: String) -> String {
    settle(options::Met::parse(&place).map(|met| met.cursor(line.as_bytes()).to_string()))
}

fn settle<T: serde::Serialize>(result: Result<T>) -> String {
    match result {
        Ok(value) => outcome::ok(&value),
        Err(error) => failure::error(&error),
    }
}
