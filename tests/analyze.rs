//! The analysis of a log: what is counted, and how.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;

use sage_chronicle::analyze::{Analysis, LinkIssue, Text, TimeRange};
use sage_chronicle::{ChroniclePath, analyze};

fn analysis_of(lines: &[&str]) -> Analysis {
    analysis_of_text(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

fn analysis_of_text(text: &str) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.sage");
    fs::write(&file, text).unwrap();
    analyze(&ChroniclePath::parse(file.to_str().unwrap()).unwrap()).unwrap()
}

fn counts(counts: &[(Text, u64)]) -> Vec<(&str, u64)> {
    counts.iter().map(|(name, count)| (std::str::from_utf8(name).unwrap(), *count)).collect()
}

fn range(range: &Option<TimeRange>) -> Option<(&str, &str)> {
    let text = |raw| std::str::from_utf8(raw).unwrap();
    range.as_ref().map(|range| (text(&range.start), text(&range.end)))
}

#[test]
fn records_are_counted_by_type_hour_and_actor_in_the_order_they_come_up() {
    let found = analysis_of(&[
        r#"{"type":"B","timestamp":"2026-01-02T04:30:00Z","actor":{"agent":"x","id":"1"}}"#,
        r#"{"type":"A","timestamp":"2026-01-02T04:10:00Z","actor":{"agent":"y","id":"1"}}"#,
        r#"{"type":"B","timestamp":"2026-01-02T05:00:00+01:00","actor":{"agent":"x","id":"1"}}"#,
    ]);
    assert_eq!(found.total_events, 3);
    assert_eq!(counts(&found.event_types), [("B", 2), ("A", 1)]);
    assert_eq!(counts(&found.events_by_hour), [("2026-01-02T04", 2), ("2026-01-02T05", 1)]);
    let (first, last) = ("\"2026-01-02T05:00:00+01:00\"", "\"2026-01-02T04:30:00Z\"");
    assert_eq!(range(&found.time_range), Some((first, last)));
    let actors: Vec<_> = found
        .actors
        .iter()
        .map(|(key, actor)| (&**key, &*actor.agent, actor.event_count, range(&actor.seen)))
        .collect();
    let middle = "\"2026-01-02T04:10:00Z\"";
    assert_eq!(
        actors,
        [
            (&b"x:1"[..], &b"x"[..], 2, Some((first, last))),
            (b"y:1", b"y", 1, Some((middle, middle)))
        ]
    );
}

#[test]
fn records_of_other_writers_break_nothing() {
    let found = analysis_of(&[
        r#"{"persona":"x","timestamp":1767225600000}"#,
        "{}",
        r#"{"type":5,"timestamp":true,"actor":"me","eventId":[],"prevEventId":"x"}"#,
        r#"{"type":"","timestamp":"soon","actor":{"agent":"a","id":7}}"#,
        r#"{"type":"__proto__","actor":{"agent":"__proto__","id":"\ud800"},"__proto__":1}"#,
        "5",
        "null",
        "",
        "no",
        "\0",
    ]);
    assert_eq!((found.total_events, found.corrupted_lines), (5, 4));
    assert_eq!(counts(&found.event_types), [("__proto__", 1)]);
    assert_eq!(counts(&found.events_by_hour), [("soon", 1)]);
    assert_eq!(range(&found.time_range), Some(("1767225600000", "1767225600000")));
    assert_eq!(found.actors.len(), 1);
    assert_eq!(&*found.actors[0].0, b"__proto__:\xed\xa0\x80");
    assert_eq!((found.chained_events, found.errors.len()), (0, 0));
}

#[test]
fn a_torn_tail_is_nothing_and_an_unterminated_record_counts() {
    assert_eq!(analysis_of_text("{}\n{\"torn\":").total_events, 1);
    assert_eq!(analysis_of_text("{}\n{\"torn\":").corrupted_lines, 0);
    assert_eq!(analysis_of_text("{}\n{\"a\":1}").total_events, 2);
    let empty = analysis_of_text("");
    assert_eq!((empty.total_events, empty.largest_event, empty.time_range), (0, None, None));
    assert_eq!(empty.warnings, ["the chronicle is empty"]);
}

#[test]
fn sizes_are_those_of_the_json_text_in_utf16_units() {
    // Units as JSON.stringify writes the records: {"a":"é😀
    // ","b":1} has 19, {"type":"X","b":2} 18, {"eventId":"x"} 15 and {"eventId":[1,2.5],"a":0} 25.
    let found = analysis_of(&[
        "{}",
        " { \"a\" : \"\\u00e9\\ud83d\\ude00\\n\" , \"b\" : 1.0 } \r",
        r#"{"type":"X","b":2}"#,
        r#"{"event\u0049d" : "\u0078"}"#,
        r#"{"eventId":[1, {}],"a":0,"eventId":[1, 2.50]}"#,
    ]);
    let largest = found.largest_event.unwrap();
    assert_eq!((largest.index, largest.size, &*largest.event_type), (4, 25, &b""[..]));
    assert_eq!(found.total_size, 2 + 19 + 18 + 15 + 25);
}

#[test]
fn copies_are_recognised_by_canonical_form_without_id() {
    let found = analysis_of(&[
        r#"{"a":1,"b":2,"eventId":"x"}"#,
        r#"{"b":2.0, "a":1}"#,
        r#"{"a":1,"b":2,"eventId":"y"}"#,
        r#"{"a":1,"b":3,"eventId":"x"}"#,
        r#"{"a":738529527931269425}"#,
        r#"{"a":738529527931269426}"#,
        r#"{"a":738529527931269400}"#,
        r#"{"a":1e400}"#,
        r#"{"a":null}"#,
    ]);
    assert_eq!(found.duplicate_events, 2);
    assert!(found.warnings[0].contains("2 events are copies"), "{:?}", found.warnings);
}

#[test]
fn links_lead_to_earlier_records() {
    let found = analysis_of(&[
        r#"{"eventId":"a"}"#,
        r#"{"eventId":"b","prevEventId":"a"}"#,
        r#"{"eventId":"c","prevEventId":"gone"}"#,
        r#"{"eventId":"d","prevEventId":"d"}"#,
        r#"{"eventId":"e","prevEventId":"f"}"#,
        r#"{"eventId":"f","prevEventId":"e"}"#,
        r#"{"eventId":"a","prevEventId":"a"}"#,
        r#"{"prevEventId":"gone"}"#,
        r#"{"eventId":"g","prevEventId":""}"#,
        r#"{"eventId":"h","prevEventId":"a"}"#,
    ]);
    let broken: Vec<_> = found
        .broken_links
        .iter()
        .map(|link| (link.index, std::str::from_utf8(&link.event_id).unwrap(), link.issue))
        .collect();
    use LinkIssue::{Circular, Fork, Later, Missing};
    assert_eq!(
        broken,
        [
            (2, "c", Missing),
            (3, "d", Circular),
            (4, "e", Later),
            (6, "a", Circular),
            (9, "h", Fork)
        ]
    );
    assert_eq!(found.chained_events, 7);
    assert_eq!(found.errors.len(), 1);
}

#[test]
fn what_may_be_wrong_is_warned_of() {
    let at = |n: u32, day: u32, actor: &str, pad: usize| {
        let pad = "x".repeat(pad);
        format!(
            r#"{{"type":"X","timestamp":"2026-01-{day:02}T00:00:00Z","actor":{{"agent":"a","id":"{actor}"}},"n":{n},"pad":"{pad}"}}"#
        )
    };
    let warnings = |lines: Vec<String>| {
        analysis_of(&lines.iter().map(String::as_str).collect::<Vec<_>>()).warnings
    };
    let few = (0..9).map(|n| at(n, 1 + n / 8, "same", 0)).collect();
    assert_eq!(warnings(few), Vec::<String>::new());
    let few: Vec<String> = (0..9).map(|n| at(n, 1 + n / 4, "same", 0)).collect();
    assert!(warnings(few)[0].contains("only 9 events in 48 hours"));
    let enough = (0..10).map(|n| at(n, 1 + n, "same", 0)).collect();
    assert_eq!(warnings(enough), Vec::<String>::new());
    let large = vec![at(0, 1, "same", 10_000), at(1, 1, "same", 0)];
    assert!(warnings(large)[0].contains("event 0 is large"));
    let actors = |single: u32| -> Vec<String> {
        (0..10)
            .map(|n| at(n, 1, &if n < single { n.to_string() } else { "same".into() }, 0))
            .collect()
    };
    assert_eq!(warnings(actors(8)), Vec::<String>::new());
    assert!(warnings(actors(9))[0].contains("single event"));
}

#[test]
fn a_log_of_many_pages_is_counted_whole() {
    let line = format!("{{\"type\":\"X\",\"pad\":\"{}\"}}\n", "x".repeat(1000));
    let long = format!("\"{}\"\n", "y".repeat(65 << 20));
    let found = analysis_of_text(&(line.repeat(3000) + &long + &line.repeat(2000)));
    assert_eq!(
        (found.total_events, found.corrupted_lines, found.duplicate_events),
        (5000, 1, 4999)
    );
    assert_eq!(found.total_size, 5000 * (line.len() as u64 - 1));
}
