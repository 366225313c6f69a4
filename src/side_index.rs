//! The side index: the dedup index of a prefix of the log, in a file beside it, so that a process need not scan a long log
//! before its first append. A cache: whatever is doubtful about it, the log is scanned instead. `FORMAT.md` has its layout.

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::event::Id;
use crate::history::{Frontier, Mark};
use crate::index::{Keys, MOST_PER_HASH, Slot};
use crate::storage::{Stat, Storage, read_exact_at};
use crate::{lock, platform};

const MAGIC: &[u8; 8] = b"SAGECHIX";
const VERSION: u64 = 1;
const BLOCK: usize = 4096;
const ENTRY: usize = 16;
const PER_BLOCK: usize = (BLOCK - ENTRY) / ENTRY;
const CHECKED: usize = PER_BLOCK * ENTRY;
const DIGEST: usize = 32;
/// Bytes before the end of the prefix whose hash binds the index to the log.
const PROBE: u64 = 4096;
/// Ids, marks and the directory of an index that is worth loading.
const MOST_META: u64 = 1 << 30;

/// An index that fits its log.
#[derive(Debug)]
pub(crate) struct SideIndex {
    /// None while the log is not used.
    file: Option<File>,
    loaded: Loaded,
    keys: Keys,
    blocks: u64,
    /// The first hash of each block.
    directory: Vec<u64>,
    frontier: Frontier,
    marks: Vec<Mark>,
    /// A bit for each block: its checksum was found right. What is renamed into place is not written again, and
    /// checking takes three times as long as reading.
    checked: Vec<u64>,
}

/// What tells the file that was loaded from another one at its name.
#[derive(Debug)]
struct Loaded {
    path: PathBuf,
    stat: Stat,
    metadata: Metadata,
    header: Vec<u8>,
}

/// What an index covers and says of it.
pub(crate) struct Covered<'a> {
    pub(crate) stat: Stat,
    pub(crate) frontier: &'a Frontier,
    pub(crate) marks: &'a [Mark],
    pub(crate) keys: Keys,
}

impl SideIndex {
    /// The index at `path`, if it is whole, of the same owner as the log, and fits the log.
    pub(crate) fn load(
        path: &Path,
        log_path: &Path,
        log: &dyn Storage,
        stat: &Stat,
    ) -> Option<Self> {
        let log_metadata = std::fs::metadata(log_path).ok()?;
        let file = platform::beside().read(true).open(path).ok()?;
        let metadata = file.metadata().ok()?;
        // Who may write the folder but not the log must not be able to hide records from the dedup.
        if !metadata.is_file() || !platform::is_trusted(&metadata, &log_metadata) {
            return None;
        }
        let mut header = vec![0; BLOCK];
        platform::read_exact_at(&file, &mut header, 0).ok()?;
        let mut fields = Fields(&header);
        if fields.take(MAGIC.len())? != MAGIC || fields.number()? != VERSION {
            return None;
        }
        let bound = [fields.number()?, fields.number()?];
        let [covered, records, blocks, meta_length] =
            [fields.number()?, fields.number()?, fields.number()?, fields.number()?];
        let keys = Keys(fields.number()?, fields.number()?);
        let probe_digest = fields.take(DIGEST)?.to_vec();
        let digest = fields.take(DIGEST)?.to_vec();
        // Nothing was checked yet: any number may stand there.
        let meta_at = blocks.checked_add(1)?.checked_mul(BLOCK as u64)?;
        let fits = bound == [stat.device, stat.inode]
            && stat.length >= covered
            && meta_length <= MOST_META
            && metadata.len() == meta_at.checked_add(meta_length)?;
        if !fits {
            return None;
        }
        let mut meta = vec![0; usize::try_from(meta_length).ok()?];
        platform::read_exact_at(&file, &mut meta, meta_at).ok()?;
        let signed = header.get(..header.len() - fields.0.len() - DIGEST)?;
        if Sha256::new().chain_update(signed).chain_update(&meta).finalize()[..] != digest[..] {
            return None;
        }
        let header = [signed, &digest].concat();
        let mut probe = vec![0; usize::try_from(covered.min(PROBE)).ok()?];
        let probe_at = covered - probe.len() as u64;
        read_exact_at(log, &mut probe, probe_at).ok()?;
        if Sha256::digest(&probe)[..] != probe_digest[..] {
            return None;
        }
        let mut fields = Fields(&meta);
        let tail_id = fields.id()?;
        let last_id = fields.id()?;
        let marks = (0..fields.number()?)
            .map(|_| Some(Mark { offset: fields.number()?, records: fields.number()? }))
            .collect::<Option<Vec<Mark>>>()?;
        let directory = (0..blocks).map(|_| fields.number()).collect::<Option<Vec<u64>>>()?;
        let frontier = Frontier::new(covered, records, tail_id, last_id, probe);
        let checked = vec![0; directory.len().div_ceil(64)];
        let stat = platform::stat(&file).ok()?;
        let loaded = Loaded { path: path.to_owned(), stat, metadata, header };
        let file = Some(file);
        Some(SideIndex { file, loaded, keys, blocks, directory, frontier, marks, checked })
    }

    /// Gives the descriptor up, until [`SideIndex::reopen`].
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    /// Says whether what was loaded is still there.
    pub(crate) fn reopen(&mut self) -> bool {
        if self.file.is_none() {
            self.file = self.loaded.open();
        }
        self.file.is_some()
    }

    /// The log as it was at the end of the prefix.
    pub(crate) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    pub(crate) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    pub(crate) fn keys(&self) -> Keys {
        self.keys
    }

    /// The offsets of the records of the prefix that may carry `id`.
    ///
    /// # Errors
    /// When the file cannot be read or a block is damaged; then nothing it says may be used.
    pub(crate) fn candidates(&mut self, id: &[u8]) -> io::Result<Vec<u64>> {
        let hash = self.keys.hash(id);
        let after = self.directory.partition_point(|first| *first < hash);
        let mut found = Vec::new();
        let mut bytes = [0; BLOCK];
        for at in after.saturating_sub(1)..self.directory.len() {
            if self.directory.get(at).is_some_and(|first| *first > hash) {
                break;
            }
            let bit = 1 << (at % 64);
            let is_checked = self.checked.get(at / 64).is_some_and(|bits| bits & bit != 0);
            self.read_block(at as u64, &mut bytes, is_checked)?;
            if let Some(bits) = self.checked.get_mut(at / 64) {
                *bits |= bit;
            }
            let same = slots_of(&bytes).skip_while(|slot| slot.hash < hash);
            found.extend(same.take_while(|slot| slot.hash == hash).map(|slot| slot.place - 1));
        }
        Ok(found)
    }

    fn read_block(&self, at: u64, bytes: &mut [u8; BLOCK], is_checked: bool) -> io::Result<()> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        platform::read_exact_at(file, bytes, BLOCK as u64 * (1 + at))?;
        let (entries, trailer) = bytes.split_at(CHECKED);
        if is_checked || Fields(trailer).number() == Some(checksum(self.keys, at, entries)) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "a block of the side index is damaged"))
    }

    /// Calls `take` with each entry, in their order.
    fn each(&self, mut take: impl FnMut(Slot) -> io::Result<()>) -> io::Result<()> {
        let mut bytes = [0; BLOCK];
        for at in 0..self.blocks {
            self.read_block(at, &mut bytes, false)?;
            slots_of(&bytes).try_for_each(&mut take)?;
        }
        Ok(())
    }
}

impl Loaded {
    fn open(&self) -> Option<File> {
        let file = platform::beside().read(true).open(&self.path).ok()?;
        let mut header = vec![0; self.header.len()];
        platform::read_exact_at(&file, &mut header, 0).ok()?;
        let is_it = platform::stat(&file).ok()?.is_same_file(&self.stat)
            && platform::is_trusted(&file.metadata().ok()?, &self.metadata)
            && header == self.header;
        is_it.then_some(file)
    }
}

/// The entries of a block, sorted by their hashes.
fn slots_of(block: &[u8; BLOCK]) -> impl Iterator<Item = Slot> {
    let (slots, _) = block.as_chunks::<ENTRY>();
    let slot = |bytes: &[u8; ENTRY]| {
        let mut fields = Fields(bytes);
        Slot {
            hash: fields.number().unwrap_or_default(),
            place: fields.number().unwrap_or_default(),
        }
    };
    slots.iter().take(PER_BLOCK).map(slot).take_while(|slot| slot.place != 0)
}

/// Writes the index at `path`: what `before` has, and `new`, whose hashes are made with the same keys. Another process that is at
/// the same keeps this one out; then nothing happens.
pub(crate) fn write(
    path: &Path,
    log_path: &Path,
    covered: &Covered<'_>,
    before: Option<&SideIndex>,
    mut new: Vec<Slot>,
) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push("-new");
    let fresh = Path::new(&fresh);
    let Some(file) = open_fresh(fresh)? else {
        return Ok(());
    };
    if !lock::try_exclusive(&file)? {
        return Ok(());
    }
    // Somebody may have renamed it into place between our open and our lock.
    if !platform::stat_of_name(fresh)?.is_same_file(&platform::stat(&file)?) {
        return Ok(());
    }
    platform::share_like(&file, &std::fs::metadata(log_path)?)?;
    file.set_len(0)?;

    new.sort_unstable_by_key(|slot| (slot.hash, slot.place));
    let mut out = io::BufWriter::with_capacity(1 << 18, &file);
    out.write_all(&[0; BLOCK])?;
    let mut blocks = Blocks { keys: covered.keys, directory: Vec::new(), held: Vec::new() };
    let mut last = (0, 0);
    let mut put = |slot: Slot, out: &mut io::BufWriter<&File>| {
        last = if slot.hash == last.0 { (last.0, last.1 + 1) } else { (slot.hash, 1) };
        if last.1 <= MOST_PER_HASH { blocks.put(slot, out) } else { Ok(()) }
    };
    let mut new = new.into_iter().peekable();
    if let Some(before) = before {
        before.each(|old| {
            while let Some(slot) = new.next_if(|slot| slot.hash < old.hash) {
                put(slot, &mut out)?;
            }
            put(old, &mut out)
        })?;
    }
    for slot in new {
        put(slot, &mut out)?;
    }
    blocks.end(&mut out)?;

    let mut meta = Vec::new();
    let frontier = covered.frontier;
    for id in [&frontier.tail_id, &frontier.last_id] {
        let bytes = id.as_ref().map_or(&[][..], Id::as_bytes);
        number(&mut meta, bytes.len() as u64);
        meta.extend_from_slice(bytes);
    }
    number(&mut meta, covered.marks.len() as u64);
    for mark in covered.marks {
        number(&mut meta, mark.offset);
        number(&mut meta, mark.records);
    }
    for first in &blocks.directory {
        number(&mut meta, *first);
    }
    out.write_all(&meta)?;
    out.flush()?;
    drop(out);

    let mut header = MAGIC.to_vec();
    let Keys(key0, key1) = covered.keys;
    let numbers = [
        VERSION,
        covered.stat.device,
        covered.stat.inode,
        frontier.offset,
        frontier.records,
        blocks.directory.len() as u64,
        meta.len() as u64,
        key0,
        key1,
    ];
    numbers.into_iter().for_each(|value| number(&mut header, value));
    header.extend_from_slice(&Sha256::digest(frontier.probe()));
    let digest = Sha256::new().chain_update(&header).chain_update(&meta).finalize();
    header.extend_from_slice(&digest);
    platform::write_all_at(&file, &header, 0)?;
    file.sync_data()?;
    std::fs::rename(fresh, path)
}

/// Opens the file that is to become an index, or makes it. `None`: something else stands there. Whoever may write the folder could have put a
/// link to any file of ours at its name, and what is opened here is emptied.
fn open_fresh(path: &Path) -> io::Result<Option<File>> {
    let mut options = platform::beside();
    options.write(true).create(true).truncate(false);
    let file = platform::keep_private(&mut options).open(path)?;
    let is_alone = file.metadata()?.is_file() && platform::stat(&file)?.links == 1;
    Ok(is_alone.then_some(file))
}

/// Entries on their way into blocks.
struct Blocks {
    keys: Keys,
    directory: Vec<u64>,
    held: Vec<u8>,
}

impl Blocks {
    fn put(&mut self, slot: Slot, out: &mut impl Write) -> io::Result<()> {
        if self.held.is_empty() {
            self.directory.push(slot.hash);
        }
        number(&mut self.held, slot.hash);
        number(&mut self.held, slot.place);
        if self.held.len() == CHECKED { self.end(out) } else { Ok(()) }
    }

    fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.held.resize(CHECKED, 0);
        let at = self.directory.len() as u64 - 1;
        let sum = checksum(self.keys, at, &self.held);
        number(&mut self.held, sum);
        self.held.resize(BLOCK, 0);
        out.write_all(&self.held)?;
        self.held.clear();
        Ok(())
    }
}

fn checksum(keys: Keys, at: u64, entries: &[u8]) -> u64 {
    Keys(keys.0 ^ at, keys.1).hash(entries)
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Little-endian fields, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn id(&mut self) -> Option<Option<Id>> {
        let length = usize::try_from(self.number()?).ok()?;
        Some(Id::new(self.take(length)?))
    }
}
