//! Gets a ready server, shares it, lets it go.
//!
//! | file | noun |
//! |---|---|
//! | `auto` | the choice between a container and local binaries |
//! | `native`, `start_failure`, `memory`, `binaries`, `account`, `settings` | a server from binaries of this machine |
//! | `container` | a server from an image |
//! | `external` | a server that somebody else runs |
//! | `share`, `registry`, `state` | one server for all processes that want the same settings |
//! | `sharing` | whether other contents may use a server too |
//! | `supervisor`, `instance.sh`, `native.sh`, `container/keeper.sh` | what outlives the client |
//! | `log` | what the server wrote about the sessions on one database |
//! | `orphans`, `pointers`, `adoption` | what servers without a supervisor left behind, and those that are still in use |

mod account;
mod adoption;
mod auto;
mod binaries;
#[cfg(feature = "container")]
mod container;
mod external;
mod log;
mod memory;
mod native;
mod orphans;
mod pointers;
mod registry;
mod settings;
mod share;
mod sharing;
mod start_failure;
mod state;
mod supervisor;

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use crate::config::{Backend, Plan};
use crate::conn::{ADMIN_DATABASE, ConnParams, Known, RoleKind};
use crate::error::{Error, ErrorKind, Result, told};
use crate::lane_lock::{LaneLocks, Permits};
use crate::names::Fingerprint;
use crate::scarcity::Scarcity;
use crate::{process, sql_error};
use registry::{Instance, Pointer, ServerLease};

pub(crate) use account::own_uid;
pub(crate) use log::LogEntry;
pub(crate) use sharing::{Cause, Dedication, Sharing};

/// Whether the registry's files are enough, or the server must answer first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VerifyMode {
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
    /// Why it is this backend.
    pub(crate) reason: String,
    pub(crate) version: String,
    pub(crate) version_num: u32,
    pub(crate) conn: ConnParams,
    pub(crate) origin: Origin,
    /// Time until it could be used: start-up, or finding it.
    pub(crate) took: Duration,
    /// Whether only tests of the same contents find it.
    is_dedicated: bool,
    handle: ServerHandle,
    permits: Permits,
}

/// What keeps the server for us.
#[derive(Debug)]
enum ServerHandle {
    /// Binaries of this machine, in an instance directory.
    Native {
        instance: Instance,
        _lease: ServerLease,
    },
    #[cfg(feature = "container")]
    Container(container::ContainerHandle),
    External(external::ExternalHandle),
}

impl Server {
    /// Finds or starts the server that the plan asks for.
    pub(crate) async fn start(plan: &Plan, sharing: &Sharing, mode: VerifyMode) -> Result<Self> {
        let mut server = Self::find(plan, sharing, mode).await?;
        sharing.announce(&mut server, plan);
        Ok(server)
    }

    async fn find(plan: &Plan, sharing: &Sharing, mode: VerifyMode) -> Result<Self> {
        let asked = || plan.backend.source.to_string();
        match plan.backend.get() {
            Backend::Auto => auto::start(plan, sharing, mode).await,
            Backend::Native => native::start(plan, sharing, mode, &asked()).await,
            #[cfg(feature = "container")]
            Backend::Container => container::start(plan, sharing, mode, &asked()).await,
            #[cfg(not(feature = "container"))]
            Backend::Container => Err(Error::new(
                ErrorKind::BackendUnavailable,
                "the container backend is not part of this build of ebbtide",
            )
            .with_help("turn on ebbtide's feature `container`, or set EBBTIDE_BACKEND=native")),
            Backend::External => match sharing.refused_by_external(plan) {
                Some(error) => Err(error),
                None => external::start(plan, &asked()).await,
            },
        }
    }

    #[cfg_attr(
        not(feature = "container"),
        expect(unused_variables, reason = "only a container needs the plan")
    )]
    fn with_instance(
        plan: &Plan,
        pointer: Pointer,
        instance: Instance,
        lease: ServerLease,
        origin: Origin,
        began: Instant,
    ) -> Self {
        let known = Known {
            version_num: pointer.version_num,
            role: RoleKind::Superuser,
        };
        let permits = Permits::in_dir(&instance.dir, pointer.connections);
        let (backend, conn, handle) = match pointer.port {
            #[cfg(feature = "container")]
            Some(port) => {
                let conn = ConnParams::tcp(&port.host, port.port, SUPERUSER, &port.password)
                    .knowing(known);
                let handle = container::ContainerHandle::new(plan, instance, lease, &conn, port);
                (Backend::Container, conn, ServerHandle::Container(handle))
            }
            _ => {
                let conn = ConnParams::socket(&instance.dir, SUPERUSER).knowing(known);
                (
                    Backend::Native,
                    conn,
                    ServerHandle::Native {
                        instance,
                        _lease: lease,
                    },
                )
            }
        };
        Self {
            backend,
            reason: pointer.reason,
            version: pointer.version,
            version_num: pointer.version_num,
            conn,
            origin,
            took: began.elapsed(),
            is_dedicated: false,
            handle,
            permits,
        }
    }

    /// Permits for connections of tests.
    pub(crate) fn permits(&self) -> &Permits {
        &self.permits
    }

    /// What the server must answer for its identity, where it has one.
    pub(crate) fn identity(&self) -> Option<String> {
        self.instance().map(Instance::name)
    }

    fn instance(&self) -> Option<&Instance> {
        match &self.handle {
            ServerHandle::Native { instance, .. } => Some(instance),
            #[cfg(feature = "container")]
            ServerHandle::Container(handle) => Some(&handle.instance),
            ServerHandle::External(_) => None,
        }
    }

    /// The leases of a template's lanes.
    pub(crate) fn lanes(&self, fingerprint: &Fingerprint) -> LaneLocks {
        match &self.handle {
            ServerHandle::Native { instance, .. } => LaneLocks::in_dir(&instance.dir, fingerprint),
            #[cfg(feature = "container")]
            ServerHandle::Container(handle) => LaneLocks::in_dir(&handle.instance.dir, fingerprint),
            ServerHandle::External(handle) => LaneLocks::by_locks(&handle.locks, fingerprint),
        }
    }

    /// Whether only tests of the same contents find it.
    pub(crate) fn is_dedicated(&self) -> bool {
        self.is_dedicated
    }

    /// What was written down of a dedicated server's state before its first build. Before that it is `now`, which is
    /// written down.
    pub(crate) fn first_state(&self, now: &str) -> Result<Option<String>> {
        self.instance()
            .map_or(Ok(None), |instance| instance.first_state(now))
    }

    /// Gives up a dedicated server that cannot be made as it was: no process joins it any more, and it ends with those
    /// that use it.
    pub(crate) fn give_up_state(&self, differences: String) -> Error {
        if let Some(instance) = self.instance() {
            instance.spoil();
        }
        Error::new(
            ErrorKind::ServerLost,
            "an earlier build has changed the dedicated server for good",
        )
        .with_evidence("the changes", differences)
        .with_help("run the tests again: the next run starts a new server")
    }

    /// Whether it stays when nobody uses it any more, with whatever was left on it.
    pub(crate) fn outlives_us(&self) -> bool {
        self.external().is_some()
    }

    fn external(&self) -> Option<&external::ExternalHandle> {
        match &self.handle {
            ServerHandle::External(handle) => Some(handle),
            ServerHandle::Native { .. } => None,
            #[cfg(feature = "container")]
            ServerHandle::Container(_) => None,
        }
    }

    /// Our role, on a server where others have theirs.
    pub(crate) fn role(&self) -> Option<&str> {
        self.external().map(|handle| &*handle.role)
    }

    /// The clause that makes `CREATE DATABASE` quick.
    ///
    /// Before 15 the only strategy was what is now called `FILE_COPY`, with two checkpoints: cheap while nothing is
    /// flushed, ten times the price of `WAL_LOG` on a server that makes its data safe.
    /// <https://www.postgresql.org/docs/current/sql-createdatabase.html>
    pub(crate) fn copy_strategy(&self) -> &'static str {
        let is_durable = self.external().is_some_and(|handle| handle.is_durable);
        if is_durable || self.version_num < 150_000 {
            ""
        } else {
            " strategy file_copy"
        }
    }

    /// How many connections there are, for people.
    pub(crate) fn connection_limits(&self) -> String {
        match self.external() {
            Some(handle) => handle.limits.to_string(),
            None => "max_connections below `settings` says how many the server has".to_owned(),
        }
    }

    pub(crate) async fn admin(&self) -> Result<PgConnection> {
        self.conn
            .connect_own(self.conn.admin())
            .await
            .map_err(|error| self.diagnose(error))
    }

    /// Keeps the server for a while beyond the life of its users.
    #[cfg_attr(
        not(feature = "container"),
        expect(clippy::unused_async, reason = "only a container is asked")
    )]
    pub(crate) async fn hold_for(&self, term: Duration) -> Result<()> {
        match &self.handle {
            ServerHandle::Native { instance, .. } => instance.hold_for(term),
            #[cfg(feature = "container")]
            ServerHandle::Container(handle) => handle.hold_for(&self.conn, term).await,
            // It does not end with us.
            ServerHandle::External(_) => Ok(()),
        }
    }

    /// Adds what is known of its end to an error that says the server is gone.
    pub(crate) fn diagnose(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::ServerLost && !self.is_another(&error) {
            return error;
        }
        let lost = match &self.handle {
            ServerHandle::Native { instance, .. } => lost_with_log(&instance.log()),
            #[cfg(feature = "container")]
            ServerHandle::Container(handle) => handle.lost(),
            ServerHandle::External(handle) => handle.lost(),
        };
        match std::error::Error::source(&error) {
            Some(source) => lost.with_source(format!("{error}: {}", told(source))),
            None => lost,
        }
    }

    /// Whether the error says that somebody else's container has got the port of ours: passwords are random.
    fn is_another(&self, error: &Error) -> bool {
        let source = std::error::Error::source(error)
            .and_then(|source| source.downcast_ref::<sqlx::Error>());
        self.backend == Backend::Container && source.is_some_and(sql_error::is_no_password)
    }

    async fn answers(&self) -> bool {
        let Ok(mut connection) = self.conn.connect_own(ADMIN_DATABASE).await else {
            return false;
        };
        let answer = identify(&mut connection).await;
        // The answer counts, not the farewell.
        let _ = connection.close().await;
        answer.is_ok_and(|found| found.identity == self.identity())
    }

    /// Tells its keeper that it does not answer any more.
    fn give_up(self) {
        match self.handle {
            // Its supervisor sees for itself, or it is not ours to keep.
            ServerHandle::Native { .. } | ServerHandle::External(_) => {}
            #[cfg(feature = "container")]
            ServerHandle::Container(handle) => handle.give_up(),
        }
    }
}

/// The role that owns every server that we start.
const SUPERUSER: &str = "postgres";

fn lost() -> Error {
    Error::new(
        ErrorKind::ServerLost,
        "the PostgreSQL server went away while it was in use",
    )
    .with_help("run the tests again: the next run starts a new server")
}

/// A server that cannot write its log of changes gives up, and its sessions see no more than the end. One that cannot start
/// a process for a connection closes it without a word, and goes on.
fn lost_with_log(log: &Path) -> Error {
    let end = process::tail(log, 10);
    let of_fork: String = end
        .lines()
        .filter(|line| line.contains("could not fork"))
        .collect();
    let error = if let Some(scarcity) = Scarcity::in_text(&of_fork) {
        let message = format!(
            "the PostgreSQL server could not serve a connection: {}",
            scarcity.what()
        );
        Error::new(ErrorKind::OutOfConnections, message).with_help(scarcity.help())
    } else if native::is_full(&process::tail(log, 50)) {
        Error::new(
            ErrorKind::OutOfSpace,
            "the PostgreSQL server ended because there is no space left for its data",
        )
        .with_help(sql_error::MAKE_ROOM)
    } else {
        lost()
    };
    error.with_evidence("the server's log ends", end)
}

/// An error with its cause, or with what was tried, in one line.
#[cfg(feature = "container")]
fn in_full(error: &Error) -> String {
    match (std::error::Error::source(error), error.evidence("tried")) {
        (Some(source), _) => format!("{error}: {}", told(source)),
        (None, Some(tried)) => format!("{error}: {}", tried.trim_end().replace('\n', "; ")),
        (None, None) => error.to_string(),
    }
}

fn linger_seconds(plan: &Plan) -> u64 {
    // The supervisor looks once a second.
    plan.linger
        .as_millis()
        .div_ceil(1000)
        .try_into()
        .unwrap_or(u64::MAX)
}

struct Identification {
    identity: Option<String>,
    version_num: u32,
    version: String,
    /// Those that are not reserved.
    connections: usize,
}

impl Identification {
    /// What other processes need to use the server.
    fn pointer(
        self,
        instance: &Instance,
        port: Option<registry::PublishedPort>,
        reason: String,
    ) -> Pointer {
        Pointer {
            instance: instance.name(),
            version_num: self.version_num,
            version: self.version,
            connections: self.connections,
            port,
            reason,
        }
    }
}

async fn identify(connection: &mut PgConnection) -> Result<Identification, sqlx::Error> {
    let row = sqlx::query(
        "select current_setting('ebbtide.identity', true), current_setting('server_version_num')::int4, \
         current_setting('server_version'), current_setting('max_connections')::int4 \
         - current_setting('superuser_reserved_connections')::int4 \
         - coalesce(current_setting('reserved_connections', true), '0')::int4",
    )
    .fetch_one(connection)
    .await?;
    let version_num: i32 = row.try_get(1)?;
    let connections: i32 = row.try_get(3)?;
    Ok(Identification {
        identity: row.try_get(0)?,
        version_num: version_num.unsigned_abs(),
        version: row.try_get(2)?,
        connections: connections.try_into().unwrap_or_default(),
    })
}
