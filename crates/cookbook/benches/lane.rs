//! A benchmark of a statement on a lane.

use criterion::{Criterion, criterion_group, criterion_main};
use ebbtide::Tx;
use tokio::runtime::Runtime;

/// Adds a part, and returns the number of parts.
async fn add_part(tx: &mut Tx) -> sqlx::Result<i64> {
    let mut savepoint = tx.begin().await?;
    sqlx::query("insert into parts (sku, name) values ('BELL-1', 'Bell')")
        .execute(&mut *savepoint)
        .await?;
    let count = sqlx::query_scalar("select count(*) from parts")
        .fetch_one(&mut *savepoint)
        .await?;
    // The next iteration finds the same table.
    savepoint.rollback().await?;
    Ok(count)
}

fn adding_a_part(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut opened = None;
    criterion.bench_function("adding a part", |bencher| {
        // criterion calls this closure for each sample, and the connection serves all of them.
        let tx = opened.get_or_insert_with(|| runtime.block_on(ebbtide::tx()).expect("a database"));
        bencher.iter(|| {
            let count = runtime.block_on(add_part(tx)).expect("the part is added");
            assert_eq!(count, 1, "an earlier iteration left its part");
        });
    });
    if let Some(tx) = opened {
        runtime.block_on(tx.close()).expect("the rollback");
    }
}

criterion_group!(benches, adding_a_part);
criterion_main!(benches);
