#[ebbtide::test(pool = "commit")]
async fn a_word(_pool: sqlx::PgPool) {}

#[ebbtide::test(pool)]
async fn no_word(_pool: sqlx::PgPool) {}

fn main() {}
