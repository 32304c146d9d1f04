//! Checks what the user declared: tables, row counts, enum labels.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgConnection;

use crate::catalog;
use crate::config::{Expect, RustEnum};
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
        .filter(|relation| {
            expect
                .rows
                .keys()
                .any(|wanted| plain(wanted) == relation.to_string())
        })
        .collect();
    let counts = catalog::row_counts(connection, &counted)
        .await
        .map_err(asking)?;
    for (table, wanted) in &expect.rows {
        match counts.get(plain(table)) {
            Some(found) if found == wanted => {}
            Some(found) => unmet.push(format!("table {table} has {found} rows, expected {wanted}")),
            None => unmet.push(format!(
                "table {table} is missing, expected with {wanted} rows"
            )),
        }
    }

    let enums = catalog::enums(connection).await.map_err(asking)?;
    for (name, wanted) in &expect.enums {
        match enums.get(plain(name)) {
            Some(found) if found == wanted => {}
            Some(found) => {
                unmet.push(format!(
                    "enum {name} is ({}), expected ({})",
                    found.join(", "),
                    wanted.join(", ")
                ));
            }
            None => unmet.push(format!(
                "enum {name} is missing, expected ({})",
                wanted.join(", ")
            )),
        }
    }

    unmet.extend(
        expect
            .rust_enums
            .iter()
            .filter_map(|wanted| of_rust(wanted, &enums)),
    );

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
    .with_help(
        "mend the migrations or seeds, or what is expected if the database is right: [provision.expect] in \
         ebbtide.toml, `expect(...)` at the test, `rename_all` on an enum of Rust",
    ))
}

/// What one of both sides lacks, with both lists: who reads it sees which of them to change.
fn of_rust(wanted: &RustEnum, enums: &BTreeMap<String, Vec<String>>) -> Option<String> {
    let (path, labels) = (&wanted.path, wanted.labels.join(", "));
    let name = folded(&wanted.name);
    let Some(found) = enums.get(plain(&name)) else {
        return Some(format!(
            "enum {name} is missing, and {path} is stored as one ({labels})"
        ));
    };
    let lacking = |those: &[String], has: &[String]| -> Vec<String> {
        those
            .iter()
            .filter(|label| !has.contains(label))
            .cloned()
            .collect()
    };
    let (in_rust, in_database) = (
        lacking(&wanted.labels, found),
        lacking(found, &wanted.labels),
    );
    if in_rust.is_empty() && in_database.is_empty() {
        return None;
    }
    let alike = |one: &str, other: &str| letters(one) == letters(other);
    let spelt = in_rust.iter().filter_map(|ours| {
        let theirs = in_database.iter().find(|theirs| alike(ours, theirs))?;
        Some(format!("{ours} / {theirs}"))
    });
    let spelt: Vec<String> = spelt.collect();
    let without_twin = |those: &[String], others: &[String]| -> Vec<String> {
        those
            .iter()
            .filter(|one| !others.iter().any(|other| alike(one, other)))
            .cloned()
            .collect()
    };
    let mut lines = vec![format!("enum {name} and {path} have different labels")];
    let lists = [
        ("Rust has", labels),
        ("the database has", found.join(", ")),
        ("spelt differently", spelt.join(", ")),
        (
            "only in Rust",
            without_twin(&in_rust, &in_database).join(", "),
        ),
        (
            "only in the database",
            without_twin(&in_database, &in_rust).join(", "),
        ),
    ];
    lines.extend(
        lists
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(what, list)| format!("  {what}: {list}")),
    );
    Some(lines.join("\n"))
}

/// As the server reads a name: in lower case, unless it is quoted.
fn folded(name: &str) -> String {
    let parts = name.split('.').map(|part| {
        match part
            .strip_prefix('"')
            .and_then(|part| part.strip_suffix('"'))
        {
            Some(quoted) => quoted.to_owned(),
            None => part.to_lowercase(),
        }
    });
    parts.collect::<Vec<_>>().join(".")
}

/// What is left of a label when its spelling does not matter.
fn letters(label: &str) -> String {
    label
        .chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

fn plain(name: &str) -> &str {
    name.strip_prefix("public.").unwrap_or(name)
}
