//! The files of a lock session: which ones it holds, and the disk on which its writers find them already locked.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::mutex::locked;
use crate::path::{ChroniclePath, lock_file_of};
use crate::session::kept_lock::{Held, LockMode};
use crate::storage::syncs::Syncs;
use crate::storage::{self, Disk, FileDisk, Stat, Storage};

/// What a session holds, path by path.
pub(crate) struct Files {
    mode: LockMode,
    paths: Vec<ChroniclePath>,
    /// None after the release.
    places: Mutex<Vec<Place>>,
}

/// One path: the file that was there when it was looked at last, and the lock file beside it.
pub(crate) struct Place {
    pub(crate) path: ChroniclePath,
    pub(crate) data: Arc<Held>,
    pub(crate) side: Arc<Held>,
    pub(crate) side_path: PathBuf,
}

impl Place {
    /// Whether both names still name the files that were opened.
    pub(crate) fn is_there(&self) -> io::Result<bool> {
        Ok(is_at(self.path.as_path(), &self.data.stat)? && is_at(&self.side_path, &self.side.stat)?)
    }

    /// Says in a new lock file what it is.
    pub(crate) fn mark(&self) {
        // Its lock holds whatever is written in it, also where nothing can be.
        let _ = self.side.file.mark();
    }

    fn holds(&self, held: &Arc<Held>) -> bool {
        Arc::ptr_eq(&self.data, held) || Arc::ptr_eq(&self.side, held)
    }
}

impl Files {
    pub(crate) fn new(places: Vec<Place>, mode: LockMode) -> Files {
        let paths = places.iter().map(|place| place.path.clone()).collect();
        Files { mode, paths, places: Mutex::new(places) }
    }

    pub(crate) fn mode(&self) -> LockMode {
        self.mode
    }

    pub(crate) fn has(&self, path: &ChroniclePath) -> bool {
        self.paths.contains(path)
    }

    /// First those of the files, then those of their lock files, each once.
    pub(crate) fn descriptors(&self) -> Vec<i32> {
        let places = locked(&self.places);
        let data = places.iter().map(|place| place.data.file.descriptor());
        let mut found = Vec::new();
        for number in data.chain(places.iter().map(|place| place.side.file.descriptor())).flatten()
        {
            if !found.contains(&number) {
                found.push(number);
            }
        }
        found
    }

    /// Gives all locks back.
    pub(crate) fn release(&self) {
        for place in locked(&self.places).drain(..) {
            // What fails here the close does.
            let _ = place.data.give_up();
            let _ = place.side.give_up();
        }
    }

    /// Locks files that took the place of those that are held, and gives the locks of the latter back. Says whether any are held.
    pub(crate) fn look(&self) -> bool {
        let mut places = locked(&self.places);
        for at in 0..places.len() {
            // What cannot be looked at, or is locked by somebody else, is looked at again the next time.
            let _ = self.follow(&mut places, at);
        }
        !places.is_empty()
    }

    /// The file at a path, as it is held; else another one to be locked for each batch.
    fn find(&self, path: &Path) -> Result<Arc<Held>> {
        let places = locked(&self.places);
        let known = places.iter().find(|place| place.path.as_path() == path);
        if let Some(place) = known.filter(|place| is_at(path, &place.data.stat).is_ok_and(|is| is))
        {
            return Ok(place.data.clone());
        }
        let file = storage::open_or_make(path)?.lent();
        self.join(&places, file)
            .map_err(|error| Error::io("cannot lock", "fstat", error).with_path(path))
    }

    /// What a batch has to enter before it writes to `held` by `path`: the same file as the session holds it, if it does, and
    /// this one is held from now on, if it took the place of another.
    fn gate(&self, path: &Path, held: &Arc<Held>) -> io::Result<Arc<Held>> {
        let mut places = locked(&self.places);
        let here = places.iter().enumerate().find(|(_, place)| place.path.as_path() == path);
        let Some((at, place)) = here else {
            return Ok(held.clone());
        };
        if place.data.stat.is_same_file(&held.stat) {
            return Ok(place.data.clone());
        }
        if is_at(path, &held.stat)? && held.keep()? {
            replace(&mut places, at, |place| &mut place.data, held.clone());
        }
        Ok(held.clone())
    }

    fn follow(&self, places: &mut [Place], at: usize) -> Result<()> {
        let failed = |error| Error::io("cannot lock", "stat", error);
        let Some(place) = places.get(at) else { return Ok(()) };
        let path = place.path.as_path();
        let Some(real) = storage::real_path(path).map_err(failed)? else { return Ok(()) };
        if !is_at(path, &place.data.stat).map_err(failed)? {
            let Some(file) = storage::open_if_there(path)? else { return Ok(()) };
            let held = self.join(places, file.lent()).map_err(failed)?;
            if held.keep().map_err(failed)? {
                replace(places, at, |place| &mut place.data, held);
            }
        }
        let side_path = lock_file_of(&real);
        let Some(place) = places.get(at) else { return Ok(()) };
        let is_same =
            side_path == place.side_path && is_at(&side_path, &place.side.stat).map_err(failed)?;
        if !is_same {
            let file = storage::open_lock_file(&side_path, &place.data.file)?;
            let held = self.join(places, file).map_err(failed)?;
            if held.keep().map_err(failed)? {
                replace(places, at, |place| &mut place.side, held);
                if let Some(place) = places.get_mut(at) {
                    place.side_path = side_path;
                    place.mark();
                }
            }
        }
        Ok(())
    }

    /// An open file as the session holds it already by another name, or as one that it does not.
    fn join(&self, places: &[Place], file: storage::FileStorage) -> io::Result<Arc<Held>> {
        let held = Held::new(file, self.mode)?;
        let known = places
            .iter()
            .flat_map(|place| [&place.data, &place.side])
            .find(|known| known.stat.is_same_file(&held.stat));
        Ok(known.cloned().unwrap_or(held))
    }
}

/// Puts `held` in the place of what was held there. The lock of that is given back unless it is held by another name too.
fn replace(
    places: &mut [Place],
    at: usize,
    part: impl FnOnce(&mut Place) -> &mut Arc<Held>,
    held: Arc<Held>,
) {
    let Some(place) = places.get_mut(at) else { return };
    let former = std::mem::replace(part(place), held);
    if !places.iter().any(|place| place.holds(&former)) {
        // What fails here the close does.
        let _ = former.give_up();
    }
}

fn is_at(path: &Path, stat: &Stat) -> io::Result<bool> {
    Ok(FileDisk.stat(path)?.is_some_and(|there| there.is_same_file(stat)))
}

/// Real files, of which those of a session are found locked.
pub(crate) struct LentDisk {
    files: Arc<Files>,
}

/// A file that a session lends to its writer of one path.
struct Lent {
    files: Arc<Files>,
    path: PathBuf,
    held: Arc<Held>,
    /// What the batch under way entered.
    gate: Mutex<Option<Arc<Held>>>,
}

impl LentDisk {
    pub(crate) fn new(files: Arc<Files>) -> LentDisk {
        LentDisk { files }
    }
}

impl Disk for LentDisk {
    fn open(&self, path: &Path) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(Lent {
            files: self.files.clone(),
            path: path.to_owned(),
            held: self.files.find(path)?,
            gate: Mutex::default(),
        }))
    }

    fn open_for_reading(&self, path: &Path) -> Result<Option<Arc<dyn Storage>>> {
        FileDisk.open_for_reading(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        FileDisk.stat(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        FileDisk.sync_directory(path)
    }

    fn honours_lock(&self, path: &Path) -> io::Result<bool> {
        FileDisk.honours_lock(path)
    }

    fn lock_holder(&self, stat: &Stat) -> Option<u32> {
        FileDisk.lock_holder(stat)
    }

    fn has_side_files(&self) -> bool {
        FileDisk.has_side_files()
    }
}

impl Storage for Lent {
    fn stat(&self) -> io::Result<Stat> {
        self.held.file.stat()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.held.file.read_at(buffer, offset)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.held.file.append(bytes)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.held.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.held.file.sync()
    }

    fn drop_cached(&self, range: Range<u64>) -> io::Result<bool> {
        self.held.file.drop_cached(range)
    }

    fn try_lock(&self) -> io::Result<bool> {
        let gate = self.files.gate(&self.path, &self.held)?;
        let entered = gate.enter()?;
        if entered {
            *locked(&self.gate) = Some(gate);
        }
        Ok(entered)
    }

    fn try_lock_shared(&self) -> io::Result<bool> {
        // Shared in earnest, it would no longer be exclusive.
        self.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        locked(&self.gate).take().map_or(Ok(()), |gate| gate.leave())
    }

    fn shared_syncs(&self) -> Option<Arc<Syncs>> {
        Some(self.held.syncs.clone())
    }

    fn network_file_system(&self) -> Option<&'static str> {
        self.held.file.network_file_system()
    }
}
