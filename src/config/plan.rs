//! A plan: merges the sources into one, and returns its values.

use std::path::{Path, PathBuf};

use super::contents::DEFAULT_MIGRATIONS_DIR;
use super::env::Environment;
use super::expect::Expect;
use super::file::ConfigFile;
use super::key_type::KeyType;
use super::keys::{KEYS, Layer, Plan};
use super::migrations::Migrations;
use super::named_plan::of_every_plan;
use super::source::{Source, Sourced};
use super::sqlx_toml;
use super::table;
use super::value::Backend;
use super::variables;
use crate::error::{Error, ErrorKind, Result};

impl Plan {
    /// The plan's name in `ebbtide.toml`, such as `audit` for `[plan.audit.provision]`. `None` for
    /// the default plan.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The value of a key and where it came from, as the plan prints them: `None` for a key without
    /// a row. The keys are those of the printed table, such as `backend` or
    /// `settings.shared_buffers`. A password prints as `***`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> ebbtide::Result<()> {
    /// let harness = ebbtide::Harness::builder().without_migrations().build()?;
    /// let linger = harness.plan().get("linger").expect("every plan has this key");
    /// println!("{} ({})", linger, linger.source);
    /// assert!(harness.plan().get("lingre").is_none());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Sourced<String>> {
        table::value_of(self, key)
    }

    /// The same plan for a database with other migrations, without seeds and expectations.
    ///
    /// # Errors
    /// The migrations do not exist, or the command is incomplete.
    pub(crate) fn with_contents(&self, other: Option<Migrations>) -> Result<Self> {
        let by_test = Source::Builder;
        Ok(Self {
            migrations: Migrations::resolve(
                &KEYS.migrations,
                Sourced::new(other, by_test.clone()),
                &self.package_root,
            )?,
            seeds: Sourced::new(None, by_test.clone()),
            expect: Sourced::new(Expect::default(), by_test),
            ..self.clone()
        })
    }

    /// The default directory of migrations, if it does not exist and no source sets migrations.
    pub(crate) fn absent_migrations(&self) -> Option<PathBuf> {
        let is_absent = self.migrations.source == Source::Default && self.migrations.is_none();
        is_absent.then(|| self.package_root.join(DEFAULT_MIGRATIONS_DIR))
    }

    /// The plan for a layer on top of this plan's template, which already has the extensions and the
    /// roles.
    pub(crate) fn for_layer(&self, expect: Expect) -> Self {
        Self {
            extensions: Sourced::new(Vec::new(), Source::Builder),
            roles: Sourced::new(Vec::new(), Source::Builder),
            expect: Sourced::new(expect, Source::Builder),
            ..self.clone()
        }
    }

    /// Merges the sources: variables override the builder, the builder overrides the file, and the
    /// file overrides the defaults. `named` is the name of a plan in the file. Logs a warning for
    /// every unknown `EBBTIDE_*` variable.
    pub(super) fn resolve(
        builder: Layer,
        named: Option<&str>,
        config_file: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self> {
        for warning in variables::unknown(environment) {
            tracing::warn!("{warning}");
        }
        let file = ConfigFile::read(environment, config_file)?;
        let variables = Layer::from_variables(environment)?;
        let Some(named) = named else {
            let mut merged = variables.over(builder).over(file.layer);
            select_backend(&mut merged, environment)?;
            if merged.migrations.is_none() {
                merged.migrations = sqlx_toml::migrations_dir(&environment.package_root())?;
            }
            return Self::complete(merged, Sourced::by_default(None), file.path, environment);
        };
        let plan = file.plans.get(named, file.path.as_ref())?;
        let name = plan.name.clone().map(Some);
        // A variable such as `EBBTIDE_MIGRATIONS` sets the contents of one database, which is that
        // of the default plan. Every plan's server and roles are those that the variables select.
        let mut merged = of_every_plan(variables)
            .over(builder)
            .over(plan.clone().inheriting(file.layer));
        select_backend(&mut merged, environment)?;
        plan.require_contents(&mut merged)?;
        Self::complete(merged, name, file.path, environment)
    }
}

/// Sets the backend, and its URL if it is the external one.
///
/// `TEST_DATABASE_URL` never selects the backend, because many machines set it for other tools. So
/// it is read only after the backend is known.
fn select_backend(layer: &mut Layer, environment: &Environment) -> Result<()> {
    let url = layer.url.take();
    let backend = match (layer.backend.take(), &url) {
        (Some(backend), Some(url)) if *backend == Backend::Auto => {
            Sourced::new(Backend::External, url.source.clone())
        }
        (None, Some(url)) => Sourced::new(Backend::External, url.source.clone()),
        (backend, _) => backend.unwrap_or(Sourced::by_default(Backend::Auto)),
    };
    if *backend != Backend::External {
        if let Some(url) = &url {
            tracing::warn!(
                "the server's url ({}) is not used: the backend is {backend} ({})",
                url.source,
                backend.source
            );
        }
        layer.backend = Some(backend);
        layer.url = url;
        return Ok(());
    }
    let url = match url {
        Some(url) if matches!(url.source, Source::Variable(_) | Source::DotEnv(_)) => Some(url),
        weaker => variables::test_url(environment)?.or(weaker),
    };
    if url.is_none() {
        let message = format!(
            "the external backend needs a URL, but none is set (backend: {})",
            backend.source
        );
        return Err(Error::new(ErrorKind::Config, message).with_help(
            "set EBBTIDE_URL or TEST_DATABASE_URL, or url below [server] in ebbtide.toml; \
             DATABASE_URL is never read",
        ));
    }
    layer.backend = Some(backend);
    layer.url = url;
    Ok(())
}
