//! Texts and numbers of callers that name places. A cursor is read only as it was written. A
//! timestamp never panics. Any selection of any file is a part of a plain read of the file.
#![no_main]

use std::path::Path;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sage_chronicle::internals::classify::{Tail, Verdict, classify, classify_tail, complete_lines};
use sage_chronicle::internals::storage::MemoryDisk;
use sage_chronicle::{
    ChroniclePath, Code, Cursor, Filter, Place, Reader, Selection, Timestamp, Wanted,
};

#[derive(Debug, Arbitrary)]
struct Input {
    file: Vec<u8>,
    from: Where,
    to: Option<Where>,
    kind: Option<Vec<u8>>,
    since: Option<Vec<u8>>,
    reverse: bool,
    skip: u8,
    limit: Option<u8>,
    numbered: bool,
    cursor: String,
}

#[derive(Debug, Arbitrary)]
enum Where {
    Start,
    End,
    Seq(u16),
    Offset(u16),
    EventId(Vec<u8>),
    Time(Vec<u8>),
}

impl Where {
    fn place(&self) -> Option<Place> {
        Some(match self {
            Where::Start => Place::Start,
            Where::End => Place::End,
            Where::Seq(seq) => Place::Seq(u64::from(*seq)),
            Where::Offset(offset) => Place::Offset(u64::from(*offset)),
            Where::EventId(id) => Place::EventId(id.clone()),
            Where::Time(text) => Place::Time(Timestamp::of_text(text)?),
        })
    }
}

fuzz_target!(|input: Input| {
    if let Ok(cursor) = input.cursor.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse::<Cursor>().ok(), Some(cursor));
    }
    let _ = Timestamp::of_json(input.cursor.as_bytes());
    let Some(from) = input.from.place() else { return };
    let to = match &input.to {
        Some(to) => match to.place() {
            Some(to) => Some(to),
            None => return,
        },
        None => None,
    };
    let wanted = Wanted {
        types: input.kind.clone().into_iter().collect(),
        since: input.since.as_deref().and_then(Timestamp::of_text),
        ..Wanted::default()
    };
    let is_plain = matches!(from, Place::Start)
        && to.is_none()
        && input.kind.is_none()
        && wanted.since.is_none();
    let selection = Selection {
        from,
        to,
        filter: Filter::new(wanted),
        reverse: input.reverse,
        skip: u64::from(input.skip),
        limit: input.limit.map(u64::from),
        numbered: input.numbered,
        ..Selection::default()
    };
    let Some(read) = read(&input.file, &selection) else { return };
    let mut all: Vec<(u64, &[u8])> = Vec::new();
    let behind = complete_lines(&input.file, |start, line| {
        if let Verdict::Record(_) = classify(line) {
            all.push((start as u64, line));
        }
    });
    if let Tail::Record(_) = classify_tail(&input.file[behind..]) {
        all.push((behind as u64, &input.file[behind..]));
    }
    if input.reverse {
        all.reverse();
    }
    // In order, each once, each a record of the file.
    let mut rest = all.iter();
    for (seq, offset, length) in &read {
        let met = rest.find(|(start, line)| start == offset && line.len() as u64 == *length);
        assert!(met.is_some(), "there is no such record at {offset}");
        if input.numbered {
            let before = all.iter().filter(|(start, _)| start < offset).count() as u64;
            assert_eq!(*seq, before + 1);
        }
    }
    if is_plain {
        let most = usize::from(input.limit.unwrap_or(u8::MAX));
        let expected = all.iter().skip(usize::from(input.skip));
        let expected = expected.take(if input.limit.is_some() { most } else { usize::MAX });
        assert_eq!(read.len(), expected.count());
    }
});

/// Number, offset and length of each record; `None` if the selection is refused.
fn read(file: &[u8], selection: &Selection) -> Option<Vec<(u64, u64, u64)>> {
    let path = ChroniclePath::parse("/log.sage").expect("a path");
    let disk = MemoryDisk::default();
    disk.put(Path::new("/log.sage"), file);
    let mut reader = Reader::select(&disk, &path, selection).ok()?;
    let mut read = Vec::new();
    loop {
        let slice = match reader.next_page(&path) {
            Ok(slice) => slice,
            Err(error) => {
                // The only possible fault is that no record has the id.
                assert_eq!(error.code(), Code::Validation, "{error}");
                let places = [Some(&selection.from), selection.to.as_ref()];
                assert!(places.iter().flatten().any(|place| matches!(place, Place::EventId(_))));
                return None;
            }
        };
        read.extend(slice.places.iter().map(|place| (place.seq, place.offset, place.length)));
        if slice.done {
            return Some(read);
        }
    }
}
