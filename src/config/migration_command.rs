//! A program that applies migrations.

use std::fmt;
use std::path::PathBuf;

use super::url::redacted;

/// A program that migrates the database whose URL is in its environment, such as Alembic, Flyway or
/// `psql`.
///
/// The program runs in its own process group, with an empty standard input. When the process that
/// started it ends, the whole group ends too.
///
/// The program gets the address in two forms. `DATABASE_URL` has the URL. libpq's variables
/// `PGHOST`, `PGPORT`, `PGUSER`, `PGDATABASE` and `PGPASSWORD` have its parts; without a password,
/// the last one is not set. With these variables `psql` needs no URL.
///
/// The URL has the form that libpq documents, with a socket's directory as a parameter:
/// `postgresql://user@/database?host=/directory&port=5432`. psql, psycopg and SQLAlchemy accept
/// this form. SQLAlchemy needs the driver in the scheme (`postgresql+psycopg://`).
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>
///
/// `PGOPTIONS` contains the settings that the plan and the URL specify for every session. Ebbtide
/// removes libpq's variables that change a session (`PGAPPNAME`, `PGTZ`, ..). If ebbtide has
/// started the server, it also removes those about authentication and encryption (`PGPASSFILE`,
/// `PGREQUIREAUTH`, ..).
#[derive(Clone, PartialEq, Eq)]
pub struct MigrationCommand {
    pub(crate) command: Vec<String>,
    pub(crate) inputs: Vec<PathBuf>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) url_variable: String,
    pub(crate) latest: Option<String>,
}

impl MigrationCommand {
    /// The default variable for the URL.
    pub(super) const URL_VARIABLE: &str = "DATABASE_URL";

    /// What stands for the revision among the arguments.
    pub(crate) const REVISION: &str = "{revision}";

    /// Creates a command from a program and its arguments. The program is a path, or a name that is
    /// searched for in `PATH`.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            inputs: Vec::new(),
            directory: None,
            url_variable: Self::URL_VARIABLE.to_owned(),
            latest: None,
        }
    }

    /// Adds a file or a directory whose content determines what the command does. When the content
    /// changes, ebbtide builds a new template.
    ///
    /// Every command needs at least one input. A relative path is relative to the package's
    /// directory. A directory counts with all its files, except `__pycache__` and `*.pyc`.
    #[must_use]
    pub fn input(mut self, path: impl Into<PathBuf>) -> Self {
        self.inputs.push(path.into());
        self
    }

    /// Sets the directory to run in. Default: the package's directory. A relative path is relative
    /// to it.
    #[must_use]
    pub fn directory(mut self, dir: impl Into<PathBuf>) -> Self {
        self.directory = Some(dir.into());
        self
    }

    /// Sets the variable for the URL. Default: `DATABASE_URL`.
    #[must_use]
    pub fn url_variable(mut self, name: impl Into<String>) -> Self {
        self.url_variable = name.into();
        self
    }

    /// Sets the revision to which the command migrates when it applies everything, such as `head`
    /// for Alembic.
    ///
    /// The command's arguments then contain `{revision}`, which ebbtide replaces by this revision,
    /// or by the one that a test names: see [`Setup::migrations_up_to`](crate::Setup::migrations_up_to).
    /// An argument can also contain other text, as in `-target={revision}`.
    ///
    /// # Examples
    /// ```
    /// use ebbtide::config::MigrationCommand;
    ///
    /// let alembic = MigrationCommand::new(["alembic", "upgrade", "{revision}"])
    ///     .latest("head")
    ///     .input("alembic");
    /// # drop(alembic);
    /// ```
    #[must_use]
    pub fn latest(mut self, revision: impl Into<String>) -> Self {
        self.latest = Some(revision.into());
        self
    }

    /// Whether the arguments have a place for a revision.
    pub(crate) fn takes_revision(&self) -> bool {
        let mut arguments = self.command.iter().skip(1);
        arguments.any(|argument| argument.contains(Self::REVISION))
    }

    /// The command that migrates to this revision, or to the latest.
    pub(crate) fn at(&self, revision: Option<&str>) -> Self {
        let mut command = self.clone();
        if let Some(revision) = revision.or(self.latest.as_deref()) {
            for argument in command.command.iter_mut().skip(1) {
                *argument = argument.replace(Self::REVISION, revision);
            }
        }
        command
    }

    /// The command line for people, with `***` for every password among the arguments.
    pub(crate) fn redacted(&self) -> String {
        let mut after_password = false;
        let argument = |argument: &String| {
            let safe = if after_password {
                "***".to_owned()
            } else {
                redacted(argument)
            };
            after_password = argument.to_ascii_lowercase().ends_with("password");
            safe
        };
        self.command
            .iter()
            .map(argument)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl fmt::Debug for MigrationCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MigrationCommand")
            .field("command", &self.redacted())
            .field("inputs", &self.inputs)
            .field("directory", &self.directory)
            .field("url_variable", &self.url_variable)
            .field("latest", &self.latest)
            .finish()
    }
}
