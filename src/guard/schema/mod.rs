//! Installs the guard of a template: the schema `_ebbtide`, which every copy inherits.
//!
//! | file | noun |
//! |---|---|
//! | `guard.sql` | refuses a COMMIT, records sequences, constraints, and the state of the lane |
//! | `checkpoint.sql` | records and restores what a rollback to a savepoint does not |
//! | `rewound.sql`, `rewound_queries.rs` | the view that restores sequences, and returns what a rollback has left |
//! | `reset.sql`, `reset.rs` | what a reset compares a lane with |
//! | `changed_tables.sql` | the tables whose rows a reset must restore |
//! | `events.rs` | the user's event triggers, suspended meanwhile |
//!
//! The SQL files are complete but for placeholders in braces, which stand for what depends on the
//! template. The names of `guard_names` are spelt out in the files, so that a person can read and
//! run them as SQL.

mod events;
mod reset;
mod rewound_queries;

use sqlx::postgres::PgConnection;

use super::exchange::execute;
use crate::catalog;
use crate::guard_names::{SCHEMA, SEQUENCES};
use crate::names::Literal;
use rewound_queries::RewoundQueries;

const GUARD_SQL: &str = include_str!("guard.sql");
const CHECKPOINT_SQL: &str = include_str!("checkpoint.sql");

/// A regular expression for settings that last until the end of the transaction: `SET LOCAL a`, and
/// `set_config('a', .., true)`.
const LOCAL_SETTINGS: &str =
    r#"\mset\s+local\s+"?([a-z_][\w.]*)|\mset_config\s*\(\s*'([\w.]+)'[^)]*,\s*true\s*\)"#;

/// Installs the guard after every other object of a template, because it records the values of the
/// sequences and the contents of the tables.
pub(crate) async fn install(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // The user's event triggers must not see these commands: one of them may refuse the schema.
    let suspended = events::suspend(connection).await?;
    // A template that was copied from another one has that one's guard already. It lacks what was
    // added since.
    execute(
        connection,
        format!("drop schema if exists {SCHEMA} cascade"),
    )
    .await?;
    let guard = GUARD_SQL
        .replace("{insert_sequences}", &insert_sequences(connection).await?)
        .replace("{local_settings}", &Literal(LOCAL_SETTINGS).to_string());
    execute(connection, guard + CHECKPOINT_SQL).await?;
    let rewound = RewoundQueries::of(connection).await?;
    // Last, because the reset records how many objects each catalog holds, and the objects above
    // count.
    reset::install(connection, &rewound).await?;
    suspended.resume(connection).await
}

/// A statement that records the value of each sequence. Empty if there are none.
async fn insert_sequences(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let mut now = Vec::new();
    // Read from the sequences themselves: the view `pg_sequences` does not show `is_called`.
    for sequence in catalog::sequences(connection).await? {
        let name = sequence.quoted();
        now.push(format!(
            "select {}::regclass, last_value, is_called from {name}",
            Literal(&name)
        ));
    }
    if now.is_empty() {
        return Ok(String::new());
    }
    Ok(format!(
        "insert into {SEQUENCES} {};",
        now.join(" union all ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard_names::{
        ADVISORY_LOCK_TAKEN, ANOTHER_HOLDER, ANOTHER_SERVER, BASELINE, CHANGED_TABLES,
        CHECKPOINT_STATE, CLOSING_SETTING, COMMIT_REFUSED, CURSOR_OPEN, DEFERRABLE, ESTIMATES,
        ESTIMATES_SEEN, IDENTITY_SETTING, LANE, LOCALS, OPEN_TEST, RESET_STATE, REWIND, REWOUND,
        REWOUND_OF_ROLE,
    };

    /// The SQL spells the names out. A name that is changed on one side only fails here.
    #[test]
    fn the_sql_creates_what_the_messages_name() {
        let sql = [GUARD_SQL, CHECKPOINT_SQL, reset::RESET_SQL].concat();
        let created = [
            format!("create schema {SCHEMA};"),
            format!("create unlogged table {OPEN_TEST} ("),
            format!("create table {LANE} ("),
            format!("create table {SEQUENCES} ("),
            format!("create table {BASELINE} ("),
            format!("create view {DEFERRABLE} as"),
            format!("create view {LOCALS} as"),
            format!("create view {REWOUND} as"),
            format!("create view {REWOUND_OF_ROLE} as"),
            format!("create view {ESTIMATES_SEEN} as"),
            format!("constraint {ANOTHER_HOLDER} check (held)"),
            format!("create view {RESET_STATE} as"),
            format!("create function {CHANGED_TABLES}(oldest int)"),
            format!("create table {ESTIMATES} as"),
            format!("create function {CHECKPOINT_STATE}() returns text"),
            format!("create function {REWIND}(state jsonb) returns void"),
            format!(
                "constraint {ANOTHER_SERVER} check (server = current_setting('{IDENTITY_SETTING}', true))"
            ),
            format!("current_setting('{CLOSING_SETTING}', true) = 'on'"),
            format!("'{}: ", COMMIT_REFUSED.1),
            format!("errcode = '{}'", COMMIT_REFUSED.0),
            format!("errcode = '{CURSOR_OPEN}'"),
            format!("errcode = '{ADVISORY_LOCK_TAKEN}'"),
        ];
        for text in created {
            assert!(sql.contains(&text), "the SQL lacks: {text}");
        }
    }
}
