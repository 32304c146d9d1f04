//! SQL files. They are executed statement by statement, to count the rows that each INSERT skips.

use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::loading::{MEGABYTE, OnMegabyte, Skipped};
use super::pieces::Pieces;
use crate::catalog::RelationName;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::input_file::InputFile;
use crate::provision::refused_statement::RefusedStatement;
use crate::provision::sql_script::{Script, Statement};

/// Executes an INSERT, and reports how many rows conflicted. The command tag reports the inserted
/// rows only (<https://www.postgresql.org/docs/current/using-explain.html>).
const EXPLAIN_PREFIX: &str =
    "explain (analyze, verbose, format json, costs off, timing off, summary off) ";

/// The first words of statements that would end the file's transaction, or part of it.
const TRANSACTION_CONTROL: [&str; 8] = [
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
];

/// Executes all statements of a file.
pub(super) async fn run(
    connection: &mut PgConnection,
    file: &InputFile,
    on_megabyte: OnMegabyte<'_>,
) -> Result<Skipped> {
    let mut skipped = Skipped::new();
    let mut pieces = Pieces::of(file)?;
    let mut reported = 0;
    while let Some(piece) = pieces.next()? {
        for statement in piece.script.statements() {
            run_one(connection, file, piece.base, &statement, &mut skipped).await?;
        }
        let done = (piece.base + piece.script.text().len()) as u64 / MEGABYTE;
        if done > reported {
            on_megabyte(done);
            reported = done;
        }
    }
    Ok(skipped)
}

/// Executes a statement of a piece that starts at `base`.
async fn run_one(
    connection: &mut PgConnection,
    file: &InputFile,
    base: usize,
    statement: &Statement<'_>,
    skipped: &mut Skipped,
) -> Result<()> {
    let offset = base + statement.offset();
    // An error names the line in the file, and a piece does not contain the lines before it.
    let whole = || {
        file.text(ErrorKind::Seed)
            .map(|text| Script::new(&file.display_path, text))
    };
    if TRANSACTION_CONTROL
        .iter()
        .any(|word| statement.starts_with(&[*word]))
    {
        return Err(controls_transaction(file, &whole()?, offset));
    }
    let counted = statement.starts_with(&["insert"]) || statement.starts_with(&["with"]);
    let prefix = if counted { EXPLAIN_PREFIX } else { "" };
    let sent = AssertSqlSafe(format!("{prefix}{}", statement.text()));
    let rows = match sqlx::raw_sql(sent).fetch_all(connection).await {
        Ok(rows) => rows,
        Err(error) => {
            let refusal = RefusedStatement {
                kind: ErrorKind::Seed,
                step: format!("a {}", file.noun),
                script: &whole()?,
                sent_offset: offset,
                prefix_chars: prefix.chars().count(),
                migrations: &[],
            };
            return Err(refusal.report(error));
        }
    };
    if counted && let Some(plan) = rows.first() {
        let plan: String = plan.try_get_unchecked(0).unwrap_or_default();
        count_conflicts(&serde_json::from_str(&plan).unwrap_or_default(), skipped);
    }
    Ok(())
}

/// Adds the conflicts of all Insert nodes of a plan. A plan that cannot be parsed adds none: the
/// rows were inserted all the same.
fn count_conflicts(plan: &Value, skipped: &mut Skipped) {
    match plan {
        Value::Array(parts) => parts.iter().for_each(|part| count_conflicts(part, skipped)),
        Value::Object(node) => {
            let text = |key: &str| node.get(key).and_then(Value::as_str);
            if let (Some("Insert"), Some(name)) = (text("Operation"), text("Relation Name")) {
                let table = RelationName {
                    schema: text("Schema").unwrap_or("public").to_owned(),
                    name: name.to_owned(),
                };
                let conflicts = node
                    .get("Conflicting Tuples")
                    .and_then(Value::as_f64)
                    .unwrap_or_default();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a count of rows"
                )]
                let conflicts = conflicts as u64;
                *skipped.entry(table.to_string()).or_default() += conflicts;
            }
            node.values()
                .filter(|value| value.is_array() || value.is_object())
                .for_each(|part| count_conflicts(part, skipped));
        }
        _ => {}
    }
}

fn controls_transaction(file: &InputFile, script: &Script, offset: usize) -> Error {
    Error::new(
        ErrorKind::Seed,
        format!(
            "a {} must not control transactions, but {} does",
            file.noun,
            script.name()
        ),
    )
    .with_evidence("the statement", script.excerpt(offset))
    .with_help("remove the statement: every such file runs in a transaction of its own")
}
