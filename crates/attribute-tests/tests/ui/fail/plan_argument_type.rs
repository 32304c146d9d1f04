struct State;

// The attribute generates these calls in a test, which the compiler drops without `cfg(test)`.
async fn arguments(context: &ebbtide::TestContext) -> ebbtide::Result<()> {
    ebbtide::macro_support::argument_of_plan::<sqlx::PgPool>(context, "audit").await?;
    ebbtide::macro_support::argument_of_plan::<State>(context, "audit").await?;
    ebbtide::macro_support::argument_of_plan::<u32>(context, "audit").await?;
    Ok(())
}

fn main() {}
