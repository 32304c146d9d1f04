//! Brings the contents of a database into a copy of its template, while other sessions use the
//! database.
//!
//! ```text
//!  session on the source: LOCK TABLE .. ACCESS SHARE, then one snapshot of it all
//!    |-- the schema differs from the copy's ------------------> refused
//!    |-- a materialized view has other contents --------------> refused
//!    v
//!  TRUNCATE in the copy, COPY TO | COPY FROM for each table, large objects
//!    v
//!  sequences, last: a row of the snapshot never has a later value than its sequence
//! ```
//!
//! The locks come before the snapshot, because `TRUNCATE` is not safe for older snapshots
//! (<https://www.postgresql.org/docs/current/mvcc-caveats.html>): rows that were removed after the
//! snapshot and before the lock would be missing.

use futures_util::StreamExt as _;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::catalog::{self, LARGE_OBJECT_PAGES, Relations, SchemaDiff, Snapshot};
use crate::names::Literal;

/// Rows are sent to the copy in pieces of this size.
const CHUNK_BYTES: usize = 256 << 10;

/// Settings with which every value survives the way through its text. `pg_dump` sets the same.
const TEXT_SETTINGS: &str = "set local search_path = ''; set local timezone = 'UTC'; \
     set local extra_float_digits = 3; set local datestyle = 'ISO'; \
     set local intervalstyle = 'postgres'; set local bytea_output = 'hex'; \
     set local lc_monetary = 'C'; set local xmloption = content; set local row_security = off";

/// Why contents cannot be brought over. Nothing of the source has changed.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The schema of the source is not that of the template.
    SchemaChanged(Box<SchemaDiff>),
    /// A test has refreshed these materialized views.
    ViewsRefreshed(Vec<String>),
    /// This trigger or rule would act on the copied rows.
    AlwaysFires(String),
    /// The server refused a statement.
    Failed(sqlx::Error),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

/// Makes `copy` equal to `source`. Both are sessions of a superuser. `copy` is on a copy of the
/// template, which no other client uses.
pub(super) async fn transfer(
    source: &mut PgConnection,
    copy: &mut PgConnection,
) -> Result<(), Refusal> {
    let relations = Relations::read(source).await?;
    let mut snapshot = source
        .begin_with("begin isolation level repeatable read read only")
        .await?;
    if !relations.tables.is_empty() {
        let tables = relations.tables.join(", only ");
        let lock = format!("lock table only {tables} in access share mode");
        run(&mut snapshot, lock).await?;
    }
    compare(&relations, &mut snapshot, copy).await?;
    run(&mut snapshot, TEXT_SETTINGS.to_owned()).await?;
    let mut loading = copy.begin().await?;
    // Triggers and foreign keys must not act on the rows, which the source has already checked.
    let settings = format!("set local session_replication_role = replica; {TEXT_SETTINGS}");
    run(&mut loading, settings).await?;
    truncate(&mut loading, &relations.tables).await?;
    for table in &relations.tables {
        pipe(&mut snapshot, &mut loading, table, table).await?;
    }
    transfer_large_objects(&mut snapshot, &mut loading).await?;
    if let Some(positions) = catalog::sequence_positions(&mut snapshot).await? {
        run(&mut loading, positions).await?;
    }
    loading.commit().await?;
    snapshot.rollback().await?;
    Ok(())
}

/// Refuses a source whose schema differs from the copy's, or that has what no COPY brings over.
async fn compare(
    relations: &Relations,
    snapshot: &mut PgConnection,
    copy: &mut PgConnection,
) -> Result<(), Refusal> {
    let mut transaction = copy
        .begin_with("begin isolation level repeatable read read only")
        .await?;
    compare_schemas(snapshot, &mut transaction).await?;
    if let Some(name) = catalog::always_firing_trigger(&mut transaction).await? {
        return Err(Refusal::AlwaysFires(name));
    }
    // A table that a transaction created or renamed between the list and the snapshot.
    let now = Relations::read(snapshot).await?;
    if now != *relations {
        return Err(Refusal::SchemaChanged(Box::default()));
    }
    let mut refreshed = Vec::new();
    for view in &relations.views {
        let digest = format!(
            "select concat(count(*), ' ', \
             sum(('x' || left(md5(_ebbtide_row::text), 15))::bit(60)::int8)) \
             from {view} _ebbtide_row"
        );
        if text(snapshot, &digest).await? != text(&mut transaction, &digest).await? {
            refreshed.push(view.clone());
        }
    }
    transaction.rollback().await?;
    if refreshed.is_empty() {
        Ok(())
    } else {
        Err(Refusal::ViewsRefreshed(refreshed))
    }
}

/// Refuses a source whose schema differs from the copy's.
///
/// Catalogs without a row that was written since the copy prove that the schema is the same.
/// Otherwise the definitions are compared, which takes longer: `TRUNCATE` writes catalogs, too.
async fn compare_schemas(
    snapshot: &mut PgConnection,
    transaction: &mut PgConnection,
) -> Result<(), Refusal> {
    run(snapshot, "savepoint _ebbtide_state".to_owned()).await?;
    // A test may have dropped the schema that the state is compared with.
    let state = catalog::catalog_state(snapshot).await.ok();
    run(snapshot, "rollback to savepoint _ebbtide_state".to_owned()).await?;
    if state.is_some() && state == catalog::catalog_state(transaction).await.ok() {
        return Ok(());
    }
    let found = Snapshot::read_within(snapshot, &[]).await?;
    let expected = Snapshot::read_within(transaction, &[]).await?;
    let difference = expected.compare(&found);
    if difference.is_clean() {
        Ok(())
    } else {
        Err(Refusal::SchemaChanged(Box::new(difference)))
    }
}

/// Empties tables and leaves no dead rows, which would change the order of later ones.
///
/// PostgreSQL refuses to truncate a table alone that a foreign key refers to, and recognises such a
/// table by `relhastriggers`. A list of all tables would not do: with a partitioned table it
/// reaches partitions that are foreign tables.
async fn truncate(loading: &mut PgConnection, tables: &[String]) -> Result<(), sqlx::Error> {
    if tables.is_empty() {
        return Ok(());
    }
    let names = tables
        .iter()
        .map(|table| format!("{}::regclass", Literal(table)));
    let names = names.collect::<Vec<_>>().join(", ");
    let hide = format!(
        "update pg_catalog.pg_class set relhastriggers = false \
         where oid in ({names}) and relhastriggers returning oid::int8"
    );
    let with_triggers: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(hide))
        .fetch_all(&mut *loading)
        .await?;
    run(loading, format!("truncate only {}", tables.join(", only "))).await?;
    let show = "update pg_catalog.pg_class set relhastriggers = true where oid::int8 = any($1)";
    sqlx::query(show)
        .bind(with_triggers)
        .execute(loading)
        .await?;
    Ok(())
}

async fn transfer_large_objects(
    snapshot: &mut PgConnection,
    loading: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    let unlink = "select count(pg_catalog.lo_unlink(oid)) from pg_catalog.pg_largeobject_metadata";
    run(loading, unlink.to_owned()).await?;
    let create = catalog::large_objects(snapshot).await?;
    if create.is_empty() {
        return Ok(());
    }
    run(loading, create.join("; ")).await?;
    // `lo_create` leaves an object without pages.
    pipe(snapshot, loading, LARGE_OBJECT_PAGES, LARGE_OBJECT_PAGES).await
}

/// Copies rows from one session to another.
async fn pipe(
    from: &mut PgConnection,
    to: &mut PgConnection,
    source: &str,
    target: &str,
) -> Result<(), sqlx::Error> {
    let mut rows = from
        .copy_out_raw(&format!("copy {source} to stdout"))
        .await?;
    let mut sink = to.copy_in_raw(&format!("copy {target} from stdin")).await?;
    let mut chunk = Vec::new();
    while let Some(row) = rows.next().await {
        chunk.extend_from_slice(&row?);
        if chunk.len() >= CHUNK_BYTES {
            sink.send(std::mem::take(&mut chunk)).await?;
        }
    }
    if !chunk.is_empty() {
        sink.send(chunk).await?;
    }
    sink.finish().await.map(drop)
}

async fn run(session: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(session)
        .await
        .map(drop)
}

async fn text(session: &mut PgConnection, query: &str) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
        .fetch_one(session)
        .await
}
