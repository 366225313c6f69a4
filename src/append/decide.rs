//! Deciding all requests of a batch under the lock, with look-ups in the log.

use std::sync::Arc;

use crate::append::batch::{Batch, Before, Decision, Location, Past};
use crate::append::group::Group;
use crate::append::request::{Request, Warning, cannot_append as cannot};
use crate::dedup::log_view::{CaughtUp, LogView};
use crate::dedup::lookup::FoundRecord;
use crate::error::{Code, Error, Result, Written};
use crate::event::Id;
use crate::storage::Storage;

/// A request that conflicts with a record. The record may be one of the same batch: the request is
/// settled once the batch is written, and decided once more if that fails.
pub(crate) struct Refused {
    pub(crate) request: Arc<Request>,
    pub(crate) error: Error,
}

/// Decides the requests in their order. `warnings` go to the first of them.
///
/// # Errors
/// When a look-up failed: it is not known whether the event is a duplicate.
pub(crate) fn decide(
    storage: &dyn Storage,
    view: &mut LogView,
    caught: &mut CaughtUp,
    requests: &[Arc<Request>],
    warnings: &mut Vec<Warning>,
    refused: &mut Vec<Refused>,
) -> Result<(Batch, Vec<Group>)> {
    let end = view.scan_state();
    let mut batch = Batch::new(Before {
        records: end.records,
        offset: end.offset,
        tail_id: end.tail_id.clone(),
        last_id: end.last_id.clone(),
        open: caught.tail.record.take(),
    });
    let mut groups = Vec::new();
    for request in requests {
        let mut past = Records { storage, view };
        match batch.decide(request.events(), request.is_single(), &request.options, &mut past) {
            Ok(decisions) => groups.push(Group::new(request.clone(), decisions, warnings)),
            Err(error) if error.code() == Code::Io => {
                return Err(error.with_written(Written::No));
            }
            Err(error) => refused.push(Refused { request: request.clone(), error }),
        }
    }
    Ok((batch, groups))
}

/// Whether anything is written for the batch, behind a tail of `tail_length` bytes at the end of
/// `view`. A duplicate of an unterminated record ends that record with a newline.
pub(crate) fn needs_write(
    batch: &Batch,
    groups: &[Group],
    view: &LogView,
    tail_length: u64,
) -> bool {
    let open_offset = view.scan_state().offset;
    let is_open = |decision: &Decision| matches!(decision.place, Location::Old { offset, .. } if offset == open_offset);
    let ends_tail = || tail_length > 0 && groups.iter().flat_map(Group::decisions).any(is_open);
    !batch.buffer().is_empty() || ends_tail()
}

/// The records in the file.
struct Records<'a> {
    storage: &'a dyn Storage,
    view: &'a mut LogView,
}

impl Past for Records<'_> {
    fn find(&mut self, id: &Id) -> Result<Option<FoundRecord>> {
        self.view.find(self.storage, id).map_err(|error| cannot("pread", error))
    }

    fn seq_of(&mut self, offset: u64) -> Result<u64> {
        self.view.seq_of(self.storage, offset).map_err(|error| cannot("pread", error))
    }
}
