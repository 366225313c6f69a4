//! JSON strings: what their escapes mean, and how they are written.
//!
//! A JSON string can hold a surrogate without its partner, which UTF-8 cannot. Unescaped strings
//! are therefore WTF-8: UTF-8 that has the three bytes of a lone surrogate's code point.

use std::borrow::Cow;

use memchr::memchr;

/// The bytes inside a JSON string (`raw`, still escaped) as WTF-8: borrowed where nothing is
/// escaped. Escaped surrogate pairs are joined; a lone surrogate becomes its three WTF-8 bytes.
pub fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    transcode(raw, &mut out, push_code);
    Cow::Owned(out)
}

/// Appends `"..."` with the escapes that `JSON.stringify` writes and no others. Lone surrogates of
/// the WTF-8 become lower-case `\udXXX`.
pub fn escape_into(wtf8: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = wtf8;
    while let Some((plain, code, behind)) = next_special(rest) {
        out.extend_from_slice(plain);
        push_escaped(code, out);
        rest = behind;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Appends the string token for `raw` (the inside of a valid JSON string) with minimal escapes.
pub(crate) fn normalize_into(raw: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    transcode(raw, out, push_escaped);
    out.push(b'"');
}

/// Copies `raw` to `out`; `push` writes the code point of each escape.
#[inline]
fn transcode(raw: &[u8], out: &mut Vec<u8>, push: impl Fn(u32, &mut Vec<u8>)) {
    let mut rest = raw;
    while let Some((plain, behind)) = memchr(b'\\', rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(plain);
        let Some((code, length)) = escape(behind) else {
            rest = behind;
            break;
        };
        push(code, out);
        rest = behind.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// The code point of the escape that `text` begins with, and its length. Two escapes that form a
/// surrogate pair are one. None if `text` begins with no escape.
fn escape(text: &[u8]) -> Option<(u32, usize)> {
    let code = match text.get(1)? {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => 0x0a,
        b'r' => 0x0d,
        b't' => 0x09,
        b'u' => {
            let high = hex4(text.get(2..6)?)?;
            if (0xd800..0xdc00).contains(&high) && text.get(6..8) == Some(b"\\u") {
                let low = text.get(8..12).and_then(hex4).unwrap_or_default();
                if (0xdc00..0xe000).contains(&low) {
                    return Some((0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), 12));
                }
            }
            return Some((high, 6));
        }
        &byte => byte as u32,
    };
    Some((code, 2))
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |code, &digit| Some(code << 4 | (digit as char).to_digit(16)?))
}

/// Appends the WTF-8 of a code point, surrogates included.
fn push_code(code: u32, out: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        None => out.extend_from_slice(&[
            0xe0 | (code >> 12) as u8,
            0x80 | (code >> 6 & 0x3f) as u8,
            0x80 | (code & 0x3f) as u8,
        ]),
    }
}

/// Appends a code point as `JSON.stringify` writes it in a string.
fn push_escaped(code: u32, out: &mut Vec<u8>) {
    let short = match code {
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        0x22 => b'"',
        0x5c => b'\\',
        0..0x20 | 0xd800..0xe000 => {
            out.extend_from_slice(b"\\u");
            for shift in [12, 8, 4, 0] {
                out.push(char::from_digit(code >> shift & 0xf, 16).unwrap_or('0') as u8);
            }
            return;
        }
        _ => return push_code(code, out),
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Splits WTF-8 at the first code point that must be escaped: the bytes before, the code point, the
/// bytes behind.
fn next_special(wtf8: &[u8]) -> Option<(&[u8], u32, &[u8])> {
    let mut bytes = wtf8.iter().enumerate();
    bytes.find_map(|(at, &byte)| {
        let (code, length) = match (byte, wtf8.get(at + 1..at + 3)) {
            (0..0x20 | b'"' | b'\\', _) => (byte as u32, 1),
            (0xed, Some(&[second @ 0xa0..=0xbf, third])) => {
                (0xd000 | (second as u32 & 0x3f) << 6 | third as u32 & 0x3f, 3)
            }
            _ => return None,
        };
        Some((wtf8.get(..at)?, code, wtf8.get(at + length..)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(wtf8: &[u8]) -> String {
        let mut out = Vec::new();
        escape_into(wtf8, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn normalized(raw: &str) -> String {
        let mut out = Vec::new();
        normalize_into(raw.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    /// WTF-8 of UTF-16, by the standard library's decoder.
    fn wtf8(units: &[u16]) -> Vec<u8> {
        let mut out = Vec::new();
        for unit in char::decode_utf16(units.iter().copied()) {
            match unit {
                Ok(char) => out.extend_from_slice(char.to_string().as_bytes()),
                Err(lone) => {
                    let unit = lone.unpaired_surrogate();
                    out.extend([0xed, (unit >> 6 & 0x3f) as u8 | 0x80, (unit & 0x3f) as u8 | 0x80]);
                }
            }
        }
        out
    }

    #[test]
    fn escapes_mean_what_they_mean_in_json() {
        for (raw, meant) in [
            ("", "".as_bytes()),
            ("plain \u{e9}\u{1f600}", "plain \u{e9}\u{1f600}".as_bytes()),
            (r#"\"\\\/\b\f\n\r\t"#, b"\"\\/\x08\x0c\n\r\t"),
            (r"\u0000\u001f\u007F\u00e9\u20AC", "\0\x1f\x7f\u{e9}\u{20ac}".as_bytes()),
            (r"\\u0041\u0041", br"\u0041A"),
            (r"\ud83d\ude00\uD83D\uDE00", "\u{1f600}\u{1f600}".as_bytes()),
            (r"\udbff\udfff\ud800\udc00", "\u{10ffff}\u{10000}".as_bytes()),
            (r"a\ud800", b"a\xed\xa0\x80"),
            (r"\udfff\ud83d", b"\xed\xbf\xbf\xed\xa0\xbd"),
            (r"\ud83d\ud83d\ude00", b"\xed\xa0\xbd\xf0\x9f\x98\x80"),
            (r"\ud83dx\ude00", b"\xed\xa0\xbdx\xed\xb8\x80"),
            (r"\ud83dxxde00", b"\xed\xa0\xbdxxde00"),
            (r"\ud83d\n", b"\xed\xa0\xbd\n"),
        ] {
            assert_eq!(unescape(raw.as_bytes()), meant, "{raw}");
        }
    }

    #[test]
    fn a_string_without_escapes_is_borrowed() {
        assert!(matches!(unescape(b"plain"), Cow::Borrowed(b"plain")));
        assert!(matches!(unescape(br"\n"), Cow::Owned(_)));
    }

    #[test]
    fn only_what_must_be_escaped_is_escaped() {
        for (bytes, expected) in [
            (&b""[..], r#""""#),
            (b"\x00\x07\x08\x09\x0a\x0b\x0c\x0d\x1f", r#""\u0000\u0007\b\t\n\u000b\f\r\u001f""#),
            (b" !\"#[\\]/\x7f", " \" !\\\"#[\\\\]/\x7f\"".trim_start()),
            ("\u{80}\u{2028}\u{d7ff}\u{e000}".as_bytes(), "\"\u{80}\u{2028}\u{d7ff}\u{e000}\""),
            (b"\xed\x9f\xbf\xed\xa0\x80\xed\xbf\xbf", "\"\u{d7ff}\\ud800\\udfff\""),
            ("\u{1f600}".as_bytes(), "\"\u{1f600}\""),
        ] {
            assert_eq!(written(bytes), expected);
        }
    }

    #[test]
    fn every_code_unit_is_written_as_json_stringify_does() {
        for unit in 0..=0xffffu16 {
            let expected = match char::from_u32(unit as u32) {
                Some(char) => serde_json::to_string(&char).unwrap(),
                None => format!("\"\\u{unit:x}\""),
            };
            for raw in [format!("\\u{unit:04x}"), format!("\\u{unit:04X}")] {
                assert_eq!(normalized(&raw), expected, "{raw}");
                assert_eq!(written(&unescape(raw.as_bytes())), expected, "{raw}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_json_string_do_no_harm() {
        for raw in [&b"\\"[..], b"\\u", b"\\u12", b"a\\uzzzz", b"\\ud800\\u12", b"\\x\\"] {
            unescape(raw);
        }
        for bytes in [&b"\xed"[..], b"\xed\xa0", b"\xff\xed\xa0\x00"] {
            let mut out = Vec::new();
            escape_into(bytes, &mut out);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn unescaping_undoes_escaping(
            units in proptest::collection::vec(
                prop_oneof![0..0x80u16, 0xd7feu16..0xe002, 0xd83du16..0xd840, any::<u16>()], 0..20)
        ) {
            let bytes = wtf8(&units);
            let token = written(&bytes);
            prop_assert_eq!(&*unescape(&token.as_bytes()[1..token.len() - 1]), &bytes[..]);
            let escaped: String = units.iter().map(|unit| format!("\\u{unit:04X}")).collect();
            prop_assert_eq!(&*unescape(escaped.as_bytes()), &bytes[..]);
            prop_assert_eq!(normalized(&escaped), token);
        }
    }
}
