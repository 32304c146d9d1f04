//! Where the schema comes from.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use super::migration_command::MigrationCommand;
use super::value::Choice;

/// Where the schema comes from: a directory, a command, or a function in the test's binary.
///
/// A path becomes a directory of migrations whose layout ebbtide recognises, by the names in it and
/// by the lines that divide a file into its way up and its way down. The constructors name the
/// layout. In a directory with a named layout, ebbtide does not apply files that do not belong to
/// it, and reports them while it builds the template.
///
/// A list has several sources. Each is complete before the next begins, in a session of its own,
/// and with the ledger of its tool.
///
/// # Examples
/// ```
/// use ebbtide::config::{MigrationCommand, Migrations};
///
/// let recognised = Migrations::from("migrations");
/// let named = Migrations::diesel("migrations");
/// let alembic = MigrationCommand::new(["alembic", "upgrade", "head"])
///     .input("alembic.ini")
///     .input("alembic");
/// let several = Migrations::from([Migrations::sqlx("platform/migrations"), named, alembic.into()]);
/// let builder = ebbtide::config::Builder::new().migrations(several);
/// # drop((recognised, builder));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Migrations(pub(crate) Vec<SchemaSource>);

/// One source of a [`Migrations`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SchemaSource {
    /// A directory whose layout ebbtide recognises. In a plan the path is absolute and the
    /// directory exists.
    Directory(PathBuf),
    /// A directory with this layout. In a plan the path is absolute and the directory exists.
    Files(Layout, PathBuf),
    /// A program that migrates the database whose URL is in its environment.
    Command(MigrationCommand),
    /// A function in the test's binary.
    Function(MigrationFunction),
}

/// The file names and the ledger of a directory of migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Layout {
    /// sqlx: `VERSION_description.sql`, or pairs of `.up.sql` and `.down.sql`. Ledger:
    /// `_sqlx_migrations`.
    Sqlx,
    /// Plain SQL: every `.sql` file in the order of the names, each in its own transaction. No
    /// ledger.
    Sql,
    /// refinery: `V1__name.sql` and `U1__name.sql`, also in subdirectories. Ledger:
    /// `refinery_schema_history`.
    Refinery,
    /// diesel: a directory `VERSION_name` with `up.sql` for each migration. Ledger:
    /// `__diesel_schema_migrations`.
    Diesel,
    /// dbmate: `VERSION_name.sql` with `-- migrate:up` and `-- migrate:down`. Ledger:
    /// `schema_migrations`.
    Dbmate,
    /// goose: `VERSION_name.sql` with `-- +goose Up` and `-- +goose Down`. Ledger:
    /// `goose_db_version`.
    Goose,
    /// sql-migrate: any `.sql` file with `-- +migrate Up` and `-- +migrate Down`. Ledger:
    /// `gorp_migrations`.
    SqlMigrate,
}

type BoxError = Box<dyn StdError + Send + Sync>;
type Run =
    dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send + Sync;

/// A function that migrates the database at a URL, and the name that identifies what it does: see
/// [`Migrations::function`].
#[derive(Clone)]
pub(crate) struct MigrationFunction {
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

impl fmt::Debug for Migrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [source] => source.fmt(f),
            sources => sources.fmt(f),
        }
    }
}

impl Migrations {
    /// A directory with sqlx's layout.
    ///
    /// The section `[migrate]` of `sqlx.toml` applies, as for `sqlx::migrate!()`. The file is
    /// beside the `Cargo.toml` of the package that contains the directory, else of the package under test.
    pub fn sqlx(dir: impl Into<PathBuf>) -> Self {
        Self::files(Layout::Sqlx, dir)
    }

    /// A directory of plain SQL files, applied in the order of their names.
    ///
    /// Each file runs as under `psql`, in a session and a transaction of its own: see
    /// [SQL files](crate#sql-files). PostgreSQL refuses some statements in a transaction
    /// (`create index concurrently`, `alter system`). Put such statements into a file whose first
    /// line is `-- no-transaction`, as in sqlx.
    pub fn sql(dir: impl Into<PathBuf>) -> Self {
        Self::files(Layout::Sql, dir)
    }

    /// A directory with refinery's layout.
    ///
    /// Ebbtide writes the ledger as refinery does, so refinery finds nothing pending afterwards.
    /// With its feature `int8-versions` refinery computes other checksums. In that case, for
    /// migrations in Rust, and for a ledger with another name (`Runner::set_migration_table_name`),
    /// use refinery's own runner in a [`function`](Self::function).
    pub fn refinery(dir: impl Into<PathBuf>) -> Self {
        Self::files(Layout::Refinery, dir)
    }

    /// A directory with diesel's layout.
    ///
    /// Ebbtide writes the ledger as diesel does, so diesel finds nothing pending afterwards. It
    /// respects `metadata.toml`.
    pub fn diesel(dir: impl Into<PathBuf>) -> Self {
        Self::files(Layout::Diesel, dir)
    }

    fn files(layout: Layout, dir: impl Into<PathBuf>) -> Self {
        Self::from(SchemaSource::Files(layout, dir.into()))
    }

    /// A directory with dbmate's layout.
    ///
    /// Only the way up of each file runs: from `-- migrate:up` to `-- migrate:down`, in one
    /// message, in a transaction unless the first line ends with `transaction:false`. Ebbtide
    /// writes the ledger `schema_migrations` as dbmate does, so dbmate finds nothing pending
    /// afterwards. For another ledger (`DBMATE_MIGRATIONS_TABLE`), run dbmate with a
    /// [`MigrationCommand`].
    pub fn dbmate(dir: impl Into<PathBuf>) -> Self {
        Self::files(Layout::Dbmate, dir)
    }

    /// A directory with goose's layout.
    ///
    /// Only the way up of each file runs, one statement after the other, in a transaction unless
    /// the file has the line `-- +goose NO TRANSACTION`. Ebbtide writes the ledger
    /// `goose_db_version` as goose does, so goose finds nothing pending afterwards. For migrations in
    /// Go, for `ENVSUB` with variables and for another ledger (`-table`, `SetTableName`), run your
    /// own program or goose with a [`MigrationCommand`].
    pub fn goose(dir: impl Into<PathBuf>) -> Self {
        Self::files(Layout::Goose, dir)
    }

    /// A directory with sql-migrate's layout.
    ///
    /// Only the way up of each file runs, one statement after the other, in a transaction unless
    /// the line `-- +migrate Up` ends with `notransaction`. Ebbtide writes the ledger
    /// `gorp_migrations` as sql-migrate does, so sql-migrate finds nothing pending afterwards. For
    /// another ledger (`table`, `SetTable`), run your own program or sql-migrate with a
    /// [`MigrationCommand`].
    pub fn sql_migrate(dir: impl Into<PathBuf>) -> Self {
        Self::files(Layout::SqlMigrate, dir)
    }

    /// A function that migrates the database at a URL, for migrations that are embedded in the
    /// test's binary.
    ///
    /// **The name identifies the migrations**, because ebbtide cannot inspect what the function
    /// does. With the same name, ebbtide uses an existing template. So the name should contain a
    /// version, or better a hash of the embedded migrations.
    ///
    /// Ebbtide calls the function once for each template, on a tokio runtime. Run blocking code
    /// with `tokio::task::spawn_blocking`.
    ///
    /// # Examples
    /// ```
    /// # async fn migrate(_url: &str) -> Result<(), std::io::Error> { Ok(()) }
    /// let embedded = ebbtide::config::Migrations::function("shop, version 7", |url: String| async move {
    ///     migrate(&url).await
    /// });
    /// # drop(embedded);
    /// ```
    pub fn function<F, R, E>(name: impl Into<String>, run: F) -> Self
    where
        F: Fn(String) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let run = move |url| {
            let future = run(url);
            Box::pin(async move { future.await.map_err(Into::into) })
                as Pin<Box<dyn Future<Output = _> + Send>>
        };
        Self::from(SchemaSource::Function(MigrationFunction {
            name: name.into(),
            run: Arc::new(run),
        }))
    }

    /// Parses a variable: directories separated by commas, each perhaps with its layout, as in
    /// `platform,diesel:migrations`. `None` for the text `none`.
    pub(super) fn from_variable(text: PathBuf) -> Option<Self> {
        if text == Path::new("none") {
            return None;
        }
        // A path that is not UTF-8 is one directory.
        Some(match text.to_str() {
            Some(list) => list.split(',').map(Self::directory_of_variable).collect(),
            None => Self::from(text),
        })
    }

    fn directory_of_variable(text: &str) -> Self {
        let with_layout = text.split_once(':').and_then(|(word, dir)| {
            let (_, layout) = Layout::WORDS.iter().find(|(known, _)| *known == word)?;
            Some(Self::files(*layout, dir))
        });
        with_layout.unwrap_or_else(|| Self::from(text))
    }
}

impl Layout {
    /// Every layout, in the order in which texts list them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::WORDS.iter().map(|(_, layout)| *layout)
    }
}

impl Choice for Layout {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("sqlx", Layout::Sqlx),
        ("sql", Layout::Sql),
        ("refinery", Layout::Refinery),
        ("diesel", Layout::Diesel),
        ("dbmate", Layout::Dbmate),
        ("goose", Layout::Goose),
        ("sql-migrate", Layout::SqlMigrate),
    ];
    const SYNONYMS: &'static [(&'static str, Self)] = &[("plain", Layout::Sql)];
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl From<SchemaSource> for Migrations {
    fn from(source: SchemaSource) -> Self {
        Self(vec![source])
    }
}

impl FromIterator<Migrations> for Migrations {
    fn from_iter<I: IntoIterator<Item = Migrations>>(sources: I) -> Self {
        Self(sources.into_iter().flat_map(|source| source.0).collect())
    }
}

impl<M: Into<Migrations>, const N: usize> From<[M; N]> for Migrations {
    fn from(sources: [M; N]) -> Self {
        sources.into_iter().map(Into::into).collect()
    }
}

impl<M: Into<Migrations>> From<Vec<M>> for Migrations {
    fn from(sources: Vec<M>) -> Self {
        sources.into_iter().map(Into::into).collect()
    }
}

impl From<MigrationCommand> for Migrations {
    fn from(command: MigrationCommand) -> Self {
        Self::from(SchemaSource::Command(command))
    }
}

impl From<PathBuf> for Migrations {
    fn from(dir: PathBuf) -> Self {
        Self::from(SchemaSource::Directory(dir))
    }
}

impl From<&PathBuf> for Migrations {
    fn from(dir: &PathBuf) -> Self {
        Self::from(dir.clone())
    }
}

impl From<&Path> for Migrations {
    fn from(dir: &Path) -> Self {
        Self::from(dir.to_owned())
    }
}

impl From<&str> for Migrations {
    fn from(dir: &str) -> Self {
        Self::from(PathBuf::from(dir))
    }
}

impl From<String> for Migrations {
    fn from(dir: String) -> Self {
        Self::from(PathBuf::from(dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_names_a_directory_with_or_without_its_layout() {
        let read = |text: &str| Migrations::from_variable(PathBuf::from(text));
        assert_eq!(read("none"), None);
        assert_eq!(
            read("diesel:db/migrations"),
            Some(Migrations::diesel("db/migrations"))
        );
        assert_eq!(
            read("odd:directory"),
            Some(Migrations::from("odd:directory"))
        );
        assert_eq!(
            read("platform,diesel:app"),
            Some(Migrations::from([
                Migrations::from("platform"),
                Migrations::diesel("app")
            ]))
        );
    }
}
