//! A [`Testbed`] whose servers are containers, and what the engine reports about them.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::Duration;

use ebbtide::Harness;

use ebbtide::config::{Backend, Builder, Cache};

use crate::daemon::{Container, Daemon, owner_label};
use crate::support::backend::runs_on;
use crate::support::program::program;
use crate::support::wait::wait_until_none;
use crate::support::wait_until;
use crate::testbed::Testbed;
use crate::worker::Worker;

/// The official image or the substitute of `.ci/standin-image`. If the engine has neither, ebbtide
/// chooses an image.
const IMAGE: &str = "postgres:15";

/// Whether this process continues with a test that needs containers.
pub(crate) fn runs_on_containers(test: &str) -> bool {
    runs_on(Backend::Container, test)
}

/// A testbed with a container engine.
#[derive(Debug)]
pub(crate) struct ContainerTestbed {
    pub(crate) base: Testbed,
    pub(crate) daemon: Daemon,
    /// The label by which ebbtide marks the containers of this state directory.
    pub(crate) label: String,
    variables: Vec<(&'static str, PathBuf)>,
}

impl ContainerTestbed {
    /// A testbed whose containers end as soon as no process uses them, and save no templates.
    pub(crate) fn new() -> Self {
        Self::with_linger(Duration::ZERO)
    }

    pub(crate) fn with_linger(linger: Duration) -> Self {
        let base = Testbed::without_cache().linger(linger);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(base.state())
            .unwrap();
        let label = owner_label(&base.state());
        let daemon = Daemon::of_this_machine();
        let mut variables = vec![
            ("EBBTIDE_BACKEND", "container".into()),
            ("EBBTIDE_CACHE", "never".into()),
            ("DOCKER_HOST", PathBuf::from(&daemon.url)),
        ];
        if daemon
            .request("GET", &format!("/images/{IMAGE}/json"), None)
            .0
            == 200
        {
            variables.push(("EBBTIDE_IMAGE", IMAGE.into()));
        }
        Self {
            base,
            daemon,
            label,
            variables,
        }
    }

    /// Sets an environment variable for all workers.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<PathBuf>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Removes `docker` and `podman` from the PATH of all workers, so that supervisors use `curl`.
    pub(crate) fn without_commands(self) -> Self {
        let dir = self.base.path("bin");
        std::fs::create_dir(&dir).unwrap();
        for name in ["sh", "sleep", "rm", "mv", "mkdir", "grep", "date", "curl"] {
            std::os::unix::fs::symlink(program(name), dir.join(name)).unwrap();
        }
        self.with("PATH", dir)
    }

    pub(crate) fn worker(&self) -> Worker {
        self.worker_with(&[])
    }

    /// A worker with further environment variables, which override the usual ones.
    pub(crate) fn worker_with(&self, variables: &[(&str, PathBuf)]) -> Worker {
        let all: Vec<_> = self
            .variables
            .iter()
            .chain(variables)
            .map(|(name, value)| (*name, value.clone()))
            .collect();
        self.base.worker_with(&all)
    }

    /// A builder for a harness in this process.
    pub(crate) fn builder(&self) -> Builder {
        let builder = Harness::builder()
            .backend(Backend::Container)
            .cache(Cache::Never)
            .linger(Duration::ZERO);
        let builder = builder
            .state_dir(self.base.state())
            .config_file(self.base.path("ebbtide.toml"));
        builder
            .migrations(self.base.path("migrations"))
            .without_seeds()
    }

    pub(crate) fn containers(&self) -> Vec<Container> {
        self.daemon.containers(&self.label)
    }

    /// Waits until exactly one container exists and runs, and returns it.
    #[track_caller]
    pub(crate) fn container(&self) -> Container {
        let mut found = self.containers();
        wait_until("there is one container", || {
            found = self.containers();
            found.len() == 1 && found[0].state == "running"
        });
        found.remove(0)
    }

    #[track_caller]
    pub(crate) fn wait_until_gone(&self, container: &Container) {
        wait_until("the container is gone", || {
            !self
                .containers()
                .iter()
                .any(|found| found.id == container.id)
        });
    }

    /// What exists of this testbed's servers: files, processes, and everything with the label on
    /// the engine.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut left = self.base.leftovers();
        left.extend(
            self.containers()
                .iter()
                .map(|container| format!("{container:?}")),
        );
        if left.is_empty() {
            left.extend(self.daemon.others(&self.label));
        }
        left
    }

    /// Waits until nothing is left, and returns how long that took.
    #[track_caller]
    pub(crate) fn wait_until_nothing_is_left(&self) -> Duration {
        wait_until_none(Duration::from_secs(40), || self.leftovers())
    }
}

impl Drop for ContainerTestbed {
    /// Removes the containers of a failed test. They would disturb no other test, but could remain
    /// for an hour.
    fn drop(&mut self) {
        for container in self.containers() {
            self.daemon.remove(&container.id);
        }
    }
}
