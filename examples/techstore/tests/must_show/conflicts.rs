//! A migration conflict and a refused connection each have an answer of their own.

use std::time::Duration;

use ebbtide::Database;
use ebbtide_example_shared::testing::{reserved_port, through};
use ebbtide_example_shared::{ConnectError, Patience};
use ebbtide_example_techstore::{Conflict, DatabaseUrl, Error, PoolSettings, open, up};

use super::{HEAD, Outcome};

#[ebbtide::test]
async fn a_migration_that_was_changed_is_a_conflict(database: Database) -> Outcome {
    let pool = database.pool();
    let change = "update _sqlx_migrations set checksum = '\\x00' where version = 20250502091500";
    sqlx::query(change).execute(&pool).await?;
    let error = up(&pool).await.unwrap_err();
    let wanted = Conflict::Changed {
        version: 20_250_502_091_500,
        description: "products".to_owned(),
    };
    assert!(
        matches!(&error, Error::Conflict(conflict) if *conflict == wanted),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .starts_with("migration 20250502091500 (products) was changed after it had run"),
        "{error}"
    );
    Ok(())
}

#[ebbtide::test]
async fn a_migration_that_the_program_does_not_have_is_a_conflict(database: Database) -> Outcome {
    let pool = database.pool();
    let newer =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 values (20260101000000, 'of a newer program', true, '', 0)";
    sqlx::query(newer).execute(&pool).await?;
    let error = up(&pool).await.unwrap_err();
    let wanted = Conflict::Unknown {
        version: 20_260_101_000_000,
    };
    assert!(
        matches!(&error, Error::Conflict(conflict) if *conflict == wanted),
        "{error:?}"
    );
    // The refusal keeps nobody from migrating: not even on another connection.
    sqlx::query("delete from _sqlx_migrations where version = 20260101000000")
        .execute(&pool)
        .await?;
    let (_one, _another) = (pool.acquire().await?, pool.acquire().await?);
    assert_eq!(up(&pool).await?.to_string(), HEAD);
    Ok(())
}

#[ebbtide::test]
async fn a_refused_connection_says_where(database: Database) -> Outcome {
    let (socket, port) = reserved_port();
    let url: DatabaseUrl = through(port, database.url()).parse()?;
    let patience = Patience {
        within: Duration::from_millis(100),
        pause: Duration::from_millis(10),
    };
    let error = open(&url, PoolSettings::default(), patience)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Connect(ConnectError::NoServer { .. })),
        "{error:?}"
    );
    assert!(
        error.to_string().starts_with(&format!(
            "PostgreSQL at 127.0.0.1:{port} accepts no connections"
        )),
        "{error}"
    );
    drop(socket);
    Ok(())
}
