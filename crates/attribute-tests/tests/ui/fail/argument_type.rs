struct State;

// The attribute generates these calls in a test, which the compiler drops without `cfg(test)`.
async fn arguments(context: &ebbtide::TestContext) -> ebbtide::Result<()> {
    ebbtide::macro_support::argument::<sqlx::PgPool>(context).await?;
    ebbtide::macro_support::argument::<State>(context).await?;
    Ok(())
}

fn main() {}
