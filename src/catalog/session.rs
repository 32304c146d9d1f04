//! State of a session that no command resets, and that a database's objects may leave.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

/// A setting with a dot in its name, and its value in a new session.
#[derive(Debug, Clone)]
pub(crate) struct CustomSetting {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

/// Custom settings that the database's own objects read or write: functions, policies, views,
/// defaults, checks and triggers.
///
/// PostgreSQL has no catalog of such settings, so the definitions are searched for them. A setting
/// that was set once keeps an empty value for the rest of the session
/// (<https://www.postgresql.org/docs/current/runtime-config-custom.html>).
pub(crate) async fn custom_settings(
    connection: &mut PgConnection,
) -> Result<Vec<CustomSetting>, sqlx::Error> {
    let query = r"
        with texts(text) as (
            select prosrc from pg_proc where oid >= 16384
            union all select pg_get_expr(polqual, polrelid) from pg_policy
            union all select pg_get_expr(polwithcheck, polrelid) from pg_policy
            union all select pg_get_ruledef(oid) from pg_rewrite where oid >= 16384
            union all select pg_get_expr(adbin, adrelid) from pg_attrdef
            union all select pg_get_constraintdef(oid) from pg_constraint where contype = 'c' and oid >= 16384
            union all select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
            union all select pg_get_functiondef(oid) from pg_proc where oid >= 16384 and prokind in ('f', 'p')
        ), names(name) as (
            select lower(found[1]) from texts,
                regexp_matches(text, '(?:current_setting|set_config)\s*\(\s*''([^'']+\.[^'']+)''', 'gi') found
            union select lower(split_part(setting, '=', 1)) from pg_proc, unnest(proconfig) setting where oid >= 16384
            union select lower(found[1]) from texts,
                regexp_matches(text, '\mset\s+(?:local\s+|session\s+)?([a-z_]\w*\.[a-z_]\w*)', 'gi') found
        )
        select name, current_setting(name, true) from names
        where name like '%.%' and name !~ '^(ebbtide|plpgsql)\.' order by 1";
    let rows = sqlx::query(query).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            Ok(CustomSetting {
                name: row.try_get(0)?,
                value: row.try_get(1)?,
            })
        })
        .collect()
}

/// One custom setting, with its value in this session.
pub(crate) async fn custom_setting(
    connection: &mut PgConnection,
    name: &str,
) -> Result<CustomSetting, sqlx::Error> {
    let value = sqlx::query_scalar("select current_setting($1, true)")
        .bind(name)
        .fetch_one(connection)
        .await?;
    Ok(CustomSetting {
        name: name.to_owned(),
        value,
    })
}

/// Whether an extension or a language of the database keeps state in a session that no command
/// resets. Such state is connections to other servers (`dblink`, `postgres_fdw` and other
/// wrappers), and variables of an interpreter (PL/Perl, PL/Python, PL/Tcl).
pub(crate) async fn keeps_session_state(
    connection: &mut PgConnection,
) -> Result<bool, sqlx::Error> {
    let query = "
        select exists (select from pg_language where lanname not in ('internal', 'c', 'sql', 'plpgsql'))
            or exists (select from pg_extension where extname in ('dblink', 'http', 'orafce', 'pg_background', 'plproxy'))
            or exists (select from pg_foreign_data_wrapper where fdwhandler <> 0 and fdwname <> 'file_fdw')";
    sqlx::query_scalar(query).fetch_one(connection).await
}

/// Whether the session acts as a superuser.
pub(crate) async fn is_superuser(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select rolsuper from pg_roles where rolname = current_user")
        .fetch_one(connection)
        .await
}
