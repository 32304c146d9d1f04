//! The database of one test: a `Tx`, a `Sandbox` or a `Database`, behind one type.

use std::fmt;

use ebbtide::{Database, Error, Harness, Sandbox, Tx};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

/// The kind of a test: how it is isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tx,
    Sandbox,
    Database,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Tx, Self::Sandbox, Self::Database];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

pub(crate) enum TestDatabase {
    Tx(Tx),
    Sandbox(Sandbox),
    Database(Database),
}

/// The connection that a body's statements run on.
pub(crate) enum Session<'a> {
    Own(&'a mut PgConnection),
    Pooled(PoolConnection<Postgres>),
}

impl TestDatabase {
    pub(crate) async fn open(harness: &Harness, kind: Kind) -> Result<Self, Error> {
        Ok(match kind {
            Kind::Tx => Self::Tx(harness.tx().await?),
            Kind::Sandbox => Self::Sandbox(harness.sandbox().await?),
            Kind::Database => Self::Database(harness.database().await?),
        })
    }

    pub(crate) async fn session(&mut self) -> Result<Session<'_>, sqlx::Error> {
        Ok(match self {
            Self::Tx(tx) => Session::Own(tx),
            Self::Sandbox(sandbox) => Session::Pooled(sandbox.acquire().await?),
            Self::Database(database) => Session::Pooled(database.pool().acquire().await?),
        })
    }

    /// The options with which code under test opens connections of its own.
    pub(crate) fn options(&self) -> PgConnectOptions {
        let url = match self {
            Self::Tx(tx) => tx.url(),
            Self::Sandbox(sandbox) => sandbox.url(),
            Self::Database(database) => database.url().to_owned(),
        };
        url.parse().unwrap()
    }

    pub(crate) async fn close(self) -> Result<(), Error> {
        match self {
            Self::Tx(tx) => tx.close().await,
            Self::Sandbox(sandbox) => sandbox.close().await,
            Self::Database(database) => database.close().await,
        }
    }
}

impl Session<'_> {
    pub(crate) fn get(&mut self) -> &mut PgConnection {
        match self {
            Self::Own(connection) => connection,
            Self::Pooled(connection) => connection,
        }
    }
}
