//! What one call of a read returns.

use crate::record::classify::Verdict;

/// Bytes of records in a page, about. JavaScript parses a page in one piece.
pub(crate) const PAGE_BYTES: usize = 256 << 10;
/// Bytes scanned for one page, about: other work waits for the thread meanwhile.
pub(crate) const SCAN_BUDGET: u64 = 16 << 20;

/// Why a line is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadKind {
    /// It is no JSON object, or too long.
    Malformed,
    /// It has a 0x00 byte, as a crash leaves behind.
    Nul,
    /// A byte order mark is in front of a JSON object.
    ByteOrderMark,
}

impl BadKind {
    /// The word in the JavaScript API.
    pub fn as_str(self) -> &'static str {
        match self {
            BadKind::Malformed => "malformed",
            BadKind::Nul => "nul",
            BadKind::ByteOrderMark => "bom",
        }
    }

    /// The kind for a verdict; `None` if the line is not bad.
    pub(crate) fn of(verdict: &Verdict<'_>) -> Option<BadKind> {
        match verdict {
            Verdict::Record(_) | Verdict::Blank => None,
            Verdict::Malformed => Some(BadKind::Malformed),
            Verdict::Nul => Some(BadKind::Nul),
            Verdict::Marked(_) => Some(BadKind::ByteOrderMark),
        }
    }
}

/// A complete line that is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLine {
    /// Why it is no record.
    pub kind: BadKind,
    /// Line number, from 1.
    pub line: u64,
    /// First byte, from 0.
    pub offset: u64,
    /// Bytes without the newline.
    pub length: u64,
}

/// The position of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace {
    /// Number of the record, from 1, counted from where the read began to count.
    pub seq: u64,
    /// Number of its line, from 1, counted likewise.
    pub line: u64,
    /// First byte, from 0.
    pub offset: u64,
    /// Bytes without the newline.
    pub length: u64,
}

/// How a page holds its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum PageForm {
    /// As one JSON array.
    #[default]
    Array,
    /// As the lines of the file.
    Lines,
}

/// Some records in the order of the read.
#[derive(Debug, Default)]
pub struct Page {
    /// The records as one JSON array, or as their lines if the read is for lines.
    pub json: Vec<u8>,
    /// The position of each record.
    pub places: Vec<RecordPlace>,
    /// Number of records. A count fills this field only.
    pub count: u64,
    /// Lines between them that are no records.
    pub bad: Vec<BadLine>,
    /// This is the last page.
    pub done: bool,
    form: PageForm,
}

impl Page {
    pub(crate) fn begin() -> Page {
        Page::of(PageForm::Array)
    }

    pub(crate) fn of(form: PageForm) -> Page {
        let json = if form == PageForm::Array { vec![b'['] } else { Vec::new() };
        Page { json, form, ..Page::default() }
    }

    pub(crate) fn push(&mut self, line: &[u8], place: RecordPlace) {
        if self.form == PageForm::Array && self.json.len() > 1 {
            self.json.push(b',');
        }
        self.json.extend_from_slice(line);
        if self.form == PageForm::Lines {
            self.json.push(b'\n');
        }
        self.places.push(place);
        self.count += 1;
    }

    /// Whether there is nothing to return.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0 && self.bad.is_empty()
    }

    /// Removes the record that was pushed last, which has `length` bytes.
    pub(crate) fn take_back(&mut self, length: usize) {
        if self.places.pop().is_some() {
            let is_apart = self.form == PageForm::Lines || !self.places.is_empty();
            self.json.truncate(self.json.len().saturating_sub(length + usize::from(is_apart)));
            self.count -= 1;
        }
    }

    /// Approximate bytes of the page for JavaScript: a bad line counts as 64.
    pub(crate) fn weight(&self) -> usize {
        self.json.len() + self.bad.len() * 64
    }

    /// Removes the newline of the line at `offset`, which is the last of its file and has none
    /// there.
    pub(crate) fn leave_open(&mut self, offset: u64) {
        let is_last = self.places.last().is_some_and(|place| place.offset == offset);
        if self.form == PageForm::Lines && is_last {
            self.json.pop();
        }
    }

    pub(crate) fn end(mut self, done: bool) -> Page {
        if self.form == PageForm::Array {
            self.json.push(b']');
        }
        self.done = done;
        self
    }
}
