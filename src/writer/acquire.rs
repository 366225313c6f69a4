//! The lock of the file that is at the path now: opening it, locking it, and seeing that it is still the one.

use std::io;
use std::sync::Arc;

use crate::append::request::Warning;
use crate::dedup::builder;
use crate::error::{Code, Error, Result, Written};
use crate::mutex::locked;
use crate::storage::{Stat, Storage};
use crate::writer::Writer;
use crate::writer::state::{Open, State};
use crate::writer::written::Descriptor;

/// Times the file at the path may be another one than was opened before this is taken for a file system without stable
/// inode numbers.
const MAX_REOPENS: usize = 100;

/// The lock, released on every way out.
pub(crate) struct Locked {
    storage: Arc<dyn Storage>,
    released: bool,
}

impl Locked {
    /// Releases it. A descriptor whose lock cannot be released is closed: that ends the lock.
    pub(crate) fn release(mut self, writer: &Writer, state: &mut State) {
        self.released = true;
        if self.storage.unlock().is_err() {
            state.close(writer);
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if !self.released {
            // On the way out of a panic, after which the descriptor is closed.
            let _ = self.storage.unlock();
        }
    }
}

impl Writer {
    /// Takes the lock of the file that is at the path now, opening it if need be. `None`: somebody else holds it.
    pub(crate) fn acquire(&self, state: &mut State) -> Result<Option<(Locked, Stat)>> {
        for _ in 0..MAX_REOPENS {
            let storage = match &state.open {
                Some(open) => open.descriptor.storage.clone(),
                None => self.open(state)?,
            };
            if !storage.try_lock().map_err(|error| cannot_lock(&error))? {
                return Ok(None);
            }
            let lock = Locked { storage, released: false };
            match self.identify(&*lock.storage) {
                Ok(Some(here)) => return Ok(Some((lock, here))),
                Ok(None) => {
                    lock.release(self, state);
                    state.close(self);
                    state.known = None;
                }
                Err(error) => {
                    lock.release(self, state);
                    return Err(error);
                }
            }
        }
        let there = self.shared.disk.stat(self.path.as_path());
        if there.map_err(|error| cannot("stat", error))?.is_none() {
            // It can be opened, but not looked for by its path.
            return Err(cannot("stat", io::ErrorKind::NotFound.into()));
        }
        Err(Error::new(Code::Unsupported, "the file system has no stable inode numbers"))
    }

    /// Whether the locked file is the one at the path, on a file system that honours the lock. `None`: the path names another file.
    fn identify(&self, storage: &dyn Storage) -> Result<Option<Stat>> {
        let here = storage.stat().map_err(|error| cannot("fstat", error))?;
        if here.links == 0 || !self.is_at_path(&here)? {
            return Ok(None);
        }
        let path = self.path.as_path();
        let honoured = self
            .shared
            .honours_lock(here.device, || self.shared.disk.honours_lock(path))
            .map_err(|error| cannot("flock", error))?;
        if honoured {
            return Ok(Some(here));
        }
        if !self.is_at_path(&here)? {
            // It was another file that could be locked.
            return Ok(None);
        }
        self.shared.refuse(here.device);
        Err(dishonoured())
    }

    fn is_at_path(&self, here: &Stat) -> Result<bool> {
        let there = self.shared.disk.stat(self.path.as_path());
        let there = there.map_err(|error| cannot("stat", error))?;
        Ok(there.is_some_and(|there| there.is_same_file(here)))
    }

    fn open(&self, state: &mut State) -> Result<Arc<dyn Storage>> {
        if let Some(me) = self.me.upgrade() {
            self.shared.opening(&me);
        }
        let opened = self.open_durably(state.entered.as_ref());
        let (storage, stat, is_entered) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.shared.closed(self);
                return Err(error);
            }
        };
        let same_file = state.known.is_some_and(|known| known.is_same_file(&stat));
        if !same_file || !state.history.reopen_side() {
            state.history.clear();
        }
        if state.history.scan_state().offset == 0
            && self.shared.disk.has_side_files()
            && let Some(history) = builder::load(&self.path, &*storage, &stat)
        {
            state.history = history;
        }
        let syncs = storage.shared_syncs().unwrap_or_default();
        let generation = locked(&self.ledger).opened(&stat, same_file, syncs.clone());
        let network = storage.network_file_system();
        if let Some(kind) = network.filter(|_| self.shared.first_warning(stat.device)) {
            state.warnings.push(Warning {
                    code: "CHRONICLE_NETWORK_FILE_SYSTEM",
                    message: format!(
                        "{} is on {kind}: the lock holds between the machines only if the server honours it",
                        self.path.as_path().display()
                    ),
                });
        }
        state.entered = is_entered.then_some(stat);
        state.known = Some(stat);
        state.looked_to = 0;
        let descriptor = Descriptor { storage: storage.clone(), syncs, generation };
        state.open = Some(Open { descriptor, fresh: true });
        Ok(storage)
    }

    /// Opens the file and makes its directory entry durable, also that of a file which another process
    /// made. This happens once for each file: a writer that waits for a lock may lose its descriptor
    /// again and again, and would sync the folder at each try. Without a birth time a file is not
    /// known again.
    fn open_durably(&self, entered: Option<&Stat>) -> Result<(Arc<dyn Storage>, Stat, bool)> {
        let path = self.path.as_path();
        let storage = self.shared.disk.open(path)?;
        let stat = storage.stat().map_err(|error| cannot("fstat", error))?;
        if entered.is_some_and(|entered| stat.born.is_some() && entered.is_same_file(&stat)) {
            return Ok((storage, stat, true));
        }
        match self.shared.disk.sync_directory(path) {
            // Renamed or deleted in between: the identity check will see that.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((storage, stat, false)),
            Err(error) => Err(cannot("fsync", error)),
            Ok(()) => Ok((storage, stat, true)),
        }
    }
}

/// The error of a file system that lets two have the lock.
pub(crate) fn dishonoured() -> Error {
    let message = "the file system does not honour the lock: a second descriptor got it too";
    Error::new(Code::Unsupported, message)
}

/// The error of a lock that could not be tried for.
pub(crate) fn cannot_lock(error: &io::Error) -> Error {
    let copy = error
        .raw_os_error()
        .map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error);
    if error.kind() == io::ErrorKind::Unsupported {
        let message = "the file system has no advisory locks";
        return Error::io(message, "flock", copy).with_code(Code::Unsupported);
    }
    Error::io("cannot lock", "flock", copy).with_written(Written::No)
}

/// The error of an append for which nothing was written yet.
pub(crate) fn cannot(operation: &'static str, error: io::Error) -> Error {
    Error::io("cannot append", operation, error).with_written(Written::No)
}
