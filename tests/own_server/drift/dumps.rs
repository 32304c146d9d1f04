//! `pg_dump` as a second opinion: its output differs exactly where the comparison reports a
//! difference.

use std::path::Path;

use ebbtide::{Database, ErrorKind, Setup};
use sqlx::migrate::Migrator;

use crate::support::pg_dump::pg_dump;
use crate::support::shop::{CHANGES, changed, shop_harness};
use crate::support::systems::{SYSTEMS, system};
use crate::support::{Scratch, runs_natively, this_test};

#[tokio::test]
async fn pg_dump_differs_exactly_where_the_comparison_does() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let harness = shop_harness(&scratch);
    let reference = harness.database().await.unwrap();
    let expected = dump(&reference).await;
    let untouched = harness.database().await.unwrap();
    assert_eq!(expected, dump(&untouched).await);
    assert!(harness.diff(untouched.url()).await.unwrap().is_clean());
    untouched.close().await.unwrap();
    let mut wrong = Vec::new();
    for (sql, _) in CHANGES.iter().step_by(2) {
        let database = changed(&harness, sql).await;
        let is_reported = !harness.diff(database.url()).await.unwrap().is_clean();
        let is_dumped = dump(&database).await != expected;
        database.close().await.unwrap();
        if is_reported != is_dumped {
            wrong.push(format!(
                "{sql}: difference in the comparison: {is_reported}, in pg_dump: {is_dumped}"
            ));
        }
    }
    reference.close().await.unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_system_that_sqlx_migrates_equals_the_template() {
    if !runs_natively(this_test!()) {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, migrations) in SYSTEMS {
        let harness = system(name, migrations).build().unwrap();
        let reference = match harness.database().await {
            // A server can be built without uuid-ossp.
            Err(error) if error.kind() == ErrorKind::ExtensionUnavailable => {
                println!("{name}: {error}");
                continue;
            }
            other => other.unwrap(),
        };
        let by_sqlx = harness
            .with_setup(Setup::new().without_migrations())
            .database()
            .await
            .unwrap();
        Migrator::new(root.join(migrations))
            .await
            .unwrap()
            .run(&by_sqlx.pool())
            .await
            .unwrap();
        for (change, is_same) in [
            ("select 1", true),
            ("create table intruders (id int)", false),
        ] {
            sqlx::raw_sql(change)
                .execute(&by_sqlx.pool())
                .await
                .unwrap();
            let report = harness.diff(by_sqlx.url()).await.unwrap();
            assert_eq!(report.is_clean(), is_same, "{name}, {change}: {report}");
            assert_eq!(
                dump(&reference).await == dump(&by_sqlx).await,
                is_same,
                "{name}, {change}"
            );
        }
        by_sqlx.close().await.unwrap();
        reference.close().await.unwrap();
    }
}

/// The schema as the server's own `pg_dump` prints it, without what a comparison ignores.
async fn dump(database: &Database) -> String {
    let options = ["--schema-only", "--exclude-schema=_ebbtide"];
    pg_dump(database, &options).await
}
