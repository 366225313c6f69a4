//! Options as JavaScript passes them: JSON texts whose types JavaScript has checked.

use std::time::Duration;

use serde::Deserialize;

use crate::append::request::{AppendOptions, Durability, OnIdReuse};
use crate::error::{Error, Result};
use crate::event::timestamp::Timestamp;
use crate::event::{Id, Rules};
use crate::json::excerpt::excerpt;
use crate::path::ChroniclePath;
use crate::read::cursor::{Cursor, Step};
use crate::read::filter::{Filter, Wanted};
use crate::read::follow::OnRewrite;
use crate::read::line_batch::BatchLimits;
use crate::read::page::RecordPlace;
use crate::read::place::Place;
use crate::read::selection::Selection;
use crate::repair::RepairOptions;
use crate::session::LockMode;
use crate::storage::Stat;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct AppendOptionsJson {
    lock_timeout_ms: Option<f64>,
    compute_id: Option<bool>,
    idempotency_key: Option<Wtf8Text>,
    chain: bool,
    #[serde(deserialize_with = "present")]
    expected_tail: Option<Option<Wtf8Text>>,
    on_id_reuse: OnIdReuse,
    durability: Durability,
    any_extension: bool,
    lenient: bool,
    require_id: bool,
    unique_keys: bool,
    whole_lines: bool,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct LockOptionsJson {
    lock_timeout_ms: Option<f64>,
    pub(super) mode: LockMode,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ReadOptionsJson {
    any_extension: bool,
    positions: bool,
    places: bool,
    tail: Option<u32>,
    lines: bool,
    from: Option<At>,
    to: Option<At>,
    r#where: Where,
    reverse: bool,
    skip: Option<u64>,
    limit: Option<u64>,
    count: bool,
    on_rewrite: OnRewrite,
    batches: Option<Batches>,
}

/// Options of a read for whole lines.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Batches {
    max_bytes: Option<usize>,
    max_events: Option<usize>,
    pub(super) synced: bool,
}

/// Options that the binding itself needs during a read.
#[derive(Clone, Copy)]
pub(super) struct Selected {
    pub(super) positions: bool,
    /// Return the places of records, and the file, for cursors.
    pub(super) places: bool,
    /// Return the last n records only.
    pub(super) tail: Option<u32>,
    /// Return bad lines with line numbers, which cost a count of the lines before.
    pub(super) lines: bool,
    /// Where a follow goes on in a rewritten file.
    pub(super) on_rewrite: OnRewrite,
    pub(super) batches: Option<Batches>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum At {
    Start,
    End,
    Seq(u64),
    Offset(u64),
    EventId(Wtf8Text),
    Time(Time),
    Cursor(String),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Where {
    r#type: Vec<Wtf8Text>,
    agent: Option<Wtf8Text>,
    actor_id: Option<Wtf8Text>,
    tags: Vec<Wtf8Text>,
    plan_hash: Option<Wtf8Text>,
    graph_commit: Option<Wtf8Text>,
    event_id: Option<Wtf8Text>,
    prev_event_id: Option<Wtf8Text>,
    since: Option<Time>,
    until: Option<Time>,
}

/// A timestamp as a record has it.
#[derive(Deserialize)]
struct Time(serde_json::Value);

/// The place of a record in its file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Met {
    /// Decimal text, because the value exceeds the safe integers of JavaScript.
    device: String,
    inode: String,
    born: Option<String>,
    counted: bool,
    reverse: bool,
    place: [u64; 4],
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RepairOptionsJson {
    any_extension: bool,
    dry_run: bool,
    remove_duplicates: bool,
    fix_timestamp_order: bool,
    only_consecutive: bool,
    create_backup: Option<bool>,
    lock_timeout_ms: Option<f64>,
}

/// A string that may have lone surrogates: its JSON form without the quotes.
#[derive(Deserialize)]
struct Wtf8Text(#[serde(deserialize_with = "wtf8")] Vec<u8>);

impl AppendOptionsJson {
    pub(super) fn parse(text: Option<&str>) -> Result<AppendOptionsJson> {
        parse(text)
    }

    pub(super) fn path(&self, raw: &str, any_extension: bool) -> Result<ChroniclePath> {
        path(raw, any_extension || self.any_extension)
    }

    pub(super) fn into_core(self) -> Result<AppendOptions> {
        Ok(AppendOptions {
            lock_timeout: lock_timeout(self.lock_timeout_ms)?,
            rules: Rules {
                compute_id: self.compute_id.unwrap_or(true),
                idempotency_key: self
                    .idempotency_key
                    .map(|key| id(key, "idempotencyKey"))
                    .transpose()?,
                chain: self.chain,
                require_id: self.require_id,
                lenient: self.lenient,
                unique_keys: self.unique_keys,
                whole_line: self.whole_lines,
            },
            expected_tail: self
                .expected_tail
                .map(|tail| tail.map(|tail| id(tail, "expectedTail")).transpose())
                .transpose()?,
            on_id_reuse: self.on_id_reuse,
            durability: self.durability,
            observer: None,
        })
    }
}

impl LockOptionsJson {
    pub(super) fn parse(text: Option<&str>) -> Result<LockOptionsJson> {
        parse(text)
    }

    pub(super) fn timeout(&self) -> Result<Duration> {
        lock_timeout(self.lock_timeout_ms)
    }
}

impl ReadOptionsJson {
    /// The order of a read. The path is resolved now, because the current directory may change
    /// before the file is opened.
    pub(super) fn order(
        path: &str,
        options: Option<&str>,
    ) -> Result<(ChroniclePath, Selection, Selected)> {
        let options = ReadOptionsJson::parse(options)?;
        let path = options.path(path)?;
        let (selection, selected) = options.into_core()?;
        Ok((path, selection, selected))
    }

    pub(super) fn parse(text: Option<&str>) -> Result<ReadOptionsJson> {
        parse(text)
    }

    pub(super) fn path(&self, raw: &str) -> Result<ChroniclePath> {
        path(raw, self.any_extension)
    }

    fn into_core(self) -> Result<(Selection, Selected)> {
        let ReadOptionsJson {
            positions, places, tail, lines, reverse, on_rewrite, batches, ..
        } = self;
        let selection = Selection {
            from: self.from.map(|at| at.into_core("from")).transpose()?.unwrap_or_default(),
            to: self.to.map(|at| at.into_core("to")).transpose()?,
            filter: self.r#where.into_core()?,
            reverse,
            skip: self.skip.unwrap_or_default(),
            limit: self.limit,
            numbered: positions || lines,
            all_bad_lines: lines,
            count_only: self.count,
        };
        Ok((selection, Selected { positions, places, tail, lines, on_rewrite, batches }))
    }
}

impl Batches {
    pub(super) fn limits(&self) -> BatchLimits {
        let standard = BatchLimits::default();
        BatchLimits {
            max_bytes: self.max_bytes.unwrap_or(standard.max_bytes),
            max_events: self.max_events.unwrap_or(standard.max_events),
        }
    }
}

impl At {
    fn into_core(self, name: &str) -> Result<Place> {
        Ok(match self {
            At::Start => Place::Start,
            At::End => Place::End,
            At::Seq(seq) => Place::Seq(seq),
            At::Offset(offset) => Place::Offset(offset),
            At::EventId(Wtf8Text(id)) => Place::EventId(id),
            At::Time(time) => Place::Time(time.into_core(&format!("{name}.time"))?),
            At::Cursor(cursor) => Place::Cursor(cursor.parse()?),
        })
    }
}

impl Where {
    fn into_core(self) -> Result<Filter> {
        let text = |text: Option<Wtf8Text>| text.map(|Wtf8Text(text)| text);
        let texts = |texts: Vec<Wtf8Text>| texts.into_iter().map(|Wtf8Text(text)| text).collect();
        let time = |time: Option<Time>, name| time.map(|time| time.into_core(name)).transpose();
        Ok(Filter::new(Wanted {
            types: texts(self.r#type),
            agent: text(self.agent),
            actor_id: text(self.actor_id),
            tags: texts(self.tags),
            plan_hash: text(self.plan_hash),
            graph_commit: text(self.graph_commit),
            event_id: text(self.event_id),
            prev_event_id: text(self.prev_event_id),
            since: time(self.since, "where.since")?,
            until: time(self.until, "where.until")?,
        }))
    }
}

impl Time {
    fn into_core(self, name: &str) -> Result<Timestamp> {
        let raw = self.0.to_string();
        Timestamp::of_json(raw.as_bytes()).ok_or_else(|| {
            let start = excerpt(raw.as_bytes());
            Error::validation(format!("{name} is no point in time: {start}"))
        })
    }
}

impl Met {
    pub(super) fn parse(text: &str) -> Result<Met> {
        serde_json::from_str(text).map_err(|error| Error::validation(format!("bad place: {error}")))
    }

    pub(super) fn cursor(self, line: &[u8]) -> Cursor {
        let [seq, offset, length, number] = self.place;
        let number_of = |text: String| text.parse().unwrap_or_default();
        let stat = Stat {
            device: number_of(self.device),
            inode: number_of(self.inode),
            length: 0,
            links: 1,
            born: self.born.map(number_of),
        };
        let place = RecordPlace { seq, line: number, offset, length };
        let step = Step { reverse: self.reverse, is_counted: self.counted };
        Cursor::of_record(&stat, &place, line, step)
    }
}

impl RepairOptionsJson {
    pub(super) fn parse(text: Option<&str>) -> Result<RepairOptionsJson> {
        parse(text)
    }

    pub(super) fn path(&self, raw: &str) -> Result<ChroniclePath> {
        path(raw, self.any_extension)
    }

    pub(super) fn into_core(self) -> Result<RepairOptions> {
        let standard = RepairOptions::default();
        Ok(RepairOptions {
            dry_run: self.dry_run,
            remove_duplicates: self.remove_duplicates,
            fix_timestamp_order: self.fix_timestamp_order,
            only_consecutive: self.only_consecutive,
            create_backup: self.create_backup.unwrap_or(standard.create_backup),
            lock_timeout: lock_timeout(self.lock_timeout_ms)?,
        })
    }
}

pub(super) fn path(raw: &str, any_extension: bool) -> Result<ChroniclePath> {
    if any_extension { ChroniclePath::parse_any_extension(raw) } else { ChroniclePath::parse(raw) }
}

pub(super) fn check_path(raw: &str, any_extension: bool) -> Result<()> {
    if any_extension { ChroniclePath::check_any_extension(raw) } else { ChroniclePath::check(raw) }
}

/// The order of points in time: the rank of each value of a JSON array among the different ones.
pub(super) fn instants(values: &str) -> Result<Vec<Option<usize>>> {
    let values: Vec<serde_json::Value> = serde_json::from_str(values)
        .map_err(|error| Error::validation(format!("bad times: {error}")))?;
    let instants: Vec<Option<Timestamp>> =
        values.iter().map(|value| Timestamp::of_json(value.to_string().as_bytes())).collect();
    let mut order: Vec<Timestamp> = instants.iter().flatten().copied().collect();
    order.sort_unstable();
    order.dedup();
    let place = |instant: &Timestamp| order.binary_search(instant).ok();
    Ok(instants.iter().map(|instant| instant.as_ref().and_then(place)).collect())
}

fn parse<T: Default + for<'de> Deserialize<'de>>(text: Option<&str>) -> Result<T> {
    let Some(text) = text else {
        return Ok(T::default());
    };
    serde_json::from_str(text).map_err(|error| Error::validation(format!("bad options: {error}")))
}

fn lock_timeout(given: Option<f64>) -> Result<Duration> {
    let milliseconds = |value: f64| Duration::try_from_secs_f64(value / 1000.0);
    given
        .map_or(Ok(AppendOptions::default().lock_timeout), milliseconds)
        .map_err(|_| Error::validation("lockTimeoutMs is out of range"))
}

fn id(text: Wtf8Text, name: &str) -> Result<Id> {
    Id::new(text.0).ok_or_else(|| Error::validation(format!("{name} must be a non-empty string")))
}

/// Distinguishes an absent field from null.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Option<Wtf8Text>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// serde_json returns a string with lone surrogates as WTF-8 if bytes are requested.
fn wtf8<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<u8>, D::Error> {
    struct Wtf8Bytes;
    impl serde::de::Visitor<'_> for Wtf8Bytes {
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
    deserializer.deserialize_bytes(Wtf8Bytes)
}
