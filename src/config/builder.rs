//! What a program asks for in code.

use std::path::PathBuf;
use std::time::Duration;

use super::env::Environment;
use super::expect::{Expect, PgEnum, RustEnum};
use super::given::{Given, check_setting, spell};
use super::key;
use super::layer::Layer;
use super::migrations::Migrations;
use super::plan::Plan;
use super::source::{Source, Sourced};
use super::url::ServerUrl;
use super::value::{Backend, Cache, Dedicated, Keep, Storage, without_repeats};
use crate::error::Result;

/// Asks for a server and its database in code.
///
/// A variable such as `EBBTIDE_BACKEND` overrides the builder, because the person at the keyboard decides;
/// the builder overrides `ebbtide.toml`. Single values and the list of extensions replace weaker ones;
/// settings and expectations are put together by name.
///
/// Nothing is checked, read or started here. Values that are not legal are reported when the plan is made.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use ebbtide::{Backend, Builder};
///
/// let builder = Builder::new()
///     .backend(Backend::Native)
///     .postgres(17)
///     .extension("pg_trgm")
///     .setting("timezone", "Europe/Madrid")
///     .expect_rows("services", 15)
///     .linger(Duration::from_mins(1));
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    layer: Layer,
    config_file: Option<PathBuf>,
}

impl Builder {
    /// Asks for nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The configuration file, instead of the nearest `ebbtide.toml`. A relative path is relative to the package.
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config_file = Some(path.into());
        self
    }

    /// How the server comes to be. Default: [`Backend::Auto`].
    pub fn backend(mut self, backend: Backend) -> Self {
        self.layer.backend = said(backend);
        self
    }

    /// The wanted major version, 10 or later. Default: any.
    pub fn postgres(mut self, major: u32) -> Self {
        self.layer.postgres = said(major);
        self
    }

    /// The image for the container backend, such as `postgres:17-alpine`.
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.layer.image = said(image.into());
        self
    }

    /// The URL of a server that already runs. With [`Backend::Auto`] it chooses [`Backend::External`].
    ///
    /// What the URL leaves open, the driver takes from `PGPASSWORD`, `PGSSLMODE`, `PGUSER` and the like, or from a password
    /// file. `PGOPTIONS` and `PGAPPNAME` have no effect: settings of every session are `options` in the URL, or
    /// [`setting`](Self::setting).
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.layer.url = said(ServerUrl::new(url));
        self
    }

    /// Lets the external backend use a server on another machine. Ebbtide creates and drops databases there.
    pub fn allow_remote(mut self) -> Self {
        self.layer.allow_remote = said(true);
        self
    }

    /// How long the server outlives its last user. Default: 30 seconds.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.layer.linger = said(linger);
        self
    }

    /// When a test's databases are kept for a person to look at. Default: [`Keep::Never`].
    pub fn keep(mut self, keep: Keep) -> Self {
        self.layer.keep = said(keep);
        self
    }

    /// Shows the plans of statements that take longer, with `auto_explain`
    /// (<https://www.postgresql.org/docs/current/auto-log_plans_slower_than.html>), at the end of their test. Default: none.
    ///
    /// Every statement is then timed step by step, so all are slower than without.
    pub fn log_plans_slower_than(mut self, limit: Duration) -> Self {
        self.layer.log_plans_slower_than = said(limit);
        self
    }

    /// How long a kept database stays, and with it its server. Default: one hour.
    pub fn keep_for(mut self, keep_for: Duration) -> Self {
        self.layer.keep_for = said(keep_for);
        self
    }

    /// Where the server keeps its data. Default: [`Storage::Auto`].
    pub fn storage(mut self, storage: Storage) -> Self {
        self.layer.storage = said(storage);
        self
    }

    /// Whether a container's prepared data is kept for the next run. Default: [`Cache::Auto`].
    pub fn cache(mut self, cache: Cache) -> Self {
        self.layer.cache = said(cache);
        self
    }

    /// Whether the database gets a server that no other contents share. Default: [`Dedicated::Auto`].
    pub fn dedicated(mut self, dedicated: Dedicated) -> Self {
        self.layer.dedicated = said(dedicated);
        self
    }

    /// A setting of the server, by its name in `postgresql.conf`. Refused for what ebbtide decides itself,
    /// such as `port` and `data_directory`.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into().to_ascii_lowercase();
        self.layer
            .settings
            .insert(name, Sourced::new(value.into(), Source::Builder));
        self
    }

    /// The directory with `postgres` and `initdb` for the native backend.
    pub fn bin(mut self, path: impl Into<PathBuf>) -> Self {
        self.layer.bin = said(path.into());
        self
    }

    /// The directory for sockets, locks and data. Keep it short: a socket's path has room for 107 bytes.
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.layer.state_dir = said(path.into());
        self
    }

    /// How long the server may take to accept a connection, more than zero. Default: 60 seconds.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.layer.start_timeout = said(limit);
        self
    }

    /// One more extension to install before the migrations.
    pub fn extension(self, name: impl Into<String>) -> Self {
        self.extensions([name])
    }

    /// More extensions to install before the migrations, in this order. A builder that names any extension
    /// replaces the list of `ebbtide.toml`.
    pub fn extensions(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut all = self
            .layer
            .extensions
            .take()
            .map(|said| said.value)
            .unwrap_or_default();
        all.extend(names.into_iter().map(Into::into));
        self.layer.extensions = said(without_repeats(all));
        self
    }

    /// The directory of migrations, relative to the package, or another source: see [`Migrations`]. Default: `migrations`, if
    /// there is one.
    pub fn migrations(mut self, source: impl Into<Migrations>) -> Self {
        self.layer.migrations = said(source.into());
        self
    }

    /// No migrations, not even from a directory named `migrations`.
    pub fn without_migrations(mut self) -> Self {
        self.layer.migrations = said(Migrations::None);
        self
    }

    /// The directory of seeds, relative to the package. Default: `seeds`, if there is one.
    pub fn seeds(mut self, path: impl Into<PathBuf>) -> Self {
        self.layer.seeds = said(Some(path.into()));
        self
    }

    /// No seeds, not even from a directory named `seeds`.
    pub fn without_seeds(mut self) -> Self {
        self.layer.seeds = said(None);
        self
    }

    /// Expects a table to exist once the database is provisioned.
    pub fn expect_table(self, name: impl Into<String>) -> Self {
        self.expecting(Expect {
            tables: vec![name.into()],
            ..Expect::default()
        })
    }

    /// Expects a table to hold exactly so many rows once the database is provisioned.
    pub fn expect_rows(self, table: impl Into<String>, count: u64) -> Self {
        self.expecting(Expect {
            rows: [(table.into(), count)].into(),
            ..Expect::default()
        })
    }

    /// Expects an enum type to have exactly these labels, in this order.
    pub fn expect_enum(
        self,
        name: impl Into<String>,
        labels: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let labels = labels.into_iter().map(Into::into).collect();
        self.expecting(Expect {
            enums: [(name.into(), labels)].into(),
            ..Expect::default()
        })
    }

    /// Expects an enum type to have the labels of this Rust enum, in any order.
    ///
    /// The error before the first test shows both lists, and what either side lacks.
    pub fn expect_enum_of<T: PgEnum>(self) -> Self {
        self.expecting(Expect {
            rust_enums: vec![RustEnum::of::<T>()],
            ..Expect::default()
        })
    }

    /// How long one migration or one seed file may take, more than zero. Default: 120 seconds.
    pub fn provision_timeout(mut self, limit: Duration) -> Self {
        self.layer.provision_timeout = said(limit);
        self
    }

    /// Puts together what builder, environment and file say.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) for a value that is not legal,
    /// [`MigrationSource`](crate::ErrorKind::MigrationSource) and [`Seed`](crate::ErrorKind::Seed) for a directory
    /// that is not there.
    pub(crate) fn plan(&self, environment: &Environment) -> Result<Plan> {
        Plan::resolve(self.checked()?, self.config_file.as_deref(), environment)
    }

    /// The layer, if the other voices could have said the same.
    fn checked(&self) -> Result<Layer> {
        let layer = self.layer.clone();
        if let Some(major) = &layer.postgres {
            Given::bare(&key::POSTGRES, Source::Builder, major.to_string()).major()?;
        }
        if let Some(image) = &layer.image {
            Given::text(&key::IMAGE, Source::Builder, image.get()).words()?;
        }
        if let Some(url) = &layer.url {
            Given::text(&key::URL, Source::Builder, url.expose()).url()?;
        }
        for (key, limit) in [
            (&key::START_TIMEOUT, &layer.start_timeout),
            (&key::TIMEOUT, &layer.provision_timeout),
        ] {
            if limit.as_ref().is_some_and(|limit| limit.is_zero()) {
                Given::bare(key, Source::Builder, spell(Duration::ZERO)).limit()?;
            }
        }
        for (name, value) in &layer.settings {
            check_setting(&key::SETTINGS, &value.source, name, value)?;
        }
        Ok(layer)
    }

    fn expecting(mut self, more: Expect) -> Self {
        let sofar = self
            .layer
            .expect
            .take()
            .map(|said| said.value)
            .unwrap_or_default();
        self.layer.expect = said(more.over(sofar));
        self
    }
}

// Every field of the layer is optional, so that saying nothing differs from saying the default.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the result goes into an optional field"
)]
fn said<T>(value: T) -> Option<Sourced<T>> {
    Some(Sourced::new(value, Source::Builder))
}
