//! One error for everything that can go wrong, with a code that never changes.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The first byte, counted from 0.
    pub offset: u64,
    /// The line number, counted from 1; 0 if lines were not counted.
    pub line: u64,
}

/// Whether a rejected append left bytes in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// No byte of it is in the file.
    No,
    /// Some or all of it may be in the file. A second append is safe if the event has an id or a
    /// key.
    Unknown,
}

impl Written {
    /// The word used in messages and in JavaScript.
    pub fn as_str(self) -> &'static str {
        match self {
            Written::No => "no",
            Written::Unknown => "unknown",
        }
    }
}

/// The last record of a log that did not meet a condition on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActualTail {
    /// The id of the record, as WTF-8. None for a record without an id, and for no record.
    pub id: Option<Vec<u8>>,
    /// The number of the record, counted from 1; 0 for no record.
    pub seq: u64,
}

/// The stable codes, one for each reaction that a caller may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// `EVALIDATION`: a bad path, event, option or argument; nothing was touched.
    Validation,
    /// `ELOCK_TIMEOUT`: the lock was not free by the deadline; nothing was written.
    LockTimeout,
    /// `EIO`: the system failed; the cause has the system's own code.
    Io,
    /// `ECONFLICT`: the log is not as the caller requires.
    Conflict,
    /// `ECORRUPT`: a bad line, where the caller asked for an error.
    Corrupt,
    /// `ECLOSED`: the handle or lock was closed.
    Closed,
    /// `EUNSUPPORTED`: the file system does not honour the lock, or the option is not there yet.
    Unsupported,
}

impl Code {
    /// Every code, for tests and tables.
    pub const ALL: [Code; 7] = [
        Code::Validation,
        Code::LockTimeout,
        Code::Io,
        Code::Conflict,
        Code::Corrupt,
        Code::Closed,
        Code::Unsupported,
    ];

    /// The code as callers see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Validation => "EVALIDATION",
            Code::LockTimeout => "ELOCK_TIMEOUT",
            Code::Io => "EIO",
            Code::Conflict => "ECONFLICT",
            Code::Corrupt => "ECORRUPT",
            Code::Closed => "ECLOSED",
            Code::Unsupported => "EUNSUPPORTED",
        }
    }
}

/// The result of a fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure: a [`Code`], a message about what failed and where, and the fields that apply.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.0)]
pub struct Error(#[source] Box<Failure>);

#[derive(Debug, Clone)]
struct Failure {
    code: Code,
    message: String,
    path: Option<PathBuf>,
    cause: Option<Cause>,
    written: Option<Written>,
    waited: Option<Duration>,
    holder_pid: Option<u32>,
    index: Option<usize>,
    position: Option<Position>,
    actual_tail: Option<ActualTail>,
}

/// The system's own error behind an `EIO`, and the operation that failed.
#[derive(Debug, Clone)]
pub struct Cause {
    /// The operation: `open`, `write`, `fdatasync`, ...
    pub operation: &'static str,
    /// The system's error. It is shared, because one failed sync answers every waiter.
    pub error: Arc<io::Error>,
}

impl Cause {
    /// The system's name of the error, such as `ENOSPC`.
    pub fn code(&self) -> Option<&'static str> {
        crate::os::error_name(&self.error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {}: {}", cause.operation, cause.error)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause.error.as_ref() as &(dyn std::error::Error + 'static))
    }
}

impl Error {
    /// An error with a code and a message. The `with_` methods add further fields.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error(Box::new(Failure {
            code,
            message: message.into(),
            path: None,
            cause: None,
            written: None,
            waited: None,
            holder_pid: None,
            index: None,
            position: None,
            actual_tail: None,
        }))
    }

    /// `EVALIDATION`: what is wrong with a path, event, option or argument.
    pub fn validation(message: impl Into<String>) -> Self {
        Error::new(Code::Validation, message)
    }

    /// `EIO`: the system failed in `operation`.
    pub fn io(message: impl Into<String>, operation: &'static str, error: io::Error) -> Self {
        let mut this = Error::new(Code::Io, message);
        this.0.cause = Some(Cause { operation, error: Arc::new(error) });
        this
    }

    /// Replaces the code.
    pub fn with_code(mut self, code: Code) -> Self {
        self.0.code = code;
        self
    }

    /// Names the file.
    pub fn with_path(mut self, path: &Path) -> Self {
        self.0.path = Some(path.to_owned());
        self
    }

    /// Renames the operation of the cause, if there is a cause.
    pub(crate) fn with_operation(mut self, operation: &'static str) -> Self {
        if let Some(cause) = &mut self.0.cause {
            cause.operation = operation;
        }
        self
    }

    /// States whether bytes may be in the file.
    pub fn with_written(mut self, written: Written) -> Self {
        self.0.written = Some(written);
        self
    }

    /// States how long the append waited for the lock, and the holder where the system reports it.
    pub fn with_wait(mut self, waited: Duration, holder_pid: Option<u32>) -> Self {
        self.0.waited = Some(waited);
        self.0.holder_pid = holder_pid;
        self
    }

    /// Names the event of a batch that is at fault, counted from 0.
    pub fn with_index(mut self, index: usize) -> Self {
        self.0.index = Some(index);
        self
    }

    /// Names the place in the file.
    pub fn with_position(mut self, position: Position) -> Self {
        self.0.position = Some(position);
        self
    }

    /// Names the last record of the log, which a condition on it did not meet.
    pub fn with_actual_tail(mut self, tail: ActualTail) -> Self {
        self.0.actual_tail = Some(tail);
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What happened and where, without the cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The file.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The system's error.
    pub fn cause(&self) -> Option<&Cause> {
        self.0.cause.as_ref()
    }

    /// Whether bytes may be in the file.
    pub fn written(&self) -> Option<Written> {
        self.0.written
    }

    /// How long the lock was waited for.
    pub fn waited(&self) -> Option<Duration> {
        self.0.waited
    }

    /// The process that held the lock, where the system reports it.
    pub fn holder_pid(&self) -> Option<u32> {
        self.0.holder_pid
    }

    /// The event of a batch that is at fault, counted from 0.
    pub fn index(&self) -> Option<usize> {
        self.0.index
    }

    /// The last record of the log, where a condition on it failed.
    pub fn actual_tail(&self) -> Option<&ActualTail> {
        self.0.actual_tail.as_ref()
    }

    /// The place in the file.
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }
}
