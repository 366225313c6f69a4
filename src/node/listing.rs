//! Unbounded lists of a result. The text of the result has their first entries, and JavaScript
//! takes the rest in parts.

use std::sync::{Arc, Mutex};

use napi_derive::napi;

use crate::mutex::locked;

/// Entries in the text of a result, or in a part of a list, at most.
pub(super) const MAX_ENTRIES: usize = 10_000;
/// A text is full once it has this many bytes.
const MAX_BYTES: usize = 16 << 20;

/// A list of a result.
pub(super) trait Entries: Send {
    /// Number of entries.
    fn count(&self) -> usize;
    /// Appends the JSON text of one entry.
    fn entry(&self, at: usize, out: &mut Vec<u8>);
}

/// The JSON array of the entries from `from` on, as many as one text holds, and the start of the
/// next text.
pub(super) fn part(entries: &dyn Entries, from: usize) -> (Vec<u8>, usize) {
    let mut out = vec![b'['];
    let mut at = from;
    let end = entries.count().min(from + MAX_ENTRIES);
    while at < end && out.len() < MAX_BYTES {
        if at > from {
            out.push(b',');
        }
        entries.entry(at, &mut out);
        at += 1;
    }
    out.push(b']');
    (out, at)
}

/// The whole list of a settled result.
#[napi]
pub struct Listing {
    list: Arc<Mutex<Option<Box<dyn Entries>>>>,
    next: usize,
}

#[napi]
impl Listing {
    /// A list to pass with the request.
    #[napi(constructor, catch_unwind)]
    #[allow(clippy::new_without_default, reason = "only JavaScript makes one")]
    pub fn new() -> Listing {
        Listing { list: Arc::default(), next: 0 }
    }

    /// The next entries as a JSON array, which is empty at the end.
    #[napi(catch_unwind)]
    pub fn next(&mut self) -> String {
        let list = locked(&self.list);
        let Some(entries) = &*list else { return "[]".into() };
        let (text, next) = part(&**entries, self.next);
        self.next = next;
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Listing {
    /// The slot that the request fills.
    pub(super) fn slot(&self) -> Arc<Mutex<Option<Box<dyn Entries>>>> {
        self.list.clone()
    }
}
