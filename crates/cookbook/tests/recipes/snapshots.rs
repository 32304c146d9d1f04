//! A snapshot of rows.

use ebbtide::Tx;

#[ebbtide::test]
async fn a_new_repair_has_these_values(mut tx: Tx) -> sqlx::Result<()> {
    sqlx::query("select set_config('app.workshop', '1', true)")
        .execute(&mut *tx)
        .await?;
    sqlx::query("insert into repairs (workshop_id, bicycle) values (1, 'Tandem'), (1, 'Tricycle')")
        .execute(&mut *tx)
        .await?;
    let rows: Vec<String> = sqlx::query_scalar("select repairs::text from repairs order by id")
        .fetch_all(&mut *tx)
        .await?;
    let filters = [(r"\d{4}-\d\d-\d\d \d\d:\d\d:[\d.+-]+", "TIME")];
    insta::with_settings!({ filters => filters }, {
        insta::assert_snapshot!(rows.join("\n"), @r#"
        (1,1,Tandem,0,"TIME")
        (2,1,Tricycle,0,"TIME")
        "#);
    });
    Ok(())
}
