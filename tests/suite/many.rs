//! Two hundred tests that would disturb each other on one database. Each one draws numbers from the
//! same sequences, writes the same unique values, and expects no rows of other tests.

use crate::support::salon::salon;
use ebbtide::Tx;

async fn finds_only_its_own_rows(mut tx: Tx) -> ebbtide::Result<()> {
    let customers: i64 = sqlx::query_scalar("select count(*) from customers")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(customers, 0, "another test's customers are visible");
    let customer: uuid::Uuid = sqlx::query_scalar(
        "insert into customers (phone, first_name, last_name) values ('+34612000001', 'Laura', 'García') returning id",
    )
    .fetch_one(&mut *tx)
    .await?;
    for expected in 1..=3_i64 {
        let id: i64 = sqlx::query_scalar(
            "insert into appointments (customer_id, stylist_id, service_id, start_at, end_at) \
             select $1, stylists.id, services.id, now() + $2 * interval '1 hour', now() + $2 * interval '1 hour' + interval '40 minutes' \
             from stylists, services where stylists.first_name = 'Marta' and services.name = 'Corte de Caballero' \
             returning id",
        )
        .bind(customer)
        .bind(f64::from(i32::try_from(expected).unwrap_or_default()))
        .fetch_one(&mut *tx)
        .await?;
        assert_eq!(id, expected, "the sequence starts at 1 in every test");
    }
    let services: i64 = sqlx::query_scalar("select count(*) from services")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(services, 15);
    tx.close().await
}

macro_rules! tests {
    ($($group:ident)*) => { $(mod $group {
        tests! { @in a b c d e f g h i j }
    })* };
    (@in $($name:ident)*) => { $(
        #[tokio::test]
        async fn $name() -> ebbtide::Result<()> {
            super::finds_only_its_own_rows(super::salon().await?).await
        }
    )* };
}

tests! { t00 t01 t02 t03 t04 t05 t06 t07 t08 t09 t10 t11 t12 t13 t14 t15 t16 t17 t18 t19 }
