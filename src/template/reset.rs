//! Makes a lane equal to its template again after a test that committed, or says that only a new copy will do.
//!
//! The server counts the rows that were written, for each table and each catalog, and a new copy's counts are zero. From
//! 15 on the counts are exact when the sessions that wrote have ended
//! (<https://www.postgresql.org/docs/current/monitoring-stats.html>). So the schema is unchanged if no catalog's rows are, and tables
//! without writes need not be looked at. What a test wrote into the others is deleted, and the rows of seeds are put
//! back from a copy of them.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::catalog::{self, RowHolder};
use crate::names::{Ident, Literal};

const RESET: &str = include_str!("reset.sql");

/// More seeded rows than that are not kept a second time: a changed table then means a new copy.
const KEPT_ROWS: i64 = 10_000;
/// Bytes of a table above which deleting costs more than copying the database.
const LARGE: u32 = 4 << 20;
/// The first version whose statistics are in shared memory, and not on their way.
const EXACT: i32 = 150_000;

/// Installs the procedure and the seeds' copies, after the last other object.
pub(super) async fn install(connection: &mut PgConnection, restore_sequences: &str) -> Result<(), sqlx::Error> {
    let version: i32 =
        sqlx::query_scalar("select current_setting('server_version_num')::int4").fetch_one(&mut *connection).await?;
    let mut refusal = String::new();
    if version < EXACT {
        refusal = refuse("the statistics of this version may come late");
    } else if let Some(name) = catalog::unstoppable_trigger(connection).await? {
        refusal = refuse(&format!("the trigger or rule {name} works in every session"));
    }
    let holders = catalog::row_holders(connection).await?;
    let rows: i64 = holders.iter().map(|holder| holder.rows).sum();
    let mut contents = vec!["select null::regclass, null::text".to_owned()];
    for (number, holder) in holders.iter().enumerate().filter(|(_, holder)| holder.is_restorable) {
        let restored = match holder.rows {
            0 => String::new(),
            _ if rows > KEPT_ROWS => continue,
            _ => keep_rows(connection, holder, number).await?,
        };
        contents.push(format!("select {}::regclass, {}", Literal(&holder.name.quoted()), Literal(&restored)));
    }
    let reset = RESET
        .replace("{refusal}", &refusal)
        .replace("{contents}", &contents.join(" union all "))
        .replace("{large}", &LARGE.to_string())
        .replace("{restore_sequences}", restore_sequences);
    sqlx::raw_sql(AssertSqlSafe(reset)).execute(connection).await.map(drop)
}

fn refuse(why: &str) -> String {
    format!("raise exception {} using errcode = 'EB001';", Literal(&why.replace('%', "%%")))
}

/// Keeps the rows of a seeded table, and gives the statement that puts them back.
async fn keep_rows(connection: &mut PgConnection, holder: &RowHolder, number: usize) -> Result<String, sqlx::Error> {
    let name = holder.name.quoted();
    let kept = format!("_ebbtide.rows_{number}");
    let columns = holder.columns.iter().map(|column| Ident(column).to_string()).collect::<Vec<_>>().join(", ");
    let copy = format!("create table {kept} as select {columns} from only {name}");
    sqlx::raw_sql(AssertSqlSafe(copy)).execute(connection).await?;
    Ok(format!("insert into {name} ({columns}) overriding system value select {columns} from {kept}"))
}
