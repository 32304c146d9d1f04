//! Checks what the user declared: tables, row counts, enum labels.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;

use crate::catalog;
use crate::config::Expect;
use crate::error::{Error, ErrorKind, Result};
use crate::sql_error;

pub(super) async fn check(connection: &mut PgConnection, expect: &Expect) -> Result<()> {
    let asking = |error| sql_error::failed("checking what is expected", error);
    let relations = catalog::tables(connection).await.map_err(asking)?;
    let tables: BTreeSet<String> = relations.iter().map(ToString::to_string).collect();
    let mut unmet: Vec<String> = expect
        .tables
        .iter()
        .filter(|wanted| !tables.contains(plain(wanted)))
        .map(|wanted| format!("table {wanted} is missing"))
        .collect();

    let counted: Vec<_> = relations
        .into_iter()
        .filter(|relation| expect.rows.keys().any(|wanted| plain(wanted) == relation.to_string()))
        .collect();
    let counts = catalog::row_counts(connection, &counted).await.map_err(asking)?;
    for (table, wanted) in &expect.rows {
        match counts.get(plain(table)) {
            Some(found) if found == wanted => {}
            Some(found) => unmet.push(format!("table {table} has {found} rows, expected {wanted}")),
            None => unmet.push(format!("table {table} is missing, expected with {wanted} rows")),
        }
    }

    let enums = catalog::enums(connection).await.map_err(asking)?;
    for (name, wanted) in &expect.enums {
        match enums.get(plain(name)) {
            Some(found) if found == wanted => {}
            Some(found) => {
                unmet.push(format!("enum {name} is ({}), expected ({})", found.join(", "), wanted.join(", ")));
            }
            None => unmet.push(format!("enum {name} is missing, expected ({})", wanted.join(", "))),
        }
    }

    if unmet.is_empty() {
        return Ok(());
    }
    let count = unmet.len();
    Err(Error::new(
        ErrorKind::Expectation,
        format!(
            "the provisioned database differs from what is expected in {count} {}",
            if count == 1 { "point" } else { "points" }
        ),
    )
    .with_evidence("differences", unmet.join("\n"))
    .with_help("mend the migrations or seeds, or [provision.expect] in ebbtide.toml if the database is right"))
}

fn plain(name: &str) -> &str {
    name.strip_prefix("public.").unwrap_or(name)
}
