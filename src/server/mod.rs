//! Gets a ready server, shares it, lets it go.

mod account;
mod binaries;
mod native;
mod orphans;
mod registry;
mod settings;
mod state;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use crate::config::{Backend, Plan};
use crate::conn::{ADMIN_DATABASE, ConnParams};
use crate::error::{Error, ErrorKind, Result, told};
use crate::{process, sql_error};
use registry::{Instance, Lease, Pointer};

pub(crate) use account::own_uid;

/// Whether the registry's files are enough, or the server must answer first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    Files,
    Answer,
}

/// Whether this process started the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Started,
    Reused,
}

/// A running PostgreSQL that this process has a lease on.
#[derive(Debug)]
pub(crate) struct Server {
    /// Which backend runs it; never `Auto`.
    pub(crate) backend: Backend,
    pub(crate) version: String,
    pub(crate) version_num: u32,
    pub(crate) conn: ConnParams,
    pub(crate) origin: Origin,
    /// Time until it could be used: start-up, or finding it.
    pub(crate) took: Duration,
    instance: Instance,
    _lease: Lease,
}

impl Server {
    /// Finds or starts the server that the plan asks for.
    pub(crate) async fn start(plan: &Plan, trust: Trust) -> Result<Self> {
        match plan.backend.get() {
            Backend::Auto | Backend::Native => native::start(plan, trust).await,
            backend @ (Backend::Container | Backend::External) => Err(Error::new(
                ErrorKind::BackendUnavailable,
                format!("the {backend} backend is not part of this version of ebbtide"),
            )
            .with_help("set EBBTIDE_BACKEND=native, or leave it at auto")),
        }
    }

    fn new(pointer: Pointer, instance: Instance, lease: Lease, origin: Origin, began: Instant) -> Self {
        Self {
            backend: Backend::Native,
            version: pointer.version,
            version_num: pointer.version_num,
            conn: ConnParams::socket(&instance.folder, "postgres"),
            origin,
            took: began.elapsed(),
            instance,
            _lease: lease,
        }
    }

    /// What the server must answer for its identity.
    pub(crate) fn identity(&self) -> String {
        self.instance.name()
    }

    /// Where files about lanes belong: they go when the server goes.
    pub(crate) fn folder(&self) -> &Path {
        &self.instance.folder
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.instance.log()
    }

    pub(crate) async fn admin(&self) -> Result<PgConnection> {
        self.conn.connect(ADMIN_DATABASE).await.map_err(|error| self.explain(error))
    }

    /// Keeps the server for a while beyond the life of its users.
    pub(crate) fn hold_for(&self, term: Duration) -> Result<()> {
        self.instance.hold_for(term)
    }

    /// Adds the log's end to an error that says the server is gone.
    pub(crate) fn explain(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::ServerLost {
            return error;
        }
        // A server that cannot write its log of changes gives up, and its sessions see no more than the end.
        let lost = if native::is_full(&process::tail(&self.log(), 50)) {
            Error::new(ErrorKind::OutOfSpace, "the PostgreSQL server ended because there is no space left for its data")
                .with_help(sql_error::MAKE_ROOM)
        } else {
            Error::new(ErrorKind::ServerLost, "the PostgreSQL server went away while it was in use")
                .with_help("run the tests again: the next run starts a new server")
        };
        let lost = lost.with_evidence("the server's log ends", process::tail(&self.log(), 10));
        match std::error::Error::source(&error) {
            Some(source) => lost.with_source(format!("{error}: {}", told(source))),
            None => lost,
        }
    }

    async fn answers(&self) -> bool {
        let Ok(mut connection) = self.conn.connect(ADMIN_DATABASE).await else { return false };
        let answer = identify(&mut connection).await;
        // The answer counts, not the farewell.
        let _ = connection.close().await;
        answer.is_ok_and(|found| found.identity == Some(self.identity()))
    }
}

struct Identification {
    identity: Option<String>,
    version_num: u32,
    version: String,
}

async fn identify(connection: &mut PgConnection) -> Result<Identification, sqlx::Error> {
    let row = sqlx::query(
        "select current_setting('ebbtide.identity', true), current_setting('server_version_num')::int4, \
         current_setting('server_version')",
    )
    .fetch_one(connection)
    .await?;
    let version_num: i32 = row.try_get(1)?;
    Ok(Identification { identity: row.try_get(0)?, version_num: version_num.unsigned_abs(), version: row.try_get(2)? })
}
