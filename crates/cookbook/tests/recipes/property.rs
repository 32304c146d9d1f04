//! A property of a query, for random inputs.

use std::cell::RefCell;

use proptest::prelude::*;
use sqlx::postgres::PgConnection;
use tokio::runtime::Runtime;

/// The names that contain the term. `%`, `_` and `\` in the term have no special meaning.
async fn find_parts(connection: &mut PgConnection, term: &str) -> sqlx::Result<Vec<String>> {
    let escaped = term
        .replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_");
    sqlx::query_scalar("select name from parts where name like '%' || $1 || '%' order by sku")
        .bind(escaped)
        .fetch_all(connection)
        .await
}

async fn add_parts(connection: &mut PgConnection, names: &[String]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into parts (sku, name) select format('%s', n), name
                 from unnest($1::text[]) with ordinality as it (name, n)",
    )
    .bind(names)
    .execute(connection)
    .await?;
    Ok(())
}

#[test]
fn exactly_the_parts_with_the_term_are_found() -> ebbtide::Result<()> {
    let runtime = Runtime::new().expect("a runtime");
    let tx = RefCell::new(runtime.block_on(ebbtide::tx())?);
    let text = r"[ab%_\\]{0,3}";
    proptest!(ProptestConfig::with_cases(64), |(
        names in prop::collection::vec(text, 0..5),
        term in text,
    )| {
        let mut tx = tx.borrow_mut();
        runtime.block_on(async {
            // When a case fails, the dropped savepoint is rolled back, too.
            let mut case = tx.begin().await.expect("a savepoint");
            add_parts(&mut case, &names).await.expect("the parts are added");
            let found = find_parts(&mut case, &term).await.expect("the query succeeds");
            let expected = names.iter().filter(|name| name.contains(&term));
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            case.rollback().await.expect("the savepoint exists");
            Ok(())
        })?;
    });
    runtime.block_on(tx.into_inner().close())
}
