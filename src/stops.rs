//! Where the plain runs in the strings of a JSON text end: 64 bytes at a time.

/// Finds the bytes that no plain run of a string has: quotes, backslashes and control characters. It looks at each block of 64 bytes
/// once and keeps what it saw as one bit for each, so that the end of a string costs a shift and a count of zeros: for strings of a
/// dozen bytes a third of a search from each opening quote on.
pub(crate) struct Stops {
    /// Where the block begins that the bits are of.
    block: usize,
    bits: u64,
}

const BLOCK: usize = 64;

impl Stops {
    pub(crate) fn new() -> Stops {
        Stops { block: usize::MAX, bits: 0 }
    }

    /// The first such byte at `at` or behind it; the end of the text when there is none.
    #[inline]
    pub(crate) fn find(&mut self, text: &[u8], at: usize) -> usize {
        let ahead = self.bits & (u64::MAX << (at % BLOCK));
        if at - at % BLOCK == self.block && ahead != 0 {
            return self.block + ahead.trailing_zeros() as usize;
        }
        self.find_further(text, at)
    }

    #[inline(never)]
    fn find_further(&mut self, text: &[u8], at: usize) -> usize {
        let mut block = at - at % BLOCK;
        self.look(text, block);
        let mut ahead = self.bits & (u64::MAX << (at % BLOCK));
        while ahead == 0 {
            block += BLOCK;
            self.look(text, block);
            ahead = self.bits;
        }
        block + ahead.trailing_zeros() as usize
    }

    #[inline]
    fn look(&mut self, text: &[u8], block: usize) {
        self.block = block;
        self.bits = match text.get(block..).and_then(<[u8]>::first_chunk) {
            Some(bytes) => stops_in(bytes),
            None => stops_at_end(text, text.len().saturating_sub(block)),
        };
    }
}

/// The bits of the last `rest` bytes; what is behind the text stops as well.
#[cold]
fn stops_at_end(text: &[u8], rest: usize) -> u64 {
    let behind = u64::MAX << rest;
    match text.last_chunk::<BLOCK>() {
        Some(last) => {
            stops_in(last).checked_shr((BLOCK - rest) as u32).unwrap_or_default() | behind
        }
        None => {
            let mut padded = [0; BLOCK];
            for (to, from) in padded.iter_mut().zip(text) {
                *to = *from;
            }
            stops_in(&padded)
        }
    }
}

/// One bit for each byte, the first one lowest.
fn stops_in(bytes: &[u8; BLOCK]) -> u64 {
    let mut found = [0; BLOCK];
    for (found, byte) in found.iter_mut().zip(bytes) {
        let is_stop = (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\');
        *found = u8::from(is_stop).wrapping_neg();
    }
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
            for at in 0..BLOCK {
                // The neighbours are one away from what is looked for, or have the highest bit set.
                for filler in [b'!', b'#', b'[', b']', b' ', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                    let mut bytes = [filler; BLOCK];
                    bytes[at] = byte;
                    let expected = u64::from(is_stop(byte)) << at;
                    assert_eq!(stops_in(&bytes), expected, "{byte:#x} at {at}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn the_next_stop_is_found_from_everywhere_in_any_order(
            text in proptest::collection::vec(
                prop_oneof![8 => Just(b'x'), 1 => Just(b'"'), 1 => any::<u8>()], 0..300),
            places in proptest::collection::vec(0..300usize, 1..20)
        ) {
            let mut stops = Stops::new();
            for at in places {
                let at = at.min(text.len());
                let next = text[at..].iter().position(|byte| is_stop(*byte));
                prop_assert_eq!(stops.find(&text, at), next.map_or(text.len(), |next| at + next));
            }
        }
    }
}
