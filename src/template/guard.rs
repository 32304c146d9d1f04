//! Installs what a lane's transactions need to be refused a commit and to find their sequences restored.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::{events, reset};
use crate::catalog;
use crate::names::Literal;

/// The objects of our own schema. The places in braces are filled in, since they depend on the template.
const GUARD: &str = include_str!("guard.sql");
const LOOK: &str = include_str!("look.sql");

/// How many sessions the current database has ever had, as an expression that reads no table: its identifier is a part of
/// each file's path. Before 14 PostgreSQL does not count them
/// (<https://www.postgresql.org/docs/14/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW>).
pub(crate) const fn sessions(version_num: u32) -> &'static str {
    if version_num < 140_000 {
        "''"
    } else {
        "pg_catalog.pg_stat_get_db_sessions(\
            pg_catalog.split_part(pg_catalog.pg_relation_filepath('pg_catalog.pg_class'), '/', -2)::pg_catalog.oid)"
    }
}

/// Statements after which a session differs from a new one in what no command resets: `set_config`, `SET a.b`, and
/// `LOAD`.
const TOUCHING: &str = r#"\mset_config\M|\mset\s+((local|session)\s+)?["\w]+\s*\.|^\s*load\M"#;

/// A setting of each library that tests load for one session.
const LIBRARIES: [&str; 2] = ["auto_explain.log_min_duration", "pg_hint_plan.enable_hint"];

/// What a statement sets for its transaction only: `SET LOCAL a`, and `set_config('a', .., true)`.
const LOCAL_SETTINGS: &str =
    r#"\mset\s+local\s+"?([a-z_][\w.]*)|\mset_config\s*\(\s*'([\w.]+)'[^)]*,\s*true\s*\)"#;

/// Installs the guard as the last objects of a template, since it remembers where the sequences stand. A copy of a
/// template has one already, which knows nothing of what was added since.
pub(super) async fn install(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let resting = events::rest(connection).await?;
    sqlx::raw_sql("drop schema if exists _ebbtide cascade")
        .execute(&mut *connection)
        .await?;
    let guard = GUARD
        .replace("{insert_sequences}", &insert_sequences(connection).await?)
        .replace("{local_settings}", &Literal(LOCAL_SETTINGS).to_string());
    sqlx::raw_sql(AssertSqlSafe(guard))
        .execute(&mut *connection)
        .await?;
    let look = look(connection).await?;
    reset::install(connection, &look).await?;
    resting.wake(connection).await
}

pub(super) async fn is_superuser(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select rolsuper from pg_roles where rolname = current_user")
        .fetch_one(connection)
        .await
}

/// What the end of a test looks at, as the query of a view.
async fn look(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let mut custom = catalog::custom_settings(connection).await?;
    for library in LIBRARIES {
        custom.push(catalog::custom_setting(connection, library).await?);
    }
    // One by one: a subquery would be planned at the end of each test.
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
    // Reset here and now, since an origin serves one session at a time. A superuser's function.
    let origin = if is_superuser(connection).await? {
        "case when pg_replication_origin_session_is_setup() then pg_replication_origin_session_reset()::text = '' else false end"
    } else {
        "false"
    };
    Ok(LOOK
        .replace("{origin}", origin)
        .replace("{keeps_state}", if keeps_state { "true" } else { "false" })
        .replace("{touching}", &Literal(TOUCHING).to_string())
        .replace("{custom_settings}", &custom_settings))
}

/// A statement that notes where the sequences stand.
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
