//! One server of a [`Testbed`](crate::testbed::Testbed): its two shells, its postmaster, its files and
//! its shared memory.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::support::process::{Process, SegmentColumn, segments_with};
use crate::support::wait_until;

/// A running server, and everything that must disappear with it.
#[derive(Debug)]
pub(crate) struct RunningServer {
    pub(crate) instance: PathBuf,
    pub(crate) supervisor: Process,
    /// Becomes the supervisor when the supervisor is killed.
    pub(crate) deputy: Process,
    pub(crate) postmaster: Process,
    data: PathBuf,
    /// The identifier of the System V segment by which a postmaster detects processes of an earlier
    /// one on the same data directory. It outlives a killed postmaster.
    segment: String,
}

impl RunningServer {
    pub(crate) fn read(instance: &Path) -> Self {
        let shell = |file: &str| {
            let mark = std::fs::read_to_string(instance.join(file)).unwrap();
            Process::find(mark.split('.').next().unwrap()).unwrap()
        };
        let data = std::fs::read_link(instance.join("lanes"))
            .unwrap()
            .parent()
            .unwrap()
            .to_owned();
        let pid_file = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
        let lines: Vec<&str> = pid_file.lines().collect();
        let segment = lines[6].split_whitespace().nth(1).unwrap().to_owned();
        let running = Self {
            instance: instance.to_owned(),
            supervisor: shell("owner"),
            deputy: shell("deputy"),
            postmaster: Process::find(lines[0]).unwrap(),
            data,
            segment,
        };
        // Otherwise a later assertion that nothing is left would prove nothing.
        assert_eq!(
            running.leftovers().len(),
            6,
            "every part of the server must be found: {running:?}"
        );
        running
    }

    pub(crate) fn identity(&self) -> String {
        self.instance
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    }

    pub(crate) fn leftovers(&self) -> Vec<String> {
        let paths = [&self.instance, &self.data]
            .into_iter()
            .filter(|path| path.symlink_metadata().is_ok());
        let processes = [&self.supervisor, &self.deputy, &self.postmaster]
            .into_iter()
            .filter(|process| process.is_alive());
        paths
            .map(|path| path.display().to_string())
            .chain(processes.map(|process| format!("{process:?}")))
            .chain(segments_with(SegmentColumn::Id, &self.segment))
            .collect()
    }

    /// Kills both shells before one of them can replace the other.
    ///
    /// The signals are sent without a wait between them: each shell polls the other once a second.
    pub(crate) fn kill_shells(&self) {
        self.supervisor.signal(Signal::KILL);
        self.deputy.signal(Signal::KILL);
        wait_until("the killed shells have ended", || {
            !self.supervisor.is_alive() && !self.deputy.is_alive()
        });
    }

    /// Whether the postmaster lives and the instance accepts further processes.
    pub(crate) fn is_running(&self) -> bool {
        self.postmaster.is_alive() && self.instance.join("serving").exists()
    }

    #[track_caller]
    pub(crate) fn wait_until_gone(&self) {
        wait_until("nothing of the server is left", || {
            self.leftovers().is_empty()
        });
    }
}

/// Whether the supervisor and the deputy that an instance names are two living processes.
///
/// Both files name the same process for a moment: after a deputy has become the supervisor and
/// before it has written its new deputy's mark.
pub(crate) fn has_living_shells(instance: &Path) -> bool {
    let [owner, deputy] = ["owner", "deputy"].map(|file| {
        let mark = std::fs::read_to_string(instance.join(file)).unwrap_or_default();
        mark.split('.').next().and_then(Process::find)
    });
    owner.is_some() && deputy.is_some() && owner != deputy
}
