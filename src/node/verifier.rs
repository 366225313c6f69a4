//! One check of a log, page by page.

use std::sync::Arc;

use napi_derive::napi;

use super::memory::{Memory, disk_of};
use super::options::ReadOptionsJson;
use super::outcome;
use super::paging::{PageText, PagedWork, Paging};
use super::port::Port;
use crate::ChroniclePath;
use crate::check::verify::Verifier as CoreVerifier;
use crate::error::Result;
use crate::storage::Disk;

/// One check of a log as it was when the check began.
#[napi]
pub struct Verifier(Paging<CoreVerifier>);

#[napi]
impl Verifier {
    /// Opens no file.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        port: &Port,
        path: String,
        options: Option<String>,
        memory: Option<&Memory>,
    ) -> Verifier {
        let path =
            ReadOptionsJson::parse(options.as_deref()).and_then(|options| options.path(&path));
        let order = path.map(|path| (disk_of(memory), path));
        Verifier(Paging::new(port.port_state.clone(), order))
    }

    /// Checks the next page.
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

impl PagedWork for CoreVerifier {
    type Order = (Arc<dyn Disk>, ChroniclePath);

    fn begin((disk, path): &Self::Order) -> Result<Self> {
        CoreVerifier::open_on(&**disk, path)
    }

    fn next(&mut self, (_, path): &Self::Order) -> Result<PageText> {
        let progress = self.next_page(path)?;
        Ok(PageText { outcome: outcome::progress(&progress), text: None, done: progress.done })
    }
}
