//! What a look at a followed log finds.

use crate::error::Error;
use crate::read::cursor::Cursor;
use crate::read::page::Page;
use crate::storage::Stat;

/// What one look at a log found.
#[derive(Debug)]
pub struct Look {
    /// New records, perhaps none.
    pub page: Page,
    /// The file that they are in.
    pub stat: Option<Stat>,
    /// Whether their places have the numbers of the file.
    pub is_counted: bool,
    /// Where the first look began, if that is a place known by then.
    pub start: Option<Cursor>,
    /// Nothing is left to read for now.
    pub is_idle: bool,
    /// What the file of these records is to the one before. Other than [`FileState::Same`] only in the first look that
    /// gives records of a file.
    pub file: FileState,
    /// Records before the place at which the read of this file began.
    pub(crate) begun_after: u64,
    /// What keeps the path from being looked at, which is waited through: reported once.
    pub trouble: Option<Error>,
}

/// What a file is to the one whose records were given before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileState {
    /// The same file, or a copy in which the last record has the same number.
    #[default]
    Same,
    /// The one before was renamed away or deleted, and read to its end. This one is read from its start.
    Next,
    /// The last record that was given is in it under another number, or only an earlier one is.
    Rewritten,
    /// Nothing that was given is in it: records between may be gone. It is read from its start.
    Unknown,
}

impl FileState {
    /// The word callers see.
    pub fn as_str(self) -> &'static str {
        match self {
            FileState::Same => "same",
            FileState::Next => "next",
            FileState::Rewritten => "rewritten",
            FileState::Unknown => "unknown",
        }
    }
}

/// Where to go on in a file that was rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRewrite {
    /// Behind the last record that was given and is in it.
    #[default]
    Continue,
    /// At its start.
    Restart,
}
