//! String arguments that are read into memory of the addon. napi's own strings allocate for each
//! argument.

#![expect(unsafe_code, reason = "the plain Node-API calls that read a string into memory of ours")]

use std::ptr;

use crate::append::request::Texts;
use crate::event::MAX_ADDED_BYTES;
use napi::bindgen_prelude::{Error, FromNapiValue, Result, Status, TypeName, ValidateNapiValue};
use napi::{ValueType, sys};

/// A string of JavaScript. It is valid only during the call that received it.
pub struct TextArgument {
    env: sys::napi_env,
    value: sys::napi_value,
}

impl TypeName for TextArgument {
    fn type_name() -> &'static str {
        "string"
    }

    fn value_type() -> ValueType {
        ValueType::String
    }
}

impl ValidateNapiValue for TextArgument {}

impl FromNapiValue for TextArgument {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        let mut kind = 0;
        // SAFETY: both belong to the present call.
        check(unsafe { sys::napi_typeof(env, value, &raw mut kind) })?;
        if kind == sys::ValueType::napi_string {
            Ok(TextArgument { env, value })
        } else {
            Err(Error::new(Status::StringExpected, "a string was expected"))
        }
    }
}

impl TextArgument {
    /// Reads the string as UTF-8, with room for `more` bytes behind it. Lone surrogates become
    /// U+FFFD.
    pub(super) fn to_vec(&self, more: usize) -> Result<Vec<u8>> {
        let mut length = 0;
        self.read(ptr::null_mut(), 0, &mut length)?;
        // One byte more, because Node-API appends a zero.
        let mut bytes: Vec<u8> = Vec::with_capacity(length + more.max(1));
        let room = bytes.capacity();
        self.read(bytes.as_mut_ptr().cast(), room, &mut length)?;
        // SAFETY: this many bytes were written.
        unsafe { bytes.set_len(length) };
        Ok(bytes)
    }

    /// Whether the string is this text.
    pub(super) fn is(&self, known: &str) -> Result<bool> {
        const MAX_BYTES: usize = 512;
        // Node-API writes whole characters and a zero. With room for one of each behind the known
        // text, a longer string shows itself as longer.
        const BEHIND: usize = 4 + 1;
        if known.len() + BEHIND > MAX_BYTES {
            return Ok(self.to_vec(0)? == known.as_bytes());
        }
        let mut bytes = [0_u8; MAX_BYTES];
        let mut length = 0;
        self.read(bytes.as_mut_ptr().cast(), known.len() + BEHIND, &mut length)?;
        Ok(bytes.get(..length) == Some(known.as_bytes()))
    }

    pub(super) fn to_text(&self) -> Result<String> {
        let bytes = self.to_vec(0)?;
        String::from_utf8(bytes).map_err(|error| Error::new(Status::InvalidArg, error.to_string()))
    }

    fn read(&self, room: *mut std::ffi::c_char, size: usize, length: &mut usize) -> Result<()> {
        // SAFETY: `room` is null or has `size` bytes. Environment and value belong to the present
        // call.
        check(unsafe { sys::napi_get_value_string_utf8(self.env, self.value, room, size, length) })
    }
}

fn check(status: sys::napi_status) -> Result<()> {
    if status == sys::Status::napi_ok {
        Ok(())
    } else {
        Err(Error::new(Status::from(status), "a string argument could not be read"))
    }
}

/// The texts of `events`, which are joined by newlines.
pub(super) fn lines(events: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    events.split(|byte| *byte == b'\n').map(|text| {
        let mut room = Vec::with_capacity(text.len() + MAX_ADDED_BYTES);
        room.extend_from_slice(text);
        room
    })
}

/// The texts of an append, with room for the members that an id adds.
pub(super) fn texts(events: Vec<u8>) -> Texts {
    if memchr::memchr(b'\n', &events).is_none() {
        return events.into();
    }
    lines(&events).collect::<Vec<_>>().into()
}
