//! diesel migrations, with the ledger that diesel itself would write.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::context::MigrationContext;
use super::expected_ledger::{self, ExpectedLedger, LedgerRow};
use super::message::Message;
use super::step::{LedgerWrite, Reversal, Step, Transaction};
use super::tool::{DirectoryTool, Tool, refuse_duplicates};
use crate::catalog::{Columns, LedgerLayout};
use crate::config::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::names::Literal;
use crate::provision::dir_entries::{entries, name_of};
use crate::provision::direction::Direction;
use crate::provision::input_file::InputFile;
use crate::provision::inputs::MigrationInputs;
use crate::provision::observed;
use crate::provision::provision_report::MigrationReport;
use crate::provision::sql_script::Script;

const TABLE: &str = "__diesel_schema_migrations";

pub(super) static TOOL: Tool = Tool {
    ledger: Some(LedgerLayout {
        table: TABLE,
        columns: Columns::AtLeast(&["version"]),
        // diesel compares versions as text, byte by byte.
        latest: r#"max(version collate "C")"#,
        counts: "true",
        dirty: None,
    }),
    ledger_label: None,
    directory: Some(DirectoryTool {
        layout: Layout::Diesel,
        label: "diesel directories",
        naming: "diesel migrations are directories named VERSION_name with a file up.sql",
        naming_clause: "diesel migrations are directories with up.sql",
        fingerprint_part: Some("layout diesel"),
        is_migration,
        version: |file| Some(version_of(name_of(file.path.parent()?))),
        has_down_files: true,
        removes_byte_order_mark: false,
        marked: None,
        list,
        migrate: |context, inputs| Box::pin(migrate(context, inputs)),
        ledger: Some(|inputs, scripts| expected_ledger::ready(ledger(inputs, scripts))),
        reversals: Some(|context, inputs| Box::pin(reversals(context, inputs))),
    }),
};

/// A migration of diesel: a directory.
struct DieselMigration<'a> {
    version: String,
    name: String,
    script: &'a Script,
    /// `down.sql`.
    down: Option<&'a Script>,
    transaction: Transaction,
}

/// `metadata.toml`. Without the file, diesel runs a migration in a transaction. With the file, a
/// missing key means `false`.
#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    run_in_transaction: bool,
}

fn is_migration(path: &Path) -> bool {
    observed::is_file(&path.join("up.sql"))
}

/// The file `up.sql` of every migration in the order of the versions, each followed by its `down.sql`
/// and its `metadata.toml` if they exist.
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let mut migrations = entries(dir)?;
    migrations.retain(|path| is_migration(path));
    migrations.sort_by_cached_key(|path| version_of(name_of(path)));
    for migration in migrations {
        paths.push(migration.join("up.sql"));
        let others = ["down.sql", "metadata.toml"].map(|name| migration.join(name));
        paths.extend(others.into_iter().filter(|path| observed::is_file(path)));
    }
    Ok(paths)
}

/// The version in a directory's name. diesel removes the dashes
/// (<https://docs.rs/diesel_migrations/latest/diesel_migrations/>).
fn version_of(name: &str) -> String {
    name.split('_').next().unwrap_or_default().replace('-', "")
}

/// Applies every migration in the order of the versions. diesel compares them as text.
async fn migrate(
    context: &mut MigrationContext<'_>,
    inputs: &MigrationInputs,
) -> Result<Vec<MigrationReport>> {
    create_ledger(context).await?;
    let migrations = find(inputs, context.scripts)?;
    let pending = migrations.iter().skip(inputs.part.done);
    let steps: Vec<Step<'_>> = pending.map(step).collect();
    context.apply_all(&steps).await
}

/// All migrations in the order of the versions, to be applied and reverted one by one. Creates the
/// ledger.
async fn reversals<'a>(
    context: &mut MigrationContext<'a>,
    inputs: &MigrationInputs,
) -> Result<Vec<Reversal<'a>>> {
    let migrations = find(inputs, context.scripts)?;
    let is_empty = |script: &&Script| script.text().is_empty();
    if let Some(empty) = migrations.iter().filter_map(|it| it.down).find(is_empty) {
        return Err(Error::new(
            ErrorKind::MigrationSource,
            format!(
                "diesel refuses an empty file, but {} is empty",
                empty.name()
            ),
        )
        .with_help("write a statement or a comment into the file, or delete it"));
    }
    create_ledger(context).await?;
    let reversal = |migration: &DieselMigration<'a>| Reversal {
        up: step(migration),
        down: migration.down.map(|script| down_step(migration, script)),
    };
    Ok(migrations.iter().map(reversal).collect())
}

async fn create_ledger(context: &mut MigrationContext<'_>) -> Result<()> {
    context
        .run(
            "create table if not exists __diesel_schema_migrations \
             (version varchar(50) primary key not null, \
             run_on timestamp not null default current_timestamp)",
        )
        .await
}

/// The rows that diesel's table must hold.
fn ledger(inputs: &MigrationInputs, scripts: &[Script]) -> Result<ExpectedLedger> {
    let row = |migration: DieselMigration<'_>| LedgerRow {
        version: migration.version,
        checksum: None,
        other_line_endings: None,
    };
    let rows = find(inputs, scripts)?.into_iter().map(row).collect();
    Ok(ExpectedLedger {
        table: TABLE,
        select: "select version, null::text from __diesel_schema_migrations",
        rows,
    })
}

fn step<'a>(migration: &DieselMigration<'a>) -> Step<'a> {
    let sql = format!(
        "insert into {TABLE} (version) values ({})",
        Literal(&migration.version)
    );
    Step {
        direction: Direction::Up,
        version: migration.version.clone(),
        description: migration
            .name
            .split_once('_')
            .map_or(&*migration.name, |(_, name)| name)
            .replace('_', " "),
        script: Some(Cow::Borrowed(migration.script)),
        messages: vec![Message::whole(migration.script.text())],
        transaction: migration.transaction,
        ledger_write: LedgerWrite::Statement { ledger: TABLE, sql },
    }
}

/// As `up`, with `down.sql`, which deletes the ledger's row.
fn down_step<'a>(migration: &DieselMigration<'a>, script: &'a Script) -> Step<'a> {
    let sql = format!(
        "delete from {TABLE} where version = {}",
        Literal(&migration.version)
    );
    Step {
        direction: Direction::Down,
        script: Some(Cow::Borrowed(script)),
        messages: vec![Message::whole(script.text())],
        ledger_write: LedgerWrite::Statement { ledger: TABLE, sql },
        ..step(migration)
    }
}

/// The migrations, sorted by version.
///
/// # Errors
/// Two migrations have the same version, or a `metadata.toml` cannot be parsed.
fn find<'a>(inputs: &MigrationInputs, scripts: &'a [Script]) -> Result<Vec<DieselMigration<'a>>> {
    let files: BTreeMap<&str, &InputFile> = inputs
        .files
        .iter()
        .map(|file| (file.display_path.as_str(), file))
        .collect();
    let metadata: BTreeMap<&Path, &InputFile> = inputs
        .files
        .iter()
        .filter(|file| file.path.ends_with("metadata.toml"))
        .filter_map(|file| Some((file.path.parent()?, file)))
        .collect();
    let scripts_by_name: BTreeMap<&str, &Script> = scripts
        .iter()
        .map(|script| (script.name(), script))
        .collect();
    let mut found = Vec::new();
    for script in scripts {
        let Some(dir_name) = script.name().strip_suffix("up.sql") else {
            continue;
        };
        let down_name = format!("{dir_name}down.sql");
        let file = files.get(script.name());
        let Some(dir) = file.and_then(|file| file.path.parent()) else {
            continue;
        };
        let name = dir
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let version = version_of(name);
        found.push(DieselMigration {
            version,
            name: name.to_owned(),
            script,
            down: scripts_by_name.get(&*down_name).copied(),
            transaction: transaction(metadata.get(dir).copied())?,
        });
    }
    found.sort_by(|one, other| one.version.cmp(&other.version));
    refuse_duplicates(found.iter().map(|it| (&it.version, it.script.name())))?;
    Ok(found)
}

fn transaction(metadata: Option<&InputFile>) -> Result<Transaction> {
    let Some(file) = metadata else {
        return Ok(Transaction::Own);
    };
    let metadata: Metadata =
        toml::from_str(&file.text(ErrorKind::MigrationSource)?).map_err(|error| {
            let path = Path::new(&file.display_path).display();
            Error::new(
                ErrorKind::MigrationSource,
                format!(
                    "{path} must be TOML with a boolean run_in_transaction, as diesel reads it"
                ),
            )
            .with_source(error)
            .with_help("write one line: run_in_transaction = false")
        })?;
    Ok(if metadata.run_in_transaction {
        Transaction::Own
    } else {
        Transaction::None
    })
}
