//! The error of a lock that was not free in time, and the list of the files that sessions of this
//! process have locked, which its hint needs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crate::error::{Code, Error};
use crate::mutex::locked;
use crate::os::Stat;

/// Device and inode of each file that sessions of this process hold exclusively, and how often.
static HELD: OnceLock<Mutex<HashMap<(u64, u64), usize>>> = OnceLock::new();

/// The error of a lock of `path` that was not free in time. `busy`: the file whose lock it was;
/// `holder`: the process that has it.
pub(crate) fn timeout(
    path: &Path,
    busy: Option<&Stat>,
    holder: Option<u32>,
    waited: Duration,
) -> Error {
    let by = holder.map_or(String::new(), |pid| format!(" (held by process {pid})"));
    let hint = if busy.is_some_and(is_held) {
        "; a lock of this process holds it: append with its lock.append"
    } else {
        ""
    };
    let message = format!(
        "lock of {} was not free within {} ms{by}{hint}",
        path.display(),
        waited.as_millis()
    );
    Error::new(Code::LockTimeout, message).with_wait(waited, holder).with_path(path)
}

/// Notes that a session holds the lock of this file, once more.
pub(crate) fn note_held(stat: &Stat) {
    *locked(list()).entry((stat.device, stat.inode)).or_default() += 1;
}

fn list() -> &'static Mutex<HashMap<(u64, u64), usize>> {
    HELD.get_or_init(Mutex::default)
}

pub(crate) fn is_held(stat: &Stat) -> bool {
    locked(list()).contains_key(&(stat.device, stat.inode))
}

/// Takes back one [`note_held`].
pub(crate) fn unlist(stat: &Stat) {
    let mut list = locked(list());
    let key = (stat.device, stat.inode);
    if let Some(count) = list.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            list.remove(&key);
        }
    }
}
