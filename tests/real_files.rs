//! The behaviour that other tests show on a machine in memory, shown once on real files.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod common;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use common::{HANG, alone, event, line_of, named, options, seqs, within};
use sage_chronicle::internals::request::Completion;
use sage_chronicle::internals::storage::{Disk, FileDisk, OpenFile, Stat, Storage};
use sage_chronicle::registry::Registry;
use sage_chronicle::{
    AppendOptions, ChroniclePath, Code, LockMode, Outcome, Receipt, Result, Session, Written,
};
use tempfile::TempDir;

struct Log {
    folder: TempDir,
    path: ChroniclePath,
    registry: Arc<Registry>,
}

impl Log {
    fn new() -> Log {
        Log::on(Arc::new(FileDisk))
    }

    fn on(disk: Arc<dyn Disk>) -> Log {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("made/on/demand/log.sage");
        let path = ChroniclePath::parse(file.to_str().unwrap()).unwrap();
        Log { folder, path, registry: Registry::new(disk) }
    }

    fn file(&self) -> &Path {
        self.path.as_path()
    }

    fn append(&self, event: &str) -> Result<Receipt> {
        let options = options();
        Ok(self.append_all(&[event], options)?.remove(0))
    }

    fn append_all(&self, events: &[&str], options: AppendOptions) -> Result<Vec<Receipt>> {
        let texts: Vec<_> = events.iter().map(|text| text.as_bytes().to_vec()).collect();
        let (sender, outcome) = channel();
        let completion = Completion::once(move |outcome| sender.send(outcome).unwrap());
        self.registry.submit(&self.path, texts, events.len() == 1, options, completion);
        match outcome.recv_timeout(HANG).expect("it hangs") {
            Outcome::Done(receipts, _) => Ok(receipts),
            Outcome::Failed(error) => Err(error),
            Outcome::Cancelled => panic!("nobody cancelled it"),
        }
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }
}

fn append_raw(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

/// A real file in which single operations fail.
struct Failing {
    syncs: std::sync::atomic::AtomicUsize,
}

struct FailingStorage(Arc<dyn Storage>, Arc<Failing>);

struct FailingDisk(Arc<Failing>);

impl Disk for FailingDisk {
    fn beneath(&self) -> Option<&dyn Disk> {
        Some(&FileDisk)
    }
    fn open(&self, path: &Path) -> Result<OpenFile> {
        let file = FileDisk.open(path)?;
        let storage = FailingStorage(file.storage().clone(), self.0.clone());
        Ok(file.with_storage(Arc::new(storage)))
    }
}

impl Storage for FailingStorage {
    fn stat(&self) -> std::io::Result<Stat> {
        self.0.stat()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
    fn append(&self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.append(bytes)
    }
    fn set_len(&self, length: u64) -> std::io::Result<()> {
        self.0.set_len(length)
    }
    fn sync(&self) -> std::io::Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        let left = self.1.syncs.fetch_sub(1, SeqCst);
        if left == 1 {
            return Err(std::io::Error::from_raw_os_error(common::EIO));
        }
        self.0.sync()
    }
    fn drop_cached(&self, range: std::ops::Range<u64>) -> std::io::Result<bool> {
        self.0.drop_cached(range)
    }
}

/// Replaces the first file whose lock is probed by another one.
struct SwappingDisk(std::sync::Once);

impl Disk for SwappingDisk {
    fn beneath(&self) -> Option<&dyn Disk> {
        Some(&FileDisk)
    }
    fn honours_lock(&self, path: &Path) -> std::io::Result<bool> {
        self.0.call_once(|| {
            let other = path.with_extension("new");
            fs::write(&other, "").unwrap();
            fs::rename(&other, path).unwrap();
        });
        FileDisk.honours_lock(path)
    }
}

#[test]
fn two_registries_append_to_one_file_in_a_folder_that_was_not_there() {
    let _alone = alone();
    let log = Log::new();
    let other = Registry::new(Arc::new(FileDisk));
    let mut expected = String::new();
    for n in 0..10 {
        let text = event(n);
        let receipt = if n % 2 == 0 {
            log.append(&text).unwrap()
        } else {
            let texts = vec![text.clone().into_bytes()];
            other.append(&log.path, texts, true, options()).unwrap().0.remove(0)
        };
        assert_eq!((receipt.seq, receipt.offset), (n as u64 + 1, expected.len() as u64));
        assert!(receipt.durable && !receipt.duplicate);
        expected += &line_of(&text);
    }
    assert!(log.append(&event(3)).unwrap().duplicate);
    assert_eq!(log.text(), expected);
}

#[test]
fn a_torn_tail_is_ended_and_an_unterminated_record_counts() {
    let _alone = alone();
    let log = Log::new();
    log.append(&event(0)).unwrap();
    append_raw(log.file(), b"{\"type\":\"to");
    assert_eq!(log.append(&event(1)).unwrap().seq, 2);
    append_raw(log.file(), line_of(&event(2)).trim_end().as_bytes());
    let receipts = log.append_all(&[&event(2), &event(3)], options()).unwrap();
    assert_eq!(seqs(&receipts), [3, 4]);
    assert!(receipts[0].duplicate && receipts[0].durable);
    let lines = [0, 1, 2, 3].map(|n| line_of(&event(n)));
    let [zero, one, two, three] = lines;
    assert_eq!(log.text(), format!("{zero}{{\"type\":\"to\n{one}{two}{three}"));
}

#[test]
fn after_a_failed_sync_the_retry_is_found_on_the_disk_and_not_written_again() {
    let _alone = alone();
    // The first sync belongs to the first append. Only the second one fails, and the data stay.
    let failing = Arc::new(Failing { syncs: 2.into() });
    let log = Log::on(Arc::new(FailingDisk(failing)));
    log.append(&event(0)).unwrap();
    let large = named("large", &"x".repeat(10_000));
    let error = log.append(&large).unwrap_err();
    assert_eq!((error.code(), error.written()), (Code::Io, Some(Written::Unknown)));
    assert!(log.append(&large).unwrap().duplicate);
    log.append(&event(1)).unwrap();
    let expected = line_of(&event(0)) + &line_of(&large) + &line_of(&event(1));
    assert_eq!(log.text(), expected);
}

#[test]
fn a_lock_held_through_another_descriptor_is_awaited_and_times_out() {
    let _alone = alone();
    let log = Log::new();
    log.append(&event(0)).unwrap();
    let holder = FileDisk.open(log.file()).unwrap();
    assert!(holder.lock().try_lock().unwrap());
    let error = log.append_all(&[&event(1)], within(100)).unwrap_err();
    assert_eq!(error.code(), Code::LockTimeout);
    if cfg!(target_os = "linux") {
        assert_eq!(error.holder_pid(), Some(std::process::id()));
    }
    assert_eq!(log.text(), line_of(&event(0)));
    holder.lock().unlock().unwrap();
    log.append(&event(1)).unwrap();
}

#[test]
fn a_file_replaced_or_deleted_between_two_appends_is_found_again() {
    let _alone = alone();
    let log = Log::new();
    log.append(&event(0)).unwrap();
    let moved = log.folder.path().join("moved.sage");
    fs::rename(log.file(), &moved).unwrap();
    assert_eq!(log.append(&event(0)).unwrap().seq, 1);
    fs::remove_file(log.file()).unwrap();
    assert_eq!(log.append(&event(0)).unwrap().seq, 1);
    assert_eq!(fs::read_to_string(moved).unwrap(), line_of(&event(0)));
    fs::write(log.file(), "").unwrap();
    assert_eq!(log.append(&event(0)).unwrap().seq, 1);
}

#[test]
fn pages_are_dropped_and_read_again_without_losing_a_byte() {
    let _alone = alone();
    let log = Log::new();
    let texts: Vec<String> = (0..50).map(|n| named(&format!("n{n}"), &"y".repeat(997))).collect();
    let events: Vec<&str> = texts.iter().map(String::as_str).collect();
    log.append_all(&events, options()).unwrap();
    // A registry without a view of the log reads each duplicate from the disk.
    let other = Registry::new(Arc::new(FileDisk));
    let again: Vec<_> = texts.iter().map(|text| text.clone().into_bytes()).collect();
    let (receipts, _) = other.append(&log.path, again, false, options()).unwrap();
    assert!(receipts.iter().all(|receipt| receipt.duplicate && receipt.identical));
    assert_eq!(seqs(&receipts), (1..51).collect::<Vec<u64>>());
    let storage = FileDisk.open(log.file()).unwrap();
    storage.sync().unwrap();
    let length = storage.stat().unwrap().length;
    assert!(storage.drop_cached(0..length).unwrap());
    assert_eq!(log.text(), texts.iter().map(|text| line_of(text)).collect::<String>());
}

#[test]
fn what_is_no_regular_file_is_refused_before_it_is_opened() {
    let _alone = alone();
    let log = Log::new();
    fs::create_dir_all(log.file()).unwrap();
    let error = log.append(&event(0)).unwrap_err();
    assert_eq!(error.code(), Code::Validation);
}

#[test]
fn a_file_replaced_during_the_lock_probe_does_not_condemn_the_file_system() {
    let _alone = alone();
    let log = Log::on(Arc::new(SwappingDisk(std::sync::Once::new())));
    assert_eq!(log.append(&event(1)).unwrap().seq, 1);
    assert_eq!(log.append(&event(2)).unwrap().seq, 2);
    assert_eq!(log.text(), line_of(&event(1)) + &line_of(&event(2)));
}

#[test]
fn a_session_appends_to_what_it_locked_and_keeps_others_out_until_it_is_released() {
    let _alone = alone();
    let log = Log::new();
    let lock = |timeout| Session::lock(vec![log.path.clone()], LockMode::Exclusive, timeout);
    let session = lock(Duration::MAX).unwrap();
    let append = |event: &str| session.append(&log.path, vec![event.into()], options());
    assert_eq!(seqs(&append(&event(1)).unwrap()), [1]);
    assert!(append(&event(1)).unwrap()[0].duplicate);
    assert_eq!(lock(Duration::ZERO).err().unwrap().code(), Code::LockTimeout);
    let error = log.append_all(&[&event(2)], within(50)).unwrap_err();
    assert_eq!((error.code(), error.written()), (Code::LockTimeout, Some(Written::No)));

    let (sender, released) = channel();
    session.release(Box::new(move || sender.send(()).unwrap()));
    released.recv_timeout(HANG).expect("it hangs");
    assert_eq!(append(&event(3)).unwrap_err().code(), Code::Closed);
    assert_eq!(log.append(&event(2)).unwrap().seq, 2);
    // A dropped lock is released too.
    drop(lock(HANG).unwrap());
    lock(HANG).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn pages_that_somebody_uses_are_not_taken_for_dropped() {
    use std::io::Read;
    // Not in the temporary folder: that may be a tmpfs, which drops nothing.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("log.sage");
    fs::write(&path, [b'x'; 4096]).unwrap();
    let storage = FileDisk.open(&path).unwrap();
    storage.sync().unwrap();
    assert!(storage.drop_cached(0..4096).unwrap());
    // A pipe that received the page keeps it.
    let (mut output, input) = std::io::pipe().unwrap();
    let file = fs::File::open(&path).unwrap();
    assert_eq!(rustix::fs::sendfile(&input, &file, None, 4096).unwrap(), 4096);
    assert!(!storage.drop_cached(0..4096).unwrap());
    output.read_exact(&mut [0; 4096]).unwrap();
    assert!(storage.drop_cached(0..4096).unwrap());
}
