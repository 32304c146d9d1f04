//! Where a relation is created, for the error of a statement that does not find it.

use super::relation::{QualifiedName, StatementReader};
use super::sql_script::Script;

/// The scripts and lines that create a table, view or materialized view with this name, as an error
/// message writes it.
pub(crate) fn creators_of<'a>(
    table: &str,
    scripts: impl IntoIterator<Item = &'a Script>,
) -> Vec<(String, usize)> {
    let wanted = match table.rsplit_once('.') {
        Some((schema, table)) => QualifiedName {
            schema: Some(schema.to_owned()),
            table: table.to_owned(),
        },
        None => QualifiedName {
            schema: None,
            table: table.to_owned(),
        },
    };
    let mut creators = Vec::new();
    for script in scripts {
        for statement in script.statements() {
            let mut reader = StatementReader::of(statement);
            if reader.accept(&["create"])
                && reader
                    .created_relation()
                    .is_some_and(|(_, name)| name.may_equal(&wanted))
            {
                creators.push((
                    script.name().to_owned(),
                    script.position_of_byte(statement.offset()).line,
                ));
            }
        }
    }
    creators
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creators_are_found_among_tables_and_views() {
        let first = Script::new(
            "1.sql",
            "select 1;\ncreate table Users ();\ncreate temp table users ();",
        );
        let second = Script::new(
            "2.sql",
            "create or replace view app.users as select 1; create table u ();",
        );
        let third = Script::new(
            "3.sql",
            "create materialized view if not exists other.\"users\" as select 1;",
        );
        let found = |name| -> Vec<_> {
            let found = creators_of(name, [&first, &second, &third]);
            found
                .into_iter()
                .map(|(script, line)| format!("{script}:{line}"))
                .collect()
        };
        assert_eq!(found("users"), ["1.sql:2", "2.sql:1", "3.sql:1"]);
        assert_eq!(found("app.users"), ["1.sql:2", "2.sql:1"]);
        assert!(found("Users").is_empty() && found("user").is_empty());
    }
}
