//! Migrations with rows that are older than they are.

use ebbtide::{Database, Harness, VersionStep};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[ebbtide::test(migrations_up_to = 4)]
async fn old_parts_get_a_category(database: Database) -> Outcome {
    let pool = database.pool();
    sqlx::query("insert into parts (sku, name) values ('BELL-1', 'Bell'), ('4711', 'Pump')")
        .execute(&pool)
        .await?;
    database.migrate().await?;
    let categories: Vec<(String, String)> =
        sqlx::query_as("select name, category from parts order by name")
            .fetch_all(&pool)
            .await?;
    let expected = [("Bell", "bell"), ("Pump", "other")];
    assert_eq!(
        categories,
        expected.map(|(name, it)| (name.to_owned(), it.to_owned()))
    );
    Ok(())
}

#[tokio::test]
async fn every_table_has_a_primary_key_at_every_version() -> ebbtide::Result<()> {
    let check = |step: VersionStep| async move {
        let without_key: Vec<String> = sqlx::query_scalar(
            "select relname::text from pg_class
             where relkind = 'r' and relnamespace = 'public'::regnamespace
             and not exists (select from pg_index where indrelid = pg_class.oid and indisprimary)",
        )
        .fetch_all(&step.pool())
        .await?;
        assert!(
            without_key.is_empty(),
            "{:?}: {without_key:?}",
            step.version()
        );
        Ok::<(), sqlx::Error>(())
    };
    Harness::shared()?.each_version(check).await
}
