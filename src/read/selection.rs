//! The selection of a read, and the picking of its records out of the lines of a scan. No I/O.

use crate::read::cursor::Counted;
use crate::read::filter::Filter;
use crate::read::page::{BadKind, BadLine, Page, RecordPlace};
use crate::read::place::{Place, StartCondition};
use crate::record::classify::{self, Tail, Verdict};

/// Which records are read, and how.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The first place of the range.
    pub from: Place,
    /// The place behind the range; `None`: the end of the log.
    pub to: Option<Place>,
    /// The records of the range that are wanted.
    pub filter: Filter,
    /// Read from the last record to the first.
    pub reverse: bool,
    /// Number of wanted records to leave out first.
    pub skip: u64,
    /// Number of records to return at most.
    pub limit: Option<u64>,
    /// Return the numbers that records and lines have in the file, even if a scan of everything in
    /// front of them is needed.
    pub numbered: bool,
    /// Report every bad line, also if a byte search shows that no wanted record is in it.
    pub all_bad_lines: bool,
    /// Count the records, and return none.
    pub count_only: bool,
}

/// Picks the records of a selection out of the lines of a scan.
pub(crate) struct Picker {
    /// `None` once the range has begun.
    pub(crate) from: Option<StartCondition>,
    /// The condition that ends the range. `None` if the range ends with the file.
    pub(crate) to: Option<StartCondition>,
    filter: Filter,
    classifies_all: bool,
    count_only: bool,
    skip: u64,
    remaining: u64,
    /// Records and lines scanned.
    pub(crate) passed: Counted,
    /// Records in front of the start of the range, as far as they were counted.
    pub(crate) begun_after: u64,
    /// No later line is picked.
    pub(crate) is_over: bool,
}

/// Records and lines in front of a backward scan, if they were counted.
#[derive(Clone, Copy)]
pub(crate) struct LinesBefore(pub(crate) Option<Counted>);

impl LinesBefore {
    fn records(self) -> u64 {
        self.0.map_or(0, |before| before.records)
    }

    fn lines(self) -> u64 {
        self.0.map_or(0, |before| before.lines)
    }

    fn pass_record(&mut self, is_record: bool) {
        if let Some(before) = &mut self.0 {
            before.records = before.records.saturating_sub(u64::from(is_record));
        }
    }

    fn pass_line(&mut self) {
        if let Some(before) = &mut self.0 {
            before.lines = before.lines.saturating_sub(1);
        }
    }
}

impl Picker {
    pub(crate) fn new(
        selection: &Selection,
        from: Option<StartCondition>,
        to: Option<StartCondition>,
    ) -> Picker {
        let counts = [&from, &to].into_iter().flatten().any(StartCondition::counts);
        let sees_all = selection.numbered || selection.all_bad_lines || selection.filter.is_all();
        Picker {
            from,
            to,
            filter: selection.filter.clone(),
            classifies_all: sees_all || counts,
            count_only: selection.count_only,
            skip: selection.skip,
            remaining: selection.limit.unwrap_or(u64::MAX),
            passed: Counted::default(),
            begun_after: 0,
            is_over: selection.limit == Some(0),
        }
    }

    /// Whether the scan counts records.
    pub(crate) fn counts(&self) -> bool {
        self.classifies_all
    }

    /// Takes a complete line of a forward scan.
    pub(crate) fn take_line(&mut self, line: &[u8], offset: u64, page: &mut Page) {
        self.pass_line(offset);
        if !self.is_over && (self.classifies_all || self.may_pick(line)) {
            let (verdict, is_wanted) = self.filter.classify(line);
            self.take_classified(line, &verdict, is_wanted, offset, page);
        }
    }

    /// Takes a line that is too long to be a record.
    pub(crate) fn take_too_long(&mut self, offset: u64, length: u64, page: &mut Page) {
        self.pass_line(offset);
        self.take_bad(BadKind::Malformed, offset, length, page);
    }

    /// Takes the bytes behind the last newline. Returns whether they are a record.
    pub(crate) fn take_tail(&mut self, bytes: &[u8], offset: u64, page: &mut Page) -> bool {
        let is_record = matches!(classify::classify_tail(bytes), Tail::Record(_));
        if is_record {
            self.take_line(bytes, offset, page);
        }
        is_record
    }

    /// Takes a line of a backward scan.
    pub(crate) fn take_line_backwards(
        &mut self,
        line: &[u8],
        offset: u64,
        before: &mut LinesBefore,
        page: &mut Page,
    ) {
        self.passed.lines = before.lines();
        if !self.is_over && (self.classifies_all || self.filter.may_want(line)) {
            let (verdict, is_wanted) = self.filter.classify(line);
            let is_record = matches!(verdict, Verdict::Record(_));
            // `take_classified` counts the record itself.
            self.passed.records = before.records().saturating_sub(1);
            self.take_classified(line, &verdict, is_wanted, offset, page);
            before.pass_record(is_record);
        }
        before.pass_line();
    }

    /// Takes a line of a backward scan that is too long to be a record.
    pub(crate) fn take_too_long_backwards(
        &mut self,
        offset: u64,
        length: u64,
        before: &mut LinesBefore,
        page: &mut Page,
    ) {
        self.passed.lines = before.lines();
        self.take_bad(BadKind::Malformed, offset, length, page);
        before.pass_line();
    }

    /// Whether the line may be the one that begins or ends the range.
    pub(crate) fn may_open(&self, line: &[u8]) -> bool {
        [&self.from, &self.to].into_iter().flatten().any(|condition| condition.may_be_at(line))
    }

    /// Begins the range if the next line, which starts at `offset` or behind it, is behind the
    /// start.
    pub(crate) fn open_at(&mut self, offset: u64) {
        if self.from.take_if(|condition| condition.is_before(offset)).is_some() {
            self.begun_after = self.passed.records;
        }
    }

    fn pass_line(&mut self, offset: u64) {
        self.passed.lines += 1;
        self.open_at(offset);
    }

    /// Whether the line may begin or end the range, or be picked.
    fn may_pick(&self, line: &[u8]) -> bool {
        match &self.from {
            Some(condition) => condition.may_be_at(line),
            None => self.filter.may_want(line) || self.may_open(line),
        }
    }

    fn take_classified(
        &mut self,
        line: &[u8],
        verdict: &Verdict<'_>,
        is_wanted: bool,
        offset: u64,
        page: &mut Page,
    ) {
        let length = line.len() as u64;
        if let Some(kind) = BadKind::of(verdict) {
            return self.take_bad(kind, offset, length, page);
        }
        if !matches!(verdict, Verdict::Record(_)) {
            return;
        }
        self.passed.records += 1;
        let seq = self.passed.records;
        if self.from.take_if(|condition| condition.is_at(line, seq)).is_some() {
            self.begun_after = seq - 1;
        } else if self.from.is_some() {
            return;
        }
        if self.to.as_ref().is_some_and(|condition| condition.is_at(line, seq)) {
            self.is_over = true;
            return;
        }
        if !is_wanted {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        if self.count_only {
            page.count += 1;
        } else {
            page.push(line, RecordPlace { seq, line: self.passed.lines, offset, length });
        }
        self.remaining -= 1;
        self.is_over = self.remaining == 0;
    }

    fn take_bad(&mut self, kind: BadKind, offset: u64, length: u64, page: &mut Page) {
        if !self.is_over && self.from.is_none() {
            page.bad.push(BadLine { kind, line: self.passed.lines, offset, length });
        }
    }
}
