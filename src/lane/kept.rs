//! Databases that tests leave for a person to look at.

use std::fmt;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::leased::Lane;
use super::pool::LanePool;
use crate::error::{Error, ErrorKind, Result};
use crate::names::DatabaseName;
use crate::wait::Patience;
use crate::{clean_up, sql_error};

/// A database that a test left for a person to look at, for an hour unless `keep_for` says otherwise. It goes with its
/// server; from an external server, it is dropped by whoever uses ebbtide there when its time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDatabase {
    url: String,
    name: String,
    stays: Duration,
}

impl KeptDatabase {
    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long it stays.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.stays
    }

    /// A URL for `psql` and other clients.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for KeptDatabase {
    /// A line to paste.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "psql '{}'", self.url)
    }
}

pub(super) const STEP: &str = "keeping the test's database";

const COMMIT: &str = "set local ebbtide.closing = 'on'; release savepoint _ebbtide; delete from _ebbtide.open_test; commit";

/// Commits what was rolled back otherwise.
pub(super) async fn commit(pool: &LanePool, connection: &mut PgConnection) -> Result<()> {
    match sqlx::raw_sql(COMMIT).execute(connection).await {
        Err(error) if sql_error::code(&error) == Some("25P02") => Err(Error::new(
            ErrorKind::Database,
            "the test's database cannot be kept: a statement has failed, and PostgreSQL commits nothing of a transaction \
             in which one did",
        )
        .with_help(
            "to see what the test wrote until then, let it take an `ebbtide::Sandbox` or an `ebbtide::Database`, or give it \
             `savepoints`",
        )),
        other => other.map(drop).map_err(|error| pool.diagnose(STEP, error)),
    }
}

/// Makes a lane, on which everything is committed, a kept database. The lane stays marked as in use, so that its number
/// gets a new copy.
pub(super) async fn keep(
    pool: &LanePool,
    lane: Lane,
    connection: PgConnection,
) -> Result<KeptDatabase> {
    connection
        .close()
        .await
        .map_err(|error| pool.diagnose(STEP, error))?;
    let kept = DatabaseName::kept();
    let keep_for = pool.setting().keep_for;
    let (lanes, name) = (pool.clone(), kept.clone());
    let renaming = async move {
        let mut admin = lanes.setting().server.admin().await?;
        let mut patience = Patience::new(STEP, Duration::from_secs(10));
        loop {
            match clean_up::keep(&mut admin, &lane.database, &name, keep_for).await {
                Ok(()) => return Ok(()),
                // object_in_use: a closed session takes a moment to go.
                Err(error) if sql_error::code(&error) == Some("55006") => {
                    patience.pause(error).await?
                }
                Err(error) => return Err(lanes.diagnose(STEP, error)),
            }
        }
    };
    pool.in_background(renaming).await?;
    let server = &pool.setting().server;
    server.hold_for(keep_for).await?;
    Ok(KeptDatabase {
        url: server.conn.url(kept.as_str()),
        name: kept.as_str().to_owned(),
        stays: keep_for,
    })
}
