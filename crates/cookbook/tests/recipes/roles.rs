//! Tests with the rights of the application, of another role, and of a superuser.

use ebbtide::Tx;

const PART: &str = "insert into parts (sku, name) values ('BELL-1', 'Bell')";

/// The SQLSTATE of the error that the statement must cause. 42501 is `insufficient_privilege`.
async fn sqlstate_of(tx: &mut Tx, sql: &'static str) -> String {
    match sqlx::query(sql).execute(&mut **tx).await {
        Err(sqlx::Error::Database(error)) => error.code().unwrap_or_default().into_owned(),
        other => panic!("the server must refuse {sql}: {other:?}"),
    }
}

#[ebbtide::test(savepoints)]
async fn the_application_writes_rows_and_changes_no_table(mut tx: Tx) -> sqlx::Result<()> {
    sqlx::query(PART).execute(&mut *tx).await?;
    assert_eq!(sqlstate_of(&mut tx, "drop table parts").await, "42501");
    Ok(())
}

#[ebbtide::test(role = "workshop_auditor", savepoints)]
async fn the_auditor_only_reads(mut tx: Tx) -> sqlx::Result<()> {
    let count = "select count(*) from parts";
    let parts: i64 = sqlx::query_scalar(count).fetch_one(&mut *tx).await?;
    assert_eq!(parts, 0);
    assert_eq!(sqlstate_of(&mut tx, PART).await, "42501");
    Ok(())
}

#[ebbtide::test(role = "postgres")]
async fn a_superuser_may_do_everything(mut tx: Tx) -> sqlx::Result<()> {
    sqlx::query("drop table parts").execute(&mut *tx).await?;
    Ok(())
}
