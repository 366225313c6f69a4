//! Every way to select records, against the plain reading of the whole file.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Write;

use proptest::prelude::*;
use sage_chronicle::cursor::{Cursor, Step};
use sage_chronicle::internals::storage::{FileDisk, Stat};
use sage_chronicle::page::RecordPlace;
use sage_chronicle::{ChroniclePath, Code, Filter, Place, Reader, Selection, Timestamp, Wanted};

const HOURS: u64 = 20;

/// A line of a log, perhaps not of this library.
#[derive(Debug, Clone)]
enum Kind {
    Record { kind: u8, hour: u64 },
    Bad,
    Blank,
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let record = (0..3_u8, 0..HOURS).prop_map(|(kind, hour)| Kind::Record { kind, hour });
    let kind = prop_oneof![8 => record, 1 => Just(Kind::Bad), 1 => Just(Kind::Blank)];
    prop::collection::vec(kind, 0..30)
}

fn text_of(kinds: &[Kind], is_ended: bool) -> String {
    let mut text = String::new();
    for (at, kind) in kinds.iter().enumerate() {
        match kind {
            Kind::Record { kind, hour } => writeln!(
                text,
                r#"{{"type":"T{kind}","timestamp":"2026-01-01T{hour:02}:00:00Z","eventId":"id{at}"}}"#
            ),
            Kind::Bad => writeln!(text, r#"{{"type":"T1","timestamp":"2026-"#),
            Kind::Blank => writeln!(text, "  "),
        }
        .unwrap();
    }
    if !is_ended {
        text.pop();
    }
    text
}

/// The result of a read: texts and positions of the records, and the numbers of bad lines.
#[derive(Debug, PartialEq, Default)]
struct Given {
    records: Vec<(String, RecordPlace)>,
    bad: Vec<u64>,
}

fn read(path: &ChroniclePath, selection: &Selection) -> Result<(Given, Option<Stat>), Code> {
    let mut reader = Reader::select(&FileDisk, path, selection).map_err(|error| error.code())?;
    let mut given = Given::default();
    let stat = reader.stat().copied();
    loop {
        let slice = reader.next_page(path).map_err(|error| error.code())?;
        let mut at = 1;
        for place in &slice.places {
            let end = at + usize::try_from(place.length).unwrap();
            let line = String::from_utf8(slice.json[at..end].to_vec()).unwrap();
            given.records.push((line, *place));
            at = end + 1;
        }
        given.bad.extend(slice.bad.iter().map(|bad| bad.line));
        if slice.done {
            return Ok((given, stat));
        }
    }
}

fn hour(hour: u64) -> Timestamp {
    Timestamp::of_text(format!("2026-01-01T{hour:02}:00:00Z").as_bytes()).unwrap()
}

fn places() -> impl Strategy<Value = (u8, u64)> {
    (0..6_u8, 0..32_u64)
}

/// A place, and the index of the first record behind it; `None` when its id is unknown.
fn place(
    (way, number): (u8, u64),
    all: &[(String, RecordPlace)],
    length: u64,
) -> (Place, Option<usize>) {
    let first = |holds: &dyn Fn(&(String, RecordPlace)) -> bool| {
        Some(all.iter().position(holds).unwrap_or(all.len()))
    };
    match way {
        0 => (Place::Start, Some(0)),
        1 => (Place::End, Some(all.len())),
        2 => (Place::Seq(number + 1), first(&|(_, place)| place.seq > number)),
        3 => {
            let offset = number * 40;
            let index = first(&|(_, place)| place.offset >= offset);
            (Place::Offset(offset), if offset > length { Some(all.len()) } else { index })
        }
        4 => {
            let id = format!("id{number}");
            let named = format!(r#""eventId":"{id}""#);
            let index = all.iter().position(|(line, _)| line.contains(&named));
            (Place::EventId(id.into_bytes()), index)
        }
        _ => {
            let time = number % HOURS;
            let is_later = |(line, _): &(String, RecordPlace)| {
                let at = line.find("01-01T").unwrap() + 6;
                line[at..at + 2].parse::<u64>().unwrap() >= time
            };
            (Place::Time(hour(time)), first(&is_later))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_selection_gives_what_picking_from_the_whole_gives(
        kinds in kinds(),
        is_ended in any::<bool>(),
        from in places(),
        to in prop::option::of(places()),
        types in prop::collection::vec(0..4_u8, 0..3),
        times in (prop::option::of(0..HOURS), prop::option::of(0..HOURS)),
        reverse in any::<bool>(),
        skip in 0..3_u64,
        limit in prop::option::of(0..5_u64),
        numbered in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log.sage");
        let text = text_of(&kinds, is_ended);
        std::fs::write(&file, &text).unwrap();
        let path = ChroniclePath::parse(file.to_str().unwrap()).unwrap();
        let (whole, _) = read(&path, &Selection { numbered: true, ..Selection::default() }).unwrap();
        let all = &whole.records;

        let length = text.len() as u64;
        let (from, first) = place(from, all, length);
        let wanted = Wanted {
            types: types.iter().map(|kind| format!("T{kind}").into_bytes()).collect(),
            since: times.0.map(hour),
            until: times.1.map(hour),
            ..Wanted::default()
        };
        let selection = Selection {
            from,
            to: to.map(|to| place(to, all, length).0),
            filter: Filter::new(wanted),
            reverse,
            skip,
            limit,
            numbered,
            all_bad_lines: numbered,
            count_only: false,
        };
        let given = read(&path, &selection);
        let Some(first) = first else {
            if limit != Some(0) {
                prop_assert_eq!(given.map(|_| ()), Err(Code::Validation));
            }
            return Ok(());
        };
        // The end is searched behind the beginning.
        let last = match to {
            None => all.len(),
            Some((way, number)) => {
                let (_, index) = place((way, number), &all[first..], length);
                first + index.unwrap_or(all.len() - first)
            }
        };
        let is_wanted = |(line, _): &&(String, RecordPlace)| {
            let at = line.find("01-01T").unwrap() + 6;
            let time = line[at..at + 2].parse::<u64>().unwrap();
            (types.is_empty() || types.iter().any(|kind| line.contains(&format!(r#""T{kind}""#))))
                && times.0.is_none_or(|since| since <= time)
                && times.1.is_none_or(|until| time <= until)
        };
        let last = last.max(first);
        let mut expected: Vec<_> = all[first..last].iter().filter(is_wanted).cloned().collect();
        if reverse {
            expected.reverse();
        }
        let expected: Vec<_> = expected
            .into_iter()
            .skip(usize::try_from(skip).unwrap())
            .take(usize::try_from(limit.unwrap_or(u64::MAX)).unwrap())
            .collect();
        if matches!(selection.from, Place::EventId(_)) && last <= first {
            // No record before the end has the id to begin at.
            prop_assert!(given.map_or_else(|code| code == Code::Validation, |(given, _)| given.records.is_empty()));
            return Ok(());
        }
        let (given, _) = given.unwrap();
        if numbered {
            prop_assert_eq!(&given.records, &expected);
        } else {
            let offsets = |records: &[(String, RecordPlace)]| {
                records.iter().map(|(line, place)| (line.clone(), place.offset)).collect::<Vec<_>>()
            };
            prop_assert_eq!(offsets(&given.records), offsets(&expected));
        }
    }

    #[test]
    fn a_read_goes_on_behind_every_record_by_its_cursor_in_either_direction(
        kinds in kinds(),
        is_ended in any::<bool>(),
        reverse in any::<bool>(),
        at in any::<prop::sample::Index>(),
        more in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log.sage");
        std::fs::write(&file, text_of(&kinds, is_ended)).unwrap();
        let path = ChroniclePath::parse(file.to_str().unwrap()).unwrap();
        let all = Selection { numbered: true, reverse, ..Selection::default() };
        let (given, stat) = read(&path, &all).unwrap();
        prop_assume!(!given.records.is_empty());
        let at = at.index(given.records.len());
        let (line, place) = &given.records[at];
        let step = Step { reverse, is_counted: true };
        let cursor = Cursor::of_record(&stat.unwrap(), place, line.as_bytes(), step);
        let cursor: Cursor = cursor.to_string().parse().unwrap();
        let mut expected = given.records[at + 1..].to_vec();
        if more && !reverse {
            let mut text = std::fs::read_to_string(&file).unwrap();
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str("{\"new\":1}\n");
            std::fs::write(&file, text).unwrap();
            let (whole, _) = read(&path, &all).unwrap();
            expected.push(whole.records.last().unwrap().clone());
        }
        let rest = if reverse {
            Selection { to: Some(Place::Cursor(cursor)), ..all }
        } else {
            Selection { from: Place::Cursor(cursor), ..all }
        };
        let (given, _) = read(&path, &rest).unwrap();
        prop_assert_eq!(given.records, expected);
    }
}

#[test]
fn a_cursor_of_another_file_or_of_bytes_that_changed_is_a_conflict() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.sage");
    let path = ChroniclePath::parse(file.to_str().unwrap()).unwrap();
    let lines = "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n";
    std::fs::write(&file, lines).unwrap();
    let (given, stat) = read(&path, &Selection::default()).unwrap();
    let (line, place) = &given.records[1];
    let step = Step { reverse: false, is_counted: true };
    let cursor = Cursor::of_record(&stat.unwrap(), place, line.as_bytes(), step);
    let rest = Selection { from: Place::Cursor(cursor), ..Selection::default() };
    assert_eq!(read(&path, &rest).unwrap().0.records[0].0, "{\"n\":3}");

    std::fs::write(&file, lines.replace('2', "5")).unwrap();
    assert_eq!(read(&path, &rest).unwrap_err(), Code::Conflict);
    std::fs::write(&file, "{\"n\":1}\n{\"n\":2}").unwrap();
    assert!(read(&path, &rest).unwrap().0.records.is_empty());
    std::fs::write(&file, "{\"n\":1}\n{\"n\":2} 3\n").unwrap();
    assert_eq!(read(&path, &rest).unwrap_err(), Code::Conflict);
    std::fs::write(&file, lines).unwrap();
    std::fs::rename(&file, folder.path().join("old.sage")).unwrap();
    assert_eq!(read(&path, &rest).unwrap_err(), Code::Conflict);
    std::fs::write(&file, lines).unwrap();
    assert_eq!(read(&path, &rest).unwrap_err(), Code::Conflict);
}

#[test]
fn an_end_named_by_number_is_the_same_wherever_the_read_begins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.sage");
    let path = ChroniclePath::parse(file.to_str().unwrap()).unwrap();
    std::fs::write(&file, (0..10).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>()).unwrap();
    let between = |from| Selection { from, to: Some(Place::Seq(6)), ..Selection::default() };
    let numbers = |selection: &Selection| {
        let (given, stat) = read(&path, selection).unwrap();
        (
            given.records.iter().map(|(line, _)| line[5..6].to_owned()).collect::<String>(),
            given,
            stat,
        )
    };
    assert_eq!(numbers(&between(Place::Offset(24))).0, "34");
    let (_, given, stat) = numbers(&Selection::default());
    let (line, place) = &given.records[2];
    let step = Step { reverse: false, is_counted: false };
    let cursor = Cursor::of_record(&stat.unwrap(), place, line.as_bytes(), step);
    assert_eq!(numbers(&between(Place::Cursor(cursor))).0, "34");
}

#[test]
fn a_file_that_is_missing_lacks_only_an_id_to_begin_at() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.sage");
    let path = ChroniclePath::parse(file.to_str().unwrap()).unwrap();
    let id = || Place::EventId(b"a".into());
    let to = Selection { to: Some(id()), ..Selection::default() };
    assert_eq!(read(&path, &to).unwrap().0, Given::default());
    let from = Selection { from: id(), ..Selection::default() };
    assert_eq!(read(&path, &from).unwrap_err(), Code::Validation);
}

#[test]
fn a_cursor_with_numbers_that_no_file_has_is_none() {
    let stat = Stat { device: 1, inode: 1, length: 2, links: 1, born: None };
    let step = Step { reverse: false, is_counted: true };
    let right = RecordPlace { seq: 1, line: 1, offset: 0, length: 2 };
    for place in [
        RecordPlace { seq: u64::MAX, ..right },
        RecordPlace { line: u64::MAX, ..right },
        RecordPlace { offset: u64::MAX, ..right },
        RecordPlace { length: u64::MAX, ..right },
    ] {
        let text = Cursor::of_record(&stat, &place, b"{}", step).to_string();
        assert_eq!(text.parse::<Cursor>().unwrap_err().code(), Code::Validation, "{text}");
    }
}

#[test]
fn bad_lines_are_returned_some_at_a_time_however_many_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.sage");
    let path = ChroniclePath::parse(file.to_str().unwrap()).unwrap();
    let many = 1_000_000;
    std::fs::write(&file, "x\n".repeat(many)).unwrap();
    for reverse in [false, true] {
        let selection = Selection { reverse, ..Selection::default() };
        let mut reader = Reader::select(&FileDisk, &path, &selection).unwrap();
        let mut told = 0;
        loop {
            let slice = reader.next_page(&path).unwrap();
            assert!(slice.bad.len() < 200_000, "{} at a time", slice.bad.len());
            told += slice.bad.len();
            if slice.done {
                break;
            }
        }
        assert_eq!(told, many);
    }
}
