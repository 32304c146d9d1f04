//! Removes what keeps the server from dropping a database.
//!
//! `DROP DATABASE ... WITH (FORCE)` ends ordinary sessions. It fails while the database has
//! prepared transactions, active logical replication slots or subscriptions
//! (<https://www.postgresql.org/docs/current/sql-dropdatabase.html>). A test may leave all of them,
//! and so may a migration that fails half-way.

use sqlx::AssertSqlSafe;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::names::{DatabaseName, Ident, Literal};
use crate::server::Server;
use crate::sql_error;

/// Whether leftovers may be the reason why a drop failed.
pub(super) fn may_block_drop(error: &sqlx::Error) -> bool {
    sql_error::is_object_in_use(error)
}

/// Ends the sessions on a database, and removes its replication slots, prepared transactions and
/// subscriptions.
///
/// The last two need a session on the database itself, so one is opened only if there are any.
pub(super) async fn remove(
    server: &Server,
    admin: &mut PgConnection,
    database: &DatabaseName,
) -> Result<(), sqlx::Error> {
    end_replication(admin, database).await?;
    let inside: bool = sqlx::query_scalar(
        "select exists (select from pg_prepared_xacts where database = $1) \
         or exists (select from pg_subscription s join pg_database d on d.oid = s.subdbid where d.datname = $1)",
    )
    .bind(database.as_str())
    .fetch_one(&mut *admin)
    .await?;
    if !inside {
        return Ok(());
    }
    // A template accepts no connections, and a connection limit may be reached.
    let open = format!("alter database {database} allow_connections true connection limit -1");
    sqlx::raw_sql(AssertSqlSafe(open)).execute(admin).await?;
    // The database's own settings may make its sessions read-only.
    let options = server
        .conn
        .options(database.as_str())
        .options([("default_transaction_read_only", "off")]);
    let mut connection = PgConnection::connect_with(&options).await?;
    let removed = remove_from_inside(&mut connection).await;
    // If closing fails, the drop ends the session.
    let _ = connection.close().await;
    removed
}

/// Ends the sessions on a database, and drops its replication slots.
///
/// FORCE does not end a walsender, and a walsender's slot cannot be dropped. A slot is dropped only
/// once its walsender has ended; the caller's next round finds those that are active now.
async fn end_replication(
    admin: &mut PgConnection,
    database: &DatabaseName,
) -> Result<(), sqlx::Error> {
    // Only sessions that this role may end: one refusal would fail the whole statement.
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid() \
               and (datname = $1 or pid in (select active_pid from pg_replication_slots where database = $1)) \
               and pg_has_role(usesysid, 'member')";
    sqlx::query(end)
        .bind(database.as_str())
        .execute(&mut *admin)
        .await?;
    let slots: Vec<String> = sqlx::query_scalar(
        "select slot_name::text from pg_replication_slots where database = $1 and not active",
    )
    .bind(database.as_str())
    .fetch_all(&mut *admin)
    .await?;
    for slot in slots {
        let drop_slot = format!("select pg_drop_replication_slot({})", Literal(&slot));
        let dropped = sqlx::raw_sql(AssertSqlSafe(drop_slot))
            .execute(&mut *admin)
            .await;
        // object_in_use: a client has connected to the slot again. undefined_object: another
        // session has dropped it. The next attempt to drop the database decides.
        let is_expected =
            |error: &sqlx::Error| matches!(sql_error::code(error), Some("55006" | "42704"));
        if let Err(error) = dropped
            && !is_expected(&error)
        {
            return Err(error);
        }
    }
    Ok(())
}

/// Rolls back the prepared transactions and drops the subscriptions of the session's database. Only
/// a session on the database can.
async fn remove_from_inside(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let prepared: Vec<String> =
        sqlx::query_scalar("select gid from pg_prepared_xacts where database = current_database()")
            .fetch_all(&mut *connection)
            .await?;
    for transaction in prepared {
        run(
            connection,
            format!("rollback prepared {}", Literal(&transaction)),
        )
        .await?;
    }
    let subscriptions: Vec<String> = sqlx::query_scalar(
        "select subname::text from pg_subscription s join pg_database d on d.oid = s.subdbid \
         where d.datname = current_database()",
    )
    .fetch_all(&mut *connection)
    .await?;
    for subscription in subscriptions {
        let name = Ident(&subscription);
        // With a slot, DROP SUBSCRIPTION connects to the publisher to drop the slot there.
        // https://www.postgresql.org/docs/current/sql-dropsubscription.html
        run(connection, format!("alter subscription {name} disable")).await?;
        run(
            connection,
            format!("alter subscription {name} set (slot_name = none)"),
        )
        .await?;
        run(connection, format!("drop subscription {name}")).await?;
    }
    Ok(())
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .map(drop)
}
