//! Points in time as records write them: ISO 8601 texts and integer milliseconds.

use crate::json::escape;

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i128);

const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;
const NANOSECONDS_PER_MILLISECOND: i128 = 1_000_000;
/// The range of ECMAScript's dates, in both directions.
const MAX_MILLISECONDS: f64 = 8.64e15;

impl Timestamp {
    /// Reads a raw JSON value: a string in the extended format of ISO 8601, or an integer number of
    /// milliseconds.
    pub fn of_json(raw: &[u8]) -> Option<Timestamp> {
        match raw {
            [b'"', inside @ .., b'"'] => Timestamp::of_text(&escape::unescape(inside)),
            _ => {
                let number: f64 = std::str::from_utf8(raw).ok()?.parse().ok()?;
                let fits = number.fract() == 0.0 && number.abs() <= MAX_MILLISECONDS;
                fits.then(|| Timestamp(number as i128 * NANOSECONDS_PER_MILLISECOND))
            }
        }
    }

    /// Reads `YYYY`, `YYYY-MM` or `YYYY-MM-DD`, each optionally with `Thh:mm`, seconds, a fraction
    /// and a zone. A year may have six digits and a sign. A time without a zone counts as UTC.
    pub fn of_text(text: &[u8]) -> Option<Timestamp> {
        let mut rest = Remainder(text);
        let year = rest.year()?;
        let (mut month, mut day) = (1, 1);
        if rest.skip(b'-') {
            month = rest.digits(2)?;
            if rest.skip(b'-') {
                day = rest.digits(2)?;
            }
        }
        if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
            return None;
        }
        let time = if rest.skip(b'T') || rest.skip(b't') { rest.time()? } else { 0 };
        let days = i128::from(days_since_epoch(year, month, day));
        rest.0.is_empty().then_some(Timestamp(days * 86_400 * NANOSECONDS_PER_SECOND + time))
    }

    /// Whole seconds from this time to a later one.
    pub(crate) fn seconds_until(self, later: Timestamp) -> i128 {
        (later.0 - self.0) / NANOSECONDS_PER_SECOND
    }
}

/// The text that is not read yet.
struct Remainder<'a>(&'a [u8]);

impl Remainder<'_> {
    fn skip(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        let value = |sum: i64, digit: &u8| {
            digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
        };
        digits.iter().try_fold(0, value)
    }

    fn year(&mut self) -> Option<i64> {
        if self.skip(b'+') {
            return self.digits(6);
        }
        if self.skip(b'-') {
            return self.digits(6).filter(|year| *year != 0).map(|year| -year);
        }
        self.digits(4)
    }

    /// The time of the day in nanoseconds, in UTC.
    fn time(&mut self) -> Option<i128> {
        let hour = self.digits(2)?;
        self.skip(b':').then_some(())?;
        let minute = self.digits(2)?;
        let second = if self.skip(b':') { self.digits(2)? } else { 0 };
        let fraction = if self.skip(b'.') || self.skip(b',') { self.fraction()? } else { 0 };
        // 60 is a leap second; 24:00 is the end of the day.
        let fits = minute < 60 && second <= 60;
        let is_end = hour == 24 && minute == 0 && second == 0 && fraction == 0;
        if !fits || (hour > 23 && !is_end) {
            return None;
        }
        let seconds = hour * 3600 + minute * 60 + second - self.zone()?;
        Some(i128::from(seconds) * NANOSECONDS_PER_SECOND + fraction)
    }

    /// The digits behind the point, as nanoseconds. Further digits are cut off.
    fn fraction(&mut self) -> Option<i128> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        let mut nanoseconds = 0;
        for place in 0..9 {
            let digit = digits.get(place).map_or(0, |digit| digit - b'0');
            nanoseconds = nanoseconds * 10 + i128::from(digit);
        }
        (count > 0).then_some(nanoseconds)
    }

    /// Seconds east of UTC.
    fn zone(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.skip(b'Z') || self.skip(b'z') {
            return Some(0);
        }
        let sign = if self.skip(b'+') {
            1
        } else if self.skip(b'-') {
            -1
        } else {
            return None;
        };
        let hours = self.digits(2)?;
        let minutes = if self.skip(b':') || !self.0.is_empty() { self.digits(2)? } else { 0 };
        (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
    }
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days in the proleptic Gregorian calendar. A year is counted from March, so that a leap day is
/// its last day.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let month_from_march = (month + 9) % 12;
    let before_year = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let before_month = (month_from_march * 153 + 2) / 5;
    // 1970-01-01 is day 719,468 counted from 0000-03-01.
    before_year + before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(text: &str) -> Option<i128> {
        Timestamp::of_text(text.as_bytes())
            .map(|instant| instant.0.div_euclid(NANOSECONDS_PER_MILLISECOND))
    }

    #[test]
    fn iso_8601_texts_are_instants() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970", 0),
            ("1970-02", 2_678_400_000),
            ("1969-12-31T23:59:59.999Z", -1),
            ("2000-02-29", 951_782_400_000),
            ("2026-01-02T03:04:05.678Z", 1_767_323_045_678),
            ("2026-01-02t03:04:05.678z", 1_767_323_045_678),
            ("2026-01-02T04:04:05.678+01:00", 1_767_323_045_678),
            ("2026-01-01T21:34:05.678-0530", 1_767_323_045_678),
            ("2026-01-02T05:04:05,678999999999+02", 1_767_323_045_678),
            ("2026-01-02T03:04", 1_767_323_040_000),
            ("2026-01-01T24:00Z", 1_767_312_000_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
            ("0000-01-01", -62_167_219_200_000),
            ("-000001-01-01T00:00:00Z", -62_198_755_200_000),
            ("+010000-01-01T00:00:00Z", 253_402_300_800_000),
            ("1900-03-01", -2_203_891_200_000),
        ] {
            assert_eq!(milliseconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_none() {
        for text in [
            "",
            "t",
            "yesterday",
            "26-01-02",
            "2026-13-01",
            "2026-02-29",
            "2026-00-01",
            "2026-1-2",
            "2026-01-02 03:04:05Z",
            "2026-01-02T",
            "2026-01-02T03",
            "2026-01-02T24:01Z",
            "2026-01-02T23:60Z",
            "2026-01-02T23:59:61Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05+24:00",
            "2026-01-02T03:04:05Z ",
            "-000000-01-01",
            "2026-01-02Z",
        ] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }

    #[test]
    fn an_integer_is_milliseconds() {
        let of = |raw: &str| Timestamp::of_json(raw.as_bytes());
        assert_eq!(of("1767323045678"), of("\"2026-01-02T03:04:05.678Z\""));
        assert_eq!(of("1e3"), of("\"1970-01-01T00:00:01\""));
        assert_eq!(of("-1"), of("\"1969-12-31T23:59:59.999Z\""));
        for raw in ["1.5", "1e300", "9e15", "true", "null", "{}", "[]", "\"1\""] {
            assert_eq!(of(raw), None, "{raw}");
        }
    }
}
