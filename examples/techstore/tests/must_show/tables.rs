//! The columns that every table has.

use ebbtide::Tx;

use super::Outcome;

#[ebbtide::test]
async fn every_table_has_the_base_columns(mut tx: Tx) -> Outcome {
    let columns = "select relname::text, array_agg(attname::text order by attname)
                   from pg_class join pg_attribute on attrelid = pg_class.oid
                   where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> '_sqlx_migrations'
                     and attname in ('id', 'is_active', 'created_at', 'updated_at') and attnotnull
                   group by relname order by relname";
    let columns: Vec<(String, Vec<String>)> = sqlx::query_as(columns).fetch_all(&mut *tx).await?;
    let base = ["created_at", "id", "is_active", "updated_at"]
        .map(str::to_owned)
        .to_vec();
    let expected = ["categories", "customers", "orders", "products"]
        .map(|table| (table.to_owned(), base.clone()));
    assert_eq!(columns, expected);
    Ok(())
}

#[ebbtide::test]
async fn every_table_has_a_trigger_that_sets_updated_at(mut tx: Tx) -> Outcome {
    let without = "select relname::text from pg_class
                   where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> '_sqlx_migrations'
                     and not exists (select from pg_trigger where tgrelid = pg_class.oid and tgfoid = 'touch'::regproc)";
    let without: Vec<String> = sqlx::query_scalar(without).fetch_all(&mut *tx).await?;
    assert_eq!(without, Vec::<String>::new());
    let update = "update categories set name = 'Monitors' where name = 'Screens'
                  returning is_active and updated_at > created_at";
    assert!(
        sqlx::query_scalar::<_, bool>(update)
            .fetch_one(&mut *tx)
            .await?
    );
    Ok(())
}
