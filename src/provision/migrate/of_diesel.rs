//! diesel's migrations, with the ledger that diesel itself would write.

use std::path::Path;

use serde::Deserialize;

use super::of_sqlx::two_of_one_version;
use super::step::{Record, Step, Transaction, Way};
use super::{Ledger, Site, Written};
use crate::error::{Error, ErrorKind, Result};
use crate::names::Literal;
use crate::provision::inputs::{InputFile, Inputs};
use crate::provision::report::MigrationReport;
use crate::provision::script::Script;

const TABLE: &str = "__diesel_schema_migrations";

/// A migration as diesel sees it: a directory.
struct Found<'a> {
    version: String,
    name: &'a str,
    script: &'a Script,
    transaction: Transaction,
}

/// `metadata.toml`. Where it is there and does not say, diesel reads it as no.
#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    run_in_transaction: bool,
}

/// Applies every migration in the order of the versions, as diesel compares them.
pub(super) async fn migrate(site: &mut Site<'_>, inputs: &Inputs) -> Result<Vec<MigrationReport>> {
    site.run(
        "create table if not exists __diesel_schema_migrations (version varchar(50) primary key not null, \
         run_on timestamp not null default current_timestamp)",
    )
    .await?;
    let found = find(inputs, site.scripts)?;
    let steps: Vec<Step<'_>> = found.iter().map(step).collect();
    site.apply_all(&steps).await
}

/// What diesel's table must hold.
pub(super) fn ledger(inputs: &Inputs, scripts: &[Script]) -> Result<Ledger> {
    let row = |found: Found<'_>| Written {
        version: found.version,
        checksum: None,
    };
    let rows = find(inputs, scripts)?.into_iter().map(row).collect();
    Ok(Ledger {
        table: TABLE,
        select: "select version, null::text from __diesel_schema_migrations",
        rows,
    })
}

fn step<'a>(found: &Found<'a>) -> Step<'a> {
    let sql = format!(
        "insert into {TABLE} (version) values ({})",
        Literal(&found.version)
    );
    Step {
        way: Way::Up,
        version: found.version.clone(),
        description: found
            .name
            .split_once('_')
            .map_or(found.name, |(_, name)| name)
            .replace('_', " "),
        script: Some(found.script),
        text: found.script.text(),
        transaction: found.transaction,
        record: Record::Statement { ledger: TABLE, sql },
    }
}

fn find<'a>(inputs: &'a Inputs, scripts: &'a [Script]) -> Result<Vec<Found<'a>>> {
    let mut found = Vec::new();
    for script in scripts {
        let of_script = |file: &&InputFile| file.shown == script.name();
        let Some(dir) = inputs
            .migrations
            .iter()
            .find(of_script)
            .and_then(|file| file.path.parent())
        else {
            continue;
        };
        let name = dir
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        // diesel leaves dashes out: <https://docs.rs/diesel_migrations/latest/diesel_migrations/>.
        let version = name.split('_').next().unwrap_or_default().replace('-', "");
        let metadata = inputs
            .migrations
            .iter()
            .find(|file| *file.path == dir.join("metadata.toml"));
        found.push(Found {
            version,
            name,
            script,
            transaction: transaction(metadata)?,
        });
    }
    found.sort_by(|one, other| one.version.cmp(&other.version));
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
    Ok(found)
}

fn transaction(metadata: Option<&InputFile>) -> Result<Transaction> {
    let Some(file) = metadata else {
        return Ok(Transaction::Own);
    };
    let said: Metadata =
        toml::from_str(&file.text(ErrorKind::MigrationSource)?).map_err(|error| {
            let shown = Path::new(&file.shown).display();
            Error::new(
                ErrorKind::MigrationSource,
                format!("{shown} is not as diesel writes it"),
            )
            .with_source(error)
            .with_help("it holds one line: run_in_transaction = false")
        })?;
    Ok(if said.run_in_transaction {
        Transaction::Own
    } else {
        Transaction::None
    })
}
