//! How many rows an INSERT with `ON CONFLICT` leaves out. The command tag reports the inserted rows
//! only, but EXPLAIN ANALYZE executes the statement and counts both
//! (<https://www.postgresql.org/docs/current/using-explain.html>).

use serde_json::Value;

use crate::catalog::RelationName;
use crate::provision::inserted_rows::RowCounts;

pub(super) const EXPLAIN_PREFIX: &str =
    "explain (analyze, verbose, format json, costs off, timing off, summary off) ";

/// Adds the conflicts of a plan in JSON. A plan that cannot be parsed adds none: the rows were
/// inserted all the same.
pub(super) fn count_conflicts(plan: &str, skipped: &mut RowCounts) {
    count_nodes(&serde_json::from_str(plan).unwrap_or_default(), skipped);
}

fn count_nodes(plan: &Value, skipped: &mut RowCounts) {
    match plan {
        Value::Array(parts) => parts.iter().for_each(|part| count_nodes(part, skipped)),
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
                .for_each(|part| count_nodes(part, skipped));
        }
        _ => {}
    }
}
