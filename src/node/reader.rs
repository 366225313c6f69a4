//! Reading a log, page by page.

use std::sync::Arc;

use napi_derive::napi;

use super::memory::{Memory, disk_of};
use super::options::{ReadOptionsJson, Selected};
use super::outcome;
use super::paging::{PageText, PagedWork, Paging};
use super::port::Port;
use crate::error::Result;
use crate::read::reader::Reader as CoreReader;
use crate::read::tail::CountMode;
use crate::storage::Disk;
use crate::{ChroniclePath, Selection};

/// One read of a log as it was when the read began.
#[napi]
pub struct Reader(Paging<CoreReader>);

/// The arguments of the read.
#[derive(Clone)]
pub(super) struct ReadOrder {
    disk: Arc<dyn Disk>,
    path: ChroniclePath,
    selection: Arc<Selection>,
    options: Selected,
}

#[napi]
impl Reader {
    /// Opens no file.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        port: &Port,
        path: String,
        options: Option<String>,
        memory: Option<&Memory>,
    ) -> Reader {
        let order = || {
            let (path, selection, options) = ReadOptionsJson::order(&path, options.as_deref())?;
            let disk = disk_of(memory);
            Ok(ReadOrder { disk, path, selection: Arc::new(selection), options })
        };
        Reader(Paging::new(port.port_state.clone(), order()))
    }

    /// Reads the next page.
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

impl PagedWork for CoreReader {
    type Order = ReadOrder;

    fn begin(order: &ReadOrder) -> Result<Self> {
        let Selected { tail, positions, lines, .. } = order.options;
        match tail {
            None => CoreReader::select(&*order.disk, &order.path, &order.selection),
            Some(count) => {
                let counted = CountMode { always: positions, for_bad_lines: lines };
                CoreReader::open_counted_tail(&*order.disk, &order.path, u64::from(count), counted)
            }
        }
    }

    fn is_paced_by_caller(order: &ReadOrder) -> bool {
        order.options.places
    }

    fn next(&mut self, order: &ReadOrder) -> Result<PageText> {
        let page = self.next_page(&order.path)?;
        let done = page.done;
        let Selected { positions, places, .. } = order.options;
        let file = self
            .stat()
            .filter(|_| places)
            .map(|stat| outcome::FileJson::new(stat, self.is_counted()));
        let outcome = outcome::page(&page, positions || places, file);
        Ok(PageText { outcome, text: Some(outcome::text(page)), done })
    }
}
