//! Restores a dedicated server to its state before the first build.
//!
//! A build with server-wide statements, such as `CREATE ROLE`, fails if an earlier build has left
//! the same objects. That build may have failed, may have been killed, or its template was dropped.
//! So each such build begins with the state that the server started with.
//!
//! ```text
//!  first build   writes server_objects() to the file `first-state`
//!  later builds  drop every unused database, undo the rest, compare server_objects() with the file
//!                  equal:      the build begins
//!                  different:  no process joins this server again; the next start makes a new one
//! ```
//!
//! The comparison is the proof: not everything can be undone by statements.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::clean_up;
use crate::error::Result;
use crate::names::Ident;
use crate::server::Server;
use crate::sql_error;
use crate::wait::Polling;

/// What a build requires of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequiredServer {
    /// Nothing: the build changes only its own database.
    Any,
    /// The state before the first build: the build may change the whole server.
    Pristine,
}

/// How long the server may take to reload its configuration.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(20);

/// Restores a dedicated server to its state before the first build. The caller holds the build lock
/// of its template.
///
/// The first call on a server only records the state. If a process still uses a database, a later
/// call gives the server up before it undoes anything. That process's test may need the roles of an
/// earlier build.
///
/// # Errors
/// [`ErrorKind::ServerLost`](crate::ErrorKind::ServerLost): a process still uses a database, or
/// something is left that cannot be undone. The server is given up.
pub(super) async fn restore(server: &Server, admin: &mut PgConnection) -> Result<()> {
    let now = server_objects(server, admin).await?;
    let Some(first) = server.first_state(&now.join("\n"))? else {
        return Ok(());
    };
    // The session that holds the build lock may take it a second time. So old lanes of the template
    // that is about to be built are dropped, too.
    let held = clean_up::drop_all_unused(server, admin).await?.held;
    if !held.is_empty() {
        return Err(server.give_up_state(format!("databases in use: {}", held.join(", "))));
    }
    // If a statement fails, the comparison below finds what is left.
    if let Err(error) = undo(server, admin).await {
        tracing::warn!(?error, "could not restore a dedicated server");
    }
    let now = server_objects(server, admin).await?;
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

/// Everything that a server stores outside its databases, one line for each row of a shared
/// catalog.
async fn server_objects(server: &Server, admin: &mut PgConnection) -> Result<Vec<String>> {
    // Left out: counters, and columns that differ from server to server.
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

/// Undoes what earlier builds did to the server. The statements are generated from its catalogs.
async fn undo(server: &Server, admin: &mut PgConnection) -> Result<()> {
    // Databases go first: roles that own objects in them, and tablespaces that they lie in, cannot
    // be dropped before. Objects that `initdb` has made have identifiers below 16384.
    for query in [
        // Only templates are altered: ALTER DATABASE ends the session if an earlier drop of the
        // database was interrupted (`AlterDatabase` in PostgreSQL's `dbcommands.c`).
        "select 'alter database ' || quote_ident(datname) || ' is_template false' from pg_database \
         where datistemplate and oid >= 16384 and datname not in ('postgres', 'template0', 'template1')",
        "select 'drop database ' || quote_ident(datname) || ' with (force)' from pg_database \
         where oid >= 16384 and datname not in ('postgres', 'template0', 'template1')",
        "select 'select pg_drop_replication_slot(' || quote_literal(slot_name) || ')' from pg_replication_slots",
        "select 'select pg_replication_origin_drop(' || quote_literal(roname) || ')' from pg_replication_origin",
        "select 'drop tablespace ' || quote_ident(spcname) from pg_tablespace where oid >= 16384",
    ] {
        run_generated(admin, query).await?;
    }
    drop_roles(admin).await?;
    // Of the roles that `initdb` makes, only the bootstrap superuser (10) can be altered. The names
    // of the others are reserved.
    let bootstrap =
        "select 'alter role ' || quote_ident(rolname) || ' reset all' from pg_roles where oid = 10";
    run_generated(admin, bootstrap).await?;
    run(admin, "alter role all reset all").await?;
    let databases = "select 'alter database ' || quote_ident(datname) || ' reset all' from pg_database where oid < 16384";
    run_generated(admin, databases).await?;
    if server.version_num >= 150_000 {
        let revoke = "select 'revoke all on parameter ' || quote_ident(parname) || ' from public' from pg_parameter_acl";
        run_generated(admin, revoke).await?;
    }
    reset_configuration(admin).await
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
    // All roles in one statement: a role may have granted membership in another one, or own an
    // object that depends on it.
    let names = names
        .iter()
        .map(|name| Ident(name).to_string())
        .collect::<Vec<_>>()
        .join(", ");
    // DROP OWNED also revokes privileges on databases, tablespaces and parameters, for which DROP
    // ROLE would fail. https://www.postgresql.org/docs/current/sql-drop-owned.html
    run(admin, &format!("drop owned by {names} cascade")).await?;
    run(admin, &format!("drop role {names}")).await
}

/// Undoes `ALTER SYSTEM`, and waits until the server has reloaded its configuration.
async fn reset_configuration(admin: &mut PgConnection) -> Result<()> {
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
    // The postmaster reloads before it signals the sessions. So when `pg_conf_load_time()` of this
    // session changes, every later session begins with the new configuration.
    let mut polling = Polling::new("resetting the server's configuration", RELOAD_TIMEOUT);
    loop {
        let now: String = sqlx::query_scalar(loaded)
            .fetch_one(&mut *admin)
            .await
            .map_err(failed)?;
        if now != before {
            return Ok(());
        }
        polling
            .pause("the configuration is not reloaded yet")
            .await?;
    }
}

/// Runs every statement that a query returns.
async fn run_generated(admin: &mut PgConnection, query: &'static str) -> Result<()> {
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
    tracing::debug!(statement, "restoring a dedicated server");
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(admin)
        .await;
    done.map(drop)
        .map_err(|error| sql_error::failed(statement, error))
}
