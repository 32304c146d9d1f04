//! Shared by the integration tests.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    clippy::allow_attributes,
    reason = "every test binary uses a part of it"
)]
#![allow(
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "it is code of tests"
)]

pub mod again;
mod backend;
pub mod random;
pub mod salon;
pub mod skip;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ebbtide::{Backend, Builder, Harness};

pub(crate) use again::here;
pub use backend::{natively, only_on};
pub use salon::salon;

/// A directory with files of its own, removed at the end.
#[derive(Debug)]
pub struct Scratch {
    root: PathBuf,
}

impl Scratch {
    pub fn new() -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        // Short, because sockets live below it.
        let root = std::env::temp_dir().join(format!("ebbtide-test-{}", &id[..8]));
        std::fs::create_dir(&root).unwrap();
        open_to_all(&root);
        let scratch = Self { root };
        scratch.write("ebbtide.toml", "");
        scratch
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file, in directories that are made for it.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A builder that knows this directory's `ebbtide.toml`, `migrations` and `seeds` and nothing of this repository's,
    /// on the server that all tests share.
    pub fn builder(&self) -> Builder {
        let builder = Harness::builder().config_file(self.path("ebbtide.toml"));
        let migrations = self.path("migrations");
        let builder = if migrations.is_dir() {
            builder.migrations(migrations)
        } else {
            builder.without_migrations()
        };
        let seeds = self.path("seeds");
        if seeds.is_dir() {
            builder.seeds(seeds)
        } else {
            builder.without_seeds()
        }
    }

    /// The same on a server of its own, from this machine's binaries, that goes as soon as nobody uses it.
    pub fn lonely(&self) -> Builder {
        self.builder()
            .backend(Backend::Native)
            .state_dir(self.state_dir())
            .linger(Duration::ZERO)
    }

    pub fn state_dir(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Waits until no server lives in this directory any more.
    pub fn wait_until_deserted(&self) {
        let servers = self.state_dir().join("servers");
        wait_until("the servers are gone", || names_in(&servers).is_empty());
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.state_dir().exists() && !std::thread::panicking() {
            self.wait_until_deserted();
        }
        let removed = std::fs::remove_dir_all(&self.root);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

/// Looks every 20 milliseconds, for half a minute at most.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// For the server's user, where the tests run as root.
fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
}
