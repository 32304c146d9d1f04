//! refinery migrations, with the ledger that refinery itself would write.

use std::borrow::Cow;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use siphasher::sip::SipHasher13;
use sqlx::AssertSqlSafe;

use super::context::MigrationContext;
use super::expected_ledger::{self, ExpectedLedger, LedgerRow};
use super::message::Message;
use super::step::{LedgerWrite, Step, Transaction, ledger_refused};
use super::tool::{DirectoryTool, Tool, refuse_duplicates};
use crate::catalog::{Columns, LedgerLayout};
use crate::config::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::names::Literal;
use crate::provision::dir_entries::name_of;
use crate::provision::direction::Direction;
use crate::provision::input_file::unreadable;
use crate::provision::inputs::MigrationInputs;
use crate::provision::observed;
use crate::provision::provision_report::MigrationReport;
use crate::provision::sql_script::Script;

const TABLE: &str = "refinery_schema_history";

pub(super) static TOOL: Tool = Tool {
    ledger: Some(LedgerLayout {
        table: TABLE,
        // `Runner::set_migration_table_name` can name the table.
        columns: Columns::InAnyTable(&["version", "name", "applied_on", "checksum"]),
        latest: "max(version)",
        counts: "true",
        dirty: None,
    }),
    ledger_label: None,
    directory: Some(DirectoryTool {
        layout: Layout::Refinery,
        label: "named like refinery",
        naming: "refinery migrations are named V1__name.sql or U1__name.sql",
        naming_clause: "refinery migrations V1__name.sql",
        fingerprint_part: Some("layout refinery"),
        is_migration: |path| observed::is_file(path) && is_refinery(name_of(path)),
        version: |file| Some(refinery_version(name_of(&file.path))?.0.to_string()),
        has_down_files: false,
        removes_byte_order_mark: false,
        marked: None,
        list,
        migrate: |context, inputs| Box::pin(migrate(context, inputs)),
        ledger: Some(|inputs, scripts| expected_ledger::ready(ledger(inputs, scripts))),
        reversals: None,
    }),
};

/// A migration of refinery:
/// <https://docs.rs/refinery-core/latest/refinery_core/struct.Migration.html>.
struct RefineryMigration<'a> {
    version: i64,
    name: String,
    checksum: u64,
    script: &'a Script,
}

/// Every migration, also in subdirectories. Migrations in Rust (`.rs`) are listed too: ebbtide
/// cannot run them, and [`find`] reports that when the migrations are applied.
fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    add_below(dir, &mut paths)?;
    paths.sort();
    paths.sort_by_cached_key(|path| refinery_version(name_of(path)).map(|(version, _)| version));
    Ok(paths)
}

/// Adds the migrations below a directory. refinery enters hidden directories, and follows no link to
/// a directory.
fn add_below(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |error| unreadable(ErrorKind::MigrationSource, dir, error);
    for entry in observed::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            add_below(&path, found)?;
        } else if is_refinery(name_of(&path)) && observed::is_file(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// The version and the rest of the name of a migration. refinery's pattern begins with `[U|V]`, so
/// it accepts `|` as well.
fn refinery_version(name: &str) -> Option<(i64, &str)> {
    let (version, rest) = name.strip_prefix(['V', 'U', '|'])?.split_once("__")?;
    // A number with a sign is not refinery's.
    let is_number = version.bytes().all(|byte| byte.is_ascii_digit());
    Some((version.parse().ok().filter(|_| is_number)?, rest))
}

/// Whether a file is named as refinery requires: `V1__name.sql` or `U1__name.rs`, with letters,
/// digits and `_` in the name.
fn is_refinery(name: &str) -> bool {
    let stem = name
        .strip_suffix(".sql")
        .or_else(|| name.strip_suffix(".rs"))
        .unwrap_or_default();
    let word =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_');
    refinery_version(stem).is_some_and(|(_, rest)| word(rest))
}

/// Applies every migration in the order of the versions. Each runs in one transaction with its
/// ledger row.
async fn migrate(
    context: &mut MigrationContext<'_>,
    inputs: &MigrationInputs,
) -> Result<Vec<MigrationReport>> {
    let migrations = find(inputs, context.scripts)?;
    let column = if needs_int8(&migrations, inputs) {
        "int8"
    } else {
        "int4"
    };
    let create = format!(
        "create table if not exists {TABLE} (version {column} primary key, name varchar(255), \
         applied_on varchar(255), checksum varchar(255))"
    );
    let created = sqlx::raw_sql(AssertSqlSafe(create))
        .execute(&mut *context.connection)
        .await;
    created.map_err(|error| ledger_refused(TABLE, error))?;
    let pending = migrations.iter().skip(inputs.part.done);
    let steps: Vec<Step<'_>> = pending.map(step).collect();
    context.apply_all(&steps).await
}

/// The rows that refinery's table must hold.
fn ledger(inputs: &MigrationInputs, scripts: &[Script]) -> Result<ExpectedLedger> {
    let migrations = find(inputs, scripts)?;
    let is_int8 = needs_int8(&migrations, inputs);
    let other_line_endings = |migration: &RefineryMigration<'_>| {
        let text = expected_ledger::with_other_line_endings(migration.script.text());
        checksum(&migration.name, migration.version, &text, is_int8)
    };
    let row = |migration: RefineryMigration<'_>| LedgerRow {
        version: migration.version.to_string(),
        checksum: Some(migration.checksum.to_string()),
        other_line_endings: Some(other_line_endings(&migration).to_string()),
    };
    let rows = migrations.into_iter().map(row).collect();
    Ok(ExpectedLedger {
        table: TABLE,
        select: "select version::text, checksum from refinery_schema_history",
        rows,
    })
}

fn step<'a>(migration: &RefineryMigration<'a>) -> Step<'a> {
    let (version, name, checksum) = (migration.version, &migration.name, migration.checksum);
    // refinery parses this column as RFC 3339.
    let timestamp = r#"to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#;
    let name = Literal(name).to_string();
    let sql = format!(
        "insert into {TABLE} (version, name, applied_on, checksum) \
         values ({version}, {name}, {timestamp}, '{checksum}')"
    );
    Step {
        direction: Direction::Up,
        version: version.to_string(),
        description: migration.name.replace('_', " "),
        script: Some(Cow::Borrowed(migration.script)),
        messages: vec![Message::whole(migration.script.text())],
        transaction: Transaction::Own,
        ledger_write: LedgerWrite::Statement { ledger: TABLE, sql },
    }
}

/// The migrations with their checksums, sorted by version.
///
/// # Errors
/// Two migrations have the same version, or one is written in Rust.
fn find<'a>(inputs: &MigrationInputs, scripts: &'a [Script]) -> Result<Vec<RefineryMigration<'a>>> {
    if let Some(file) = inputs
        .files
        .iter()
        .find(|file| file.path.extension().is_some_and(|ending| ending == "rs"))
    {
        let message = format!(
            "migrations must be SQL, but {} is written in Rust, and only refinery's runner can run \
             it",
            file.display_path
        );
        return Err(Error::new(ErrorKind::MigrationSource, message).with_help(
            "embed the migrations, and call their runner in the function that you pass to \
             `Migrations::function`",
        ));
    }
    let parse = |script: &'a Script| {
        let stem = script.name().rsplit('/').next()?.strip_suffix(".sql")?;
        let (version, name) = refinery_version(stem)?;
        Some(RefineryMigration {
            version,
            name: name.to_owned(),
            checksum: 0,
            script,
        })
    };
    let mut found: Vec<RefineryMigration<'a>> = scripts.iter().filter_map(parse).collect();
    found.sort_by_key(|migration| migration.version);
    refuse_duplicates(found.iter().map(|it| (&it.version, it.script.name())))?;
    let is_int8 = needs_int8(&found, inputs);
    for migration in &mut found {
        migration.checksum = checksum(
            &migration.name,
            migration.version,
            migration.script.text(),
            is_int8,
        );
    }
    Ok(found)
}

/// Whether a version needs more than four bytes. refinery accepts such versions only with its
/// feature `int8-versions`, which changes the checksums of all migrations, also of those before the
/// first such version.
fn needs_int8(migrations: &[RefineryMigration<'_>], inputs: &MigrationInputs) -> bool {
    inputs.part.has_wide_version_later
        || migrations
            .iter()
            .any(|migration| i32::try_from(migration.version).is_err())
}

/// refinery's checksum: SipHash 1-3 with a key of zeros, over what Rust's `Hash` writes for the
/// name, the version and the SQL. The version is hashed as `i32`, or as `i64` with the feature
/// `int8-versions`.
fn checksum(name: &str, version: i64, sql: &str, is_int8: bool) -> u64 {
    let mut hasher = SipHasher13::new();
    name.hash(&mut hasher);
    match i32::try_from(version) {
        Ok(narrow) if !is_int8 => narrow.hash(&mut hasher),
        _ => version.hash(&mut hasher),
    }
    sql.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refinerys_names_are_recognised() {
        assert!(is_refinery("V1__users.sql") && is_refinery("U20240101__x.rs"));
        assert!(
            !is_refinery("V+1__users.sql")
                && !is_refinery("V1_users.sql")
                && !is_refinery("V1__.sql")
                && !is_refinery("V1__a-b.sql")
        );
        assert!(!is_refinery("W1__users.sql") && !is_refinery("V1__users.txt"));
    }
}
