//! The two kinds of follows: for events, or for whole lines.

use std::sync::{Arc, Mutex};

use super::options::Selected;
use super::outcome;
use crate::ChroniclePath;
use crate::error::Result;
use crate::mutex::locked;
use crate::read::follow::Follower;
use crate::read::line_batch::BatchFollower;
use crate::read::selection::Selection;
use crate::storage::Disk;

/// A follow of the core.
pub(super) enum Follows {
    Events(Box<Follower>),
    Lines(Box<BatchFollower>),
}

/// The lines of the last batch, until JavaScript takes them.
pub(super) type PendingBatch = Mutex<Option<Vec<u8>>>;

impl Follows {
    pub(super) fn new(disk: Arc<dyn Disk>, selection: Selection, selected: &Selected) -> Follows {
        let Some(batches) = &selected.batches else {
            let follower = Follower::new(disk, selection).on_rewrite(selected.on_rewrite);
            return Follows::Events(Box::new(follower));
        };
        let limits = batches.limits();
        Follows::Lines(Box::new(match batches.synced {
            true => BatchFollower::synced(disk, selection, limits),
            false => BatchFollower::new(disk, selection, limits),
        }))
    }

    pub(super) fn fix_end(&mut self, path: &ChroniclePath) {
        match self {
            Follows::Events(follower) => follower.fix_end(path),
            Follows::Lines(follower) => follower.fix_end(path),
        }
    }

    pub(super) fn glance(&mut self, path: &ChroniclePath) {
        match self {
            Follows::Events(follower) => follower.glance(path),
            Follows::Lines(follower) => follower.glance(path),
        }
    }

    /// The outcome of a look, and the text of its events.
    pub(super) fn look(
        &mut self,
        path: &ChroniclePath,
        lines: &PendingBatch,
    ) -> Result<(String, Option<String>)> {
        match self {
            Follows::Events(follower) => {
                let look = follower.look(path)?;
                Ok((outcome::look(&look), Some(outcome::text(look.page))))
            }
            Follows::Lines(follower) => {
                let look = follower.look(path)?;
                let outcome = outcome::batch_look(&look);
                *locked(lines) = look.batch.map(|batch| batch.bytes);
                Ok((outcome, None))
            }
        }
    }
}
