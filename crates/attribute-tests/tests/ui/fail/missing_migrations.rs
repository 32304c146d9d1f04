#[ebbtide::test(migrations = "nowhere/migrations")]
async fn test(_pool: sqlx::PgPool) {}

fn main() {}
