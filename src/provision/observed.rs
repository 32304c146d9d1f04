//! The file system as the reading of inputs sees it: each path that is examined is recorded.
//!
//! A later process repeats the reading only if one of these paths has changed. So every function
//! that decides about inputs uses this module instead of `std::fs`; a path that is not recorded could
//! change without notice. (`tests/suite/layering.rs`)

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Metadata, ReadDir};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The identity of a file or directory, and when it was last changed. Every change of the content,
/// also one that restores the modification time, gives it another `ctime`
/// (<https://man7.org/linux/man-pages/man7/inode.7.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) [u64; Stamp::FIELDS]);

impl Stamp {
    pub(super) const FIELDS: usize = 8;

    pub(super) fn of(found: &Metadata) -> Self {
        Self([
            found.dev(),
            found.ino(),
            found.mode().into(),
            found.size(),
            found.mtime().cast_unsigned(),
            found.mtime_nsec().cast_unsigned(),
            found.ctime().cast_unsigned(),
            found.ctime_nsec().cast_unsigned(),
        ])
    }

    /// The seconds since 1970 of the last change.
    pub(super) fn changed(&self) -> i64 {
        self.0[6].cast_signed()
    }

    fn is_dir(&self) -> bool {
        // S_IFMT and S_IFDIR of POSIX's `sys/stat.h`, the same on Linux, macOS and the BSDs.
        self.0[2] & 0o170_000 == 0o040_000
    }
}

/// What was found at each path: `None` where there was no file.
#[derive(Debug, Default)]
pub(super) struct Observed {
    paths: BTreeMap<OsString, Option<Stamp>>,
    /// Whether a path could not be examined.
    is_incomplete: bool,
}

thread_local! {
    /// Present while [`observe`] runs on this thread.
    static OBSERVED: RefCell<Option<Observed>> = const { RefCell::new(None) };
}

/// Runs `work`, and returns which paths it examined on this thread.
pub(super) fn observe<T>(work: impl FnOnce() -> T) -> (T, Observed) {
    let outer = OBSERVED.replace(Some(Observed::default()));
    let result = work();
    let observed = OBSERVED.replace(outer).unwrap_or_default();
    (result, observed)
}

impl Observed {
    /// The paths that a later process has to examine, with what was found there. `None` if a path
    /// could not be examined.
    pub(super) fn into_paths(mut self) -> Option<BTreeMap<OsString, Option<Stamp>>> {
        if self.is_incomplete {
            return None;
        }
        // What appears in a directory changes the directory, and nothing can appear below a file.
        // So a missing path is known from its parent, if that was examined, too.
        let known: Vec<OsString> = self
            .paths
            .iter()
            .filter(|(path, stamp)| {
                let parent = Path::new(path).parent();
                let is_parent_present = parent
                    .and_then(|parent| self.paths.get(parent.as_os_str()))
                    .is_some_and(Option::is_some);
                stamp.is_none() && is_parent_present
            })
            .map(|(path, _)| path.clone())
            .collect();
        for path in known {
            self.paths.remove(&path);
        }
        Some(self.paths)
    }

    /// The first result counts: a change after it must not go unnoticed.
    fn stamp(&mut self, path: &Path) -> Option<Stamp> {
        if let Some(known) = self.paths.get(path.as_os_str()) {
            return *known;
        }
        let stamp = match std::fs::metadata(path) {
            Ok(found) => Some(Stamp::of(&found)),
            Err(error) => {
                let is_absent = matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                );
                self.is_incomplete |= !is_absent;
                None
            }
        };
        self.paths.insert(path.as_os_str().to_owned(), stamp);
        stamp
    }
}

/// What is at a path, following links. `None` if nothing is there, or it cannot be examined.
fn stamp(path: &Path) -> Option<Stamp> {
    OBSERVED.with_borrow_mut(|observed| match observed {
        Some(observed) => observed.stamp(path),
        None => std::fs::metadata(path).ok().map(|found| Stamp::of(&found)),
    })
}

pub(super) fn is_dir(path: &Path) -> bool {
    stamp(path).is_some_and(|found| found.is_dir())
}

pub(super) fn is_file(path: &Path) -> bool {
    // S_IFREG
    stamp(path).is_some_and(|found| found.0[2] & 0o170_000 == 0o100_000)
}

pub(super) fn read_dir(dir: &Path) -> io::Result<ReadDir> {
    stamp(dir);
    std::fs::read_dir(dir)
}

pub(super) fn open(path: &Path) -> io::Result<File> {
    stamp(path);
    File::open(path)
}

pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    stamp(path);
    std::fs::read(path)
}

pub(super) fn read_to_string(path: &Path) -> io::Result<String> {
    stamp(path);
    std::fs::read_to_string(path)
}
