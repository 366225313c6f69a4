//! The result of a look at a followed log.

use crate::error::Error;
use crate::read::cursor::Cursor;
use crate::read::page::Page;
use crate::storage::Stat;

/// The result of one look at a log.
#[derive(Debug)]
pub struct Look {
    /// New records, perhaps none.
    pub page: Page,
    /// The file of the records.
    pub stat: Option<Stat>,
    /// Whether line and record numbers count from the start of the file.
    pub is_counted: bool,
    /// The place where the first look began, if it is known by then.
    pub start: Option<Cursor>,
    /// Nothing is left to read for now.
    pub is_idle: bool,
    /// The relation of the file to the one before. Only the first look that returns records of a
    /// file has another value than [`FileState::Same`].
    pub file: FileState,
    /// Records in front of the place where the read of this file began.
    pub(crate) begun_after: u64,
    /// The error that keeps the path from being read. The follow waits until it passes, and reports
    /// it once.
    pub trouble: Option<Error>,
}

/// The relation of a file to the one whose records were returned before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileState {
    /// The same file, or a copy in which the last record has the same number.
    #[default]
    Same,
    /// The file before was renamed or deleted, and read to its end. This file is read from its
    /// start.
    Next,
    /// The file has the last returned record under another number, or only an earlier record.
    Rewritten,
    /// The file has none of the returned records: records between may be lost. It is read from its
    /// start.
    Unknown,
}

impl FileState {
    /// The word in the JavaScript API.
    pub fn as_str(self) -> &'static str {
        match self {
            FileState::Same => "same",
            FileState::Next => "next",
            FileState::Rewritten => "rewritten",
            FileState::Unknown => "unknown",
        }
    }
}

/// Where to go on in a rewritten file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRewrite {
    /// Behind the last returned record that the file has.
    #[default]
    Continue,
    /// At its start.
    Restart,
}
