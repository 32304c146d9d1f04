//! A directory for one test, and a harness on what is in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ebbtide::Harness;
use ebbtide::config::{Backend, Builder, Cache};

use super::wait::wait_until;

/// A new directory for one test, deleted when the value is dropped.
#[derive(Debug)]
pub struct Scratch {
    root: PathBuf,
}

impl Scratch {
    pub fn new() -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        // Short, because the path of a Unix socket is limited to about 100 bytes.
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

    /// Writes a file and creates the directories that it needs.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A builder with this directory's `ebbtide.toml`, `migrations` and `seeds`, and without those
    /// of this repository, on the server that all tests share.
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

    /// A harness with one migration, on the server that all tests share.
    pub fn harness(&self, file: &str, migration: &str) -> Harness {
        self.write(&format!("migrations/{file}"), migration);
        // A test examines a kept database immediately, so a short time is enough.
        self.builder()
            .keep_for(Duration::from_secs(30))
            .build()
            .unwrap()
    }

    /// Like [`builder`](Self::builder), on a native server of its own, which ends immediately after
    /// its last use, and does not save its data.
    pub fn own_server(&self) -> Builder {
        self.builder()
            .backend(Backend::Native)
            .cache(Cache::Never)
            .state_dir(self.state_dir())
            .linger(Duration::ZERO)
    }

    pub fn state_dir(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Waits until the state directory has no instance any more.
    pub fn wait_until_servers_end(&self) {
        let servers = self.state_dir().join("servers");
        wait_until("every server of the state directory has ended", || {
            names_in(&servers).is_empty()
        });
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.state_dir().exists() && !std::thread::panicking() {
            self.wait_until_servers_end();
        }
        let removed = std::fs::remove_dir_all(&self.root);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

/// The names of a directory's entries, or none if the directory does not exist.
pub fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Lets every user enter the directory: tests that run as root start the server as another user.
fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
}
