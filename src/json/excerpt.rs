//! Foreign text in messages: short, and harmless in a log of lines and on a terminal (pure).

/// Characters of a text that a message shows.
const MAX_CHARACTERS: usize = 80;

/// The beginning of a text (WTF-8). Escaped is whatever would end a line, control a terminal or
/// change the direction of text.
pub(crate) fn excerpt(text: &[u8]) -> String {
    // No character has more than four bytes. A cut one becomes a replacement character, beyond the
    // limit.
    let bytes = text.get(..MAX_CHARACTERS * 4 + 4).unwrap_or(text);
    let text = String::from_utf8_lossy(bytes);
    let mut characters = text.chars();
    let mut shown = String::new();
    for character in characters.by_ref().take(MAX_CHARACTERS) {
        if is_printable(character) {
            shown.push(character);
        } else {
            shown += &format!("\\u{:04x}", u32::from(character));
        }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

fn is_printable(character: char) -> bool {
    !(character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_shown_as_it_is() {
        for text in ["", "id-1", "ü漢😀 with spaces", &"x".repeat(80)] {
            assert_eq!(excerpt(text.as_bytes()), text);
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        for text in ["x".repeat(81), "\u{1f600}".repeat(1 << 18)] {
            let shown: String = text.chars().take(80).chain(['…']).collect();
            assert_eq!(excerpt(text.as_bytes()), shown);
        }
    }

    #[test]
    fn what_a_terminal_or_a_log_of_lines_would_obey_is_escaped() {
        assert_eq!(
            excerpt("a\n\u{1b}[2J\0\u{85}\u{202e}b".as_bytes()),
            r"a\u000a\u001b[2J\u0000\u0085\u202eb"
        );
        assert_eq!(excerpt(b"\xed\xa0\x80"), "\u{fffd}\u{fffd}\u{fffd}");
    }
}
