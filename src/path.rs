//! The only way to name a log: a checked, absolute path, and the names of its side files.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::path::{Component, Path, PathBuf, is_separator};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::os;

/// The suffix of every chronicle, unless the caller allows any extension.
pub const EXTENSION: &str = ".sage";

/// A checked path: absolute, without a `..` segment, and ending in `.sage` unless any extension is
/// allowed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChroniclePath(PathBuf);

impl ChroniclePath {
    /// Checks `raw`, which must end in `.sage`.
    ///
    /// # Errors
    /// `EVALIDATION` when it does not, is empty, contains a NUL byte or a `..` segment.
    pub fn parse(raw: &str) -> Result<Self> {
        Self::check(raw)?;
        Self::absolute(raw)
    }

    /// Checks `raw` as [`ChroniclePath::parse`] does, but does not ask for the working folder.
    ///
    /// # Errors
    /// As [`ChroniclePath::parse`].
    pub fn check(raw: &str) -> Result<()> {
        if !raw.ends_with(EXTENSION) {
            return Err(Error::validation(format!(
                "Chronicle path must end with {EXTENSION}: {raw:?}"
            )));
        }
        Self::check_any_extension(raw)
    }

    /// Checks `raw`, whatever its extension.
    ///
    /// # Errors
    /// As [`ChroniclePath::parse`], but for the suffix.
    pub fn parse_any_extension(raw: &str) -> Result<Self> {
        Self::check_any_extension(raw)?;
        Self::absolute(raw)
    }

    /// Checks `raw` as [`ChroniclePath::parse_any_extension`] does, but does not ask for the
    /// working folder.
    ///
    /// # Errors
    /// As [`ChroniclePath::parse_any_extension`].
    pub fn check_any_extension(raw: &str) -> Result<()> {
        if raw.is_empty() || raw.contains('\0') {
            return Err(Error::validation(format!(
                "Chronicle path must be a non-empty string without NUL: {raw:?}"
            )));
        }
        let path = Path::new(raw);
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(Error::validation(format!("Chronicle path cannot contain ..: {raw:?}")));
        }
        if path.file_name().is_none() || raw.ends_with(is_separator) || names_stream(path) {
            return Err(Error::validation(format!("Chronicle path must name a file: {raw:?}")));
        }
        Ok(())
    }

    fn absolute(raw: &str) -> Result<Self> {
        let absolute = std::path::absolute(raw).map_err(|error| {
            let message = format!("the working folder cannot be found, so {raw:?} names no file");
            Error::io(message, "getcwd", error).with_path(Path::new(raw))
        })?;
        Ok(ChroniclePath(absolute))
    }

    /// The absolute path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The side index: `.<name>.chronicle-index` beside the file.
    pub fn index_path(&self) -> PathBuf {
        side_file(&self.0, "index")
    }
}

/// Whether a path names a part of a file, as `name:stream` does on Windows. Such a part has no side
/// files and no folder of its own.
fn names_stream(path: &Path) -> bool {
    cfg!(windows) && path.file_name().is_some_and(|name| name.as_encoded_bytes().contains(&b':'))
}

/// The lock file of a log, locked besides the log or in its place: `.<name>.chronicle-lock` beside
/// the file behind all symlinks.
pub(crate) fn lock_file_of(real: &Path) -> PathBuf {
    side_file(real, "lock")
}

/// `.<name>.chronicle-<kind>` beside a file.
pub(crate) fn side_file(of: &Path, kind: &str) -> PathBuf {
    // A new index is written under the index's name with `-new` appended.
    let room = if kind == "index" { "-new".len() } else { 0 };
    beside(of, ".", &format!(".chronicle-{kind}"), room)
}

/// Bytes of a name that every file system accepts; eCryptfs accepts the fewest.
const MAX_SURE_NAME_BYTES: usize = 143;
/// Bytes of a log's name that are kept in front of its hash, at most.
const MAX_KEPT_BYTES: usize = 80;

/// A name beside a file, made of `before`, the file's name and `after`, with `room` for more.
///
/// If the result is too long for the file system, a hash replaces the end of the file's name. A
/// name that fits never changes, because processes must agree on it.
pub(crate) fn beside(of: &Path, before: &str, after: &str, room: usize) -> PathBuf {
    let name = of.file_name().unwrap_or_default();
    let around = before.len() + after.len() + room;
    let mut made = OsString::from(before);
    if fits(of, os::name_length(name) + around) {
        made.push(name);
    } else {
        made.push(shortened(name));
    }
    made.push(after);
    of.with_file_name(made)
}

/// Whether a name of this length is possible beside a file. The file system is asked only where
/// file systems differ.
fn fits(beside: &Path, length: usize) -> bool {
    length <= MAX_SURE_NAME_BYTES
        || length <= beside.parent().map_or(os::MAX_NAME_LENGTH, os::longest_name)
}

/// The beginning of a name, `~`, and 32 hexadecimal digits of the SHA-256 of the whole name.
fn shortened(name: &OsStr) -> String {
    let digest = Sha256::digest(name.as_encoded_bytes());
    let name = name.to_string_lossy();
    let ends = name.char_indices().map(|(start, char)| start + char.len_utf8());
    let kept = ends.take_while(|end| *end <= MAX_KEPT_BYTES).last().unwrap_or_default();
    let mut short = name.get(..kept).unwrap_or_default().to_owned();
    short.push('~');
    for byte in digest.iter().take(16) {
        // Writing to a string never fails.
        let _ = write!(short, "{byte:02x}");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_must_end_with_sage() {
        for raw in ["a.txt", "a", "a.sage/", "a.sage.bak", ""] {
            let error = ChroniclePath::parse(raw).unwrap_err();
            assert!(
                error.message().contains("Chronicle path must end with .sage"),
                "{raw}: {error}"
            );
        }
    }

    #[test]
    fn a_parent_segment_is_refused_but_dots_in_a_name_are_not() {
        for raw in ["../a.sage", "a/../b.sage", "/x/../y.sage"] {
            let error = ChroniclePath::parse(raw).unwrap_err();
            assert!(error.message().contains("Chronicle path cannot contain .."), "{raw}: {error}");
        }
        for raw in ["a..b.sage", "..a.sage", "x/a...sage", ".sage"] {
            assert!(ChroniclePath::parse(raw).is_ok(), "{raw}");
        }
    }

    #[test]
    fn a_path_becomes_absolute_and_names_its_side_files() {
        let path = ChroniclePath::parse("some/log.sage").unwrap();
        assert!(path.as_path().is_absolute());
        assert_eq!(path.index_path().file_name().unwrap(), ".log.sage.chronicle-index");
        assert_eq!(path.index_path().parent(), path.as_path().parent());
        let lock = lock_file_of(path.as_path());
        assert_eq!(lock.file_name().unwrap(), ".log.sage.chronicle-lock");
        assert_eq!(lock.parent(), path.as_path().parent());
    }

    #[test]
    fn nul_and_missing_names_are_refused() {
        for raw in ["a\0.sage", "\0", "", "/", "a/"] {
            assert!(ChroniclePath::parse_any_extension(raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn a_name_beside_a_log_changes_only_where_it_would_not_fit() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| folder.path().join(name);
        let name_of = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        for (kind, room) in [("lock", 0), ("repair", 0), ("index", 4)] {
            let longest = 255 - 1 - ".chronicle-".len() - kind.len() - room;
            for length in [longest - 1, longest] {
                let name = "n".repeat(length);
                let made = name_of(side_file(&of(&name), kind));
                assert_eq!(made, format!(".{name}.chronicle-{kind}"));
            }
            let (one, two) = ("n".repeat(longest + 1), "n".repeat(longest) + "o");
            let made = [&one, &two].map(|name| name_of(side_file(&of(name), kind)));
            assert_ne!(made[0], made[1], "two logs have one {kind} file");
            for made in made {
                assert!(made.len() + room <= MAX_SURE_NAME_BYTES, "{made}");
                std::fs::write(of(&made), "").unwrap();
            }
        }
        let name = name_of(side_file(&of(&format!("{}.sage", "\u{20ac}".repeat(83))), "lock"));
        let digest = "75a07c5f9ea943c948d298e681851e19";
        assert_eq!(name, format!(".{}~{digest}.chronicle-lock", "\u{20ac}".repeat(26)));
    }
}
