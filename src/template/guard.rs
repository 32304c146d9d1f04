//! Installs what a lane's transactions need to be refused a commit and to find their sequences restored.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::reset;
use crate::catalog;
use crate::names::Literal;

/// The objects of our own schema. One place is filled in: the sequences are those of the template.
const GUARD: &str = include_str!("guard.sql");

/// Installs the guard as the last objects of a template, since it remembers where the sequences stand. A copy of a
/// template has one already, which knows nothing of what was added since.
pub(super) async fn install(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("drop schema if exists _ebbtide cascade").execute(&mut *connection).await?;
    let restoring = restoring(connection).await?;
    let guard = GUARD.replace("{restore_sequences}", &restoring);
    sqlx::raw_sql(AssertSqlSafe(guard)).execute(&mut *connection).await?;
    reset::install(connection, &restoring).await
}

/// A statement that sets back the sequences which moved: rollback undoes neither `nextval` nor `setval`
/// (<https://www.postgresql.org/docs/current/functions-sequence.html>).
async fn restoring(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let mut now = Vec::new();
    for sequence in catalog::sequences(connection).await? {
        let name = sequence.quoted();
        let row = sqlx::query(AssertSqlSafe(format!("select last_value, is_called from {name}")))
            .fetch_one(&mut *connection)
            .await?;
        let (last_value, is_called): (i64, bool) = (row.try_get(0)?, row.try_get(1)?);
        now.push(format!(
            "select {}::regclass, {last_value}::bigint, {is_called}, last_value, is_called from {name}",
            Literal(&name)
        ));
    }
    if now.is_empty() {
        return Ok(String::new());
    }
    Ok(format!(
        "perform setval(s.sequence, s.value, s.called) from ({}) s(sequence, value, called, now_value, now_called) \
         where (s.value, s.called) is distinct from (s.now_value, s.now_called);",
        now.join(" union all ")
    ))
}
