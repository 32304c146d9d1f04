//! One file for each lane. Its lock is the lane lock, and its content describes the database.
//!
//! ```text
//! equal 12 00ff00ff
//! |     |  `-- the token in the database's name
//! |     `----- the uses since the copy, by the tests of all processes
//! `----------- the state; an empty file means `LaneState::Unknown`
//! ```
//!
//! The content outlives a killed holder, while the kernel releases its lock. The holder changes the
//! state before its first statement, and writes `equal` only after the lane was closed properly. So
//! no other process has to observe the holder's end.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::lock_file;
use super::state::LaneState;
use crate::error::{Error, ErrorKind, Result};

/// The first word of a lane's file. Any other content means [`LaneState::Unknown`].
const STATE_WORDS: [(&str, LaneState); 2] = [
    ("equal", LaneState::Equal),
    ("used_whole", LaneState::UsedWhole),
];

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

    /// Takes the lane lock, or returns `None` if another holder has it.
    ///
    /// # Errors
    /// The file cannot be opened or locked, usually because the server's directory is gone.
    pub(crate) fn try_lock(&self, number: usize) -> Result<Option<LaneFile>> {
        let path = self.dir.join(format!("{}.{number}", self.fingerprint));
        let locked = lock_file::try_lock(&path)?;
        Ok(locked.map(|file| LaneFile { file, number }))
    }

    /// A text about the template that each process reads once; `None` if there is none.
    pub(crate) fn note(&self) -> Option<String> {
        // Nearly always the file does not exist. A file that cannot be read counts as absent: the
        // text is for a person.
        std::fs::read_to_string(self.note_path()).ok()
    }

    pub(crate) fn record_note(&self, text: &str) {
        // Written under another name and renamed, so no process reads a part of it. If writing
        // fails, a later process that copies the template writes it.
        let unfinished = self
            .dir
            .join(format!("{}.note.{}", self.fingerprint, std::process::id()));
        if std::fs::write(&unfinished, text).is_ok() {
            let _ = std::fs::rename(&unfinished, self.note_path());
        }
    }

    /// Whether an earlier process found that no constraint of the template is deferrable.
    pub(crate) fn has_only_immediate_constraints(&self) -> bool {
        // If it cannot be examined, it counts as absent: the end of a test then asks the server.
        self.immediate_path().exists()
    }

    pub(crate) fn record_only_immediate_constraints(&self) {
        // The file has no content, so no process can find a part of it. If it cannot be created, a
        // later process asks the server, too.
        let _ = File::create(self.immediate_path());
    }

    /// Not a lane's file: `immediate` is no number.
    fn immediate_path(&self) -> PathBuf {
        self.dir.join(format!("{}.immediate", self.fingerprint))
    }

    /// Not a lane's file: `note` is no number.
    fn note_path(&self) -> PathBuf {
        self.dir.join(format!("{}.note", self.fingerprint))
    }

    /// Numbers of the lanes that exist, lowest first.
    pub(crate) fn existing(&self) -> Vec<usize> {
        let prefix = format!("{}.", self.fingerprint);
        // A directory that cannot be read counts as empty: the next `try_lock` reports the error.
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

/// The locked file of one lane. The lock is released when the value is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct LaneFile {
    file: File,
    pub(crate) number: usize,
}

impl LaneFile {
    pub(crate) fn state(&self) -> LaneState {
        let content = self.content();
        let first = content.split(' ').next().unwrap_or_default();
        STATE_WORDS
            .iter()
            .find(|(word, _)| *word == first)
            .map_or(LaneState::Unknown, |(_, state)| *state)
    }

    /// The number of uses that the file records, or 0 if it records none.
    pub(crate) fn uses(&self) -> u32 {
        self.content()
            .split(' ')
            .nth(1)
            .and_then(|uses| uses.parse().ok())
            .unwrap_or_default()
    }

    /// The token in the name of the lane's database, if there is a database.
    pub(crate) fn token(&self) -> Option<String> {
        self.content().split(' ').nth(2).map(str::to_owned)
    }

    /// Records the state and the uses of the database with this token.
    pub(crate) fn mark(&self, state: LaneState, uses: u32, token: &str) -> Result<()> {
        match STATE_WORDS.iter().find(|(_, known)| *known == state) {
            Some((word, _)) => self.replace_content(&format!("{word} {uses} {token}")),
            // The next holder copies an unknown lane, and the copy drops every database of this
            // number. So it needs neither the uses nor the token.
            None => self.replace_content(""),
        }
    }

    /// The file's content, or an empty string if it cannot be read.
    fn content(&self) -> String {
        // Two words and a number below 2^32 are far shorter. Only the holder of the lock writes.
        let mut found = [0; 64];
        let length = self.file.read_at(&mut found, 0).unwrap_or_default();
        String::from_utf8_lossy(&found[..length]).into_owned()
    }

    fn replace_content(&self, content: &str) -> Result<()> {
        // Truncating first is safe: if the process is killed between the two calls, the file is
        // empty, which means `Unknown`. The other order could leave the end of a longer content.
        let written = self
            .file
            .set_len(0)
            .and_then(|()| self.file.write_all_at(content.as_bytes(), 0));
        written.map_err(|error| write_error(&error))
    }
}

fn write_error(error: &std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::StorageFull {
        ErrorKind::OutOfSpace
    } else {
        ErrorKind::Io
    };
    Error::new(kind, "a lane's file cannot be written")
        .with_source(error.to_string())
        .with_help(crate::sql_error::DISK_FULL_HELP)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lane files in a new directory, which lasts as long as the first value.
    fn lane_files() -> (tempfile::TempDir, LaneFiles) {
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        std::fs::create_dir(dir.path().join("lanes")).expect("the directory is writable");
        let files = LaneFiles::of(dir.path(), "00ff");
        (dir, files)
    }

    /// Locks a lane that no process holds.
    fn lock(files: &LaneFiles) -> LaneFile {
        let locked = files.try_lock(3).expect("the file opens");
        locked.expect("no process holds it")
    }

    #[test]
    fn a_lane_file_has_one_holder_and_keeps_the_state_of_the_database() {
        let (_dir, files) = lane_files();
        let lane = lock(&files);
        assert!(
            files.try_lock(3).expect("the file opens").is_none(),
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
        let again = lock(&files);
        assert_eq!(again.state(), LaneState::Equal);
        for state in [LaneState::UsedWhole, LaneState::Equal] {
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
    }

    #[test]
    fn what_is_known_of_a_template_is_known_to_later_processes_and_is_no_lane() {
        let (dir, files) = lane_files();
        assert!(!files.has_only_immediate_constraints());
        files.record_only_immediate_constraints();
        let later = LaneFiles::of(dir.path(), "00ff");
        assert!(later.has_only_immediate_constraints());
        assert!(later.existing().is_empty());
        let of_another = LaneFiles::of(dir.path(), "00fe");
        assert!(!of_another.has_only_immediate_constraints());
    }

    #[test]
    fn a_word_that_is_not_exactly_a_known_one_means_unknown() {
        let (_dir, files) = lane_files();
        let lane = lock(&files);
        let state = |content: &str| {
            lane.replace_content(content).expect("the file is writable");
            lane.state()
        };
        assert_eq!(state("equal 12 00ff"), LaneState::Equal);
        assert_eq!(state("used_whole 12 00ff"), LaneState::UsedWhole);
        // `lent` is the word of an older format for `used_whole`.
        for content in ["lent 12 00ff", "used 12 00ff", "equally 12 00ff", " equal"] {
            assert_eq!(state(content), LaneState::Unknown, "{content:?}");
        }
    }
}
