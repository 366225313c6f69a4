//! Decimal numbers by their texts: whether two of them are the same number.

/// Whether two JSON numbers have the same value, whatever their texts. No double is involved.
pub(crate) fn is_same_number(a: &[u8], b: &[u8]) -> bool {
    match (Decimal::of(a), Decimal::of(b)) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            let is_same_size = a.is_negative == b.is_negative && a.exponent == b.exponent;
            is_same_size && a.digits().eq(b.digits())
        }
        _ => false,
    }
}

/// A number that is not 0: `0.` and its digits, times ten to the exponent.
struct Decimal<'a> {
    is_negative: bool,
    /// From the first digit that is not 0 to the last one; a point may be among them.
    digits: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// The decimal of a JSON number; none for 0.
    fn of(text: &'a [u8]) -> Option<Decimal<'a>> {
        let (is_negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let end = text.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(text.len());
        let (mantissa, power) = text.split_at_checked(end)?;
        let is_digit = |byte: &u8| matches!(byte, b'1'..=b'9');
        let first = mantissa.iter().position(is_digit)?;
        let last = mantissa.iter().rposition(is_digit)?;
        let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
        // The place of the first digit: 1 for the last one before the point, 0 for the first one
        // behind.
        let place = match first < point {
            true => place_of(point) - place_of(first),
            false => place_of(point) + 1 - place_of(first),
        };
        Some(Decimal {
            is_negative,
            digits: mantissa.get(first..=last)?,
            exponent: place.saturating_add(power_of(power)),
        })
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.digits.iter().copied().filter(|byte| *byte != b'.')
    }
}

/// An offset in a line, which is far below the largest exponent.
fn place_of(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX / 4)
}

/// The value of `e+12`; 0 for an empty text. A power beyond 64 bits stays far from every double.
fn power_of(text: &[u8]) -> i64 {
    const MAX_POWER: i64 = i64::MAX / 4;
    let (is_negative, digits) = match text.get(1..).unwrap_or_default() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let power = digits.iter().fold(0_i64, |power, digit| {
        power.saturating_mul(10).saturating_add(i64::from(digit.wrapping_sub(b'0'))).min(MAX_POWER)
    });
    if is_negative { -power } else { power }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The value as a whole number of `10^-SCALE`, by long arithmetic on its digits.
    fn scaled(text: &str) -> (bool, Vec<u8>) {
        const SCALE: i64 = 80;
        let (sign, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let power: i64 = power.parse().unwrap();
        let zeros = SCALE + power - fraction.len() as i64;
        let mut digits = format!("{whole}{fraction}").into_bytes();
        digits.extend(vec![b'0'; usize::try_from(zeros).unwrap()]);
        let first = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
        (sign && first < digits.len(), digits.split_off(first))
    }

    #[test]
    fn numbers_are_the_same_by_value_and_not_by_text() {
        for (a, b, same) in [
            ("1", "1.0", true),
            ("100", "1e2", true),
            ("100", "1E+02", true),
            ("0.10", "1e-1", true),
            ("120.50", "1205e-1", true),
            ("-0", "0", true),
            ("0.000", "0e999999999999999999999", true),
            ("0.001", "1e-3", true),
            ("10", "1", false),
            ("-1", "1", false),
            ("0", "1e-400", false),
            ("738529527931269425", "738529527931269400", false),
            ("0.1000000000000000055", "0.1", false),
            ("1000000000000000128", "1000000000000000100", false),
            ("101", "11", false),
            ("1.01", "10.1", false),
            ("1e99999999999999999999", "1e308", false),
            ("1e-99999999999999999999", "1e-308", false),
        ] {
            assert_eq!(is_same_number(a.as_bytes(), b.as_bytes()), same, "{a} {b}");
            assert_eq!(is_same_number(b.as_bytes(), a.as_bytes()), same, "{b} {a}");
        }
    }

    fn number() -> impl Strategy<Value = String> {
        // Few digits, so that equal values are frequent.
        let whole = prop_oneof!["0", "[1-2][0-1]{0,3}"];
        let fraction = proptest::option::of("[0-1]{1,4}");
        let power = proptest::option::of((any::<bool>(), -4..5i64));
        (any::<bool>(), whole, fraction, power).prop_map(|(sign, whole, fraction, power)| {
            let sign = if sign { "-" } else { "" };
            let fraction = fraction.map_or(String::new(), |digits| format!(".{digits}"));
            let power = power.map_or(String::new(), |(plus, power)| match (plus, power) {
                (true, 0..) => format!("E+{power}"),
                _ => format!("e{power}"),
            });
            format!("{sign}{whole}{fraction}{power}")
        })
    }

    proptest! {
        #![proptest_config(
            ProptestConfig { cases: 20_000, failure_persistence: None, ..Default::default() }
        )]

        #[test]
        fn numbers_are_the_same_where_long_arithmetic_says_so(a in number(), b in number()) {
            let same = scaled(&a) == scaled(&b);
            prop_assert_eq!(is_same_number(a.as_bytes(), b.as_bytes()), same, "{} {}", a, b);
        }

        #[test]
        fn a_number_is_the_same_wherever_its_point_stands(a in number(), by in 0..40usize) {
            let (sign, digits) = a.strip_prefix('-').map_or(("", &*a), |rest| ("-", rest));
            let (mantissa, power) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
            let power: i64 = power.parse().unwrap();
            let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
            let moved = power - fraction.len() as i64 - by as i64;
            let whole = format!("{whole}{fraction}{}", "0".repeat(by));
            let whole = match whole.trim_start_matches('0') { "" => "0", digits => digits };
            let other = format!("{sign}{whole}e{moved}");
            prop_assert!(is_same_number(a.as_bytes(), other.as_bytes()), "{} {}", a, other);
        }
    }
}
