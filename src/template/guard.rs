//! Installs the guard of a template: the schema `_ebbtide`, which every copy inherits.
//!
//! The guard refuses to commit a test's transaction, and records what the end of a test has to
//! restore or to compare. `lane::guard` sends the messages that use these objects:
//!
//! ```text
//!  BEGIN; set_config('ebbtide.test', ..); INSERT INTO _ebbtide.open_test; SAVEPOINT _ebbtide
//!    |                                    queues the deferred trigger `refuse_commit`
//!    v
//!  the test's statements
//!    |-- COMMIT                       fires the trigger: error 25000, the server rolls back
//!    |-- SET CONSTRAINTS .. IMMEDIATE fires the trigger: not a commit, so it is queued again
//!    |-- ROLLBACK                     loses the row, the setting and the savepoint
//!    v
//!  the end of the test: SET CONSTRAINTS (where there are deferrable ones); ROLLBACK;
//!    SELECT .. FROM _ebbtide.rewound
//! ```
//!
//! The end of the test looks for the setting. If it is gone, and the row as well, the test has left
//! the transaction, and its lane is copied again.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::{events, reset};
use crate::catalog;
use crate::names::Literal;

/// The objects of the schema `_ebbtide`. Placeholders in braces stand for what depends on the
/// template.
const GUARD_SQL: &str = include_str!("guard.sql");
/// The query of the view `_ebbtide.rewound`.
const REWOUND_SQL: &str = include_str!("rewound.sql");

/// An SQL expression: how many sessions the current database has ever had. Empty text before
/// PostgreSQL 14, which does not count them
/// (<https://www.postgresql.org/docs/14/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW>).
///
/// The expression reads no table. It takes the identifier of the database from the path of a file.
pub(crate) const fn session_count_sql(version_num: u32) -> &'static str {
    if version_num < 140_000 {
        "''"
    } else {
        "pg_catalog.pg_stat_get_db_sessions(\
            pg_catalog.split_part(pg_catalog.pg_relation_filepath('pg_catalog.pg_class'), '/', -2)::pg_catalog.oid)"
    }
}

/// A regular expression for prepared statements that change a session in a way that no command
/// resets: `set_config`, `SET a.b`, and `LOAD`.
const SESSION_CHANGING_STATEMENTS: &str =
    r#"\mset_config\M|\mset\s+((local|session)\s+)?["\w]+\s*\.|^\s*load\M"#;

/// One setting of each library that tests load for a session. The setting has a value once the
/// library is loaded, and a library cannot be unloaded.
const LIBRARY_SETTINGS: [&str; 2] = ["auto_explain.log_min_duration", "pg_hint_plan.enable_hint"];

/// A regular expression for settings that last until the end of the transaction: `SET LOCAL a`, and
/// `set_config('a', .., true)`.
const LOCAL_SETTINGS: &str =
    r#"\mset\s+local\s+"?([a-z_][\w.]*)|\mset_config\s*\(\s*'([\w.]+)'[^)]*,\s*true\s*\)"#;

/// Installs the guard after every other object of a template, because it records the values of the
/// sequences and the contents of the tables.
///
/// A template that was copied from another one has that one's guard already. It lacks what was
/// added since, so it is dropped first.
pub(super) async fn install(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let suspended = events::suspend(connection).await?;
    sqlx::raw_sql("drop schema if exists _ebbtide cascade")
        .execute(&mut *connection)
        .await?;
    let guard = GUARD_SQL
        .replace("{insert_sequences}", &insert_sequences(connection).await?)
        .replace("{local_settings}", &Literal(LOCAL_SETTINGS).to_string());
    sqlx::raw_sql(AssertSqlSafe(guard))
        .execute(&mut *connection)
        .await?;
    let rewound_query = rewound_query(connection).await?;
    reset::install(connection, &rewound_query).await?;
    suspended.resume(connection).await
}

/// The query of the view `_ebbtide.rewound`, which the end of each test reads.
///
/// Which settings a test may change depends on the template: the custom settings that its own
/// objects mention, with their values in a new session.
async fn rewound_query(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let mut custom = catalog::custom_settings(connection).await?;
    for setting in LIBRARY_SETTINGS {
        custom.push(catalog::custom_setting(connection, setting).await?);
    }
    // One condition for each setting: a subquery over a list would be planned at the end of each
    // test.
    let changed = custom.iter().map(|setting| {
        let value = setting
            .value
            .as_deref()
            .map_or("null".to_owned(), |value| Literal(value).to_string());
        format!(
            " or current_setting({}, true) is distinct from {value}",
            Literal(&setting.name)
        )
    });
    let custom_settings: String = changed.collect();
    let keeps_state = catalog::keeps_session_state(connection).await?;
    // A replication origin serves one session at a time, so the view resets it at once instead of
    // waiting until the session is replaced. Only a superuser may call these functions.
    let origin = if events::is_superuser(connection).await? {
        "case when pg_replication_origin_session_is_setup() then pg_replication_origin_session_reset()::text = '' else false end"
    } else {
        "false"
    };
    Ok(REWOUND_SQL
        .replace("{origin}", origin)
        .replace("{keeps_state}", if keeps_state { "true" } else { "false" })
        .replace(
            "{session_changing_statements}",
            &Literal(SESSION_CHANGING_STATEMENTS).to_string(),
        )
        .replace("{custom_settings}", &custom_settings))
}

/// A statement that records the value of each sequence. Empty if there are none.
async fn insert_sequences(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let mut now = Vec::new();
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
        "insert into _ebbtide.sequences {};",
        now.join(" union all ")
    ))
}
