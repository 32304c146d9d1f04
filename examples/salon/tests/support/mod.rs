//! The salon's database, also on a server without the extension uuid-ossp; and copies of the
//! salon's files that a test can change.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use ebbtide::{ErrorKind, Harness, Result, Sandbox, TestArg, TestContext};

use ebbtide::config::Builder;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// A substitute for the extension uuid-ossp, which PostgreSQL can be built without. Most tests do
/// not depend on the extension.
const UUID_FUNCTION: &str =
    "create function uuid_generate_v4() returns uuid language sql as 'select gen_random_uuid()';";

/// A pool on the salon's database, in a transaction that is rolled back.
#[derive(Debug)]
pub(crate) struct Salon(Sandbox);

impl TestArg for Salon {
    async fn from_test(test: &TestContext) -> Result<Self> {
        if has_uuid_ossp().await {
            test.sandbox().await.map(Self)
        } else {
            harness_without_uuid_ossp().await?.sandbox().await.map(Self)
        }
    }
}

impl Deref for Salon {
    type Target = PgPool;

    fn deref(&self) -> &PgPool {
        &self.0
    }
}

/// Whether the server has the extension uuid-ossp. If it does not, asserts that the error names the
/// package that provides it.
pub(crate) async fn has_uuid_ossp() -> bool {
    static HAS_EXTENSION: OnceCell<bool> = OnceCell::const_new();
    let provision = async || match ebbtide::Harness::shared().unwrap().provision().await {
        Err(error) if error.kind() == ErrorKind::ExtensionUnavailable => {
            assert!(
                error
                    .to_string()
                    .ends_with("does not have the extension uuid-ossp"),
                "{error:?}"
            );
            let help = error.help().unwrap();
            assert!(
                help.contains("uuid-ossp: it is one of PostgreSQL's contrib modules"),
                "{help}"
            );
            assert!(help.contains("apt-get install postgresql-"), "{help}");
            false
        }
        other => {
            other.unwrap();
            true
        }
    };
    *HAS_EXTENSION.get_or_init(provision).await
}

async fn harness_without_uuid_ossp() -> Result<&'static Harness> {
    static HARNESS: OnceCell<Harness> = OnceCell::const_new();
    let provision = async || {
        let files = Files::copy().await;
        let harness = files.builder().extension("pg_trgm").build()?;
        // Reads the copies, which are deleted at the end of this function.
        harness.provision().await?;
        Ok(harness)
    };
    HARNESS.get_or_try_init(provision).await
}

/// Copies of the salon's migrations and seeds in a temporary directory.
#[derive(Debug)]
pub(crate) struct Files {
    dir: TempDir,
    extensions: Vec<&'static str>,
}

impl Files {
    pub(crate) async fn copy() -> Self {
        let files = Self {
            dir: TempDir::new().unwrap(),
            extensions: Vec::new(),
        };
        for dir in ["migrations", "seeds"] {
            std::fs::create_dir(files.path(dir)).unwrap();
            for path in paths_in(&Path::new("../..").join(dir)) {
                std::fs::copy(&path, files.path(dir).join(path.file_name().unwrap())).unwrap();
            }
        }
        files.write("ebbtide.toml", "");
        if has_uuid_ossp().await {
            return Self {
                extensions: vec!["uuid-ossp"],
                ..files
            };
        }
        files.write("migrations/1_uuid.up.sql", UUID_FUNCTION);
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    /// A plan with uuid-ossp or its substitute. It does not declare `pg_trgm`; the test does.
    pub(crate) fn builder(&self) -> Builder {
        let builder = Harness::builder()
            .config_file(self.path("ebbtide.toml"))
            .setting("timezone", "Europe/Madrid")
            .migrations(self.path("migrations"))
            .seeds(self.path("seeds"));
        self.extensions
            .iter()
            .fold(builder, |builder, name| builder.extension(*name))
    }
}

/// The paths in a directory, sorted by name.
pub(crate) fn paths_in(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}
