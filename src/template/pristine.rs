//! A dedicated server as it was before its first build.
//!
//! A build that touches the whole server fails where an earlier one has left its roles: one that failed or was killed, or
//! one whose template has been dropped. So such a build begins with the state that the server started with. That state is
//! written down before the first build; what is put back is compared with it, because not everything can be undone by
//! statements. Where the two differ, the server is given up, and the next start makes a new one.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::clean_up;
use crate::error::Result;
use crate::names::Ident;
use crate::server::Server;
use crate::sql_error;
use crate::wait::Patience;

/// What a build finds on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Whatever is there: the build touches only its own database.
    AsItIs,
    /// What was there before the first build: the build may touch the whole server.
    Pristine,
}

/// How long the server may take to read its configuration again.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(20);

/// Makes a dedicated server what it was before its first build. The caller holds the lock of the template that it builds.
///
/// # Errors
/// [`ErrorKind::ServerLost`](crate::ErrorKind::ServerLost): something that cannot be undone is left, or a process still
/// uses a database. The server is given up.
pub(super) async fn restore(server: &Server, admin: &mut PgConnection) -> Result<()> {
    let now = state(server, admin).await?;
    let Some(first) = server.first_state(&now.join("\n"))? else {
        return Ok(());
    };
    // A living test may need the roles that an earlier build has made.
    let held = clean_up::everything(server, admin).await?.held;
    if !held.is_empty() {
        return Err(server.give_up_state(format!("databases in use: {}", held.join(", "))));
    }
    // What is refused shows in the comparison.
    if let Err(error) = undo(server, admin).await {
        tracing::warn!(?error, "a dedicated server cannot be made as it was");
    }
    let now = state(server, admin).await?;
    let (first, now): (BTreeSet<&str>, BTreeSet<&str>) = (
        first.lines().collect(),
        now.iter().map(String::as_str).collect(),
    );
    if first == now {
        return Ok(());
    }
    let differences = now.difference(&first).map(|line| format!("left: {line}"));
    let differences = differences.chain(
        first
            .difference(&now)
            .map(|line| format!("changed: {line}")),
    );
    let differences = differences.collect::<Vec<_>>().join("\n");
    Err(server.give_up_state(differences))
}

/// Everything that a server keeps beside the contents of its databases, one line for each row.
async fn state(server: &Server, admin: &mut PgConnection) -> Result<Vec<String>> {
    // Columns that count or that differ from server to server are left out.
    let mut parts = vec![
        "select 'role', to_jsonb(t) - 'rolpassword' from pg_authid t",
        "select 'member', to_jsonb(t) - 'oid' from pg_auth_members t",
        "select 'setting', to_jsonb(t) from pg_db_role_setting t",
        "select 'database', to_jsonb(t) - '{datfrozenxid,datminmxid,datlastsysoid,dathasloginevt}'::text[] \
         from pg_database t",
        "select 'tablespace', to_jsonb(t) from pg_tablespace t",
        "select 'comment', to_jsonb(t) from pg_shdescription t",
        "select 'label', to_jsonb(t) from pg_shseclabel t",
        "select 'subscription', to_jsonb(t.subname) from pg_subscription t",
        "select 'origin', to_jsonb(t.roname) from pg_replication_origin t",
        "select 'slot', to_jsonb(t.slot_name) from pg_replication_slots t",
        "select 'prepared', to_jsonb(t.gid) from pg_prepared_xacts t",
        "select 'configured', to_jsonb(t.name) from pg_file_settings t where sourcefile ~ 'postgresql\\.auto\\.conf$'",
    ];
    if server.version_num >= 150_000 {
        parts.push("select 'parameter', to_jsonb(t) - 'oid' from pg_parameter_acl t");
    }
    let query = format!(
        "select kind || ' ' || row from ({}) as t(kind, row) order by 1",
        parts.join(" union all ")
    );
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_all(admin)
        .await
        .map_err(|error| sql_error::failed("reading the server's own objects", error))
}

async fn undo(server: &Server, admin: &mut PgConnection) -> Result<()> {
    for query in [
        // Only templates are altered: ALTER DATABASE ends the session where an earlier drop was interrupted.
        "select 'alter database ' || quote_ident(datname) || ' is_template false' from pg_database \
         where datistemplate and oid >= 16384 and datname not in ('postgres', 'template0', 'template1')",
        "select 'drop database ' || quote_ident(datname) || ' with (force)' from pg_database \
         where oid >= 16384 and datname not in ('postgres', 'template0', 'template1')",
        "select 'select pg_drop_replication_slot(' || quote_literal(slot_name) || ')' from pg_replication_slots",
        "select 'select pg_replication_origin_drop(' || quote_literal(roname) || ')' from pg_replication_origin",
        "select 'drop tablespace ' || quote_ident(spcname) from pg_tablespace where oid >= 16384",
    ] {
        each(admin, query).await?;
    }
    drop_roles(admin).await?;
    // The others are reserved, and no statement changes them.
    let bootstrap =
        "select 'alter role ' || quote_ident(rolname) || ' reset all' from pg_roles where oid = 10";
    each(admin, bootstrap).await?;
    run(admin, "alter role all reset all").await?;
    each(admin, "select 'alter database ' || quote_ident(datname) || ' reset all' from pg_database where oid < 16384")
        .await?;
    if server.version_num >= 150_000 {
        let revoke = "select 'revoke all on parameter ' || quote_ident(parname) || ' from public' from pg_parameter_acl";
        each(admin, revoke).await?;
    }
    unconfigure(admin).await
}

async fn drop_roles(admin: &mut PgConnection) -> Result<()> {
    let names: Vec<String> =
        sqlx::query_scalar("select rolname::text from pg_roles where oid >= 16384")
            .fetch_all(&mut *admin)
            .await
            .map_err(|error| sql_error::failed("reading the roles", error))?;
    if names.is_empty() {
        return Ok(());
    }
    // All at once, because a role may have granted another one, or own what depends on it.
    let names = names
        .iter()
        .map(|name| Ident(name).to_string())
        .collect::<Vec<_>>()
        .join(", ");
    run(admin, &format!("drop owned by {names} cascade")).await?;
    run(admin, &format!("drop role {names}")).await
}

/// Takes back `ALTER SYSTEM`. A session reads the configuration after the postmaster has, so once this one has read it,
/// every later session begins with it.
async fn unconfigure(admin: &mut PgConnection) -> Result<()> {
    let failed = |error| sql_error::failed("resetting the server's configuration", error);
    let configured: bool = sqlx::query_scalar(
        "select exists (select from pg_file_settings where sourcefile ~ 'postgresql\\.auto\\.conf$')",
    )
    .fetch_one(&mut *admin)
    .await
    .map_err(failed)?;
    if !configured {
        return Ok(());
    }
    let loaded = "select pg_conf_load_time()::text";
    let before: String = sqlx::query_scalar(loaded)
        .fetch_one(&mut *admin)
        .await
        .map_err(failed)?;
    run(admin, "alter system reset all").await?;
    run(admin, "select pg_reload_conf()").await?;
    let mut patience = Patience::new("resetting the server's configuration", RELOAD_TIMEOUT);
    loop {
        let now: String = sqlx::query_scalar(loaded)
            .fetch_one(&mut *admin)
            .await
            .map_err(failed)?;
        if now != before {
            return Ok(());
        }
        patience.pause("it has not been read again").await?;
    }
}

/// Runs every statement that a query makes.
async fn each(admin: &mut PgConnection, query: &'static str) -> Result<()> {
    let statements: Vec<String> = sqlx::query_scalar(query)
        .fetch_all(&mut *admin)
        .await
        .map_err(|error| sql_error::failed("reading the server's own objects", error))?;
    for statement in statements {
        run(admin, &statement).await?;
    }
    Ok(())
}

async fn run(admin: &mut PgConnection, statement: &str) -> Result<()> {
    tracing::debug!(statement, "making the server as it was");
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(admin)
        .await;
    done.map(drop)
        .map_err(|error| sql_error::failed(statement, error))
}
