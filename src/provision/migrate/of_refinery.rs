//! refinery's migrations, with the ledger that refinery itself would write.

use std::hash::{Hash as _, Hasher as _};

use siphasher::sip::SipHasher13;
use sqlx::AssertSqlSafe;

use super::of_sqlx::two_of_one_version;
use super::step::{Record, Step, Transaction, Way, ledger_refused};
use super::{Ledger, Site, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::names::Literal;
use crate::provision::inputs::Inputs;
use crate::provision::layout::refinery_version;
use crate::provision::report::MigrationReport;
use crate::provision::script::Script;

const TABLE: &str = "refinery_schema_history";

/// A migration as refinery sees it: <https://docs.rs/refinery-core/latest/refinery_core/struct.Migration.html>.
struct Found<'a> {
    version: i64,
    name: String,
    checksum: u64,
    script: &'a Script,
}

/// Applies every migration in the order of the versions, each in a transaction together with its row.
pub(super) async fn migrate(site: &mut Site<'_>, inputs: &Inputs) -> Result<Vec<MigrationReport>> {
    let found = find(inputs, site.scripts)?;
    let column = if is_wide(&found) { "int8" } else { "int4" };
    let create = format!(
        "create table if not exists {TABLE} (version {column} primary key, name varchar(255), applied_on varchar(255), \
         checksum varchar(255))"
    );
    let created = sqlx::raw_sql(AssertSqlSafe(create))
        .execute(&mut *site.connection)
        .await;
    created.map_err(|error| ledger_refused(TABLE, error))?;
    let steps: Vec<Step<'_>> = found.iter().map(step).collect();
    site.apply_all(&steps).await
}

/// What refinery's table must hold.
pub(super) fn ledger(inputs: &Inputs, scripts: &[Script]) -> Result<Ledger> {
    let row = |found: Found<'_>| Written {
        version: found.version.to_string(),
        checksum: Some(found.checksum.to_string()),
    };
    let rows = find(inputs, scripts)?.into_iter().map(row).collect();
    Ok(Ledger {
        table: TABLE,
        select: "select version::text, checksum from refinery_schema_history",
        rows,
    })
}

fn step<'a>(found: &Found<'a>) -> Step<'a> {
    let (version, name, checksum) = (found.version, &found.name, found.checksum);
    // As RFC 3339 writes a moment: refinery reads it back.
    let moment = r#"to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#;
    let name = Literal(name).to_string();
    let sql = format!(
        "insert into {TABLE} (version, name, applied_on, checksum) values ({version}, {name}, {moment}, '{checksum}')"
    );
    Step {
        way: Way::Up,
        version: version.to_string(),
        description: found.name.replace('_', " "),
        script: Some(found.script),
        text: found.script.text(),
        transaction: Transaction::Own,
        record: Record::Statement { ledger: TABLE, sql },
    }
}

fn find<'a>(inputs: &Inputs, scripts: &'a [Script]) -> Result<Vec<Found<'a>>> {
    if let Some(file) = inputs
        .migrations
        .iter()
        .find(|file| file.path.extension().is_some_and(|ending| ending == "rs"))
    {
        let message = format!(
            "{} is a migration in Rust, which only refinery's own runner can run",
            file.shown
        );
        return Err(Error::new(ErrorKind::MigrationSource, message)
            .with_help("embed the migrations and give their runner to `Migrations::function`"));
    }
    let parts = |script: &'a Script| {
        let stem = script.name().rsplit('/').next()?.strip_suffix(".sql")?;
        let (version, name) = refinery_version(stem)?;
        Some(Found {
            version,
            name: name.to_owned(),
            checksum: 0,
            script,
        })
    };
    let mut found: Vec<Found<'a>> = scripts.iter().filter_map(parts).collect();
    found.sort_by_key(|migration| migration.version);
    if let Some([one, other]) = found
        .array_windows()
        .find(|[one, other]| one.version == other.version)
    {
        return Err(two_of_one_version(
            &one.version,
            one.script.name(),
            other.script.name(),
        ));
    }
    let is_wide = is_wide(&found);
    for migration in &mut found {
        migration.checksum = checksum(
            &migration.name,
            migration.version,
            migration.script.text(),
            is_wide,
        );
    }
    Ok(found)
}

/// Versions that need more than four bytes are refinery's only with its feature `int8-versions`, which changes the
/// checksums of all.
fn is_wide(found: &[Found<'_>]) -> bool {
    found
        .iter()
        .any(|migration| i32::try_from(migration.version).is_err())
}

/// refinery hashes what Rust's `Hash` feeds of name, version and SQL into SipHash 1-3 with a key of zeros.
fn checksum(name: &str, version: i64, sql: &str, is_wide: bool) -> u64 {
    let mut hasher = SipHasher13::new();
    name.hash(&mut hasher);
    match i32::try_from(version) {
        Ok(narrow) if !is_wide => narrow.hash(&mut hasher),
        _ => version.hash(&mut hasher),
    }
    sql.hash(&mut hasher);
    hasher.finish()
}
