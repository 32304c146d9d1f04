//! A server that the user runs, on this machine or another.
//!
//! Ebbtide keeps no files about the server, because several machines may share it. Advisory locks
//! in one of its databases decide which process builds a template, and which process holds a lane.
//! An advisory lock belongs to a database, so all machines must use the same database. That is
//! `postgres`, or the URL's own database if the role cannot connect to `postgres`.
//!
//! ```text
//!   URL  ->  locality   is the server on this machine, or is a remote one allowed?
//!        ->  connect    the first session, in `postgres` or in the URL's own database
//!        ->  facts      version, role, limits: can ebbtide create databases there?
//!        ->  Locks      the session stays open and holds this process's advisory locks
//! ```
//!
//! A pooler between this process and the server must run in session mode. A session holds locks and
//! settings, so it must keep its server connection.

mod connect;
mod dedication;
mod facts;
mod handle;
mod locality;

use std::time::Instant;

use futures_util::future::BoxFuture;

use super::backend::{Backend, StartRequest};
use super::copying::DatabaseCopier;
use super::handle::ServerHandle as _;
use super::running::{Origin, Server};
use super::sharing::Sharing;
use crate::config::{Backend as Kind, Plan};
use crate::conn::{ConnParams, URL_HELP};
use crate::error::{Error, ErrorKind, Result};
use crate::lane_lock::Locks;
use crate::names::short_id;
use crate::sql_error;
use facts::Facts;
use handle::ExternalHandle;

/// The backend `external`.
#[derive(Debug)]
pub(super) struct External;

impl Backend for External {
    fn kind(&self) -> Kind {
        Kind::External
    }

    fn start<'a>(&'a self, request: StartRequest<'a>) -> BoxFuture<'a, Result<Server>> {
        Box::pin(connect(request))
    }

    fn source(&self) -> &'static str {
        "a server at a URL"
    }
}

/// Connects to the server of the plan's URL, and checks that ebbtide can use it.
///
/// # Errors
/// The template needs a dedicated server, the URL cannot be read, the server cannot be reached or
/// rejects the role, or lacks what ebbtide needs.
async fn connect(request: StartRequest<'_>) -> Result<Server> {
    let plan = request.plan;
    // Before any connection, because this error needs no answer of the server.
    if let Sharing::Dedicated(dedication) = request.sharing {
        return Err(dedication::refused(dedication, plan));
    }
    let began = Instant::now();
    let url = plan
        .url
        .get()
        .as_ref()
        .expect("a plan for this backend has a URL");
    let conn = ConnParams::external(url.expose(), &plan.settings).map_err(|error| {
        Error::new(
            ErrorKind::Config,
            format!("the URL {url} ({}) cannot be parsed", plan.url.source),
        )
        .with_source(error)
        .with_help(URL_HELP)
    })?;
    // Before the first connection, so that a server that the plan does not allow gets no password.
    locality::check(plan, url, &conn).await?;
    let (conn, mut connection) = connect::admin_connection(plan, url, conn).await?;
    let facts = Facts::read(&mut connection).await?;
    facts.check(plan, &conn)?;
    let conn = conn.with_version_and_role(facts.version_and_role());
    // This session holds the locks, and is idle while a test runs: the settings that this call
    // sends keep the server from ending it.
    conn.set_remaining_parameters(&mut connection)
        .await
        .map_err(|error| sql_error::failed("preparing the session", error))?;
    let capacity = facts.limits.for_tests();
    let handle = ExternalHandle {
        locks: Locks::spawn(connection),
        permits_place: permits_place(plan, &conn, &facts.role),
        role: facts.role,
        limits: facts.limits,
        is_durable: facts.is_durable,
        place: conn.place(),
    };
    Ok(Server {
        backend: Kind::External,
        reason: request.reason.to_owned(),
        version: facts.version,
        version_num: facts.version_num,
        conn,
        // The user has started it.
        origin: Origin::Reused,
        took: began.elapsed(),
        is_dedicated: false,
        database_owner: None,
        permits: handle.lock_place().permits(capacity),
        copier: DatabaseCopier::new(facts.is_durable, facts.version_num),
        handle: Box::new(handle),
    })
}

/// What the harnesses of this process that count their connections together have in common: the
/// address, the database for administration, where the locks are, and the role.
///
/// The permits belong to the session of one harness. A harness from a builder counts alone, so that
/// the end of that session does not affect it.
fn permits_place(plan: &Plan, conn: &ConnParams, role: &str) -> String {
    let shared = format!("{}/{} {role}", conn.place(), conn.admin());
    if plan.is_process_wide {
        shared
    } else {
        format!("{shared} {}", short_id())
    }
}
