//! Reading a log, slice by slice.

use std::sync::Arc;

use napi_derive::napi;

use super::memory::{Memory, disk_of};
use super::options::{Read, Selected};
use super::outcome;
use super::paging::{Part, Slices, Work};
use super::port::Port;
use crate::error::Result;
use crate::read::reader::Reader as CoreReader;
use crate::read::tail::Counted;
use crate::storage::Disk;
use crate::{ChroniclePath, Selection};

/// One sequential read of a log as it was when the read began.
#[napi]
pub struct Reader(Slices<CoreReader>);

/// What is read.
#[derive(Clone)]
pub(super) struct Order {
    disk: Arc<dyn Disk>,
    path: ChroniclePath,
    selection: Arc<Selection>,
    options: Selected,
}

#[napi]
impl Reader {
    /// Opens nothing yet.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        port: &Port,
        path: String,
        options: Option<String>,
        memory: Option<&Memory>,
    ) -> Reader {
        let order = || {
            let (path, selection, options) = Read::order(&path, options.as_deref())?;
            let disk = disk_of(memory);
            Ok(Order { disk, path, selection: Arc::new(selection), options })
        };
        Reader(Slices::new(port.desk.clone(), order()))
    }

    /// Reads the next slice.
    #[napi(catch_unwind)]
    pub fn next(&self, id: u32) {
        self.0.next(id);
    }

    /// Closes the descriptor.
    #[napi(catch_unwind)]
    pub fn close(&self, id: Option<u32>) {
        self.0.close(id);
    }
}

impl Work for CoreReader {
    type Order = Order;

    fn begin(order: &Order) -> Result<Self> {
        let Selected { tail, positions, lines, .. } = order.options;
        match tail {
            None => CoreReader::select(&*order.disk, &order.path, &order.selection),
            Some(count) => {
                let counted = Counted { always: positions, for_bad_lines: lines };
                CoreReader::open_counted_tail(&*order.disk, &order.path, u64::from(count), counted)
            }
        }
    }

    fn is_paced_by_caller(order: &Order) -> bool {
        order.options.places
    }

    fn next(&mut self, order: &Order) -> Result<Part> {
        let slice = self.next_slice(&order.path)?;
        let done = slice.done;
        let Selected { positions, places, .. } = order.options;
        let file =
            self.stat().filter(|_| places).map(|stat| outcome::File::new(stat, self.is_counted()));
        let outcome = outcome::slice(&slice, positions || places, file);
        Ok(Part { outcome, text: Some(outcome::text(slice)), done })
    }
}
