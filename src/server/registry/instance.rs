//! The directory of one server, and the state that its files show.

use std::fs::File;
use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};
use crate::names::short_id;
use crate::process::ProcessMark;
use crate::scarcity::Scarcity;

/// Separates an instance's name from its owner's mark, in the directory's name while the directory
/// is half made or half removed.
const OWNER_SEPARATOR: &str = ".of.";

/// A file in the directory of a server whose present users may continue, and that no process may
/// join.
const NOT_JOINABLE_FILE: &str = "not_joinable";

/// The state of an instance, according to its files. The head of `registry` draws the transitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// The server may be used. A native server may still be starting.
    Serving,
    /// The supervisor checks the leases a last time. It then serves again, or removes everything.
    Retiring,
    /// The server ended by itself, or must not be joined for another reason. The supervisor keeps
    /// the log while a process holds a lease.
    NotJoinable,
    /// The supervisor is making or removing the directory.
    Unfinished,
    /// Supervisor and deputy are both dead.
    Orphaned,
    /// The directory does not exist.
    Gone,
}

/// The directory of one running server.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) dir: PathBuf,
}

impl Instance {
    pub(crate) fn name(&self) -> String {
        self.dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Reads the state of the instance from its files.
    ///
    /// The supervisor may rename files between two of these reads, so their order matters.
    pub(crate) fn health(&self) -> Health {
        if !self.dir.exists() {
            return Health::Gone;
        }
        // Both must be dead: the deputy of a killed supervisor takes over within a second.
        if !may_live(self.mark()) && !may_live(self.mark_in("deputy")) {
            // Checked again: if the owner removed the directory after the first check, the marks
            // are missing for that reason, and the instance is no orphan.
            return if self.dir.exists() {
                Health::Orphaned
            } else {
                Health::Gone
            };
        }
        let has = |name: &str| self.dir.join(name).exists();
        // Before `serving`, which stays while the present users of the server continue.
        if has(NOT_JOINABLE_FILE) {
            return Health::NotJoinable;
        }
        // `serving` is read twice: when a supervisor renames `retiring` back to `serving` between
        // the first two reads, neither of them finds its file.
        match (
            self.is_unfinished(),
            has("serving"),
            has("retiring"),
            has("serving"),
        ) {
            (true, ..) => Health::Unfinished,
            (false, true, ..) | (false, false, false, true) => Health::Serving,
            (false, false, true, _) => Health::Retiring,
            (false, false, false, false) => Health::NotJoinable,
        }
    }

    /// The supervisor's mark, if it can be read.
    pub(crate) fn owner(&self) -> Option<ProcessMark> {
        self.mark().ok().flatten()
    }

    /// The supervisor's mark: from the directory's name while the directory is half made or half
    /// removed, otherwise from the file `owner`.
    fn mark(&self) -> std::io::Result<Option<ProcessMark>> {
        match self.name().split_once(OWNER_SEPARATOR) {
            // Under this name, `owner` may not be written yet, or may be deleted already.
            Some((_, mark)) => Ok(ProcessMark::parse(mark)),
            None => self.mark_in("owner"),
        }
    }

    fn mark_in(&self, file: &str) -> std::io::Result<Option<ProcessMark>> {
        std::fs::read_to_string(self.dir.join(file)).map(|text| ProcessMark::parse(&text))
    }

    fn is_unfinished(&self) -> bool {
        self.name().contains(OWNER_SEPARATOR)
    }

    /// The state that was recorded before the first build on this server.
    ///
    /// Returns `None` and records `now` if there is no such record.
    pub(in crate::server) fn first_state(&self, now: &str) -> Result<Option<String>> {
        let path = self.dir.join("first-state");
        let failed = |error| {
            Error::new(
                ErrorKind::ServerLost,
                format!("{} cannot be used", path.display()),
            )
            .with_source(error)
        };
        match std::fs::read_to_string(&path) {
            Ok(first) => return Ok(Some(first)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        // The rename keeps a reader from finding half a file, also if this process is killed here.
        let draft = self.dir.join(format!("first-state.{}", short_id()));
        std::fs::write(&draft, now)
            .and_then(|()| std::fs::rename(&draft, &path))
            .map_err(failed)?;
        Ok(None)
    }

    /// Keeps further processes from joining this server. Its present users continue.
    pub(in crate::server) fn mark_not_joinable(&self) {
        if let Err(error) = File::create(self.dir.join(NOT_JOINABLE_FILE)) {
            tracing::warn!(
                %error,
                "could not mark a server as not joinable; other processes may join it"
            );
        }
    }
}

/// Whether the process of a mark is alive, or is not known to be dead.
fn may_live(mark: std::io::Result<Option<ProcessMark>>) -> bool {
    match mark {
        Ok(mark) => mark.is_some_and(|owner| owner.is_alive()),
        // If this process has reached a limit (open files, memory), it cannot read the mark. The
        // owner then counts as alive: otherwise a limit of one process would end a server that
        // others use.
        Err(error) => Scarcity::of_open(&error).is_some(),
    }
}
