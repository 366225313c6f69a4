//! Which arrays and objects are open, and how many may be.

/// The number of arrays and objects that may be open at once; the outermost one counts.
pub(crate) const MAX_DEPTH: usize = 1000;

/// Why a text is not one JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing but whitespace.
    #[error("is empty")]
    Empty,
    /// More than `MAX_DEPTH` arrays and objects are open at once.
    #[error("nests deeper than {MAX_DEPTH}")]
    TooDeep,
    /// Valid JSON, but an array or a scalar.
    #[error("is not a JSON object")]
    NotAnObject,
    /// Not JSON, or not UTF-8.
    #[error("is not valid JSON at byte {at}")]
    Invalid {
        /// The first byte that does not fit, counted from 0.
        at: usize,
    },
}

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `{...}`
    Object,
    /// `[...]`
    Array,
    /// A string, number, `true`, `false` or `null`.
    Scalar,
}

/// The open containers, one bit each: the deepest allowed nesting needs 125 bytes.
#[derive(Default)]
pub(crate) struct Nesting {
    objects: [u64; MAX_DEPTH.div_ceil(64)],
    depth: usize,
}

impl Nesting {
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.depth = 0;
    }

    #[inline]
    pub(crate) fn push(&mut self, shape: Shape) -> Result<(), Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        if let Some(word) = self.objects.get_mut(self.depth / 64) {
            let bit = 1 << (self.depth % 64);
            *word = if shape == Shape::Object { *word | bit } else { *word & !bit };
        }
        self.depth += 1;
        Ok(())
    }

    /// Closes the innermost container and returns the kind of the one around it.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Shape> {
        self.depth -= 1;
        let last = self.depth.checked_sub(1)?;
        let word = self.objects.get(last / 64)?;
        Some(if word >> (last % 64) & 1 == 1 { Shape::Object } else { Shape::Array })
    }
}
