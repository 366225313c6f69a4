//! Where the plain runs in the strings of a JSON text end: a kibibyte at a time.

/// Finds the bytes that no plain run of a string has: quotes, backslashes and control characters. It looks at each byte of a text once and
/// keeps one bit for it, so that the end of a string costs a shift and a count of zeros, wherever it is: no branch depends on where
/// in a block a string begins. For strings of a dozen bytes that is a third of a search from each opening quote on.
pub(crate) struct StringMask {
    /// Where the window begins that the bits are of.
    start: usize,
    /// Eight bytes more than are ever set, so that eight can be read from everywhere.
    bits: [u8; WINDOW_BYTES / 8 + 8],
    /// A byte beyond ASCII was among those that were looked at.
    pub(crate) saw_beyond_ascii: bool,
}

const BLOCK_BYTES: usize = 64;
const WINDOW_BYTES: usize = 16 * BLOCK_BYTES;
/// Behind every text.
const NO_WINDOW: usize = isize::MAX as usize + 1;

impl StringMask {
    pub(crate) fn new() -> StringMask {
        StringMask { start: NO_WINDOW, bits: [0; WINDOW_BYTES / 8 + 8], saw_beyond_ascii: false }
    }

    /// The first such byte at `at` or behind it; the end of the text when there is none. It is always the same text.
    #[inline(always)]
    pub(crate) fn find(&mut self, text: &[u8], at: usize) -> usize {
        let ahead = self.ahead(at);
        if ahead != 0 {
            return at + ahead.trailing_zeros() as usize;
        }
        self.find_further(text, at)
    }

    /// The bits of the bytes from `at` on, 57 at the least. None is set where nothing was looked at.
    #[inline(always)]
    fn ahead(&self, at: usize) -> u64 {
        let from = at.wrapping_sub(self.start);
        let bits = self.bits.get(from / 8..).and_then(<[u8]>::first_chunk);
        bits.map_or(0, |bits| u64::from_le_bytes(*bits) >> (from % 8))
    }

    #[inline(never)]
    fn find_further(&mut self, text: &[u8], mut at: usize) -> usize {
        if at.wrapping_sub(self.start) >= WINDOW_BYTES {
            self.look(text, at);
        }
        loop {
            let ahead = self.ahead(at);
            if ahead != 0 {
                return at + ahead.trailing_zeros() as usize;
            }
            at = (at + 57).min(self.start + WINDOW_BYTES);
            if at == self.start + WINDOW_BYTES {
                self.look(text, at);
            }
        }
    }

    /// Looks at the bytes from `start` on. What is behind the text mask as well.
    fn look(&mut self, text: &[u8], start: usize) {
        self.start = start;
        let (blocks, rest) = text.get(start..).unwrap_or_default().as_chunks::<BLOCK_BYTES>();
        let mut beyond_ascii = self.saw_beyond_ascii;
        let mut bits = self.bits.as_chunks_mut().0.iter_mut().take(WINDOW_BYTES / BLOCK_BYTES);
        for (bits, block) in bits.by_ref().zip(blocks) {
            *bits = mask_of(block, &mut beyond_ascii).to_le_bytes();
        }
        if let Some(bits) = self
            .bits
            .as_chunks_mut()
            .0
            .iter_mut()
            .take(WINDOW_BYTES / BLOCK_BYTES)
            .nth(blocks.len())
        {
            *bits = mask_at_end(text, rest.len(), &mut beyond_ascii).to_le_bytes();
        }
        self.saw_beyond_ascii = beyond_ascii;
    }
}

/// The bits of the last `rest` bytes, fewer than a block; what is behind the text mask as well.
fn mask_at_end(text: &[u8], rest: usize, beyond_ascii: &mut bool) -> u64 {
    match text.last_chunk::<BLOCK_BYTES>() {
        Some(last) => {
            let mask = mask_of(last, beyond_ascii);
            mask.checked_shr((BLOCK_BYTES - rest) as u32).unwrap_or_default() | u64::MAX << rest
        }
        None => {
            let mut padded = [0; BLOCK_BYTES];
            let from = text.len() - rest;
            for (to, byte) in padded.iter_mut().zip(text.get(from..).unwrap_or_default()) {
                *to = *byte;
            }
            mask_of(&padded, beyond_ascii)
        }
    }
}

/// One bit for each byte, the first one lowest.
#[inline(always)]
fn mask_of(bytes: &[u8; BLOCK_BYTES], beyond_ascii: &mut bool) -> u64 {
    let mut found = [0; BLOCK_BYTES];
    let mut all = 0;
    for (found, byte) in found.iter_mut().zip(bytes) {
        let is_stop = (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\');
        *found = u8::from(is_stop).wrapping_neg();
        all |= byte;
    }
    *beyond_ascii |= !all.is_ascii();
    let mut bits = 0;
    for (index, eight) in found.as_chunks::<8>().0.iter().enumerate() {
        let own = u64::from_le_bytes(*eight) & 0x8040_2010_0804_0201;
        bits |= (own.wrapping_mul(0x0101_0101_0101_0101) >> 56) << (index * 8);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_stop(byte: u8) -> bool {
        byte < 0x20 || byte == b'"' || byte == b'\\'
    }

    #[test]
    fn every_byte_is_told_at_every_place_of_a_block() {
        for byte in 0..=u8::MAX {
            for at in 0..BLOCK_BYTES {
                // The neighbours are one away from what is looked for, or have the highest bit set.
                for filler in [b'!', b'#', b'[', b']', b' ', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                    let mut bytes = [filler; BLOCK_BYTES];
                    bytes[at] = byte;
                    let expected = u64::from(is_stop(byte)) << at;
                    let mut beyond_ascii = false;
                    let found = mask_of(&bytes, &mut beyond_ascii);
                    assert_eq!(found, expected, "{byte:#x} at {at}");
                    assert_eq!(beyond_ascii, !bytes.is_ascii(), "{byte:#x} at {at}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn the_next_stop_is_found_from_everywhere_in_any_order(
            text in proptest::collection::vec(
                prop_oneof![200 => Just(b'x'), 1 => Just(b'"'), 1 => any::<u8>()], 0..4000),
            places in proptest::collection::vec(0..4000usize, 1..20)
        ) {
            let mut mask = StringMask::new();
            for at in places {
                let at = at.min(text.len());
                let next = text[at..].iter().position(|byte| is_stop(*byte));
                let next = next.map_or(text.len(), |next| at + next);
                prop_assert_eq!(mask.find(&text, at), next);
                prop_assert!(mask.saw_beyond_ascii || text[at..next].is_ascii());
            }
            prop_assert!(!(mask.saw_beyond_ascii && text.is_ascii()));
        }
    }
}
