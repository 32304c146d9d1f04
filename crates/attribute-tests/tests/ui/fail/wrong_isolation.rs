#[ebbtide::test(pool = "commit")]
async fn a_word(_pool: sqlx::PgPool) {}

#[ebbtide::test(isolation)]
async fn no_word(_pool: sqlx::PgPool) {}

fn main() {}
