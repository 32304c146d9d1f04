//! A file for each lane, whose lock is the lane's lease across processes.
//!
//! The file says how the database compares to the template. A holder changes the word before its first statement and
//! writes `equal` again when the lane was closed properly, so a killed holder needs no witness. Behind it stand how
//! often the database was used, since tests of many processes wear it out, and the token in the database's name.

use std::fs::{File, TryLockError};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::LaneState;
use crate::error::{Error, ErrorKind, Result};

/// What a lane's file says. Anything else means that the database may be anything, or not be there.
const WORDS: [(&str, LaneState); 2] = [("equal", LaneState::Equal), ("lent", LaneState::Lent)];

/// The files of one fingerprint's lanes.
#[derive(Debug, Clone)]
pub(crate) struct LaneFiles {
    dir: PathBuf,
    fingerprint: String,
}

impl LaneFiles {
    pub(crate) fn of(server_dir: &Path, fingerprint: &str) -> Self {
        Self {
            dir: server_dir.join("lanes"),
            fingerprint: fingerprint.to_owned(),
        }
    }

    /// Takes the lane's lease, unless somebody else holds it.
    ///
    /// # Errors
    /// The file cannot be opened or locked: the server's directory is gone.
    pub(crate) fn try_lease(&self, number: usize) -> Result<Option<LaneFile>> {
        let path = self.dir.join(format!("{}.{number}", self.fingerprint));
        let lost = |error: std::io::Error| {
            Error::new(
                ErrorKind::ServerLost,
                format!("{} cannot be used", path.display()),
            )
            .with_source(error)
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(lost)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(LaneFile { file, number })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(lost(error)),
        }
    }

    /// Numbers of the lanes that exist, lowest first.
    pub(crate) fn existing(&self) -> Vec<usize> {
        let prefix = format!("{}.", self.fingerprint);
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut numbers: Vec<usize> = entries
            .filter_map(|entry| {
                entry
                    .file_name()
                    .to_str()?
                    .strip_prefix(&prefix)?
                    .parse()
                    .ok()
            })
            .collect();
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
    pub(crate) fn state(&self) -> LaneState {
        let said = self.said();
        let first = said.split(' ').next().unwrap_or_default();
        WORDS
            .iter()
            .find(|(word, _)| *word == first)
            .map_or(LaneState::Unknown, |(_, state)| *state)
    }

    pub(crate) fn uses(&self) -> u32 {
        self.said()
            .split(' ')
            .nth(1)
            .and_then(|uses| uses.parse().ok())
            .unwrap_or_default()
    }

    /// The token in the name of the lane's database, if there is a database.
    pub(crate) fn token(&self) -> Option<String> {
        self.said().split(' ').nth(2).map(str::to_owned)
    }

    /// Records what the database with this token is, after so many tests.
    pub(crate) fn mark(&self, state: LaneState, uses: u32, token: &str) -> Result<()> {
        match WORDS.iter().find(|(_, known)| *known == state) {
            Some((word, _)) => self.say(&format!("{word} {uses} {token}")),
            None => self.say(""),
        }
    }

    fn said(&self) -> String {
        let mut found = [0; 64];
        let length = self.file.read_at(&mut found, 0).unwrap_or_default();
        String::from_utf8_lossy(&found[..length]).into_owned()
    }

    fn say(&self, word: &str) -> Result<()> {
        // What stands there between the two is no word.
        let cut = self
            .file
            .set_len(0)
            .and_then(|()| self.file.write_all_at(word.as_bytes(), 0));
        cut.map_err(|error| unmarked(&error))
    }
}

fn unmarked(error: &std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::StorageFull {
        ErrorKind::OutOfSpace
    } else {
        ErrorKind::Io
    };
    Error::new(kind, "a lane's file cannot be written")
        .with_source(error.to_string())
        .with_help(crate::sql_error::MAKE_ROOM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_leased_to_one_holder_and_remembers_what_its_database_is() {
        let dir = std::env::temp_dir().join(format!("ebbtide-unit-{}", crate::names::short_id()));
        std::fs::create_dir_all(dir.join("lanes")).expect("the temporary directory is writable");
        let files = LaneFiles::of(&dir, "00ff");
        let lane = files
            .try_lease(3)
            .expect("the file opens")
            .expect("nobody holds it");
        assert!(
            files.try_lease(3).expect("the file opens").is_none(),
            "a second holder is refused"
        );
        assert_eq!(
            lane.state(),
            LaneState::Unknown,
            "a new lane has no database"
        );
        lane.mark(LaneState::Equal, 0, "00ff")
            .expect("the file is writable");
        drop(lane);
        let again = files
            .try_lease(3)
            .expect("the file opens")
            .expect("it was released");
        assert_eq!(again.state(), LaneState::Equal);
        for state in [LaneState::Lent, LaneState::Equal] {
            again
                .mark(state, 4711, "00ff")
                .expect("the file is writable");
            assert_eq!(
                (again.state(), again.uses(), again.token().as_deref()),
                (state, 4711, Some("00ff"))
            );
        }
        again
            .mark(LaneState::Unknown, 4711, "00ff")
            .expect("the file is writable");
        assert_eq!(
            (again.state(), again.uses(), again.token()),
            (LaneState::Unknown, 0, None)
        );
        assert_eq!(files.existing(), [3]);
        std::fs::remove_dir_all(&dir).expect("the directory is ours");
    }
}
