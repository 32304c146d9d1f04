//! `init`: creates and migrates the databases before the first request.

use ebbtide_example_shared::{ConnectError, RetryPolicy, SchemaState};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::database::wait;
use crate::{DatabaseUrl, Error, Settings, up};

/// A database that exists and is migrated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Its name.
    pub name: String,
    /// Whether this call created it.
    pub is_new: bool,
    /// The state after the migrations.
    pub schema: SchemaState,
}

/// Waits for the server, creates the shop's database and the tests' database if they do not exist,
/// and migrates both. A second call changes nothing.
///
/// # Errors
/// No server accepts connections, the role may not create databases, or the migrations conflict or
/// fail.
pub async fn init(settings: &Settings, retry: RetryPolicy) -> Result<[Prepared; 2], Error> {
    Ok([
        prepare(&settings.database, retry).await?,
        prepare(&settings.test_database, retry).await?,
    ])
}

async fn prepare(url: &DatabaseUrl, retry: RetryPolicy) -> Result<Prepared, Error> {
    let is_new = create(url, retry).await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(url.options()?)
        .await?;
    let schema = up(&pool).await;
    pool.close().await;
    let prepared = Prepared {
        name: url.name(),
        is_new,
        schema: schema?,
    };
    let how = if is_new {
        "created and migrated"
    } else {
        "already existed, migrated"
    };
    tracing::info!("database {}: {how}, {}", prepared.name, prepared.schema);
    Ok(prepared)
}

/// Creates the database if it does not exist. Returns whether it was created.
async fn create(url: &DatabaseUrl, retry: RetryPolicy) -> Result<bool, Error> {
    // CREATE DATABASE needs a connection to another database of the server.
    let mut connection = match wait(&url.with_name("postgres"), retry).await {
        Err(Error::Connect(ConnectError::Rejected { source, .. })) if is_code(&source, "3D000") => {
            wait(&url.with_name("template1"), retry).await?
        }
        connected => connected?,
    };
    let name = url.name();
    let exists = sqlx::query_scalar("select exists (select from pg_database where datname = $1)");
    let is_new = !exists.bind(&name).fetch_one(&mut connection).await? && {
        let create = format!("create database \"{}\"", name.replace('"', "\"\""));
        match sqlx::query(AssertSqlSafe(create))
            .execute(&mut connection)
            .await
        {
            // duplicate_database or unique_violation: another process created it at the same time.
            Err(error) if is_code(&error, "42P04") || is_code(&error, "23505") => false,
            created => created.map(|_| true)?,
        }
    };
    connection.close().await?;
    Ok(is_new)
}

fn is_code(error: &sqlx::Error, code: &str) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|found| found == code)
}
