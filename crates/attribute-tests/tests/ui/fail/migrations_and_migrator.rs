pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate::Migrator::DEFAULT;

#[ebbtide::test(migrations = false, migrator = "crate::MIGRATOR")]
async fn test(_pool: sqlx::PgPool) {}

fn main() {}
