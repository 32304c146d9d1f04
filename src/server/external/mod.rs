//! A server that somebody else runs, on this machine or another.
//!
//! Nothing of it lies on disk here. Several machines may share it: what they must agree on, who builds a template and who
//! has which lane, are advisory locks in one of its databases. It is `postgres`, or the URL's own where the role may not
//! connect to that; advisory locks belong to a database, so every machine must come to the same one. A pooler between us
//! and the server must not give one session's server connection to another: sessions hold locks and settings.

mod entrance;
mod facts;
mod locality;

use std::time::Instant;

use super::{Origin, Server};
use crate::config::{Backend, Plan};
use crate::conn::{ConnParams, WRITE_URL};
use crate::error::{Error, ErrorKind, Result};
use crate::lane_lock::{Locks, Permits};
use crate::sql_error;
use facts::Facts;

pub(super) use facts::Limits;

/// What this process has on the server: the locks of its lanes.
#[derive(Debug)]
pub(super) struct ExternalHandle {
    pub(super) locks: Locks,
    /// The role that owns what we make.
    pub(super) role: String,
    pub(super) limits: Limits,
    /// Whether the server makes its data safe, as one for real data does.
    pub(super) is_durable: bool,
    place: String,
}

/// Connects to the server that the plan names, and sees whether it will do.
pub(super) async fn start(plan: &Plan, reason: &str) -> Result<Server> {
    let began = Instant::now();
    let url = plan
        .url
        .get()
        .as_ref()
        .expect("a plan for this backend has a URL");
    let conn = ConnParams::external(url.expose(), &plan.settings).map_err(|error| {
        Error::new(
            ErrorKind::Config,
            format!("the URL {url} ({}) cannot be read", plan.url.source),
        )
        .with_source(error)
        .with_help(WRITE_URL)
    })?;
    locality::check(plan, url, &conn).await?;
    let (conn, mut connection) = entrance::enter(plan, url, conn).await?;
    let facts = Facts::read(&mut connection).await?;
    facts.check(plan, &conn)?;
    let conn = conn.knowing(facts.known());
    // This session holds the locks, and is idle for as long as a test takes.
    conn.catch_up(&mut connection)
        .await
        .map_err(|error| sql_error::failed("preparing our session", error))?;
    let locks = Locks::keep(connection);
    let permits = Permits::by_locks(&locks, facts.limits.for_tests());
    Ok(Server {
        backend: Backend::External,
        reason: reason.to_owned(),
        version: facts.version,
        version_num: facts.version_num,
        origin: Origin::Reused,
        took: began.elapsed(),
        is_dedicated: false,
        handle: super::ServerHandle::External(ExternalHandle {
            locks,
            role: facts.role,
            limits: facts.limits,
            is_durable: facts.is_durable,
            place: conn.place(),
        }),
        conn,
        permits,
    })
}

impl ExternalHandle {
    /// The error for a server that went away, or that ended a session of ours.
    pub(super) fn lost(&self) -> Error {
        Error::new(
            ErrorKind::ServerLost,
            format!(
                "the PostgreSQL server at {} ended a connection of ours",
                self.place
            ),
        )
        .with_help("its log says why; run the tests again when it answers")
    }
}
