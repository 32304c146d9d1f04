//! The environment, read once into a plain value.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::dot_env;
use super::engine_hints::{self, EngineHints};
use super::key::Key;
use super::key_type::{KeyType, Variable};
use super::package_root::{self, MANIFEST_DIR};
use super::project::Project;
use super::source::{Source, Sourced};
use crate::error::{Error, ErrorKind, Result};

const DOT_ENV: &str = ".env";
const HOME: &str = "HOME";
const PACKAGE_NAME: &str = "CARGO_PKG_NAME";
const PATH: &str = "PATH";
const RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
const SLOT: &str = "NEXTEST_TEST_GLOBAL_SLOT";
pub(super) const TEST_URL: &str = "TEST_DATABASE_URL";
pub(super) const PREFIX: &str = "EBBTIDE_";

/// Everything that a plan depends on besides the builder and the file: variables, directories and
/// the user.
///
/// It has all `EBBTIDE_*` variables, and of the others only those that ebbtide reads. An empty
/// variable counts as not set, and also hides the variable of the same name in `.env`.
#[derive(Clone)]
pub(crate) struct Environment {
    variables: BTreeMap<String, OsString>,
    dot_env: BTreeMap<String, String>,
    working_dir: PathBuf,
    /// The directory of the package under test, if it was searched for.
    package_root: Option<Sourced<PathBuf>>,
    /// The directories around it, if they were searched for.
    project: Option<Project>,
    temp_dir: PathBuf,
    uid: u32,
}

impl Environment {
    /// Reads the environment of this process, and the `.env` in the directory of the package or of
    /// the workspace. `uid` is the user of this process, and `package_root` the directory that the
    /// builder sets.
    ///
    /// # Errors
    ///
    /// The current directory or that of the package cannot be determined, or a line of `.env` with an `EBBTIDE_*` variable
    /// or `TEST_DATABASE_URL` cannot be parsed.
    pub(crate) fn capture(uid: u32, package_root: Option<&Path>) -> Result<Self> {
        let working_dir = std::env::current_dir().map_err(|error| {
            Error::new(
                ErrorKind::Config,
                "the current directory cannot be determined",
            )
            .with_source(error)
            .with_help("change to a directory that exists")
        })?;
        let mut environment =
            Self::new(std::env::vars_os(), working_dir, std::env::temp_dir(), uid);
        let absolute = |dir: &Path| environment.working_dir.join(dir);
        let variable = environment.process_variable(MANIFEST_DIR).map(Path::new);
        let found = package_root::find(package_root.map(absolute), variable.map(absolute))?;
        environment.package_root = Some(found);
        environment.with_project_dot_env()
    }

    /// An environment from plain values. It does no I/O.
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
            package_root: None,
            project: None,
            temp_dir: temp_dir.into(),
            uid,
        }
    }

    /// The same environment with the `.env` in the package's directory, else in the root of its
    /// workspace or repository, if there is one.
    pub(super) fn with_project_dot_env(mut self) -> Result<Self> {
        let project = Project::around(&self.package_root());
        let found = project.beside_package_or_root(DOT_ENV);
        self.project = Some(project);
        let Some(path) = found else {
            return Ok(self);
        };
        match std::fs::read(&path) {
            Ok(bytes) => self.with_dot_env(&path, &String::from_utf8_lossy(&bytes)),
            Err(error) => {
                tracing::warn!(
                    file = %path.display(),
                    %error,
                    "cannot read .env, continuing without it"
                );
                Ok(self)
            }
        }
    }

    /// The same environment with the text of a `.env` file. It does no I/O; `path` is for errors.
    pub(crate) fn with_dot_env(self, path: &Path, text: &str) -> Result<Self> {
        let dot_env = dot_env::parse(path, text, |name| {
            name.starts_with(PREFIX) || name == TEST_URL
        })?;
        Ok(Self { dot_env, ..self })
    }

    /// The directory of the package under test. An environment from plain values has the variable,
    /// else the current directory.
    pub(super) fn package_root(&self) -> Sourced<PathBuf> {
        if let Some(root) = &self.package_root {
            return root.clone();
        }
        match self.process_variable(MANIFEST_DIR) {
            Some(dir) => Sourced::new(self.working_dir.join(dir), Source::Variable(MANIFEST_DIR)),
            None => Sourced::by_default(self.working_dir.clone()),
        }
    }

    /// The directories from the package's to the root of its workspace or repository.
    pub(super) fn project(&self) -> Project {
        // Finding the root parses each manifest on the way.
        let found = self.project.clone();
        found.unwrap_or_else(|| Project::around(&self.package_root()))
    }

    /// The value of a key's variable.
    pub(super) fn read<T: KeyType>(&self, key: &'static Key) -> Result<Option<Sourced<T::Value>>> {
        if key.variable.is_empty() {
            return Ok(None);
        }
        let found = self.find(key.variable);
        found
            .map(|found| T::from_variable(Variable::new(key, found)))
            .transpose()
    }

    /// The path in a variable, unchanged. It need not be UTF-8.
    pub(super) fn path(&self, name: &'static str) -> Option<Sourced<PathBuf>> {
        self.find(name).map(|found| found.map(PathBuf::from))
    }

    /// The default state directory: in the directory of the user's session, else a directory with
    /// the user's id in the temporary directory.
    pub(super) fn state_dir(&self) -> Sourced<PathBuf> {
        // PostgreSQL refuses to run as root, so root's servers run as another user, and that user
        // may not enter root's session directory.
        let session = self
            .process_variable(RUNTIME_DIR)
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

    /// `PATH`; empty if it is not set.
    pub(super) fn search_path(&self) -> Sourced<OsString> {
        match self.process_variable(PATH) {
            Some(path) => Sourced::new(path.clone(), Source::Variable(PATH)),
            None => Sourced::by_default(OsString::new()),
        }
    }

    /// The variables that choose a container engine. Other programs set them, so `.env` does not
    /// count.
    pub(super) fn engine(&self) -> EngineHints {
        let dir = |name| {
            self.process_variable(name)
                .map(PathBuf::from)
                .filter(|dir| dir.is_absolute())
        };
        EngineHints::new(
            |name| self.process_variable(name)?.to_str().map(str::to_owned),
            dir(HOME),
            dir(RUNTIME_DIR),
        )
    }

    /// nextest's slot: the number of this test among those that run at the same time.
    pub(super) fn slot(&self) -> Sourced<Option<usize>> {
        // nextest sets this variable, so a value that is no number is not the user's error.
        match self
            .process_variable(SLOT)
            .and_then(|slot| slot.to_str()?.parse().ok())
        {
            Some(slot) => Sourced::new(Some(slot), Source::Variable(SLOT)),
            None => Sourced::by_default(None),
        }
    }

    pub(super) fn package_name(&self) -> Sourced<Option<String>> {
        match self
            .process_variable(PACKAGE_NAME)
            .and_then(|name| name.to_str())
        {
            Some(name) => Sourced::new(Some(name.to_owned()), Source::Variable(PACKAGE_NAME)),
            None => Sourced::by_default(None),
        }
    }

    /// The names of all `EBBTIDE_*` variables.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        let names = self.variables.keys().chain(self.dot_env.keys());
        let names = names.map(String::as_str);
        names.filter(|name| name.starts_with(PREFIX)).collect()
    }

    pub(super) fn find(&self, name: &'static str) -> Option<Sourced<OsString>> {
        let found = match self.variables.get(name) {
            Some(value) => Sourced::new(value.clone(), Source::Variable(name)),
            None => Sourced::new(self.dot_env.get(name)?.into(), Source::DotEnv(name)),
        };
        Some(found).filter(|found| !found.is_empty())
    }

    /// A variable of the process. Other programs set it, so `.env` does not count.
    fn process_variable(&self, name: &str) -> Option<&OsString> {
        self.variables.get(name).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: the values may contain passwords.
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("dot_env", &self.dot_env.keys())
            .field("working_dir", &self.working_dir)
            .finish_non_exhaustive()
    }
}

fn is_relevant(name: &str) -> bool {
    name.starts_with(PREFIX)
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
        || engine_hints::VARIABLES.contains(&name)
}
