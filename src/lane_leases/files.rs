//! A file for each lane, whose lock is the lane's lease across processes.
//!
//! The file says `clean` while its database equals the template. A holder empties it before its first statement
//! and writes the word again when the lane was closed properly, so a killed holder needs no witness.

use std::fs::{File, TryLockError};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

const CLEAN: &[u8] = b"clean";

/// The files of one fingerprint's lanes.
#[derive(Debug, Clone)]
pub(crate) struct LaneFiles {
    folder: PathBuf,
    fingerprint: String,
}

impl LaneFiles {
    pub(crate) fn of(server_folder: &Path, fingerprint: &str) -> Self {
        Self { folder: server_folder.join("lanes"), fingerprint: fingerprint.to_owned() }
    }

    /// Takes the lane's lease, unless somebody else holds it.
    ///
    /// # Errors
    /// The file cannot be opened or locked: the server's folder is gone.
    pub(crate) fn try_lease(&self, number: usize) -> Result<Option<LaneFile>> {
        let path = self.folder.join(format!("{}.{number}", self.fingerprint));
        let lost = |error: std::io::Error| {
            Error::new(ErrorKind::ServerLost, format!("{} cannot be used", path.display())).with_source(error)
        };
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(lost)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(LaneFile { file, number })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(lost(error)),
        }
    }

    /// Numbers of the lanes that exist, lowest first.
    pub(crate) fn existing(&self) -> Vec<usize> {
        let prefix = format!("{}.", self.fingerprint);
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut numbers: Vec<usize> =
            entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// The lease of one lane. It ends with the value, or with the process.
#[derive(Debug)]
pub(crate) struct LaneFile {
    file: File,
    pub(crate) number: usize,
}

impl LaneFile {
    pub(crate) fn is_clean(&self) -> bool {
        let mut found = [0; CLEAN.len()];
        self.file.read_exact_at(&mut found, 0).is_ok() && found == CLEAN
    }

    pub(crate) fn mark_clean(&self) -> Result<()> {
        self.file.write_all_at(CLEAN, 0).map_err(|error| unmarked(&error))
    }

    pub(crate) fn mark_in_use(&self) -> Result<()> {
        self.file.set_len(0).map_err(|error| unmarked(&error))
    }
}

fn unmarked(error: &std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::StorageFull { ErrorKind::OutOfSpace } else { ErrorKind::Io };
    Error::new(kind, "a lane's file cannot be written")
        .with_source(error.to_string())
        .with_help(crate::sql_error::MAKE_ROOM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_leased_to_one_holder_and_remembers_whether_it_is_clean() {
        let folder = std::env::temp_dir().join(format!("ebbtide-unit-{}", crate::names::short_id()));
        std::fs::create_dir_all(folder.join("lanes")).expect("the temporary folder is writable");
        let files = LaneFiles::of(&folder, "00ff");
        let lane = files.try_lease(3).expect("the file opens").expect("nobody holds it");
        assert!(files.try_lease(3).expect("the file opens").is_none(), "a second holder is refused");
        assert!(!lane.is_clean(), "a new lane has no database");
        lane.mark_clean().expect("the file is writable");
        drop(lane);
        let again = files.try_lease(3).expect("the file opens").expect("it was released");
        assert!(again.is_clean());
        again.mark_in_use().expect("the file is writable");
        assert!(!again.is_clean());
        assert_eq!(files.existing(), [3]);
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
    }
}
