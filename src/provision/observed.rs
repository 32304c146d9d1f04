//! The file system as the reading of inputs sees it: each path that is examined is recorded.
//!
//! A later process repeats the reading only if one of these paths has changed. So every function
//! that decides about inputs uses this module instead of `std::fs`. A path that is not recorded
//! could change without notice. (`tests/suite/layering.rs`)

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, FileType, Metadata, ReadDir};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The identity of a file or directory, and when it was last changed. Every change of the content,
/// also one that restores the modification time, gives it another `ctime`
/// (<https://man7.org/linux/man-pages/man7/inode.7.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// All fields as they are in a memo. Comparing them byte by byte takes a user's unoptimised
    /// build a fifth of the time that reading them one by one takes.
    bytes: [u8; Stamp::LENGTH],
}

impl Stamp {
    pub(super) const LENGTH: usize = 64;

    pub(super) fn of(found: &Metadata) -> Self {
        let fields = [
            found.dev().to_le_bytes(),
            found.ino().to_le_bytes(),
            u64::from(found.mode()).to_le_bytes(),
            found.size().to_le_bytes(),
            found.mtime().to_le_bytes(),
            found.mtime_nsec().to_le_bytes(),
            found.ctime().to_le_bytes(),
            found.ctime_nsec().to_le_bytes(),
        ];
        let mut bytes = [0; Self::LENGTH];
        bytes.copy_from_slice(fields.as_flattened());
        Self { bytes }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A path that exists, as [`Observed`] holds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Examined {
    pub(super) stamp: Stamp,
    /// The seconds since 1970 of the last change.
    pub(super) changed: i64,
    kind: FileType,
}

impl Examined {
    fn of(found: &Metadata) -> Self {
        Self {
            stamp: Stamp::of(found),
            changed: found.ctime(),
            kind: found.file_type(),
        }
    }
}

/// What was found at each path: `None` where there was no file.
#[derive(Debug, Default)]
pub(super) struct Observed {
    paths: BTreeMap<OsString, Option<Examined>>,
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
    pub(super) fn into_paths(mut self) -> Option<BTreeMap<OsString, Option<Examined>>> {
        if self.is_incomplete {
            return None;
        }
        // What appears in a directory changes the directory, and nothing can appear below a file.
        // So a missing path is known from its parent, if that was examined, too.
        let known: Vec<OsString> = self
            .paths
            .iter()
            .filter(|(path, found)| {
                let parent = Path::new(path).parent();
                let is_parent_present = parent
                    .and_then(|parent| self.paths.get(parent.as_os_str()))
                    .is_some_and(Option::is_some);
                found.is_none() && is_parent_present
            })
            .map(|(path, _)| path.clone())
            .collect();
        for path in known {
            self.paths.remove(&path);
        }
        Some(self.paths)
    }

    /// The first result counts: a change after it must not go unnoticed.
    fn examine(&mut self, path: &Path) -> Option<Examined> {
        if let Some(known) = self.paths.get(path.as_os_str()) {
            return *known;
        }
        let examined = match std::fs::metadata(path) {
            Ok(found) => Some(Examined::of(&found)),
            Err(error) => {
                self.is_incomplete |= !is_absence(&error);
                None
            }
        };
        self.paths.insert(path.as_os_str().to_owned(), examined);
        examined
    }
}

/// Whether an error of examining a path means that nothing is there.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// What is at a path, following links. `None` if nothing is there, or it cannot be examined.
fn examine(path: &Path) -> Option<Examined> {
    OBSERVED.with_borrow_mut(|observed| match observed {
        Some(observed) => observed.examine(path),
        None => std::fs::metadata(path)
            .ok()
            .map(|found| Examined::of(&found)),
    })
}

pub(super) fn is_dir(path: &Path) -> bool {
    examine(path).is_some_and(|found| found.kind.is_dir())
}

pub(super) fn is_file(path: &Path) -> bool {
    examine(path).is_some_and(|found| found.kind.is_file())
}

pub(super) fn read_dir(dir: &Path) -> io::Result<ReadDir> {
    examine(dir);
    std::fs::read_dir(dir)
}

pub(super) fn open(path: &Path) -> io::Result<File> {
    examine(path);
    File::open(path)
}

pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    examine(path);
    std::fs::read(path)
}

pub(super) fn read_to_string(path: &Path) -> io::Result<String> {
    examine(path);
    std::fs::read_to_string(path)
}
