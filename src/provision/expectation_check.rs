//! Checks the declared expectations: tables, row counts, enum labels, row level security.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgConnection;

use super::security_check;

use crate::catalog;
use crate::config::{Expect, RustEnum};
use crate::error::{Error, ErrorKind, Result};
use crate::sql_error;

/// Compares the database with every expectation, and reports all differences in one error.
pub(super) async fn check(connection: &mut PgConnection, expect: &Expect) -> Result<()> {
    let failed = |error| sql_error::failed("checking the expectations", error);
    let relations = catalog::tables(connection).await.map_err(failed)?;
    let tables: BTreeSet<String> = relations.iter().map(ToString::to_string).collect();
    let mut unmet: Vec<String> = expect
        .tables
        .iter()
        .filter(|wanted| !tables.contains(without_public(wanted)))
        .map(|wanted| format!("table {wanted} is missing"))
        .collect();

    let counted: Vec<_> = relations
        .into_iter()
        .filter(|relation| {
            expect
                .rows
                .keys()
                .any(|wanted| without_public(wanted) == relation.to_string())
        })
        .collect();
    let counts = catalog::row_counts(connection, &counted)
        .await
        .map_err(failed)?;
    for (table, wanted) in &expect.rows {
        match counts.get(without_public(table)) {
            Some(found) if found == wanted => {}
            Some(found) => unmet.push(format!("table {table} has {found} rows, expected {wanted}")),
            None => unmet.push(format!(
                "table {table} is missing, expected with {wanted} rows"
            )),
        }
    }

    let enums = catalog::enums(connection).await.map_err(failed)?;
    for (name, wanted) in &expect.enums {
        match enums.get(without_public(name)) {
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
            .filter_map(|wanted| compare_rust_enum(wanted, &enums)),
    );

    unmet.extend(
        security_check::unmet(connection, expect)
            .await
            .map_err(failed)?,
    );
    if unmet.is_empty() {
        return Ok(());
    }
    let count = unmet.len();
    Err(Error::new(
        ErrorKind::Expectation,
        format!(
            "the provisioned database differs from the expectations in {count} {}",
            if count == 1 { "point" } else { "points" }
        ),
    )
    .with_evidence("differences", unmet.join("\n"))
    .with_help(
        "correct the migrations or seeds; if the database is right, correct the expectations: \
         [provision.expect] in ebbtide.toml, `expect(...)` at the test, `rename_all` on a Rust \
         enum",
    ))
}

/// The difference between a Rust enum and the enum of the database; none if both have the same
/// labels.
///
/// Labels that differ only in case or punctuation (`HAPPY`, `happy`) are reported as pairs. The
/// usual cause is a missing `rename_all`, and not a missing label.
fn compare_rust_enum(wanted: &RustEnum, enums: &BTreeMap<String, Vec<String>>) -> Option<String> {
    let (path, labels) = (&wanted.path, wanted.labels.join(", "));
    let name = fold_identifier(&wanted.name);
    let Some(found) = enums.get(without_public(&name)) else {
        return Some(format!(
            "enum {name} is missing, but the Rust enum {path} has its labels ({labels})"
        ));
    };
    let missing_from = |others: &[String], labels: &[String]| -> Vec<String> {
        labels
            .iter()
            .filter(|label| !others.contains(label))
            .cloned()
            .collect()
    };
    let (only_in_rust, only_in_database) = (
        missing_from(found, &wanted.labels),
        missing_from(&wanted.labels, found),
    );
    if only_in_rust.is_empty() && only_in_database.is_empty() {
        return None;
    }
    let same_letters = |one: &str, other: &str| normalised(one) == normalised(other);
    let spelt_differently = only_in_rust.iter().filter_map(|in_rust| {
        let in_database = only_in_database
            .iter()
            .find(|in_database| same_letters(in_rust, in_database))?;
        Some(format!("{in_rust} / {in_database}"))
    });
    let spelt_differently: Vec<String> = spelt_differently.collect();
    let without_pair = |labels: &[String], others: &[String]| -> Vec<String> {
        labels
            .iter()
            .filter(|one| !others.iter().any(|other| same_letters(one, other)))
            .cloned()
            .collect()
    };
    let mut lines = vec![format!("enum {name} and {path} have different labels")];
    let lists = [
        ("Rust has", labels),
        ("the database has", found.join(", ")),
        ("spelt differently", spelt_differently.join(", ")),
        (
            "only in Rust",
            without_pair(&only_in_rust, &only_in_database).join(", "),
        ),
        (
            "only in the database",
            without_pair(&only_in_database, &only_in_rust).join(", "),
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

/// An identifier as the server reads it: in lower case, unless it is quoted.
fn fold_identifier(name: &str) -> String {
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

/// The letters and digits of a label, in lower case.
fn normalised(label: &str) -> String {
    label
        .chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// The name as the catalog lists it: `public` is left out.
fn without_public(name: &str) -> &str {
    name.strip_prefix("public.").unwrap_or(name)
}
