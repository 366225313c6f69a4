//! Which records a read is for, and how they are picked out of the lines that it passes (pure).

use crate::read::cursor::Counted;
use crate::read::filter::Filter;
use crate::read::page::{BadKind, BadLine, Page, RecordPlace};
use crate::read::place::{Place, StartCondition};
use crate::record::classify::{self, Tail, Verdict};

/// Which records are read, and how.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The first of them.
    pub from: Place,
    /// The first that is none of them any more; nothing: the end.
    pub to: Option<Place>,
    /// Those of them that are wanted.
    pub filter: Filter,
    /// From the last to the first.
    pub reverse: bool,
    /// So many wanted ones are left out first.
    pub skip: u64,
    /// At most so many are read.
    pub limit: Option<u64>,
    /// Records and lines have the numbers that they have in the file, also where that means to count those before.
    pub numbered: bool,
    /// Every bad line is found, also one that cannot be wanted.
    pub all_bad_lines: bool,
    /// They are only counted.
    pub count_only: bool,
}

/// Takes the records of a selection out of the lines passed.
pub(crate) struct Picker {
    /// Closed until the first record.
    pub(crate) from: Option<StartCondition>,
    /// Closed until the first record that is none any more.
    pub(crate) to: Option<StartCondition>,
    filter: Filter,
    judges_all: bool,
    count_only: bool,
    skip: u64,
    left: u64,
    /// Records and lines passed.
    pub(crate) passed: Counted,
    /// Records before the place at which it began, as far as they were counted.
    pub(crate) begun_after: u64,
    /// Nothing that comes is picked any more.
    pub(crate) is_over: bool,
}

/// Records and lines that are left when reading backwards, where they were counted; else 0.
#[derive(Clone, Copy)]
pub(crate) struct Remaining(pub(crate) Option<Counted>);

impl Remaining {
    fn records(self) -> u64 {
        self.0.map_or(0, |left| left.records)
    }

    fn lines(self) -> u64 {
        self.0.map_or(0, |left| left.lines)
    }

    fn pass_record(&mut self, is_record: bool) {
        if let Some(left) = &mut self.0 {
            left.records = left.records.saturating_sub(u64::from(is_record));
        }
    }

    fn pass_line(&mut self) {
        if let Some(left) = &mut self.0 {
            left.lines = left.lines.saturating_sub(1);
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
        let looks_at_all =
            selection.numbered || selection.all_bad_lines || selection.filter.is_all();
        Picker {
            from,
            to,
            filter: selection.filter.clone(),
            judges_all: looks_at_all || counts,
            count_only: selection.count_only,
            skip: selection.skip,
            left: selection.limit.unwrap_or(u64::MAX),
            passed: Counted::default(),
            begun_after: 0,
            is_over: selection.limit == Some(0),
        }
    }

    /// Whether records are counted as they are passed.
    pub(crate) fn counts(&self) -> bool {
        self.judges_all
    }

    /// Passes a complete line, reading forward.
    pub(crate) fn visit(&mut self, line: &[u8], offset: u64, page: &mut Page) {
        self.pass_line(offset);
        if !self.is_over && (self.judges_all || self.may_pick(line)) {
            let (verdict, is_wanted) = self.filter.classify(line);
            self.visit_judged(line, &verdict, is_wanted, offset, page);
        }
    }

    /// Passes a line too long to be a record.
    pub(crate) fn visit_too_long(&mut self, offset: u64, length: u64, page: &mut Page) {
        self.pass_line(offset);
        self.visit_bad(BadKind::Malformed, offset, length, page);
    }

    /// Passes what stands behind the last newline; whether it is a record.
    pub(crate) fn visit_tail(&mut self, bytes: &[u8], offset: u64, page: &mut Page) -> bool {
        let is_record = matches!(classify::classify_tail(bytes), Tail::Record(_));
        if is_record {
            self.visit(bytes, offset, page);
        }
        is_record
    }

    /// Passes a line, reading backwards.
    pub(crate) fn visit_backwards(
        &mut self,
        line: &[u8],
        offset: u64,
        left: &mut Remaining,
        page: &mut Page,
    ) {
        self.passed.lines = left.lines();
        if !self.is_over && (self.judges_all || self.filter.may_want(line)) {
            let (verdict, is_wanted) = self.filter.classify(line);
            let is_record = matches!(verdict, Verdict::Record(_));
            // The last step counts the record that it passes.
            self.passed.records = left.records().saturating_sub(1);
            self.visit_judged(line, &verdict, is_wanted, offset, page);
            left.pass_record(is_record);
        }
        left.pass_line();
    }

    /// Passes a line too long to be a record, reading backwards.
    pub(crate) fn visit_too_long_backwards(
        &mut self,
        offset: u64,
        length: u64,
        left: &mut Remaining,
        page: &mut Page,
    ) {
        self.passed.lines = left.lines();
        self.visit_bad(BadKind::Malformed, offset, length, page);
        left.pass_line();
    }

    /// Whether the line may be the one that a gate waits for.
    pub(crate) fn may_open(&self, line: &[u8]) -> bool {
        [&self.from, &self.to].into_iter().flatten().any(|gate| gate.may_be_at(line))
    }

    /// Says that the next line begins at `offset` or behind it.
    pub(crate) fn open_at(&mut self, offset: u64) {
        if self.from.take_if(|gate| gate.is_before(offset)).is_some() {
            self.begun_after = self.passed.records;
        }
    }

    fn pass_line(&mut self, offset: u64) {
        self.passed.lines += 1;
        self.open_at(offset);
    }

    /// Whether the line may open a gate or be picked.
    fn may_pick(&self, line: &[u8]) -> bool {
        match &self.from {
            Some(gate) => gate.may_be_at(line),
            None => self.filter.may_want(line) || self.may_open(line),
        }
    }

    fn visit_judged(
        &mut self,
        line: &[u8],
        verdict: &Verdict<'_>,
        is_wanted: bool,
        offset: u64,
        page: &mut Page,
    ) {
        let length = line.len() as u64;
        if let Some(kind) = BadKind::of(verdict) {
            return self.visit_bad(kind, offset, length, page);
        }
        if !matches!(verdict, Verdict::Record(_)) {
            return;
        }
        self.passed.records += 1;
        let seq = self.passed.records;
        if self.from.take_if(|gate| gate.is_at(line, seq)).is_some() {
            self.begun_after = seq - 1;
        } else if self.from.is_some() {
            return;
        }
        if self.to.as_ref().is_some_and(|gate| gate.is_at(line, seq)) {
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
        self.left -= 1;
        self.is_over = self.left == 0;
    }

    fn visit_bad(&mut self, kind: BadKind, offset: u64, length: u64, page: &mut Page) {
        if !self.is_over && self.from.is_none() {
            page.bad.push(BadLine { kind, line: self.passed.lines, offset, length });
        }
    }
}
