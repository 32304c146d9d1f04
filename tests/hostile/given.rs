//! What one test of a sequence has, and how it comes to an end.

use std::fmt;

use ebbtide::{Database, Error, Harness, Sandbox, Tx};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

/// A way to be isolated.
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

pub(crate) enum Given {
    Tx(Tx),
    Sandbox(Sandbox),
    Database(Database),
}

/// The connection that code under test works with.
pub(crate) enum Session<'a> {
    Own(&'a mut PgConnection),
    Pooled(PoolConnection<Postgres>),
}

impl Given {
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

    /// How code under test connects by itself.
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
