//! What a chunk of whole lines adds to the view of a log (pure).

use std::borrow::Cow;

use crate::dedup::table;
use crate::event::Id;
use crate::json::BYTE_ORDER_MARK;
use crate::record::classify::{self, RecordIds, Verdict};
use crate::record::template::TemplateCache;

/// Least distance in bytes between two places where the records before are counted.
const COUNT_EVERY_BYTES: usize = 8 << 10;

/// The records of whole lines. Offsets are relative to the beginning of the chunk.
pub(crate) struct ChunkSummary {
    /// Length of the whole lines in bytes.
    pub(crate) length: usize,
    pub(crate) records: u64,
    /// The hash and the record offset of each id and key. A record behind a byte order mark has no
    /// number, but its ids count.
    pub(crate) names: Vec<(u64, usize)>,
    /// Offsets of lines, and the number of records before each. The first line is always among
    /// them.
    pub(crate) counts: Vec<(usize, u64)>,
    /// The id of the last record, if the chunk has a record.
    pub(crate) tail_id: Option<Option<Id>>,
    /// The id of the last record that has one.
    pub(crate) last_id: Option<Id>,
}

impl ChunkSummary {
    /// Classifies the whole lines at the beginning of `bytes` and hashes their ids. `templates`
    /// serve for chunk after chunk.
    pub(crate) fn of(
        bytes: &[u8],
        hashed: table::HashKey,
        templates: Option<&mut TemplateCache>,
    ) -> ChunkSummary {
        let mut records = 0;
        let mut names = Vec::new();
        let mut counts: Vec<(usize, u64)> = Vec::new();
        let mut tail: Option<Option<Cow<'_, [u8]>>> = None;
        let mut last = None;
        let length = classify::classify_lines(bytes, templates, |start, verdict| {
            if counts.last().is_none_or(|(at, _)| start >= at + COUNT_EVERY_BYTES) {
                counts.push((start, records));
            }
            let mut note = |found: &RecordIds<'_>, start| {
                for name in [&found.event_id, &found.idempotency_key].into_iter().flatten() {
                    names.push((hashed.hash(name), start));
                }
            };
            if let Verdict::Marked(found) = &verdict {
                note(found, start + BYTE_ORDER_MARK.len());
            }
            if let Verdict::Record(found) = verdict {
                note(&found, start);
                records += 1;
                if let Some(Some(id)) = tail.take() {
                    last = Some(id);
                }
                tail = Some(found.event_id);
            }
        });
        let id = |id: Cow<'_, [u8]>| Id::of_member(&id);
        let tail_id = tail.map(|tail| tail.and_then(id));
        let last_id = tail_id.clone().flatten().or_else(|| last.and_then(id));
        ChunkSummary { length, records, names, counts, tail_id, last_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: table::HashKey = table::HashKey(1, 2);

    #[test]
    fn a_chunk_summary_has_names_counts_and_the_last_ids_of_its_whole_lines() {
        let lines = br#"{"eventId":"a","idempotencyKey":"k"}
no record
{"eventId":"b"}
{"n":1}
{"eventId":"not ended"}"#;
        let summary = ChunkSummary::of(lines, KEYS, None);
        assert_eq!((summary.length, summary.records), (lines.len() - 23, 3));
        let names = [(&b"a"[..], 0), (b"k", 0), (b"b", 47)];
        assert_eq!(summary.names, names.map(|(name, start)| (KEYS.hash(name), start)));
        assert_eq!(summary.counts, [(0, 0)]);
        assert_eq!((summary.tail_id, summary.last_id), (Some(None), Id::new("b")));
    }

    #[test]
    fn a_chunk_without_records_has_no_last_ids() {
        for lines in [&b""[..], b"{\"eventId\":\"a\"}", b"\n\0\n[]\n"] {
            let summary = ChunkSummary::of(lines, KEYS, None);
            assert_eq!((summary.records, summary.tail_id, summary.last_id), (0, None, None));
        }
    }

    #[test]
    fn records_are_counted_at_beginnings_of_lines_some_way_apart() {
        let lines = [b"{\"n\":1}\n".repeat(1500), b"?\n".to_vec()].concat().repeat(3);
        let summary = ChunkSummary::of(&lines, KEYS, None);
        assert_eq!(summary.counts.first(), Some(&(0, 0)));
        assert!(summary.counts.len() > 3);
        for pair in summary.counts.windows(2) {
            assert!((COUNT_EVERY_BYTES..COUNT_EVERY_BYTES + 8).contains(&(pair[1].0 - pair[0].0)));
        }
        for (start, records) in summary.counts {
            let before = &lines[..start];
            assert!(start == 0 || before.ends_with(b"\n"));
            assert_eq!(before.iter().filter(|byte| **byte == b'{').count() as u64, records);
        }
    }
}
