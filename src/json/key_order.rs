//! The orders of an object's keys (pure). Keys are WTF-8.

use std::cmp::Ordering;

/// How the keys of an object are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// RFC 8785: by UTF-16 code units.
    Jcs,
    /// Array-index keys (`0` to `4294967294` in canonical decimal) first, in numeric order. The
    /// rest follows by UTF-16 code units. The TypeScript package hashed this form.
    Legacy,
}

/// Array indexes first, in numeric order, then the others by UTF-16 code units.
pub(crate) fn by_index_and_utf16(a: &[u8], b: &[u8]) -> Ordering {
    match (array_index(a), array_index(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => by_utf16(a, b),
    }
}

/// Compares two WTF-8 texts by UTF-16 code units.
///
/// That is the order of their bytes, with one exception. At the first difference one text has a
/// character beyond U+FFFF (a pair of surrogates), the other one of U+D000 to U+FFFF.
pub(crate) fn by_utf16(a: &[u8], b: &[u8]) -> Ordering {
    let Some((at, x, y)) =
        a.iter().zip(b).enumerate().find_map(|(at, (x, y))| (x != y).then_some((at, *x, *y)))
    else {
        return a.len().cmp(&b.len());
    };
    if x.max(y) >= 0xf0 && (0xed..0xf0).contains(&x.min(y)) {
        units(a.get(at..).unwrap_or_default()).cmp(units(b.get(at..).unwrap_or_default()))
    } else {
        x.cmp(&y)
    }
}

/// The UTF-16 code units of WTF-8.
fn units(wtf8: &[u8]) -> impl Iterator<Item = u16> {
    let mut bytes = wtf8.iter().map(|&byte| byte as u32);
    let mut low = None;
    std::iter::from_fn(move || {
        if low.is_some() {
            return low.take();
        }
        let first = bytes.next()?;
        let mut more = |code: u32| code << 6 | bytes.next().unwrap_or_default() & 0x3f;
        let code = match first {
            0..0xc0 => first,
            0xc0..0xe0 => more(first & 0x1f),
            0xe0..0xf0 => {
                let code = more(first & 0xf);
                more(code)
            }
            _ => {
                let code = more(first & 7);
                let code = more(code);
                let above = more(code).wrapping_sub(0x10000);
                low = Some(0xdc00 | (above & 0x3ff) as u16);
                0xd800 | above >> 10
            }
        };
        Some(code as u16)
    })
}

/// The value of a key that is an array index in JavaScript.
fn array_index(key: &[u8]) -> Option<u32> {
    let canonical = matches!(key, [b'0'] | [b'1'..=b'9', ..]) && key.len() <= 10;
    if !canonical || !key.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let index = std::str::from_utf8(key).ok()?.parse().ok()?;
    (index < u32::MAX).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::escape;

    #[test]
    fn keys_are_ordered_by_utf16_code_units() {
        let keys: Vec<Vec<u16>> = [
            &[][..],
            &[0x61],
            &[0x61, 0x62],
            &[0x7f],
            &[0x80],
            &[0x7ff],
            &[0x800],
            &[0xd7ff],
            &[0xd800],
            &[0xd800, 0x61],
            &[0xd800, 0xd83d],
            &[0xd800, 0xdc00],
            &[0xd800, 0xe000],
            &[0xd83d],
            &[0xd83d, 0xd83d, 0xde00],
            &[0xd83d, 0xde00],
            &[0xd83d, 0xde01],
            &[0xd83d, 0xe000],
            &[0xdbff, 0xdfff],
            &[0xdc00],
            &[0xde00, 0xd83d],
            &[0xdfff],
            &[0xe000],
            &[0xfb33],
            &[0xffff],
            &[0x61, 0xd83d, 0xde00],
            &[0x61, 0xffff],
        ]
        .map(<[u16]>::to_vec)
        .to_vec();
        let wtf8 = |units: &[u16]| {
            let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            escape::unescape(escaped.as_bytes()).into_owned()
        };
        for a in &keys {
            assert_eq!(units(&wtf8(a)).collect::<Vec<_>>(), *a);
            for b in &keys {
                assert_eq!(by_utf16(&wtf8(a), &wtf8(b)), a.cmp(b), "{a:x?} {b:x?}");
            }
        }
    }

    #[test]
    fn array_indexes_are_canonical_decimals_below_4294967295() {
        for (key, index) in [
            ("0", Some(0)),
            ("9", Some(9)),
            ("10", Some(10)),
            ("4294967294", Some(4294967294)),
            ("4294967295", None),
            ("4294967296", None),
            ("9999999999", None),
            ("10000000000", None),
            ("", None),
            ("00", None),
            ("01", None),
            ("-1", None),
            ("+1", None),
            ("1.", None),
            ("1e1", None),
            (" 1", None),
            ("\u{661}", None),
        ] {
            assert_eq!(array_index(key.as_bytes()), index, "{key:?}");
        }
    }
}
