//! The findings of a check, and its progress.

use crate::event::Id;

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// The bytes behind the last newline are no record, and no writer is appending.
    Torn,
    /// A complete line is no JSON object, or too long.
    Malformed,
    /// A complete line is no JSON object and has 0x00 bytes.
    Nul,
    /// A byte order id_hash is in front of a JSON object.
    ByteOrderMark,
    /// An `eventId` of 64 hexadecimal digits is the hash of neither canonical form of its record.
    IdMismatch,
    /// An earlier record has the id or the key as its id or key.
    Duplicate,
    /// No earlier record has the `prevEventId` as its id.
    BrokenChain,
    /// An earlier record has the same `prevEventId`.
    Fork,
    /// The timestamp is earlier than that of the record before.
    OutOfOrder,
    /// The timestamp is no point in time, so no search by time finds the record.
    NoTime,
}

impl FindingKind {
    /// The word in the JavaScript API.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingKind::Torn => "torn",
            FindingKind::Malformed => "malformed",
            FindingKind::Nul => "nul",
            FindingKind::ByteOrderMark => "bom",
            FindingKind::IdMismatch => "id-mismatch",
            FindingKind::Duplicate => "duplicate",
            FindingKind::BrokenChain => "broken-chain",
            FindingKind::Fork => "fork",
            FindingKind::OutOfOrder => "out-of-order",
            FindingKind::NoTime => "no-time",
        }
    }

    /// Whether a log with this finding is still good. A crash leaves a torn tail, clocks differ,
    /// and a time may be in words.
    pub fn is_harmless(self) -> bool {
        matches!(self, FindingKind::Torn | FindingKind::OutOfOrder | FindingKind::NoTime)
    }
}

/// A fault of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub kind: FindingKind,
    /// Line number, from 1.
    pub line: u64,
    /// First byte of the line, from 0.
    pub offset: u64,
    /// Bytes without the newline.
    pub length: u64,
    /// The record's id, if it has one.
    pub event_id: Option<Id>,
    /// The fault in words.
    pub details: String,
}

/// The progress of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// All findings so far are harmless.
    pub ok: bool,
    /// Bytes checked so far.
    pub bytes: u64,
    /// Length of the file when the check began.
    pub total: u64,
    /// Lines so far, with blank lines and an unterminated last line.
    pub lines: u64,
    /// Records so far.
    pub records: u64,
    /// New findings, in file order.
    pub findings: Vec<Finding>,
    /// The check has ended.
    pub done: bool,
}

impl Finding {
    /// Approximate bytes of the finding for JavaScript.
    pub(crate) fn weight(&self) -> usize {
        let id = self.event_id.as_ref().map_or(0, |id| id.as_bytes().len());
        96 + id + self.details.len()
    }
}

impl Progress {
    pub(crate) fn add(
        &mut self,
        kind: FindingKind,
        place: LinePosition,
        event_id: Option<&[u8]>,
        details: String,
    ) {
        let LinePosition { line, offset, length } = place;
        self.ok &= kind.is_harmless();
        let event_id = event_id.and_then(Id::new);
        self.findings.push(Finding { kind, line, offset, length, event_id, details });
    }
}

/// The position of a line.
#[derive(Clone, Copy)]
pub(crate) struct LinePosition {
    pub(crate) line: u64,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}
