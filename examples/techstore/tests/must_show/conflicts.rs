//! The errors for a migration conflict and for a refused connection.

use std::time::Duration;

use ebbtide::Database;
use ebbtide_example_shared::testing::{reserved_port, with_port};
use ebbtide_example_shared::{ConnectError, RetryPolicy};
use ebbtide_example_techstore::{Conflict, DatabaseUrl, Error, PoolSettings, open, up};

use super::{HEAD, Outcome};

#[ebbtide::test]
async fn a_migration_that_was_changed_is_a_conflict(database: Database) -> Outcome {
    let pool = database.pool();
    let change = "update _sqlx_migrations set checksum = '\\x00' where version = 20250502091500";
    sqlx::query(change).execute(&pool).await?;
    let error = up(&pool).await.unwrap_err();
    let expected = Conflict::Changed {
        version: 20_250_502_091_500,
        description: "products".to_owned(),
    };
    assert!(
        matches!(&error, Error::Conflict(conflict) if *conflict == expected),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .starts_with("migration 20250502091500 (products) was changed after it ran"),
        "{error}"
    );
    Ok(())
}

#[ebbtide::test]
async fn a_migration_that_the_program_does_not_contain_is_a_conflict(
    database: Database,
) -> Outcome {
    let pool = database.pool();
    let newer =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 values (20260101000000, 'of a newer program', true, '', 0)";
    sqlx::query(newer).execute(&pool).await?;
    let error = up(&pool).await.unwrap_err();
    let expected = Conflict::Unknown {
        version: 20_260_101_000_000,
    };
    assert!(
        matches!(&error, Error::Conflict(conflict) if *conflict == expected),
        "{error:?}"
    );
    // After the error, migrations still run, also on another connection: no lock is left.
    sqlx::query("delete from _sqlx_migrations where version = 20260101000000")
        .execute(&pool)
        .await?;
    let (_one, _another) = (pool.acquire().await?, pool.acquire().await?);
    assert_eq!(up(&pool).await?.to_string(), HEAD);
    Ok(())
}

#[ebbtide::test]
async fn the_error_for_a_refused_connection_names_the_server(database: Database) -> Outcome {
    let (socket, port) = reserved_port();
    let url: DatabaseUrl = with_port(port, database.url()).parse()?;
    let retry = RetryPolicy {
        timeout: Duration::from_millis(100),
        interval: Duration::from_millis(10),
    };
    let error = open(&url, PoolSettings::default(), retry)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Connect(ConnectError::NotReachable { .. })),
        "{error:?}"
    );
    assert!(
        error.to_string().starts_with(&format!(
            "PostgreSQL at 127.0.0.1:{port} must accept connections within 100ms"
        )),
        "{error}"
    );
    drop(socket);
    Ok(())
}
