//! Where the schema comes from.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use super::url::redacted;
use super::value::Choice;

/// Where the schema comes from.
///
/// # Examples
/// ```
/// use ebbtide::{MigrationCommand, Migrations};
///
/// let recognised = Migrations::from("migrations");
/// let named = Migrations::diesel("migrations");
/// let alembic = MigrationCommand::new(["alembic", "upgrade", "head"]).input("alembic.ini").input("alembic");
/// let builder = ebbtide::Builder::new().migrations(alembic);
/// # drop((recognised, named, builder));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Migrations {
    /// A directory whose layout is recognised by what lies in it. In a plan it is absolute and seen to exist.
    Directory(PathBuf),
    /// A directory of a known layout; what does not belong to that is left alone. In a plan it is absolute and seen to exist.
    Files(Layout, PathBuf),
    /// No migrations.
    None,
    /// A program that migrates the database named in its environment.
    Command(MigrationCommand),
    /// A function of the test's own.
    Function(MigrationFunction),
}

/// How a directory of migrations is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// sqlx: `VERSION_description.sql`, or `.up.sql` and `.down.sql` in pairs, with the ledger `_sqlx_migrations`.
    Sqlx,
    /// Plain SQL: every `.sql` file in the order of the names, each in a transaction of its own, without a ledger.
    Sql,
    /// refinery: `V1__name.sql` and `U1__name.sql`, also in directories below, with the ledger `refinery_schema_history`.
    Refinery,
    /// diesel: a directory `VERSION_name` with `up.sql` for each migration, with the ledger `__diesel_schema_migrations`.
    Diesel,
}

/// A program that migrates the database named in its environment, such as Alembic, Flyway or `psql`.
///
/// It runs in a process group of its own, without a standard input, and ends with the process that started it. What it
/// starts ends with it.
///
/// The database is told in two forms: as `DATABASE_URL`, and as libpq's own variables `PGHOST`, `PGPORT`, `PGUSER`,
/// `PGPASSWORD` (where there is a password) and `PGDATABASE`, with which `psql` needs no URL at all. The URL is written as
/// libpq documents it, with a socket's directory as a parameter: `postgresql://user@/database?host=/directory&port=5432`. psql,
/// psycopg and SQLAlchemy understand that; for SQLAlchemy the driver is put into its scheme (`postgresql+psycopg://`).
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>
///
/// libpq's other variables are removed from the command's environment: those that change a session (`PGAPPNAME`, `PGTZ`,
/// ..) always, and those that say who connects and how safely (`PGPASSFILE`, `PGREQUIREAUTH`, ..) on a server of ebbtide's.
/// `PGOPTIONS` holds the settings that the plan and the URL name for every session.
#[derive(Clone, PartialEq, Eq)]
pub struct MigrationCommand {
    pub(crate) command: Vec<String>,
    pub(crate) inputs: Vec<PathBuf>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) url_variable: String,
}

impl MigrationCommand {
    /// The variable that holds the URL, unless another is named.
    pub(super) const URL_VARIABLE: &str = "DATABASE_URL";

    /// The program and its arguments. The program is a path, or a name that is looked up in `PATH`.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            inputs: Vec::new(),
            directory: None,
            url_variable: Self::URL_VARIABLE.to_owned(),
        }
    }

    /// A file, or a directory with everything in it, whose content decides the outcome: a change to it means a new template.
    /// Every command needs at least one. Relative to the package; `__pycache__` and `*.pyc` do not count.
    #[must_use]
    pub fn input(mut self, path: impl Into<PathBuf>) -> Self {
        self.inputs.push(path.into());
        self
    }

    /// The directory to run in, relative to the package. Default: the package's own.
    #[must_use]
    pub fn directory(mut self, dir: impl Into<PathBuf>) -> Self {
        self.directory = Some(dir.into());
        self
    }

    /// The variable that holds the URL. Default: `DATABASE_URL`.
    #[must_use]
    pub fn url_variable(mut self, name: impl Into<String>) -> Self {
        self.url_variable = name.into();
        self
    }

    /// The command as a person would type it.
    /// The command for people, without a password among its arguments.
    pub(crate) fn shown(&self) -> String {
        let mut after_password = false;
        let argument = |argument: &String| {
            let shown = if after_password {
                "***".to_owned()
            } else {
                redacted(argument)
            };
            after_password = argument.to_ascii_lowercase().ends_with("password");
            shown
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
            .field("command", &self.shown())
            .field("inputs", &self.inputs)
            .field("directory", &self.directory)
            .field("url_variable", &self.url_variable)
            .finish()
    }
}

type BoxError = Box<dyn StdError + Send + Sync>;
type Run =
    dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send + Sync;

/// A function that migrates the database of a URL, and the name that stands for what it does: see
/// [`Migrations::function`].
#[derive(Clone)]
pub struct MigrationFunction {
    name: String,
    run: Arc<Run>,
}

impl MigrationFunction {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn run(
        &self,
        url: String,
    ) -> impl Future<Output = Result<(), BoxError>> + Send + 'static {
        (self.run)(url)
    }
}

impl PartialEq for MigrationFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.run, &other.run)
    }
}

impl Eq for MigrationFunction {}

impl fmt::Debug for MigrationFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MigrationFunction")
            .field(&self.name)
            .finish()
    }
}

impl Migrations {
    /// A directory in sqlx's layout.
    pub fn sqlx(dir: impl Into<PathBuf>) -> Self {
        Self::Files(Layout::Sqlx, dir.into())
    }

    /// A directory of plain SQL files, applied in the order of their names.
    ///
    /// Each runs in a transaction of its own. What PostgreSQL refuses inside one (`create index concurrently`, `alter
    /// system`) stands alone in a file whose first line is `-- no-transaction`, as in sqlx.
    pub fn sql(dir: impl Into<PathBuf>) -> Self {
        Self::Files(Layout::Sql, dir.into())
    }

    /// A directory in refinery's layout.
    ///
    /// The ledger is as refinery itself would write it, which finds nothing left to do. With its feature `int8-versions`
    /// it would compute other checksums: use its own runner then ([`function`](Self::function)), as for migrations in
    /// Rust.
    pub fn refinery(dir: impl Into<PathBuf>) -> Self {
        Self::Files(Layout::Refinery, dir.into())
    }

    /// A directory in diesel's layout.
    ///
    /// The ledger is as diesel itself would write it, which finds nothing left to do. `metadata.toml` is heeded.
    pub fn diesel(dir: impl Into<PathBuf>) -> Self {
        Self::Files(Layout::Diesel, dir.into())
    }

    /// A function that migrates the database of a URL, for runners that are embedded in the test's binary.
    ///
    /// Nobody can see what a function does: **its name stands for it**. As long as the name stays, an existing template is
    /// used again, so let it contain a version, or better a hash of what is embedded.
    ///
    /// The function is called once for each template, on a runtime of tokio; give what blocks a thread of its own
    /// (`tokio::task::spawn_blocking`).
    ///
    /// # Examples
    /// ```
    /// # async fn migrate(_url: &str) -> Result<(), std::io::Error> { Ok(()) }
    /// let embedded = ebbtide::Migrations::function("shop, version 7", |url: String| async move { migrate(&url).await });
    /// # drop(embedded);
    /// ```
    pub fn function<F, R, E>(name: impl Into<String>, run: F) -> Self
    where
        F: Fn(String) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let run = move |url| {
            let running = run(url);
            Box::pin(async move { running.await.map_err(Into::into) })
                as Pin<Box<dyn Future<Output = _> + Send>>
        };
        Self::Function(MigrationFunction {
            name: name.into(),
            run: Arc::new(run),
        })
    }

    /// What a variable says: `none`, a directory, or a directory with its layout in front, as in `diesel:migrations`.
    pub(super) fn from_variable(text: PathBuf) -> Self {
        let layout = text
            .to_str()
            .and_then(|text| text.split_once(':'))
            .and_then(|(word, dir)| {
                let (_, layout) = Layout::WORDS.iter().find(|(known, _)| *known == word)?;
                Some(Self::Files(*layout, PathBuf::from(dir)))
            });
        match layout {
            Some(layout) => layout,
            None if text == Path::new("none") => Self::None,
            None => Self::Directory(text),
        }
    }
}

impl Choice for Layout {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("sqlx", Layout::Sqlx),
        ("sql", Layout::Sql),
        ("refinery", Layout::Refinery),
        ("diesel", Layout::Diesel),
    ];
    const SLIPS: &'static [(&'static str, Self)] = &[("plain", Layout::Sql)];
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl From<MigrationCommand> for Migrations {
    fn from(command: MigrationCommand) -> Self {
        Self::Command(command)
    }
}

impl From<PathBuf> for Migrations {
    fn from(dir: PathBuf) -> Self {
        Self::Directory(dir)
    }
}

impl From<&PathBuf> for Migrations {
    fn from(dir: &PathBuf) -> Self {
        Self::Directory(dir.clone())
    }
}

impl From<&Path> for Migrations {
    fn from(dir: &Path) -> Self {
        Self::Directory(dir.to_owned())
    }
}

impl From<&str> for Migrations {
    fn from(dir: &str) -> Self {
        Self::Directory(dir.into())
    }
}

impl From<String> for Migrations {
    fn from(dir: String) -> Self {
        Self::Directory(dir.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_names_a_directory_with_or_without_its_layout() {
        let read = |text: &str| Migrations::from_variable(PathBuf::from(text));
        assert_eq!(read("none"), Migrations::None);
        assert_eq!(
            read("diesel:db/migrations"),
            Migrations::diesel("db/migrations")
        );
        assert_eq!(read("odd:directory"), Migrations::from("odd:directory"));
    }
}
