//! Everything the user asked for, resolved once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::engine::EngineHints;
use super::env::Environment;
use super::expect::Expect;
use super::file::ConfigFile;
use super::key::{self, Key};
use super::layer::Layer;
use super::migrations::{MigrationCommand, Migrations};
use super::source::{Source, Sourced};
use super::url::ServerUrl;
use super::value::{Backend, Cache, Dedicated, Keep, Storage};
use crate::error::{Error, ErrorKind, Result};

const LINGER: Duration = Duration::from_secs(30);
const KEEP_FOR: Duration = Duration::from_hours(1);
/// Where migrations are when no source is named, relative to the package's root.
const USUAL_MIGRATIONS: &str = "migrations";
const START_TIMEOUT: Duration = Duration::from_mins(1);
const PROVISION_TIMEOUT: Duration = Duration::from_mins(2);

/// Everything the user asked for, each value with its source.
///
/// A plan is made once, from the [`Builder`](crate::Builder), the environment and `ebbtide.toml`, and does not
/// change afterwards. `Display` prints it as a table; passwords are replaced by `***`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// How the server comes to be. [`Backend::Auto`] has become [`Backend::External`] if a URL was given.
    pub backend: Sourced<Backend>,
    /// The wanted major version, 10 or later; any when `None`.
    pub postgres: Sourced<Option<u32>>,
    /// The image for the container backend; chosen by version when `None`.
    pub image: Sourced<Option<String>>,
    /// The server of the external backend, which is never without. Other backends ignore it.
    pub url: Sourced<Option<ServerUrl>>,
    /// Whether the external server may be on another machine.
    pub allow_remote: Sourced<bool>,
    /// How long the server outlives its last user.
    pub linger: Sourced<Duration>,
    /// When a test's databases are kept.
    pub keep: Sourced<Keep>,
    /// The plans of statements that take longer are shown; of none when `None`.
    pub log_plans_slower_than: Sourced<Option<Duration>>,
    /// How long a kept database stays, and with it its server.
    pub keep_for: Sourced<Duration>,
    /// Where the server keeps its data.
    pub storage: Sourced<Storage>,
    /// Whether a container's prepared data is kept for the next run.
    pub cache: Sourced<Cache>,
    /// Whether the database gets a server that no other contents share.
    pub dedicated: Sourced<Dedicated>,
    /// The user's settings for the server, by name in lower case.
    pub settings: Sourced<BTreeMap<String, String>>,
    /// Where each setting came from, to print: one server may have settings of several voices.
    pub(super) setting_sources: BTreeMap<String, Source>,
    /// The directory with the server's binaries, absolute; searched for when `None`.
    pub pg_bin: Sourced<Option<PathBuf>>,
    /// The directory for sockets, locks and data, absolute. It need not exist yet.
    pub state_dir: Sourced<PathBuf>,
    /// How long the server may take to accept a connection, more than zero.
    pub start_timeout: Sourced<Duration>,
    /// The directories to search for binaries, in the form of `PATH`; empty when there are none.
    pub path: Sourced<OsString>,
    /// Where a container engine may be.
    pub(crate) engine: EngineHints,
    /// The number of this test among those that nextest runs at once, from 0.
    pub slot: Sourced<Option<usize>>,
    /// The extensions to install, each once, in order.
    pub extensions: Sourced<Vec<String>>,
    /// Where the schema comes from; every path in it is absolute and exists.
    pub migrations: Sourced<Migrations>,
    /// The directory of seeds, absolute and existing; none when `None`.
    pub seeds: Sourced<Option<PathBuf>>,
    /// What the database has to hold before it may be used.
    pub expect: Sourced<Expect>,
    /// How long one migration or one seed file may take, and another process's build of the same template; more than
    /// zero.
    pub provision_timeout: Sourced<Duration>,
    /// The directory of the package under test, absolute.
    pub package_root: Sourced<PathBuf>,
    /// The name of the package under test, when cargo tells.
    pub package_name: Sourced<Option<String>>,
    /// The configuration file that was read, absolute.
    pub config_file: Sourced<Option<PathBuf>>,
}

impl Plan {
    /// The same with other contents of the database.
    ///
    /// # Errors
    /// The migrations are not there, or cannot be used as they are said.
    pub(crate) fn with_contents(&self, said: Migrations) -> Result<Self> {
        let by_test = Source::Builder;
        Ok(Self {
            migrations: migrations(
                Some(Sourced::new(said, by_test.clone())),
                &self.package_root,
            )?,
            seeds: Sourced::new(None, by_test.clone()),
            expect: Sourced::new(Expect::default(), by_test),
            ..self.clone()
        })
    }

    /// The usual directory of migrations, where it does not exist and the plan names no other source.
    pub(crate) fn absent_migrations(&self) -> Option<PathBuf> {
        let is_absent =
            self.migrations.source == Source::Default && *self.migrations == Migrations::None;
        is_absent.then(|| self.package_root.join(USUAL_MIGRATIONS))
    }

    /// What is done to a database that is what this plan says already.
    pub(crate) fn on_top(&self, expect: Expect) -> Self {
        Self {
            extensions: Sourced::new(Vec::new(), Source::Builder),
            expect: Sourced::new(expect, Source::Builder),
            ..self.clone()
        }
    }

    /// Lays the variables over the builder, the builder over the file, and the file over the defaults.
    pub(super) fn resolve(
        builder: Layer,
        config_file: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self> {
        let file = ConfigFile::read(environment, config_file)?;
        let mut said = environment.layer()?.over(builder).over(file.layer);
        let (backend, url) = server(said.backend.take(), said.url.take(), environment)?;
        let root = environment.package_root();
        let (settings, setting_sources) = settings(said.settings);
        let absolute = |path: Sourced<PathBuf>| path.map(|path| root.join(path));
        Ok(Self {
            backend,
            postgres: optional(said.postgres),
            image: optional(said.image),
            url: optional(url),
            allow_remote: said.allow_remote.unwrap_or(Sourced::by_default(false)),
            linger: said.linger.unwrap_or(Sourced::by_default(LINGER)),
            keep: said.keep.unwrap_or(Sourced::by_default(Keep::Never)),
            log_plans_slower_than: optional(said.log_plans_slower_than),
            keep_for: said.keep_for.unwrap_or(Sourced::by_default(KEEP_FOR)),
            storage: said.storage.unwrap_or(Sourced::by_default(Storage::Auto)),
            cache: said.cache.unwrap_or(Sourced::by_default(Cache::Auto)),
            dedicated: said
                .dedicated
                .unwrap_or(Sourced::by_default(Dedicated::Auto)),
            settings,
            setting_sources,
            pg_bin: optional(said.bin.map(absolute)),
            state_dir: said
                .state_dir
                .map_or_else(|| environment.state_dir(), absolute),
            start_timeout: said
                .start_timeout
                .unwrap_or(Sourced::by_default(START_TIMEOUT)),
            path: environment.search_path(),
            engine: environment.engine(),
            slot: environment.slot(),
            extensions: said.extensions.unwrap_or(Sourced::by_default(Vec::new())),
            migrations: migrations(said.migrations, &root)?,
            seeds: seeds(said.seeds, &root)?,
            expect: said
                .expect
                .unwrap_or(Sourced::by_default(Expect::default())),
            provision_timeout: said
                .provision_timeout
                .unwrap_or(Sourced::by_default(PROVISION_TIMEOUT)),
            package_name: environment.package_name(),
            config_file: file.path,
            package_root: root,
        })
    }
}

/// The backend and the URL that goes with it.
fn server(
    backend: Option<Sourced<Backend>>,
    url: Option<Sourced<ServerUrl>>,
    environment: &Environment,
) -> Result<(Sourced<Backend>, Option<Sourced<ServerUrl>>)> {
    let backend = match (backend, &url) {
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
        return Ok((backend, url));
    }
    // Only now: many machines have this variable set for other tools, so it never chooses the backend.
    let url = match url {
        Some(url) if matches!(url.source, Source::Variable(_) | Source::DotEnv(_)) => Some(url),
        weaker => environment.test_url()?.or(weaker),
    };
    if url.is_none() {
        let message = format!("backend external ({}) has no url", backend.source);
        return Err(Error::new(ErrorKind::Config, message).with_help(
            "set EBBTIDE_URL or TEST_DATABASE_URL, or url below [server] in ebbtide.toml; DATABASE_URL is never read",
        ));
    }
    Ok((backend, url))
}

/// The settings as the server takes them, and the source of each.
fn settings(
    said: BTreeMap<String, Sourced<String>>,
) -> (Sourced<BTreeMap<String, String>>, BTreeMap<String, Source>) {
    let (mut values, mut sources) = (BTreeMap::new(), BTreeMap::new());
    for (name, Sourced { value, source }) in said {
        values.insert(name.clone(), value);
        sources.insert(name, source);
    }
    // One place for each voice, the builder's first: it is the stronger of the two that can speak here.
    let of_builder = sources.values().find(|source| **source == Source::Builder);
    let elsewhere = sources.values().find(|source| **source != Source::Builder);
    let source = match (of_builder, elsewhere) {
        (Some(strong), Some(weak)) => strong.clone().and(weak.clone()),
        (one, other) => one.or(other).cloned().unwrap_or(Source::Default),
    };
    (Sourced::new(values, source), sources)
}

fn migrations(said: Option<Sourced<Migrations>>, root: &Path) -> Result<Sourced<Migrations>> {
    let Some(said) = said else {
        let usual = root.join(USUAL_MIGRATIONS);
        let found = if usual.is_dir() {
            Migrations::Directory(usual)
        } else {
            Migrations::None
        };
        return Ok(Sourced::by_default(found));
    };
    let Sourced { value, source } = said;
    let value = match value {
        Migrations::Directory(path) => {
            Migrations::Directory(dir(&MIGRATIONS, root.join(path), &source)?)
        }
        Migrations::Files(layout, path) => {
            Migrations::Files(layout, dir(&MIGRATIONS, root.join(path), &source)?)
        }
        Migrations::None => Migrations::None,
        Migrations::Command(said) => Migrations::Command(command(said, root, &source)?),
        Migrations::Function(function) => Migrations::Function(function),
    };
    Ok(Sourced::new(value, source))
}

/// The command with absolute paths, if it can be run and its outcome be known again.
fn command(said: MigrationCommand, root: &Path, source: &Source) -> Result<MigrationCommand> {
    let refused = |message: String, help: &str| {
        Error::new(ErrorKind::MigrationSource, message).with_help(help)
    };
    if said
        .command
        .first()
        .is_none_or(|program| program.trim().is_empty())
    {
        return Err(refused(
            format!("migrations name no command ({source})"),
            "name a program and its arguments",
        ));
    }
    // Without inputs a changed migration would go unnoticed, and tests would run on an old template.
    if said.inputs.is_empty() {
        let help =
            "name the files and directories that decide its outcome, as in `.input(\"alembic\")`";
        return Err(refused(
            format!("the command {} has no inputs ({source})", said.shown()),
            help,
        ));
    }
    let name = &said.url_variable;
    let first = name.chars().next().unwrap_or('0');
    if first.is_ascii_digit() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let message = format!("url_variable {name:?} is no name of a variable ({source})");
        return Err(refused(message, "name one, such as DATABASE_URL"));
    }
    let inputs: Vec<PathBuf> = said.inputs.iter().map(|input| root.join(input)).collect();
    if let Some(missing) = inputs.iter().find(|input| !input.exists()) {
        let message = format!(
            "migrations input {} does not exist ({source})",
            missing.display()
        );
        return Err(refused(
            message,
            "create it, or correct inputs: files and directories, relative to ebbtide.toml",
        ));
    }
    let directory = root.join(said.directory.unwrap_or_default());
    if !directory.is_dir() {
        let message = format!(
            "the command's directory {} is not there ({source})",
            directory.display()
        );
        return Err(refused(
            message,
            "create it, or correct directory, which is relative to ebbtide.toml",
        ));
    }
    Ok(MigrationCommand {
        inputs,
        directory: Some(directory),
        ..said
    })
}

fn seeds(said: Option<Sourced<Option<PathBuf>>>, root: &Path) -> Result<Sourced<Option<PathBuf>>> {
    let Some(said) = said else {
        return Ok(Sourced::by_default(
            Some(root.join("seeds")).filter(|usual| usual.is_dir()),
        ));
    };
    let Sourced { value, source } = said;
    let value = value
        .map(|path| dir(&SEEDS, root.join(path), &source))
        .transpose()?;
    Ok(Sourced::new(value, source))
}

/// How errors speak of a directory that has to exist.
struct Dir {
    key: &'static Key,
    noun: &'static str,
    kind: ErrorKind,
}

const MIGRATIONS: Dir = Dir {
    key: &key::MIGRATIONS,
    noun: "migrations",
    kind: ErrorKind::MigrationSource,
};
const SEEDS: Dir = Dir {
    key: &key::SEEDS,
    noun: "seeds",
    kind: ErrorKind::Seed,
};

/// The path, if it is a directory.
fn dir(wanted: &Dir, path: PathBuf, source: &Source) -> Result<PathBuf> {
    if path.is_dir() {
        return Ok(path);
    }
    let Dir { key, noun, kind } = wanted;
    let fault = if path.exists() {
        "is not a directory"
    } else {
        "does not exist"
    };
    let without = match source {
        Source::Variable(name) | Source::DotEnv(name) => format!("set {name}=none to go without"),
        Source::File { .. } => format!("write {} = false to go without", key.name()),
        Source::Builder | Source::Several(_) | Source::Default => {
            format!("call without_{noun}() to go without")
        }
    };
    let message = format!("{noun} directory {} {fault} ({source})", path.display());
    Err(Error::new(*kind, message).with_help(format!("create it, correct the path, or {without}")))
}

fn optional<T>(said: Option<Sourced<T>>) -> Sourced<Option<T>> {
    said.map_or(Sourced::by_default(None), |said| said.map(Some))
}
