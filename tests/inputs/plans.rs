//! Named plans without the attribute: contents, templates, reports and checks of their own.

use crate::support::Scratch;
use ebbtide::{ErrorKind, Harness};

/// A shop and its audit log.
fn project() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("shop/1_orders.sql", "create table orders (id int);");
    scratch.write("audit/1_events.sql", "create table events (id int);");
    scratch.write("rows/events.csv", "id\n1\n2\n");
    scratch.write(
        "ebbtide.toml",
        "[provision]
         migrations = 'shop'
         seeds = false
         [plan.audit.provision]
         migrations = 'audit'
         seeds = 'rows'
         expect = { tables = ['events'], rows = { events = 2 } }
         [plan.copy.provision]
         migrations = 'audit'
         seeds = 'rows'
         expect = { tables = ['events'], rows = { events = 2 } }
         [plan.wrong.provision]
         migrations = 'audit'
         expect = { rows = { events = 3 } }
         [plan.empty.provision]
         migrations = false",
    );
    scratch
}

fn named(scratch: &Scratch, plan: &str) -> Harness {
    let builder = Harness::builder().config_file(scratch.path("ebbtide.toml"));
    builder.plan(plan).build().unwrap()
}

async fn tables(harness: &Harness) -> Vec<String> {
    let mut tx = harness.tx().await.unwrap();
    let names = sqlx::query_scalar(
        "select tablename::text from pg_tables \
         where schemaname = 'public' and tablename <> '_sqlx_migrations' order by 1",
    )
    .fetch_all(&mut *tx)
    .await
    .unwrap();
    tx.close().await.unwrap();
    names
}

#[tokio::test]
async fn each_plan_has_a_template_of_its_own_unless_the_contents_are_equal() {
    let scratch = project();
    let shop = Harness::builder()
        .config_file(scratch.path("ebbtide.toml"))
        .build()
        .unwrap();
    let (audit, empty) = (named(&scratch, "audit"), named(&scratch, "empty"));
    assert_eq!(tables(&shop).await, ["orders"]);
    assert_eq!(tables(&audit).await, ["events"]);
    assert_eq!(tables(&empty).await, [""; 0]);
    let template = audit.provision().await.unwrap();
    assert_eq!(template.provisioned.seeds[0].inserted, 2);
    let copy = named(&scratch, "copy").provision().await.unwrap();
    assert_eq!(copy.fingerprint, template.fingerprint);
    let of_shop = shop.provision().await.unwrap();
    assert_ne!(of_shop.fingerprint, template.fingerprint);
}

#[tokio::test]
async fn the_expectations_of_a_plan_are_its_own() {
    let scratch = project();
    let error = named(&scratch, "wrong").tx().await.expect_err("no rows");
    assert_eq!(error.kind(), ErrorKind::Expectation, "{error:?}");
}

#[tokio::test]
async fn health_and_diff_are_about_the_plan() {
    let scratch = project();
    let (audit, empty) = (named(&scratch, "audit"), named(&scratch, "empty"));
    let health = audit.health().await;
    assert!(health.problem.is_none(), "{health}");
    let database = audit.database().await.unwrap();
    let same = audit.diff(database.url()).await.unwrap();
    assert!(same.is_clean(), "{same}");
    let other = empty.diff(database.url()).await.unwrap();
    assert!(other.to_string().contains("events"), "{other}");
    database.close().await.unwrap();
}
