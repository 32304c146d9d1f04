//! Tests of the salon's schema and seeds, which its booking assistant depends on.

use crate::support::salon::{assert_lacks_uuid_ossp, salon};
use ebbtide::ErrorKind;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

type Result<T = ()> = ebbtide::Result<T>;

async fn names(connection: &mut PgConnection, query: &'static str) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(query).fetch_all(connection).await?)
}

#[tokio::test]
async fn both_extensions_are_installed_with_their_versions() -> Result {
    let mut tx = match ebbtide::tx().await {
        Err(error) if error.kind() == ErrorKind::ExtensionUnavailable => {
            return assert_lacks_uuid_ossp(&format!("{error:?}")).await;
        }
        other => other?,
    };
    let found = names(
        &mut tx,
        "select extname || ' ' || extversion from pg_extension where extname in ('uuid-ossp', 'pg_trgm') order by 1",
    )
    .await?;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("pg_trgm 1."), "{found:?}");
    assert_eq!(found[1], "uuid-ossp 1.1");
    tx.close().await
}

#[tokio::test]
async fn the_seeds_are_loaded() -> Result {
    let mut tx = salon().await?;
    let stylists = names(
        &mut tx,
        "select first_name || ' ' || category from stylists order by first_name collate \"C\"",
    )
    .await?;
    assert_eq!(
        stylists,
        [
            "Harol hairdressing",
            "Marta both",
            "Pilar hairdressing",
            "Rosa aesthetics",
            "Víctor hairdressing"
        ]
    );
    let policies = names(
        &mut tx,
        "select category || ' ' || count(*) from policies group by category order by 1",
    )
    .await?;
    assert_eq!(policies, ["business_rule 5", "faq 2"]);
    tx.close().await
}

#[tokio::test]
async fn the_time_zone_is_that_of_madrid_although_the_driver_requests_utc() -> Result {
    let mut tx = salon().await?;
    let zone: String = sqlx::query_scalar("show timezone")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(zone, "Europe/Madrid");
    tx.close().await
}

#[tokio::test]
async fn a_new_customer_has_spent_nothing() -> Result {
    let mut tx = salon().await?;
    let row = sqlx::query(
        "insert into customers (phone, first_name, last_name) values ('+34612000001', 'Laura', 'García') \
         returning total_spent::text, metadata::text",
    )
    .fetch_one(&mut *tx)
    .await?;
    assert_eq!(row.try_get::<String, _>(0)?, "0.00");
    assert_eq!(row.try_get::<String, _>(1)?, "{}");
    tx.close().await
}

#[tokio::test]
async fn a_phone_that_is_not_e164_is_refused() -> Result {
    let mut tx = salon().await?;
    let insert = "insert into customers (phone, first_name, last_name) values ('612 000 001', 'Laura', 'García')";
    let refused = sqlx::query(insert).execute(&mut *tx).await.unwrap_err();
    assert_eq!(
        refused
            .as_database_error()
            .and_then(|error| error.constraint()),
        Some("customers_phone_check")
    );
    tx.close().await
}

#[tokio::test]
async fn a_misspelt_service_is_found_through_the_index() -> Result {
    let mut tx = salon().await?;
    let search = "select id, name from services where name % 'Corte de Cabalero' order by similarity(name, 'Corte de Cabalero') desc";
    let found: String = sqlx::query(search)
        .fetch_one(&mut *tx)
        .await?
        .try_get("name")?;
    assert_eq!(found, "Corte de Caballero");
    sqlx::raw_sql("set local enable_seqscan = off")
        .execute(&mut *tx)
        .await?;
    let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("explain {search}")))
        .fetch_all(&mut *tx)
        .await?;
    assert!(
        plan.iter()
            .any(|line| line.contains("idx_services_name_trgm")),
        "{plan:#?}"
    );
    tx.close().await
}

#[tokio::test]
async fn a_pack_with_a_missing_service_is_refused_by_name() -> Result {
    let mut tx = salon().await?;
    let mut inner = tx.begin().await?;
    let refused = sqlx::query(
        "insert into packs (name, included_service_ids, price) values ('Novia', array[uuid_generate_v4()], 90)",
    )
    .execute(&mut *inner)
    .await
    .unwrap_err();
    inner.rollback().await?;
    assert!(refused.to_string().contains("Novia"), "{refused}");
    let packs: i64 = sqlx::query_scalar("select count(*) from packs")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(packs, 2);
    tx.close().await
}

#[tokio::test]
async fn an_appointment_of_an_unknown_customer_fails_the_test_at_its_end() -> Result {
    let mut tx = salon().await?;
    sqlx::query(
        "insert into appointments (customer_id, stylist_id, service_id, start_at, end_at) \
         select uuid_generate_v4(), stylists.id, services.id, now(), now() + interval '30 minutes' \
         from stylists, services where stylists.first_name = 'Pilar' limit 1",
    )
    .execute(&mut *tx)
    .await?;
    let error = tx.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConstraintViolated);
    assert!(
        error.to_string().contains("appointments_customer_fkey"),
        "{error}"
    );
    Ok(())
}
