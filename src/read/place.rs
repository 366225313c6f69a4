//! Places where a read begins and ends: as callers name them, and as offsets of a file.

use std::io;
use std::path::Path;

use memchr::memchr;

use crate::error::{Code, Error, Result};
use crate::event::timestamp::Timestamp;
use crate::read::cursor::{self, Counted, Cursor, Of};
use crate::read::filter::{Filter, Wanted};
use crate::record::classify::MAX_LINE_BYTES;
use crate::storage::{Stat, Storage, read_exact_at};

/// A place in a log.
#[derive(Debug, Clone, Default)]
pub enum Place {
    /// Its first byte.
    #[default]
    Start,
    /// The end of the log when the read began.
    End,
    /// Before the record with this number, from 1.
    Seq(u64),
    /// Before the first line that begins at this byte or later.
    Offset(u64),
    /// Before the first record with this `eventId`.
    EventId(Vec<u8>),
    /// Before the first record whose timestamp is this or later.
    Time(Timestamp),
    /// Where another read ended.
    Cursor(Cursor),
}

/// A place, as far as it is known without a scan of everything in front of it.
pub(crate) enum ResolvedPlace {
    /// At this offset. `counted` are the records and lines in front of it, if they are known.
    At { offset: u64, counted: Option<Counted> },
    /// Before the first record for which the condition holds.
    StartCondition(StartCondition),
}

/// The condition that the first record behind a place fulfils.
pub(crate) enum StartCondition {
    Seq(u64),
    /// A condition on the offset of a line, not on a record.
    Offset(u64),
    First(Box<Filter>, SearchKey),
}

/// The member that a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SearchKey {
    EventId,
    Time,
}

impl StartCondition {
    /// Whether the record with number `seq` is the first behind the place.
    pub(crate) fn is_at(&self, line: &[u8], seq: u64) -> bool {
        match self {
            StartCondition::Seq(wanted) => seq >= *wanted,
            StartCondition::Offset(_) => false,
            StartCondition::First(filter, _) => filter.may_want(line) && filter.classify(line).1,
        }
    }

    /// Whether the line may be that record.
    pub(crate) fn may_be_at(&self, line: &[u8]) -> bool {
        match self {
            StartCondition::Seq(_) | StartCondition::Offset(_) => true,
            StartCondition::First(filter, _) => filter.may_want(line),
        }
    }

    /// Whether a line that begins at `offset` is behind the place, whatever its content.
    pub(crate) fn is_before(&self, offset: u64) -> bool {
        matches!(self, StartCondition::Offset(place) if *place <= offset)
    }

    /// Whether the condition names an event id.
    pub(crate) fn names_an_id(&self) -> bool {
        matches!(self, StartCondition::First(_, SearchKey::EventId))
    }

    /// Whether the condition needs the numbers of records.
    pub(crate) fn counts(&self) -> bool {
        matches!(self, StartCondition::Seq(_) | StartCondition::Offset(_))
    }
}

impl Place {
    /// Finds the place in an open file of `stat.length` bytes.
    ///
    /// # Errors
    /// `ECONFLICT` for a cursor of another file, `EIO`.
    pub(crate) fn resolve(
        &self,
        storage: &dyn Storage,
        stat: &Stat,
        path: &Path,
    ) -> Result<ResolvedPlace> {
        let cannot_read = |error| {
            Error::io(format!("cannot read {}", path.display()), "pread", error).with_path(path)
        };
        let at = |offset| ResolvedPlace::At { offset, counted: None };
        Ok(match self {
            Place::Start | Place::Offset(0) => {
                ResolvedPlace::At { offset: 0, counted: Some(Counted::default()) }
            }
            Place::End => at(stat.length),
            Place::Offset(offset) => {
                at(line_start(storage, *offset, stat.length).map_err(cannot_read)?)
            }
            Place::Seq(seq) => ResolvedPlace::StartCondition(StartCondition::Seq(*seq)),
            Place::EventId(id) => {
                let wanted = Wanted { event_id: Some(id.clone()), ..Wanted::default() };
                ResolvedPlace::StartCondition(StartCondition::First(
                    Box::new(Filter::new(wanted)),
                    SearchKey::EventId,
                ))
            }
            Place::Time(time) => {
                let wanted = Wanted { since: Some(*time), ..Wanted::default() };
                ResolvedPlace::StartCondition(StartCondition::First(
                    Box::new(Filter::new(wanted)),
                    SearchKey::Time,
                ))
            }
            Place::Cursor(cursor) => match place_of(cursor, storage, stat).map_err(cannot_read)? {
                Some(bound) => bound,
                None => return Err(gone(path)),
            },
        })
    }

    /// Finds the place in a log that does not exist.
    ///
    /// # Errors
    /// `ECONFLICT` for a cursor.
    pub(crate) fn resolve_nowhere(&self, path: &Path) -> Result<()> {
        match self {
            Place::Cursor(cursor) if *cursor != Cursor::NOWHERE => Err(gone(path)),
            _ => Ok(()),
        }
    }
}

/// The error for an event id to begin at that no record has.
pub(crate) fn unknown_id(path: &Path) -> Error {
    Error::validation(format!(
        "no event that is read has the eventId to begin at: {}",
        path.display()
    ))
    .with_path(path)
}

fn gone(path: &Path) -> Error {
    let message = format!("the file that the cursor belongs to is no longer {}", path.display());
    Error::new(Code::Conflict, message).with_path(path)
}

/// Finds the place of a cursor in this file. `None` for another file, or if the cursor's bytes are
/// not in it.
pub(crate) fn place_of(
    cursor: &Cursor,
    storage: &dyn Storage,
    stat: &Stat,
) -> io::Result<Option<ResolvedPlace>> {
    let Cursor { offset, length, hash, of, counted, .. } = *cursor;
    if *cursor == Cursor::NOWHERE {
        return Ok(Some(ResolvedPlace::At { offset: 0, counted }));
    }
    let end = offset.saturating_add(length);
    if !cursor.may_be_in(stat) || end > stat.length || length > MAX_LINE_BYTES as u64 {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    match read_exact_at(storage, &mut bytes, offset) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    if cursor::hash(&bytes) != hash {
        return Ok(None);
    }
    let counted = match of {
        Of::RecordBehind => {
            let before = |Counted { records, lines }| {
                Some(Counted { records: records.checked_sub(1)?, lines: lines.checked_sub(1)? })
            };
            return Ok(Some(ResolvedPlace::At { offset, counted: counted.and_then(before) }));
        }
        Of::Bytes => return Ok(Some(ResolvedPlace::At { offset: end, counted })),
        Of::RecordBefore => counted,
    };
    // The record may have been the last line of the file, then without its newline.
    let mut next = [0];
    match storage.read_at(&mut next, end)? {
        0 => Ok(Some(ResolvedPlace::At { offset: end, counted })),
        _ if next == [b'\n'] => Ok(Some(ResolvedPlace::At { offset: end + 1, counted })),
        _ => Ok(None),
    }
}

/// The first byte at or behind `offset` where a line begins, or `end`.
fn line_start(storage: &dyn Storage, offset: u64, end: u64) -> io::Result<u64> {
    let mut at = offset - 1;
    let mut buffer = vec![0; 64 * 1024];
    while at < end {
        let count = storage.read_at(&mut buffer, at)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        if let Some(newline) = memchr(b'\n', bytes) {
            return Ok((at + newline as u64 + 1).min(end));
        }
        at += count as u64;
    }
    Ok(end)
}
