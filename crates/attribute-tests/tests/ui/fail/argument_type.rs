struct State;

// What the attribute writes for an argument. A test's own is dropped where no tests are compiled, as here.
async fn arguments(context: &ebbtide::TestContext) -> ebbtide::Result<()> {
    ebbtide::macro_support::argument::<sqlx::PgPool>(context).await?;
    ebbtide::macro_support::argument::<State>(context).await?;
    Ok(())
}

fn main() {}
