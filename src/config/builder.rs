//! The values that a program sets in code.

use std::path::{Path, PathBuf};

use super::backend_options::BackendOptions;
use super::env::Environment;
use super::expect::Expect;
use super::extension::Extension;
use super::keys::{Builder, Plan};
use super::migrations::Migrations;
use super::missing_tables::MissingTables;
use super::role::Role;
use super::source::{Source, Sourced};
use crate::error::Result;

impl Builder {
    /// Creates a builder without any value.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the configuration file. Default: the nearest `ebbtide.toml`, from the package's
    /// directory up to the root of its workspace or repository.
    ///
    /// A relative path is relative to the package's directory. The variable `EBBTIDE_CONFIG`
    /// overrides it.
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config_file = Some(path.into());
        self
    }

    /// Takes the values of a named plan in `ebbtide.toml`, which a section such as
    /// `[plan.audit.provision]` describes, instead of those of the default plan.
    ///
    /// See [Several databases](crate#several-databases) for what the plan inherits. A name that the
    /// file does not have is an error of [`build`](Self::build).
    ///
    /// # Examples
    /// ```no_run
    /// # fn main() -> ebbtide::Result<()> {
    /// let audit = ebbtide::Harness::builder().plan("audit").build()?;
    /// assert_eq!(audit.plan().name(), Some("audit"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn plan(mut self, name: impl Into<String>) -> Self {
        self.plan = Some(name.into());
        self
    }

    /// Sets the directory of the package under test, for a program that cargo does not start.
    ///
    /// There `ebbtide.toml`, `migrations` and `seeds` are searched for. A relative path is relative
    /// to the current directory. Default: `CARGO_MANIFEST_DIR`, which cargo and nextest set, else
    /// the directory in which a test with `#[ebbtide::test]` was compiled.
    ///
    /// # Examples
    /// ```
    /// let builder = ebbtide::Harness::builder().package_root(env!("CARGO_MANIFEST_DIR"));
    /// # drop(builder);
    /// ```
    pub fn package_root(mut self, dir: impl Into<PathBuf>) -> Self {
        self.package_root = Some(dir.into());
        self
    }

    /// Sets how the server is started, with the options of that backend. Default:
    /// [`Backend::Auto`](crate::config::Backend::Auto).
    ///
    /// A second call replaces the backend and all its options. A variable overrides a single
    /// option. If `EBBTIDE_BACKEND` selects another backend, the options of this one have no
    /// effect, and the printed plan marks them.
    ///
    /// Key `server.backend`, variable `EBBTIDE_BACKEND`.
    ///
    /// # Examples
    /// ```
    /// use ebbtide::config::{Backend, Container};
    ///
    /// let any_image = ebbtide::Harness::builder().backend(Backend::Container);
    /// let alpine = ebbtide::Harness::builder().backend(Container::new().image("postgres:17-alpine"));
    /// # drop((any_image, alpine));
    /// ```
    pub fn backend(mut self, backend: impl Into<BackendOptions>) -> Self {
        self.backend = backend.into().layer;
        self
    }

    /// Adds a PostgreSQL setting, by its name in `postgresql.conf`, for example `timezone`.
    ///
    /// A server that ebbtide starts gets it as a configuration parameter, which overrides ebbtide's
    /// own tuning. On an external server it becomes a setting of every session.
    ///
    /// The name ignores case, and a second call with the same name replaces the value. Ebbtide
    /// manages `port`, `data_directory` and other settings for sockets, files and logs; setting one
    /// of these is an error.
    ///
    /// Key `server.settings`.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let earlier = self.layer.settings.take();
        let mut settings = earlier.map(|sourced| sourced.value).unwrap_or_default();
        settings.insert(&name.into(), value.into(), Source::Builder);
        self.layer.settings = from_builder(settings);
        self
    }

    /// Adds an extension to install before the migrations, after those of earlier calls: a name, or
    /// an [`Extension`] with a schema or a version. Repeated names count once.
    ///
    /// A builder with any extension replaces the list in `ebbtide.toml`.
    ///
    /// Key `provision.extensions`, variable `EBBTIDE_EXTENSIONS`.
    pub fn extension(mut self, extension: impl Into<Extension>) -> Self {
        let mut all = self
            .layer
            .extensions
            .take()
            .map(|sourced| sourced.value)
            .unwrap_or_default();
        let extension = extension.into();
        if !all.contains(&extension) {
            all.push(extension);
        }
        self.layer.extensions = from_builder(all);
        self
    }

    /// Adds a role to create before the bootstrap, after those of earlier calls: a name, or a
    /// [`Role`] with memberships and privileges.
    ///
    /// A builder with any role replaces the list in `ebbtide.toml`.
    ///
    /// Key `provision.roles`.
    pub fn role(mut self, role: impl Into<Role>) -> Self {
        let earlier = self.layer.roles.take();
        let mut all = earlier.map(|sourced| sourced.value).unwrap_or_default();
        all.push(role.into());
        self.layer.roles = from_builder(all);
        self
    }

    /// Sets the directory of migrations, or another source: see [`Migrations`]. Default:
    /// `migrations-dir` in the package's `sqlx.toml`, else the directory `migrations`, if it
    /// exists.
    ///
    /// A relative path is relative to the package's directory.
    ///
    /// Key `provision.migrations`, variable `EBBTIDE_MIGRATIONS`.
    pub fn migrations(mut self, source: impl Into<Migrations>) -> Self {
        self.layer.migrations = from_builder(Some(source.into()));
        self
    }

    /// Applies no migrations, even if the directory `migrations` exists.
    ///
    /// Key `provision.migrations = false`, variable `EBBTIDE_MIGRATIONS=none`.
    pub fn without_migrations(mut self) -> Self {
        self.layer.migrations = from_builder(None);
        self
    }

    /// Sets the directory of seeds. Default: the directory `seeds`, if it exists.
    ///
    /// A relative path is relative to the package's directory.
    ///
    /// Key `provision.seeds`, variable `EBBTIDE_SEEDS`.
    pub fn seeds(mut self, path: impl Into<PathBuf>) -> Self {
        self.layer.seeds = from_builder(Some(path.into()));
        self
    }

    /// Applies no seeds, even if the directory `seeds` exists.
    ///
    /// Key `provision.seeds = false`, variable `EBBTIDE_SEEDS=none`.
    pub fn without_seeds(mut self) -> Self {
        self.layer.seeds = from_builder(None);
        self
    }

    /// Adds tables that may be missing although a migration creates them, such as a table that a
    /// later migration drops in a way which ebbtide cannot read. Each is written `table`, or
    /// `schema.table` if it is not in `public`.
    ///
    /// A builder with any of them replaces those in `ebbtide.toml`.
    ///
    /// Key `provision.ignore_missing_tables`, variable `EBBTIDE_IGNORE_MISSING_TABLES`.
    pub fn ignore_missing_tables(
        mut self,
        tables: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let earlier = self.layer.ignore_missing_tables.take();
        let value = match earlier.map(|sourced| sourced.value).unwrap_or_default() {
            MissingTables::All => MissingTables::All,
            MissingTables::These(mut all) => {
                all.extend(tables.into_iter().map(Into::into));
                MissingTables::these(all)
            }
        };
        self.layer.ignore_missing_tables = from_builder(value);
        self
    }

    /// Lets every table be missing that a migration creates: ebbtide does not compare the
    /// migrations with the catalog. It still compares the ledger with the migrations.
    ///
    /// Key `provision.ignore_missing_tables = true`, variable `EBBTIDE_IGNORE_MISSING_TABLES=true`.
    pub fn ignore_all_missing_tables(mut self) -> Self {
        self.layer.ignore_missing_tables = from_builder(MissingTables::All);
        self
    }

    /// Adds to what the database must contain after migrations and seeds. For the same table or
    /// type, the later call counts.
    ///
    /// Key `provision.expect`.
    pub fn expect(mut self, expect: Expect) -> Self {
        let earlier = self.layer.expect.take();
        let earlier = earlier.map(|sourced| sourced.value).unwrap_or_default();
        self.layer.expect = from_builder(expect.over(earlier));
        self
    }

    pub(crate) fn own_package_root(&self) -> Option<&Path> {
        self.package_root.as_deref()
    }

    /// Merges the values of the environment, the builder and the file.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) for an illegal value,
    /// [`MigrationSource`](crate::ErrorKind::MigrationSource) and
    /// [`Seed`](crate::ErrorKind::Seed) for a directory that does not exist.
    pub(crate) fn resolve(&self, environment: &Environment) -> Result<Plan> {
        // No key is in both layers.
        let layer = self.backend.clone().over(self.layer.clone());
        layer.check()?;
        let named = self.plan.as_deref();
        Plan::resolve(layer, named, self.config_file.as_deref(), environment)
    }
}

/// A value of the builder. Every field of the layer is optional: without a call it stays `None`,
/// and a weaker source can fill it.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the result is assigned to an optional field"
)]
fn from_builder<T>(value: T) -> Option<Sourced<T>> {
    Some(Sourced::new(value, Source::Builder))
}
