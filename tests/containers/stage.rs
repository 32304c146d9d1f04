//! A scene whose servers are containers, and what is to be seen of them in the engine.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ebbtide::{Backend, Builder, Cache, Harness};

use super::daemon::{Container, Daemon};
use super::puppet::Puppet;
use super::scene::Scene;
use super::support::{only_on, wait_until};

/// The stand-in or the real one, if the engine has it; else ebbtide's own choice.
const IMAGE: &str = "postgres:15";

/// Whether this process goes on with a test that is about containers.
pub(crate) fn contained(test: &str) -> bool {
    only_on(Backend::Container, test)
}

/// A state directory of its own in which puppets share containers.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) scene: Scene,
    pub(crate) daemon: Daemon,
    /// The label that its containers have and no others.
    pub(crate) label: String,
    variables: Vec<(&'static str, PathBuf)>,
}

impl Stage {
    /// A stage whose containers go as soon as nobody uses them, and keep nothing for the next ones.
    pub(crate) fn new() -> Self {
        Self::with_linger(Duration::ZERO)
    }

    pub(crate) fn with_linger(linger: Duration) -> Self {
        let scene = Scene::cold().linger(linger);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(scene.state())
            .unwrap();
        let state = std::fs::metadata(scene.state()).unwrap();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let boot = boot.split('-').next().unwrap();
        let label = format!("ebbtide.owner={boot}/{:x}-{:x}", state.dev(), state.ino());
        let daemon = Daemon::of_this_machine();
        let mut variables = vec![
            ("EBBTIDE_BACKEND", "container".into()),
            ("EBBTIDE_CACHE", "never".into()),
            ("DOCKER_HOST", PathBuf::from(&daemon.url)),
        ];
        if daemon.ask("GET", &format!("/images/{IMAGE}/json"), None).0 == 200 {
            variables.push(("EBBTIDE_IMAGE", IMAGE.into()));
        }
        Self {
            scene,
            daemon,
            label,
            variables,
        }
    }

    /// Something else for all puppets.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<PathBuf>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Keepers have nothing but `curl` to talk to the engine with.
    pub(crate) fn without_commands(self) -> Self {
        let dir = self.scene.path("bin");
        std::fs::create_dir(&dir).unwrap();
        for name in ["sh", "sleep", "rm", "mv", "mkdir", "grep", "date", "curl"] {
            std::os::unix::fs::symlink(program(name), dir.join(name)).unwrap();
        }
        self.with("PATH", dir)
    }

    pub(crate) fn puppet(&self) -> Puppet {
        self.puppet_with(&[])
    }

    /// A puppet for which some variables are different.
    pub(crate) fn puppet_with(&self, variables: &[(&str, PathBuf)]) -> Puppet {
        let all: Vec<_> = self
            .variables
            .iter()
            .chain(variables)
            .map(|(name, value)| (*name, value.clone()))
            .collect();
        self.scene.puppet_with(&all)
    }

    /// For a harness of this very process.
    pub(crate) fn builder(&self) -> Builder {
        let builder = Harness::builder()
            .backend(Backend::Container)
            .cache(Cache::Never)
            .linger(Duration::ZERO);
        let builder = builder
            .state_dir(self.scene.state())
            .config_file(self.scene.path("ebbtide.toml"));
        builder
            .migrations(self.scene.path("migrations"))
            .without_seeds()
    }

    pub(crate) fn containers(&self) -> Vec<Container> {
        self.daemon.containers(&self.label)
    }

    /// The one container, once it runs and the one before has gone.
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

    /// What is there of servers: files, processes, and whatever the engine has with our label.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = self.scene.left();
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

    /// How long it took.
    #[track_caller]
    pub(crate) fn wait_until_nothing_is_left(&self) -> Duration {
        let began = Instant::now();
        loop {
            let left = self.left();
            if left.is_empty() {
                return began.elapsed();
            }
            assert!(
                began.elapsed() < Duration::from_secs(40),
                "left after 40 s: {left:#?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Stage {
    /// What a failed test leaves would disturb nobody, and be there for an hour.
    fn drop(&mut self) {
        for container in self.containers() {
            self.daemon.remove(&container.id);
        }
    }
}

fn program(name: &str) -> PathBuf {
    let dirs = std::env::var_os("PATH").unwrap();
    let all: Vec<PathBuf> = std::env::split_paths(&dirs)
        .map(|dir| dir.join(name))
        .collect();
    all.into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is not on PATH"))
}
