//! The machine: files with two images, descriptors with a view of errors of their own, advisory
//! locks, and a power switch.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use sage_chronicle::internals::storage::Syncs;
use sage_chronicle::internals::storage::{Disk, LogLock, OpenFile, Stat, Storage};
use sage_chronicle::registry::Registry;
use sage_chronicle::{Error, Result, Written};

use super::fault::{Gate, Kind, Operation, Rule, Verdict, When};
use super::image::Image;
use super::process::{HANG, Process};

/// The log of most tests.
pub const PATH: &str = "/machine/log.sage";
/// Another name of the log, a symlink, for lock sessions.
pub const OTHER_NAME: &str = "/machine/other-name.sage";
const DEVICE: u64 = 7;
/// The process that the machine reports as holder of a foreign lock.
const STRANGER: u32 = 4242;

/// One machine. Every process on it sees the same files.
pub struct Machine {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    inodes: BTreeMap<u64, Inode>,
    descriptors: BTreeMap<u64, u64>,
    count: u64,
    processes: u32,
    rules: Vec<Rule>,
    injected: usize,
    log: Vec<Operation>,
    crashes: Option<Vec<Crash>>,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    image: Image,
    /// Failed syncs so far. Each descriptor counts those that were reported to it.
    errors: u64,
    locked_by: Option<u64>,
    syncing: BTreeMap<u32, usize>,
}

/// The machine at one moment, as a power cut would find it.
#[derive(Debug, Clone)]
pub struct Crash {
    /// The log; `None` if its name is not on the disk.
    pub image: Option<Image>,
}

/// The files of the machine as one process reaches them.
struct View {
    machine: Arc<Machine>,
    process: u32,
    /// By inode: the open file descriptions of a lock session, which its writers share. Without a
    /// session each descriptor has its own.
    session: Option<Mutex<BTreeMap<u64, Arc<Description>>>>,
}

/// An open file description: what its descriptors share.
struct Description {
    number: u64,
    told: Mutex<u64>,
    syncs: Arc<Syncs>,
    /// Set while one writer of a session writes a batch.
    in_batch: Mutex<bool>,
}

struct Descriptor {
    machine: Arc<Machine>,
    process: u32,
    number: u64,
    inode: u64,
    description: Arc<Description>,
    is_shared: bool,
}

/// A lock that another program holds; dropping it releases it.
pub struct StrangersLock(Arc<Machine>, u64);

impl Machine {
    pub fn new() -> Arc<Machine> {
        Arc::new(Machine { state: Mutex::default(), changed: Condvar::new() })
    }

    /// A machine that holds one durable log.
    pub fn holding(bytes: &[u8]) -> Arc<Machine> {
        let machine = Machine::new();
        machine.put(PATH, bytes);
        machine
    }

    /// Starts a process: a registry of its own.
    pub fn start(self: &Arc<Self>) -> Process {
        self.start_with(None)
    }

    /// Starts a process that appends in a lock session: two names of one file share an open file
    /// description.
    pub fn start_session(self: &Arc<Self>) -> Process {
        self.start_with(Some(Mutex::default()))
    }

    fn start_with(
        self: &Arc<Self>,
        session: Option<Mutex<BTreeMap<u64, Arc<Description>>>>,
    ) -> Process {
        let process = {
            let mut state = self.state();
            state.processes += 1;
            state.processes
        };
        let machine = self.clone();
        let registry = Registry::new(Arc::new(View { machine, process, session }));
        Process { registry, id: process }
    }

    /// The files as a reader reaches them.
    pub fn disk(self: &Arc<Self>) -> Arc<dyn Disk> {
        Arc::new(View { machine: self.clone(), process: 0, session: None })
    }

    // Faults.

    pub fn inject(&self, when: When, verdict: Verdict) {
        self.state().rules.push(Rule::new(when, verdict));
    }

    pub fn hold(&self, when: When) -> Gate {
        let (rule, gate) = Rule::hold(when);
        self.state().rules.push(rule);
        gate
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.state().rules.clear();
    }

    /// The number of operations with an injected outcome.
    pub fn injected(&self) -> usize {
        self.state().injected
    }

    // The operations so far.

    pub fn log(&self) -> Vec<Operation> {
        self.state().log.clone()
    }

    pub fn count(&self, kind: Kind) -> usize {
        let state = self.state();
        state.log.iter().filter(|seen| seen.kind == kind).count()
    }

    /// Descriptors open now.
    pub fn descriptors(&self) -> usize {
        self.state().descriptors.len()
    }

    /// The kinds of operations from the `from`th on.
    pub fn kinds_since(&self, from: usize) -> Vec<Kind> {
        self.log()[from..].iter().map(|seen| seen.kind).collect()
    }

    /// Waits until `holds` accepts the operations so far.
    pub fn wait_until(&self, holds: impl Fn(&[Operation]) -> bool) {
        let state = self.state();
        let waited = self.changed.wait_timeout_while(state, HANG, |state| !holds(&state.log));
        let timed_out = waited.unwrap_or_else(PoisonError::into_inner).1;
        assert!(!timed_out.timed_out(), "the operations never came");
    }

    // The actions of other programs.

    /// Puts a durable file at `path`, replacing any other.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let mut state = self.state();
        state.count += 1;
        let number = state.count;
        let inode = Inode { image: Image::durable(bytes), ..Inode::default() };
        state.inodes.insert(number, inode);
        state.names.insert(path.into(), number);
        state.durable_names.insert(path.into(), number);
    }

    /// Changes the file at `path` in place.
    pub fn change(&self, path: &str, edit: impl FnOnce(&mut Image)) {
        let mut state = self.state();
        let number = state.names[Path::new(path)];
        edit(&mut state.inodes.get_mut(&number).unwrap().image);
    }

    /// Appends to the log without the lock, if the log exists.
    pub fn stranger_appends(&self, bytes: &[u8]) {
        if self.state().names.contains_key(Path::new(PATH)) {
            self.change(PATH, |image| image.append(bytes));
        }
    }

    pub fn rename(&self, from: &str, to: &str) {
        let mut state = self.state();
        let number = state.names.remove(Path::new(from)).unwrap();
        state.names.insert(to.into(), number);
        state.durable_names = state.names.clone();
    }

    pub fn unlink(&self, path: &str) {
        let mut state = self.state();
        state.names.remove(Path::new(path)).unwrap();
        state.durable_names = state.names.clone();
    }

    /// Another program takes the lock.
    pub fn stranger_locks(self: &Arc<Self>, path: &str) -> StrangersLock {
        let mut state = self.state();
        let number = state.names[Path::new(path)];
        let inode = state.inodes.get_mut(&number).unwrap();
        assert!(inode.locked_by.is_none(), "the lock is taken");
        inode.locked_by = Some(0);
        StrangersLock(self.clone(), number)
    }

    // The contents of the machine.

    /// The file as the page cache shows it.
    pub fn content(&self, path: &str) -> Vec<u8> {
        let state = self.state();
        let number = state.names[Path::new(path)];
        state.inodes[&number].image.cached.clone()
    }

    /// Whether there is a file at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.state().names.contains_key(Path::new(path))
    }

    /// As `content`, but empty if no file is at `path`.
    pub fn content_or_nothing(&self, path: &str) -> Vec<u8> {
        let state = self.state();
        let number = state.names.get(Path::new(path));
        number.map_or(Vec::new(), |number| state.inodes[number].image.cached.clone())
    }

    /// The log as the page cache shows it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content(PATH)).into_owned()
    }

    /// The machine after a power cut: it has what the disk holds.
    pub fn after_power_cut(&self) -> Arc<Machine> {
        let after = Machine::new();
        let state = self.state();
        for (path, number) in &state.durable_names {
            let path = path.to_str().unwrap();
            after.put(path, &state.inodes[number].image.disk);
        }
        after
    }

    /// Records from now on what a power cut before each operation would find.
    pub fn record_crashes(&self) {
        self.state().crashes = Some(Vec::new());
    }

    pub fn crashes(&self) -> Vec<Crash> {
        let state = self.state();
        let last = state.crash();
        let mut crashes = state.crashes.clone().unwrap_or_default();
        crashes.push(last);
        crashes
    }

    /// The number of operations that were started.
    pub fn clock(&self) -> usize {
        self.state().log.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts an operation: it is logged and may get a fault. Returns its index in the log, and the
    /// verdict.
    fn begin(
        &self,
        process: u32,
        descriptor: u64,
        kind: Kind,
        range: Range<u64>,
    ) -> (usize, Verdict) {
        let mut state = self.state();
        if state.crashes.is_some() {
            let crash = state.crash();
            state.crashes.as_mut().unwrap().push(crash);
        }
        let place = state.log.len();
        state.log.push(Operation {
            process,
            descriptor,
            kind,
            offset: range.start,
            length: range.end - range.start,
            good: None,
        });
        let rules = state.rules.iter_mut();
        let effect = rules.filter_map(|rule| rule.meets(process, kind)).next();
        drop(state);
        self.changed.notify_all();
        let verdict = effect.map_or(Verdict::Go, |effect| effect.verdict());
        if verdict != Verdict::Go {
            self.state().injected += 1;
        }
        assert!(verdict != Verdict::Panic, "a panic on purpose");
        (place, verdict)
    }

    fn end<T>(&self, place: usize, result: io::Result<T>) -> io::Result<T> {
        self.state().log[place].good = Some(result.is_ok());
        self.changed.notify_all();
        result
    }
}

impl State {
    fn crash(&self) -> Crash {
        let number = self.durable_names.get(Path::new(PATH));
        Crash { image: number.map(|number| self.inodes[number].image.clone()) }
    }

    fn stat(&self, number: u64) -> Stat {
        let names = self.names.values().filter(|named| **named == number);
        Stat {
            device: DEVICE,
            inode: number,
            length: self.inodes[&number].image.cached.len() as u64,
            links: names.count() as u64,
            born: None,
        }
    }
}

impl View {
    /// The path behind the symlinks.
    fn real<'a>(&self, path: &'a Path) -> &'a Path {
        let is_link = self.session.is_some() && path == Path::new(OTHER_NAME);
        if is_link { Path::new(PATH) } else { path }
    }

    fn call<T>(
        &self,
        kind: Kind,
        act: impl FnOnce(&mut State, Verdict) -> io::Result<T>,
    ) -> io::Result<T> {
        let (place, verdict) = self.machine.begin(self.process, 0, kind, 0..0);
        let result = match verdict {
            Verdict::Fail(code) => Err(io::Error::from_raw_os_error(code)),
            other => act(&mut self.machine.state(), other),
        };
        self.machine.end(place, result)
    }
}

impl Disk for View {
    fn open(&self, path: &Path) -> Result<OpenFile> {
        let path = self.real(path);
        let opened = self.call(Kind::Open, |state, _| {
            let number = match state.names.get(path) {
                Some(number) => *number,
                None => {
                    state.count += 1;
                    let number = state.count;
                    state.names.insert(path.to_owned(), number);
                    state.inodes.insert(number, Inode::default());
                    number
                }
            };
            state.count += 1;
            let descriptor = state.count;
            state.descriptors.insert(descriptor, number);
            let made = || {
                Arc::new(Description {
                    number: descriptor,
                    told: Mutex::new(state.inodes[&number].errors),
                    syncs: Arc::default(),
                    in_batch: Mutex::new(false),
                })
            };
            let description = match &self.session {
                Some(known) => known.lock().unwrap().entry(number).or_insert_with(made).clone(),
                None => made(),
            };
            Ok(Descriptor {
                machine: self.machine.clone(),
                process: self.process,
                number: descriptor,
                inode: number,
                description,
                is_shared: self.session.is_some(),
            })
        });
        match opened {
            Ok(descriptor) => {
                let (file, syncs) = (Arc::new(descriptor), Arc::default());
                let syncs = if file.is_shared { file.description.syncs.clone() } else { syncs };
                Ok(OpenFile::of_parts(file.clone(), file, syncs))
            }
            Err(error) => Err(Error::io("cannot open", "open", error)
                .with_path(path)
                .with_written(Written::No)),
        }
    }

    fn open_for_reading(&self, path: &Path) -> Result<Option<OpenFile>> {
        let is_there = self.machine.state().names.contains_key(path);
        is_there.then(|| self.open(path)).transpose()
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        let path = self.real(path);
        self.call(Kind::Lookup, |state, _| {
            Ok(state.names.get(path).map(|number| state.stat(*number)))
        })
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        self.call(Kind::SyncDirectory, |state, _| {
            state.durable_names = state.names.clone();
            Ok(())
        })
    }

    fn honours_lock(&self, path: &Path) -> io::Result<bool> {
        let path = self.real(path);
        self.call(Kind::ProbeLock, |state, verdict| {
            let locked = state.names.get(path).map(|number| &state.inodes[number]);
            Ok(verdict != Verdict::Refuse && locked.is_some_and(|inode| inode.locked_by.is_some()))
        })
    }

    fn lock_holder(&self, stat: &Stat) -> Option<u32> {
        let state = self.machine.state();
        let holder = state.inodes.get(&stat.inode)?.locked_by?;
        (holder == 0).then_some(STRANGER)
    }
}

impl Descriptor {
    fn call<T>(
        &self,
        kind: Kind,
        range: Range<u64>,
        act: impl FnOnce(&mut Inode, Verdict) -> io::Result<T>,
    ) -> io::Result<T> {
        let (place, verdict) = self.machine.begin(self.process, self.number, kind, range);
        let result = match verdict {
            Verdict::Fail(code) if kind != Kind::Sync => Err(io::Error::from_raw_os_error(code)),
            other => {
                let mut state = self.machine.state();
                act(state.inodes.get_mut(&self.inode).unwrap(), other)
            }
        };
        self.machine.end(place, result)
    }

    /// Detects concurrent syncs: each file of a process may have only one.
    fn enter_sync(&self) {
        let mut state = self.machine.state();
        let syncing = &mut state.inodes.get_mut(&self.inode).unwrap().syncing;
        let now = syncing.entry(self.process).or_default();
        *now += 1;
        assert!(*now == 1, "two syncs of one file at a time in one process");
    }

    fn leave_sync(&self) {
        let mut state = self.machine.state();
        let syncing = &mut state.inodes.get_mut(&self.inode).unwrap().syncing;
        *syncing.get_mut(&self.process).unwrap() -= 1;
    }
}

impl Storage for Descriptor {
    fn stat(&self) -> io::Result<Stat> {
        self.call(Kind::Stat, 0..0, |_, _| Ok(()))?;
        Ok(self.machine.state().stat(self.inode))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let range = offset..offset + buffer.len() as u64;
        self.call(Kind::Read, range, |inode, _| {
            let from = usize::try_from(offset).unwrap();
            let rest = inode.image.cached.get(from..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        })
    }

    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        let range = 0..bytes.len() as u64;
        self.call(Kind::Append, range, |inode, verdict| {
            let count = match verdict {
                Verdict::Short(count) => count.min(bytes.len()),
                _ => bytes.len(),
            };
            inode.image.append(&bytes[..count]);
            Ok(count)
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.call(Kind::SetLen, 0..length, |inode, _| {
            inode.image.set_len(usize::try_from(length).unwrap());
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        struct Leave<'a>(&'a Descriptor);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.leave_sync();
            }
        }
        self.enter_sync();
        let _leave = Leave(self);
        self.call(Kind::Sync, 0..0, |inode, verdict| {
            if let Verdict::Fail(_) = verdict {
                inode.image.lose();
                inode.errors += 1;
            } else {
                inode.image.write_back();
            }
            let mut told = self.description.told.lock().unwrap();
            if *told != inode.errors {
                *told = inode.errors;
                let code = match verdict {
                    Verdict::Fail(code) => code,
                    _ => super::EIO,
                };
                return Err(io::Error::from_raw_os_error(code));
            }
            Ok(())
        })
    }

    fn drop_cached(&self, range: Range<u64>) -> io::Result<bool> {
        self.call(Kind::DropCached, range.clone(), |inode, verdict| {
            let at = |offset| usize::try_from(offset).unwrap();
            let range = at(range.start)..at(range.end);
            Ok(verdict != Verdict::Refuse && inode.image.drop_cached(&range))
        })
    }
}

impl LogLock for Descriptor {
    fn try_lock(&self) -> io::Result<bool> {
        self.call(Kind::TryLock, 0..0, |inode, verdict| {
            let mut in_batch = self.description.in_batch.lock().unwrap();
            let owner = self.description.number;
            let free = inode.locked_by.is_none_or(|holder| holder == owner) && !*in_batch;
            if verdict == Verdict::Refuse || !free {
                return Ok(false);
            }
            inode.locked_by = Some(owner);
            *in_batch = self.is_shared;
            Ok(true)
        })
    }

    fn try_lock_shared(&self) -> io::Result<bool> {
        // No test depends on two readers that share the lock.
        self.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.call(Kind::Unlock, 0..0, |inode, _| {
            inode.locked_by.take_if(|holder| *holder == self.description.number);
            *self.description.in_batch.lock().unwrap() = false;
            Ok(())
        })
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let mut state = self.machine.state();
        state.descriptors.remove(&self.number);
        if let Some(inode) = state.inodes.get_mut(&self.inode).filter(|_| !self.is_shared) {
            inode.locked_by.take_if(|holder| *holder == self.number);
        }
    }
}

impl Drop for StrangersLock {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.inodes.get_mut(&self.1).unwrap().locked_by = None;
    }
}
