//! Keeps the user's event triggers from firing for our own objects.
//!
//! An event trigger that logs every command would write into the user's tables and move their sequences; one that
//! refuses commands would refuse our schema.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use crate::names::Ident;

/// Event triggers that were disabled because they fire whatever `session_replication_role` is.
#[derive(Debug, Default)]
pub(super) struct Resting {
    /// Each with the word that enables it as it was.
    disabled: Vec<(String, &'static str)>,
}

/// Keeps event triggers from firing in this session. Only a superuser may do that, and only a superuser may create an
/// event trigger.
///
/// With `session_replication_role = replica` the ordinary ones rest. Those that fire there too are disabled: commands
/// about event triggers do not fire any
/// (<https://www.postgresql.org/docs/current/event-trigger-definition.html>).
pub(super) async fn rest(connection: &mut PgConnection) -> Result<Resting, sqlx::Error> {
    if !super::guard::is_superuser(connection).await? {
        return Ok(Resting::default());
    }
    sqlx::raw_sql("set session_replication_role = replica")
        .execute(&mut *connection)
        .await?;
    let query = "select evtname::text, evtenabled::text from pg_event_trigger where evtenabled in ('A', 'R')";
    let rows = sqlx::query(query).fetch_all(&mut *connection).await?;
    let mut resting = Resting::default();
    for row in &rows {
        let (name, enabled): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let sql = format!("alter event trigger {} disable", Ident(&name));
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut *connection)
            .await?;
        resting.disabled.push((
            name,
            if enabled == "A" {
                "enable always"
            } else {
                "enable replica"
            },
        ));
    }
    Ok(resting)
}

impl Resting {
    /// Leaves the event triggers as they were.
    pub(super) async fn wake(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        for (name, enable) in self.disabled {
            let sql = format!("alter event trigger {} {enable}", Ident(&name));
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }
}
