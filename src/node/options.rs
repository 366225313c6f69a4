//! Option objects as JavaScript hands them over: JSON texts whose types the face has checked.

use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::event::{Id, Rules};
use crate::path::ChroniclePath;
use crate::request::{AppendOptions, Durability, OnIdReuse};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Append {
    lock_timeout_ms: Option<f64>,
    compute_id: Option<bool>,
    idempotency_key: Option<Text>,
    chain: bool,
    #[serde(deserialize_with = "present")]
    expected_tail: Option<Option<Text>>,
    on_id_reuse: OnIdReuse,
    durability: Durability,
    any_extension: bool,
    lenient: bool,
    require_id: bool,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Read {
    any_extension: bool,
    pub(super) positions: bool,
    /// Only the last so many records.
    pub(super) tail: Option<u32>,
    /// Bad lines are told with their line numbers, for which a tail has to count.
    pub(super) lines: bool,
}

/// A string that may have lone surrogates, as its JSON form between quotes.
#[derive(Deserialize)]
struct Text(#[serde(deserialize_with = "wtf8")] Vec<u8>);

impl Append {
    pub(super) fn parse(text: Option<&str>) -> Result<Append> {
        parse(text)
    }

    pub(super) fn path(&self, raw: &str) -> Result<ChroniclePath> {
        path(raw, self.any_extension)
    }

    pub(super) fn into_core(self) -> Result<AppendOptions> {
        let standard = AppendOptions::default();
        let milliseconds = |value: f64| Duration::try_from_secs_f64(value / 1000.0);
        let lock_timeout = match self.lock_timeout_ms.map(milliseconds) {
            None => standard.lock_timeout,
            Some(Ok(timeout)) => timeout,
            Some(Err(_)) => return Err(Error::validation("lockTimeoutMs is out of range")),
        };
        Ok(AppendOptions {
            lock_timeout,
            rules: Rules {
                compute_id: self.compute_id.unwrap_or(true),
                idempotency_key: self
                    .idempotency_key
                    .map(|key| id(key, "idempotencyKey"))
                    .transpose()?,
                chain: self.chain,
                require_id: self.require_id,
                lenient: self.lenient,
            },
            expected_tail: self
                .expected_tail
                .map(|tail| tail.map(|tail| id(tail, "expectedTail")).transpose())
                .transpose()?,
            on_id_reuse: self.on_id_reuse,
            durability: self.durability,
        })
    }
}

impl Read {
    pub(super) fn parse(text: Option<&str>) -> Result<Read> {
        parse(text)
    }

    pub(super) fn path(&self, raw: &str) -> Result<ChroniclePath> {
        path(raw, self.any_extension)
    }
}

pub(super) fn path(raw: &str, any_extension: bool) -> Result<ChroniclePath> {
    if any_extension { ChroniclePath::parse_any_extension(raw) } else { ChroniclePath::parse(raw) }
}

fn parse<T: Default + for<'de> Deserialize<'de>>(text: Option<&str>) -> Result<T> {
    let Some(text) = text else {
        return Ok(T::default());
    };
    serde_json::from_str(text).map_err(|error| Error::validation(format!("bad options: {error}")))
}

fn id(text: Text, name: &str) -> Result<Id> {
    Id::new(text.0).ok_or_else(|| Error::validation(format!("{name} must be a non-empty string")))
}

/// Tells an absent field from one that is null.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Option<Text>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// serde_json hands the bytes of a string with lone surrogates over as WTF-8 when bytes are asked for.
fn wtf8<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<u8>, D::Error> {
    struct Bytes;
    impl serde::de::Visitor<'_> for Bytes {
        type Value = Vec<u8>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string")
        }
        fn visit_str<E>(self, value: &str) -> std::result::Result<Vec<u8>, E> {
            Ok(value.as_bytes().to_vec())
        }
        fn visit_bytes<E>(self, value: &[u8]) -> std::result::Result<Vec<u8>, E> {
            Ok(value.to_vec())
        }
    }
    deserializer.deserialize_bytes(Bytes)
}
