//! The environment, captured once as a plain value.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::dot_env;
use super::engine::{self, EngineHints};
use super::given::Given;
use super::key::{self, Key};
use super::layer::Layer;
use super::migrations::Migrations;
use super::nearest::nearest;
use super::project::Project;
use super::source::{Source, Sourced};
use super::url::ServerUrl;
use super::value::without_repeats;
use crate::error::{Error, ErrorKind, Result};

const DOT_ENV: &str = ".env";
const HOME: &str = "HOME";
const MANIFEST_DIR: &str = "CARGO_MANIFEST_DIR";
const PACKAGE_NAME: &str = "CARGO_PKG_NAME";
const PATH: &str = "PATH";
const RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
const SLOT: &str = "NEXTEST_TEST_GLOBAL_SLOT";
const TEST_URL: &str = "TEST_DATABASE_URL";
const OURS: &str = "EBBTIDE_";

/// What a plan may depend on outside the builder and the file: variables, directories and the user.
///
/// Keeps only the variables that mean something to ebbtide. An empty variable says nothing, and hides
/// the one of the same name in `.env`.
#[derive(Clone)]
pub(crate) struct Environment {
    variables: BTreeMap<String, OsString>,
    dot_env: BTreeMap<String, String>,
    working_dir: PathBuf,
    temp_dir: PathBuf,
    uid: u32,
}

impl Environment {
    /// Reads the environment of this process and the `.env` beside the package or the workspace, and
    /// warns of `EBBTIDE_*` variables that mean nothing. `uid` is the user whom this process runs as.
    ///
    /// # Errors
    ///
    /// The current directory is gone, or a line of `.env` that sets an `EBBTIDE_*` variable cannot be read.
    pub(crate) fn capture(uid: u32) -> Result<Self> {
        let working_dir = std::env::current_dir().map_err(|error| {
            Error::new(ErrorKind::Config, "the current directory cannot be found")
                .with_source(error)
                .with_help("change to a directory that exists")
        })?;
        let environment = Self::new(std::env::vars_os(), working_dir, std::env::temp_dir(), uid)
            .with_project()?;
        for unknown in environment.unknown_variables() {
            tracing::warn!("{unknown}");
        }
        Ok(environment)
    }

    /// An environment from plain values; no I/O.
    pub(crate) fn new<N, V>(
        variables: impl IntoIterator<Item = (N, V)>,
        working_dir: impl Into<PathBuf>,
        temp_dir: impl Into<PathBuf>,
        uid: u32,
    ) -> Self
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let named = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into().into_string().ok()?, value.into())));
        Self {
            variables: named.filter(|(name, _)| is_relevant(name)).collect(),
            dot_env: BTreeMap::new(),
            working_dir: working_dir.into(),
            temp_dir: temp_dir.into(),
            uid,
        }
    }

    /// The same environment with the `.env` that lies beside the package or in its root, if there is one.
    pub(super) fn with_project(self) -> Result<Self> {
        let Some(path) = Project::around(&self.package_root()).beside_package_or_root(DOT_ENV)
        else {
            return Ok(self);
        };
        match std::fs::read(&path) {
            Ok(bytes) => self.with_dot_env(&path, &String::from_utf8_lossy(&bytes)),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "cannot read .env, going on without it");
                Ok(self)
            }
        }
    }

    /// The same environment with the text of a `.env` file; no I/O. `path` is for error messages.
    pub(crate) fn with_dot_env(self, path: &Path, text: &str) -> Result<Self> {
        let dot_env = dot_env::parse(path, text, |name| {
            name.starts_with(OURS) || name == TEST_URL
        })?;
        Ok(Self { dot_env, ..self })
    }

    /// The directory of the package under test: `CARGO_MANIFEST_DIR`, else the current directory.
    pub(super) fn package_root(&self) -> Sourced<PathBuf> {
        match self.real(MANIFEST_DIR) {
            Some(dir) => Sourced::new(self.working_dir.join(dir), Source::Variable(MANIFEST_DIR)),
            None => Sourced::by_default(self.working_dir.clone()),
        }
    }

    /// What the variables say.
    pub(super) fn layer(&self) -> Result<Layer> {
        Ok(Layer {
            backend: self.read(&key::BACKEND, Given::choice)?,
            postgres: self.read(&key::POSTGRES, Given::major)?,
            image: self.read(&key::IMAGE, Given::words)?,
            url: self.read(&key::URL, Given::url)?,
            allow_remote: self.read(&key::ALLOW_REMOTE, Given::flag)?,
            linger: self.read(&key::LINGER, Given::duration)?,
            keep: self.read(&key::KEEP, Given::choice)?,
            keep_for: self.read(&key::KEEP_FOR, Given::duration)?,
            log_plans_slower_than: self.read(&key::LOG_PLANS_SLOWER_THAN, Given::duration)?,
            storage: self.read(&key::STORAGE, Given::choice)?,
            cache: self.read(&key::CACHE, Given::choice)?,
            dedicated: self.read(&key::DEDICATED, Given::choice)?,
            settings: BTreeMap::new(),
            bin: self.path(key::BIN.variable),
            state_dir: self.path(key::STATE_DIR.variable),
            start_timeout: self.read(&key::START_TIMEOUT, Given::limit)?,
            extensions: self
                .read(&key::EXTENSIONS, Given::words)?
                .map(|text| text.map(|text| split(&text))),
            migrations: self
                .path(key::MIGRATIONS.variable)
                .map(|said| said.map(Migrations::from_variable)),
            seeds: self
                .path(key::SEEDS.variable)
                .map(|path| path.map(|path| Some(path).filter(|path| !is_none(path)))),
            expect: None,
            provision_timeout: self.read(&key::TIMEOUT, Given::limit)?,
        })
    }

    /// `TEST_DATABASE_URL`, which counts for the external backend only.
    pub(super) fn test_url(&self) -> Result<Option<Sourced<ServerUrl>>> {
        let given = self
            .text(TEST_URL)?
            .map(|text| Given::text(&key::URL, text.source, text.value));
        given.map(Given::url).transpose()
    }

    /// The text of a variable that belongs to no key of the file.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<Sourced<String>>> {
        let Some(found) = self.find(name) else {
            return Ok(None);
        };
        match found.value.into_string() {
            Ok(text) => Ok(Some(Sourced::new(text, found.source))),
            Err(_) => Err(
                Error::new(ErrorKind::Config, format!("{name} is not valid UTF-8"))
                    .with_help(format!("set {name} to plain text, or unset it")),
            ),
        }
    }

    /// The path in a variable, as it is written.
    pub(super) fn path(&self, name: &'static str) -> Option<Sourced<PathBuf>> {
        self.find(name).map(|found| found.map(PathBuf::from))
    }

    /// Where ebbtide's state goes when nobody says: a directory of the user's session, else of the user's own.
    pub(super) fn state_dir(&self) -> Sourced<PathBuf> {
        // Root's session directory is closed to the user that root's servers run as.
        let session = self
            .real(RUNTIME_DIR)
            .map(Path::new)
            .filter(|_| self.uid != 0);
        let session = session.filter(|dir| dir.is_absolute() && dir.is_dir());
        match session {
            Some(dir) => Sourced::new(dir.join("ebbtide"), Source::Variable(RUNTIME_DIR)),
            None => Sourced::by_default(
                self.working_dir
                    .join(&self.temp_dir)
                    .join(format!("ebbtide-{}", self.uid)),
            ),
        }
    }

    /// `PATH`; empty when it is not set.
    pub(super) fn search_path(&self) -> Sourced<OsString> {
        match self.real(PATH) {
            Some(path) => Sourced::new(path.clone(), Source::Variable(PATH)),
            None => Sourced::by_default(OsString::new()),
        }
    }

    /// Where a container engine may be: what other programs go by, so never from `.env`.
    pub(super) fn engine(&self) -> EngineHints {
        let dir = |name| {
            self.real(name)
                .map(PathBuf::from)
                .filter(|dir| dir.is_absolute())
        };
        EngineHints::new(
            |name| self.real(name)?.to_str().map(str::to_owned),
            dir(HOME),
            dir(RUNTIME_DIR),
        )
    }

    /// The number that nextest gives to a test among those that run at once.
    pub(super) fn slot(&self) -> Sourced<Option<usize>> {
        // nextest owns this variable, so what is no number is no mistake of the user's.
        match self.real(SLOT).and_then(|slot| slot.to_str()?.parse().ok()) {
            Some(slot) => Sourced::new(Some(slot), Source::Variable(SLOT)),
            None => Sourced::by_default(None),
        }
    }

    pub(super) fn package_name(&self) -> Sourced<Option<String>> {
        match self.real(PACKAGE_NAME).and_then(|name| name.to_str()) {
            Some(name) => Sourced::new(Some(name.to_owned()), Source::Variable(PACKAGE_NAME)),
            None => Sourced::by_default(None),
        }
    }

    /// One sentence for each `EBBTIDE_*` variable that means nothing.
    pub(super) fn unknown_variables(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.variables.keys().chain(self.dot_env.keys()).collect();
        let ours = names.into_iter().filter(|name| name.starts_with(OURS));
        let unknown = ours.filter(|name| key::variables().all(|known| known != name.as_str()));
        let sentence = |name: &String| {
            // Without the prefix, which they share, the rest has to be near.
            let endings = key::variables().filter_map(|known| known.strip_prefix(OURS));
            match nearest(&name[OURS.len()..], endings) {
                Some(near) => {
                    format!("{name} means nothing to ebbtide: did you mean {OURS}{near}?")
                }
                None => format!("{name} means nothing to ebbtide"),
            }
        };
        unknown.map(sentence).collect()
    }

    fn read<T>(
        &self,
        key: &'static Key,
        parse: impl FnOnce(Given) -> Result<Sourced<T>>,
    ) -> Result<Option<Sourced<T>>> {
        let given = self
            .text(key.variable)?
            .map(|text| Given::text(key, text.source, text.value));
        given.map(parse).transpose()
    }

    fn find(&self, name: &'static str) -> Option<Sourced<OsString>> {
        let found = match self.variables.get(name) {
            Some(value) => Sourced::new(value.clone(), Source::Variable(name)),
            None => Sourced::new(self.dot_env.get(name)?.into(), Source::DotEnv(name)),
        };
        Some(found).filter(|found| !found.is_empty())
    }

    /// A variable that other programs set: never from `.env`.
    fn real(&self, name: &str) -> Option<&OsString> {
        self.variables.get(name).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: the values may hold passwords.
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("dot_env", &self.dot_env.keys())
            .field("working_dir", &self.working_dir)
            .finish_non_exhaustive()
    }
}

fn is_relevant(name: &str) -> bool {
    name.starts_with(OURS)
        || [
            MANIFEST_DIR,
            PACKAGE_NAME,
            PATH,
            RUNTIME_DIR,
            SLOT,
            TEST_URL,
            HOME,
        ]
        .contains(&name)
        || engine::VARIABLES.contains(&name)
}

fn is_none(path: &Path) -> bool {
    path == Path::new("none")
}

fn split(names: &str) -> Vec<String> {
    without_repeats(
        names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}
