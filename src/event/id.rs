//! Event ids and idempotency keys.

use std::fmt;
use std::sync::Arc;

use crate::json::escape;

/// An event id or idempotency key: any string that is not empty, as WTF-8. Cheap to clone.
#[derive(Clone)]
pub struct Id(Bytes);

/// A computed id is stored inline. Memory of its own would be allocated by one thread and freed by
/// another, and both would wait for the allocator's lock.
#[derive(Clone)]
enum Bytes {
    Inline { bytes: [u8; INLINE_BYTES], length: u8 },
    Shared(Arc<[u8]>),
}

const INLINE_BYTES: usize = 64;

impl Id {
    /// The id made of these WTF-8 bytes. None if there are none, or if no JSON string could hold
    /// them.
    pub fn new(wtf8: impl AsRef<[u8]>) -> Option<Id> {
        let wtf8 = wtf8.as_ref();
        let mut token = Vec::with_capacity(wtf8.len() + 2);
        escape::escape_into(wtf8, &mut token);
        let inside = token.get(1..token.len() - 1).unwrap_or_default();
        let holds = std::str::from_utf8(inside).is_ok() && *escape::unescape(inside) == *wtf8;
        (holds && !wtf8.is_empty()).then(|| Id::of(wtf8))
    }

    /// The id made of bytes that are a valid value of a JSON string, and not empty.
    pub(crate) fn of(wtf8: &[u8]) -> Id {
        let mut bytes = [0; INLINE_BYTES];
        match (bytes.get_mut(..wtf8.len()), u8::try_from(wtf8.len())) {
            (Some(room), Ok(length)) => {
                room.copy_from_slice(wtf8);
                Id(Bytes::Inline { bytes, length })
            }
            _ => Id(Bytes::Shared(wtf8.into())),
        }
    }

    /// The id in a member of valid JSON, already unescaped; none if it is empty.
    pub(crate) fn of_member(value: &[u8]) -> Option<Id> {
        (!value.is_empty()).then(|| Id::of(value))
    }

    /// The WTF-8 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Inline { bytes, length } => {
                bytes.get(..usize::from(*length)).unwrap_or_default()
            }
            Bytes::Shared(bytes) => bytes,
        }
    }

    /// Appends the id as a JSON string.
    pub fn to_json(&self, out: &mut Vec<u8>) {
        escape::escape_into(self.as_bytes(), out);
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Id {}

impl std::hash::Hash for Id {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({:?})", self.to_string())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}
