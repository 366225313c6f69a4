//! A place in a log, as a text with which another process continues a read.

use std::fmt;
use std::str::FromStr;

use siphasher::sip128::SipHasher13;

use crate::error::Error;
use crate::json::excerpt::excerpt;
use crate::read::page::RecordPlace;
use crate::storage::Stat;

/// A place in a file, identified by bytes of the file.
///
/// The bytes are those of a record. Where no record was read yet, they are the bytes in front of
/// the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Device and inode number of the file. Inode numbers are reused, so the hash of the bytes
    /// decides.
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Birth time of the file, where the system reports one.
    pub(crate) born: Option<u64>,
    /// Offset of the first of the bytes.
    pub(crate) offset: u64,
    /// Number of the bytes.
    pub(crate) length: u64,
    /// Hash of the bytes.
    pub(crate) hash: u128,
    /// The kind of the bytes.
    pub(crate) of: Of,
    /// Records and lines up to the end of the bytes, if they were counted.
    pub(crate) counted: Option<Counted>,
}

/// The kind of the bytes of a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// The record in front of the place.
    RecordBefore,
    /// The record behind the place. A backward read continues in front of the record.
    RecordBehind,
    /// Any bytes in front of the place, perhaps none.
    Bytes,
}

/// Numbers of records and lines in front of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counted {
    pub(crate) records: u64,
    pub(crate) lines: u64,
}

/// Bytes that identify a place at which no record was read, at most.
pub(crate) const PROOF: u64 = 256;

impl Cursor {
    /// The start of a file that does not exist yet.
    pub(crate) const NOWHERE: Cursor = Cursor {
        device: 0,
        inode: 0,
        born: None,
        offset: 0,
        length: 0,
        hash: 0,
        of: Of::Bytes,
        counted: Some(Counted { records: 0, lines: 0 }),
    };

    /// The place behind a record, or in front of the record for a backward read.
    pub fn of_record(stat: &Stat, place: &RecordPlace, line: &[u8], by: Step) -> Cursor {
        let of = if by.reverse { Of::RecordBehind } else { Of::RecordBefore };
        let counted = Counted { records: place.seq, lines: place.line };
        Cursor {
            device: stat.device,
            inode: stat.inode,
            born: stat.born,
            offset: place.offset,
            length: place.length,
            hash: hash(line),
            of,
            counted: by.is_counted.then_some(counted),
        }
    }

    /// Whether this may be the cursor's file. A mount can change the number of a device, so that
    /// number counts only where a birth time is unknown.
    pub(crate) fn may_be_in(&self, stat: &Stat) -> bool {
        let is_file = match (self.born, stat.born) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.device == stat.device,
        };
        is_file && self.inode == stat.inode
    }
}

/// A place in a file without a record that identifies it.
pub(crate) fn place_in(stat: &Stat, offset: u64) -> Cursor {
    Cursor {
        device: stat.device,
        inode: stat.inode,
        born: stat.born,
        offset,
        length: 0,
        hash: hash(b""),
        of: Of::Bytes,
        counted: None,
    }
}

/// How the read reached a record.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The read goes backwards.
    pub reverse: bool,
    /// The numbers of the record count from the start of the file.
    pub is_counted: bool,
}

/// The hash of the bytes of a cursor. The key is fixed, because other processes must compute the
/// same hash.
pub(crate) fn hash(bytes: &[u8]) -> u128 {
    SipHasher13::new().hash(bytes).as_u128()
}

/// A cursor's text starts with its version and ends with a checksum. The second version has the
/// birth time of the file.
const VERSION: &str = "c1";
const VERSION_WITH_BIRTH: &str = "c2";

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cursor { device, inode, born, offset, length, hash: proof, of, counted } = self;
        let file = match born {
            None => format!("{VERSION}-{device:x}-{inode:x}"),
            Some(born) => format!("{VERSION_WITH_BIRTH}-{device:x}-{inode:x}-{born:x}"),
        };
        let of = match of {
            Of::RecordBefore => 'a',
            Of::RecordBehind => 'b',
            Of::Bytes => 'p',
        };
        let counted = counted.map_or_else(String::new, |Counted { records, lines }| {
            format!("{records:x}.{lines:x}")
        });
        let body = format!("{file}-{offset:x}-{length:x}-{proof:x}-{of}-{counted}");
        write!(f, "{body}-{:x}", check(&body))
    }
}

impl FromStr for Cursor {
    type Err = Error;

    /// # Errors
    /// `EVALIDATION` for a text that is not a [`Cursor`].
    fn from_str(text: &str) -> Result<Cursor, Error> {
        read(text).ok_or_else(|| {
            let start = excerpt(text.as_bytes());
            Error::validation(format!("not a cursor of this version: {start}"))
        })
    }
}

fn read(text: &str) -> Option<Cursor> {
    let (body, sum) = text.rsplit_once('-')?;
    if number(sum)? != u64::from(check(body)) {
        return None;
    }
    let mut parts = body.split('-');
    let has_birth = match parts.next()? {
        VERSION => false,
        VERSION_WITH_BIRTH => true,
        _ => return None,
    };
    let device = number(parts.next()?)?;
    let inode = number(parts.next()?)?;
    let born = if has_birth { Some(number(parts.next()?)?) } else { None };
    let offset = amount(parts.next()?)?;
    let length = amount(parts.next()?)?;
    let hash = u128::from_str_radix(parts.next()?, 16).ok()?;
    let of = match parts.next()? {
        "a" => Of::RecordBefore,
        "b" => Of::RecordBehind,
        "p" => Of::Bytes,
        _ => return None,
    };
    let counted = match parts.next()?.split_once('.') {
        None => None,
        Some((records, lines)) => {
            Some(Counted { records: amount(records)?, lines: amount(lines)? })
        }
    };
    let cursor = Cursor { device, inode, born, offset, length, hash, of, counted };
    parts.next().is_none().then_some(cursor)
}

fn number(hex: &str) -> Option<u64> {
    u64::from_str_radix(hex, 16).ok()
}

/// A number of bytes, lines or records. Numbers beyond JavaScript's safe integers are refused, so
/// that sums do not overflow.
fn amount(hex: &str) -> Option<u64> {
    number(hex).filter(|amount| *amount < 1 << 53)
}

/// The checksum that detects a truncated or mistyped cursor.
fn check(body: &str) -> u32 {
    u32::try_from(hash(body.as_bytes()) & u128::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is_one() {
        let counted = Some(Counted { records: 3, lines: 17 });
        for (of, counted, born) in [
            (Of::RecordBefore, None, None),
            (Of::RecordBehind, counted, Some(1 << 60)),
            (Of::Bytes, counted, None),
            (Of::RecordBefore, counted, Some(7)),
        ] {
            let cursor = Cursor {
                device: u64::MAX,
                inode: 0,
                born,
                offset: 1 << 40,
                length: 12,
                hash: hash(b"abc"),
                of,
                counted,
            };
            let text = cursor.to_string();
            assert_eq!(text.parse::<Cursor>().unwrap(), cursor);
            for at in 0..text.len() {
                assert!(text[..at].parse::<Cursor>().is_err(), "{}", &text[..at]);
                let mut other = text.clone().into_bytes();
                other[at] ^= 1;
                let other = String::from_utf8(other).unwrap();
                assert!(other.parse::<Cursor>().is_err(), "{other}");
            }
        }
        assert_eq!(Cursor::NOWHERE.to_string().parse::<Cursor>().unwrap(), Cursor::NOWHERE);
        assert!("".parse::<Cursor>().is_err());
    }

    #[test]
    fn cursors_of_this_version_never_change() {
        let text = "c1-1-2-3-4-5-a-6.7-";
        let body = &text[..text.len() - 1];
        let text = format!("{text}{:x}", check(body));
        let cursor = text.parse::<Cursor>().unwrap();
        let counted = Some(Counted { records: 6, lines: 7 });
        assert_eq!(
            cursor,
            Cursor {
                device: 1,
                inode: 2,
                born: None,
                offset: 3,
                length: 4,
                hash: 5,
                of: Of::RecordBefore,
                counted
            }
        );
        assert_eq!(format!("{:x}", hash(b"")), "b91c5ed031fb33032134935d61d9b40d");
    }
}
