//! One check of a log, slice by slice.

use napi_derive::napi;

use super::options::Read;
use super::outcome;
use super::port::Port;
use super::slices::{Part, Slices, Work};
use crate::ChroniclePath;
use crate::error::Result;
use crate::verify::Verifier as CoreVerifier;

/// One check of a log as it was when the check began.
#[napi]
pub struct Verifier(Slices<CoreVerifier>);

#[napi]
impl Verifier {
    /// Opens nothing yet.
    #[napi(constructor, catch_unwind)]
    pub fn new(port: &Port, path: String, options: Option<String>) -> Verifier {
        let path = Read::parse(options.as_deref()).and_then(|options| options.path(&path));
        Verifier(Slices::new(port.desk.clone(), path))
    }

    /// Checks the next slice.
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

impl Work for CoreVerifier {
    type Order = ChroniclePath;

    fn begin(path: &ChroniclePath) -> Result<Self> {
        CoreVerifier::open(path)
    }

    fn next(&mut self, path: &ChroniclePath) -> Result<Part> {
        let progress = self.next_slice(path)?;
        Ok(Part { outcome: outcome::progress(&progress), text: None, done: progress.done })
    }
}
