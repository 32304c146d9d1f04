//! One change of every kind. The comparison must report that change and nothing else.

use ebbtide::schema::SchemaDiff;

use crate::support::Scratch;
use crate::support::shop::{CHANGES, changed, shop_harness};

fn reported(diff: &SchemaDiff) -> Vec<String> {
    let missing = diff
        .missing
        .iter()
        .map(|object| format!("missing {object}"));
    let extra = diff.extra.iter().map(|object| format!("extra {object}"));
    let different = diff
        .different
        .iter()
        .map(|difference| format!("different {}", difference.object));
    missing.chain(extra).chain(different).collect()
}

#[tokio::test]
async fn every_change_is_reported_and_nothing_else_is() {
    let scratch = Scratch::new();
    let harness = shop_harness(&scratch);
    let mut wrong = Vec::new();
    for (sql, expected) in CHANGES {
        let database = changed(&harness, sql).await;
        let report = harness.diff(database.url()).await.unwrap();
        database.close().await.unwrap();
        let reported = reported(&report.diff);
        if reported != expected {
            wrong.push(format!(
                "{sql}\n  expected {expected:?}\n  reported {reported:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_change_outside_the_schema_is_no_difference() {
    let scratch = Scratch::new();
    let harness = shop_harness(&scratch);
    let database = changed(
        &harness,
        "insert into customers (name) values ('Laura'); select nextval('tickets'); analyze; \
         create temporary table mine (id int); \
         create function taken() returns int language sql as 'select 1'; drop function taken()",
    )
    .await;
    let report = harness.diff(database.url()).await.unwrap();
    assert!(report.is_clean(), "{report}");
    database.close().await.unwrap();
}
