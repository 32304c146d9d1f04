//! What ebbtide knows about a migration tool. Each tool fills a [`Tool`] in its own file.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnection;

use super::context::MigrationContext;
use super::marked::Marked;
use super::step::Reversal;
use crate::catalog::LedgerLayout;
use crate::config::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::input_file::InputFile;
use crate::provision::inputs::MigrationInputs;
use crate::provision::provision_report::MigrationReport;
use crate::provision::sql_script::Script;

/// A migration tool.
#[derive(Debug)]
pub(super) struct Tool {
    /// The table in which the tool records the applied versions.
    pub(super) ledger: Option<LedgerLayout>,
    /// What errors call the ledger. `None` stands for `the ledger TABLE`.
    pub(super) ledger_label: Option<&'static str>,
    /// How ebbtide applies the tool's directories. `None` if ebbtide only reads the ledger.
    pub(super) directory: Option<DirectoryTool>,
}

/// Applies a context's migrations, except those that are applied already.
type Migrate = for<'c, 'a> fn(
    &'c mut MigrationContext<'a>,
    &'c MigrationInputs,
) -> BoxFuture<'c, Result<Vec<MigrationReport>>>;

/// Returns the rows that the ledger must hold after the files are applied.
type ReadLedger =
    for<'c> fn(&'c MigrationInputs, &'c [Script]) -> BoxFuture<'c, Result<Box<dyn ToolLedger>>>;

/// Returns all migrations in the order of the versions, and creates the ledger.
type Reversals = for<'c, 'a> fn(
    &'c mut MigrationContext<'a>,
    &'a MigrationInputs,
) -> BoxFuture<'c, Result<Vec<Reversal<'a>>>>;

/// A tool's ledger, as the files require it.
pub(crate) trait ToolLedger: Send + Sync {
    /// The ledger's name as SQL, with or without a schema.
    fn table(&self) -> &str;

    /// The latest version of the files; `None` if they have none.
    fn latest(&self) -> Option<String>;

    /// Checks that the ledger has the rows of the files. See [`recorded_as_applied`] for the result.
    fn verify<'c>(&'c self, connection: &'c mut PgConnection) -> BoxFuture<'c, Result<String>>;
}

/// How ebbtide finds and applies the migrations in a tool's directory.
///
/// `migrate`, `ledger` and `reversals` are asynchronous functions. They return boxed futures, because
/// a static holds function pointers only.
#[derive(Debug)]
pub(in crate::provision) struct DirectoryTool {
    pub(in crate::provision) layout: Layout,
    /// What reports call the files of the layout, such as `named like sqlx`.
    pub(in crate::provision) label: &'static str,
    /// Help: how the migrations are named.
    pub(in crate::provision) naming: &'static str,
    /// The same as a clause. It is joined with the other tools' clauses in the order of
    /// [`Layout::all`], and the first is `sqlx migrations are named ..`.
    pub(in crate::provision) naming_clause: &'static str,
    /// What enters the fingerprint beside the names and the contents of the files.
    pub(in crate::provision) fingerprint_part: Option<&'static str>,
    /// Whether an entry of the directory is a migration of this tool.
    pub(in crate::provision) is_migration: fn(&Path) -> bool,
    /// The version to which a file belongs, as the ledger has it. `None` if it belongs to none.
    pub(in crate::provision) version: fn(&InputFile) -> Option<String>,
    /// Whether a file that [`is_down`](crate::provision::input_file::is_down) is a way down for the
    /// tool, which it does not apply.
    pub(in crate::provision) has_down_files: bool,
    /// Whether the tool removes a byte order mark at the start of a file.
    pub(in crate::provision) removes_byte_order_mark: bool,
    /// How a file is read that contains the way up and the way down. `None` if the tool has no such
    /// files.
    pub(in crate::provision) marked: Option<&'static Marked>,
    /// The files of the migrations, in the order in which they are applied.
    pub(in crate::provision) list: fn(&Path) -> Result<Vec<PathBuf>>,
    pub(in crate::provision) migrate: Migrate,
    /// `None` if the tool has no ledger.
    pub(in crate::provision) ledger: Option<ReadLedger>,
    /// `None` if ebbtide cannot revert the tool's migrations.
    pub(in crate::provision) reversals: Option<Reversals>,
}

/// The first part of an error: the ledger, and the latest version in it. `label` is the tool's
/// [`ledger_label`](Tool::ledger_label).
pub(super) fn recorded_as_applied(label: Option<&str>, table: &str, latest: &str) -> String {
    match label {
        Some(label) => format!("{label} lists {latest} as applied"),
        None => format!("the ledger {table} lists {latest} as applied"),
    }
}

/// The error for two migrations with one version.
pub(super) fn duplicate_version(version: &dyn Display, one: &str, other: &str) -> Error {
    let message = format!(
        "every migration must have its own version, but {one} and {other} both have {version}"
    );
    Error::new(ErrorKind::MigrationSource, message).with_help("give one of them another version")
}

/// Rejects two migrations with one version. `sorted` has the versions in their order, each with the
/// name of its file.
pub(super) fn refuse_duplicates<'a, V: Display + PartialEq>(
    sorted: impl IntoIterator<Item = (V, &'a str)>,
) -> Result<()> {
    let sorted: Vec<(V, &str)> = sorted.into_iter().collect();
    match sorted.array_windows().find(|[one, other]| one.0 == other.0) {
        Some([one, other]) => Err(duplicate_version(&one.0, one.1, other.1)),
        None => Ok(()),
    }
}

/// The error for a source without any migration. `help` states how migrations are named.
pub(in crate::provision) fn no_migration(source: &dyn Display, help: impl Into<String>) -> Error {
    Error::new(
        ErrorKind::MigrationSource,
        format!("{source} must contain at least one migration"),
    )
    .with_help(help)
}
