//! Suspends the user's event triggers while ebbtide creates its own objects.
//!
//! An event trigger that logs every command would write into the user's tables and advance their
//! sequences. One that refuses commands would refuse the schema `_ebbtide`.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::catalog;
use crate::guard::exchange::execute;
use crate::names::Ident;

/// Event triggers that were disabled, because they fire for `session_replication_role = replica`
/// too.
#[derive(Debug, Default)]
pub(super) struct SuspendedTriggers {
    /// The name of each trigger, and the clause that restores its state.
    disabled: Vec<(String, &'static str)>,
}

/// Keeps event triggers from firing in this session. Only a superuser may do that, and only a
/// superuser may create an event trigger, so this does nothing for an ordinary role.
///
/// `session_replication_role = replica` stops ordinary event triggers. Those that fire there too
/// (`ENABLE ALWAYS`, `ENABLE REPLICA`) are disabled one by one.
pub(super) async fn suspend(
    connection: &mut PgConnection,
) -> Result<SuspendedTriggers, sqlx::Error> {
    if !catalog::is_superuser(connection).await? {
        return Ok(SuspendedTriggers::default());
    }
    // Not LOCAL: the guard is installed by several messages, and each is a transaction of its own.
    sqlx::raw_sql("set session_replication_role = replica")
        .execute(&mut *connection)
        .await?;
    let query = "select evtname::text, evtenabled::text from pg_event_trigger where evtenabled in ('A', 'R')";
    let rows = sqlx::query(query).fetch_all(&mut *connection).await?;
    let mut suspended = SuspendedTriggers::default();
    for row in &rows {
        let (name, enabled): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        // Commands about event triggers fire none.
        // https://www.postgresql.org/docs/current/event-trigger-definition.html
        let sql = format!("alter event trigger {} disable", Ident(&name));
        execute(connection, sql).await?;
        suspended.disabled.push((
            name,
            if enabled == "A" {
                "enable always"
            } else {
                "enable replica"
            },
        ));
    }
    Ok(suspended)
}

impl SuspendedTriggers {
    /// Restores the state of each disabled event trigger. The session itself keeps
    /// `session_replication_role = replica`; its caller closes it.
    pub(super) async fn resume(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        // An event trigger belongs to one database. If an error comes before this, the builder
        // drops the build, and its disabled triggers with it.
        for (name, enable) in self.disabled {
            let sql = format!("alter event trigger {} {enable}", Ident(&name));
            execute(connection, sql).await?;
        }
        Ok(())
    }
}
