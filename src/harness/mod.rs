//! Wires plan, server, template and lanes together. The only per-process state is here.

mod runtime;

use std::sync::Arc;

use once_cell::sync::Lazy;
use tokio::sync::OnceCell;

use crate::config::{Backend, Builder, Environment, Plan};
use crate::error::{Error, ErrorKind, Result};
use crate::lane::{LanePool, LaneSetting, Tx};
use crate::names::{Fingerprint, Literal};
use crate::provision::{Inputs, ProvisionReport};
use crate::reap::{self, ReapReport};
use crate::server::{self, Origin, Server, Trust};
use crate::template::{self, Template};

/// A plan together with the server, template and lanes that it leads to, each made when it is first needed.
///
/// Cloning is cheap, and all clones share everything. Most tests use the process's own through [`tx`](crate::tx()).
///
/// # Examples
/// ```no_run
/// # async fn test() -> ebbtide::Result<()> {
/// let harness = ebbtide::Harness::builder().extension("pg_trgm").migrations("migrations").build()?;
/// let tx = harness.tx().await?;
/// # tx.close().await
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Harness {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    plan: Arc<Plan>,
    // A failure is kept as well: every test of the process is told, none pays for it again.
    stage: OnceCell<Result<Stage>>,
}

/// What is there once the server runs.
#[derive(Debug, Clone)]
struct Stage {
    server: Arc<Server>,
    template: Arc<TemplateCell>,
    pool: LanePool,
}

#[derive(Debug)]
struct TemplateCell {
    plan: Arc<Plan>,
    inputs: Inputs,
    fingerprint: Fingerprint,
    server: Arc<Server>,
    cell: OnceCell<Result<Template>>,
}

/// The running server, in plain values.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ServerReport {
    /// How the server came to be.
    pub backend: Backend,
    /// PostgreSQL's version, as `server_version` says it.
    pub version: String,
    /// Why it is this backend: the choice of `auto`, or who asked for it.
    pub reason: String,
    /// Whether another process had started it.
    pub reused: bool,
    /// Time to start or find it, in milliseconds.
    pub milliseconds: f64,
}

/// The template that tests get copies of, in plain values.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TemplateReport {
    /// Hash of everything that makes this database.
    pub fingerprint: Fingerprint,
    /// Whether it had been built before, by this process or another.
    pub reused: bool,
    /// Time to build or find it, in milliseconds.
    pub milliseconds: f64,
    /// What was done when it was built.
    pub provisioned: ProvisionReport,
}

impl Builder {
    /// Resolves the builder, the environment and `ebbtide.toml` into a harness. Starts nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], [`ErrorKind::MigrationSource`] or [`ErrorKind::Seed`]: a value is not usable; the
    /// error names where it came from.
    pub fn build(self) -> Result<Harness> {
        let environment = Environment::capture(server::own_uid())?;
        let plan = Arc::new(self.plan(&environment)?);
        tracing::debug!(%plan, "plan");
        Ok(Harness { shared: Arc::new(Shared { plan, stage: OnceCell::new() }) })
    }
}

impl Harness {
    /// Starts from the defaults, which `ebbtide.toml` and the environment refine.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// What was asked for, with the origin of every value.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    /// Starts or finds the server.
    ///
    /// # Errors
    /// The server cannot be started: see [`ErrorKind`] for the reasons.
    ///
    /// # Cancel safety
    /// The start goes on in the background when the future is dropped; nothing is left behind.
    pub async fn start(&self) -> Result<ServerReport> {
        let stage = self.stage().await?;
        let server = &stage.server;
        Ok(ServerReport {
            backend: server.backend,
            reason: server.reason.clone(),
            version: server.version.clone(),
            reused: server.origin == Origin::Reused,
            milliseconds: server.took.as_secs_f64() * 1e3,
        })
    }

    /// Builds or finds the template: extensions, migrations, verification, seeds, expectations.
    ///
    /// # Errors
    /// A phase failed. The half-built database is dropped.
    ///
    /// # Cancel safety
    /// The build goes on in the background when the future is dropped.
    pub async fn provision(&self) -> Result<TemplateReport> {
        let stage = self.stage().await?;
        let template = stage.template.ensure().await?;
        Ok(TemplateReport {
            fingerprint: stage.template.fingerprint.clone(),
            reused: template.origin == Origin::Reused,
            milliseconds: template.took.as_secs_f64() * 1e3,
            provisioned: template.report,
        })
    }

    /// A transaction on a private copy of the template, rolled back when it is closed or dropped.
    ///
    /// # Errors
    /// The server cannot be started, a phase of provisioning failed, or no lane became free.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test() -> ebbtide::Result<()> {
    /// let harness = ebbtide::Harness::builder().build()?;
    /// let mut tx = harness.tx().await?;
    /// let one: i32 = sqlx::query_scalar("select 1").fetch_one(&mut *tx).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn tx(&self) -> Result<Tx> {
        let stage = self.stage().await?;
        Tx::open(&stage.pool).await
    }

    /// Drops every database of ours on the server that nobody uses: templates, lanes, half-built and expired kept ones.
    /// For an external server that is to be left as it was found; any other takes its databases with it.
    ///
    /// Only databases that belong to the plan's own role are touched. What any process still uses is held, and so is what
    /// this process has used: call it from one that runs no tests. Other processes that begin meanwhile build anew.
    ///
    /// # Errors
    /// The server cannot be reached. A single database that cannot be dropped is listed as held.
    ///
    /// # Cancel safety
    /// It goes on in the background when the future is dropped.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn clean_up() -> ebbtide::Result<()> {
    /// let report = ebbtide::Harness::builder().build()?.reap().await?;
    /// println!("dropped: {}", report.dropped.join(", "));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reap(&self) -> Result<ReapReport> {
        let server = self.stage().await?.server;
        let work = async move {
            let mut admin = server.admin().await?;
            reap::everything(&server, &mut admin).await.map_err(|error| server.explain(error))
        };
        runtime::background()?.spawn(work).await.unwrap_or_else(ended)
    }

    async fn stage(&self) -> Result<Stage> {
        let plan = &self.shared.plan;
        let start = || async {
            let plan = Arc::clone(plan);
            runtime::background()?.spawn(async move { Stage::set(&plan).await }).await.unwrap_or_else(ended)
        };
        self.shared.stage.get_or_init(start).await.clone()
    }
}

impl Stage {
    /// Believes the registry's files first; when the first connection shows that they are stale, looks closer.
    async fn set(plan: &Arc<Plan>) -> Result<Self> {
        match Self::set_trusting(plan, Trust::Files).await {
            Err(error) if error.kind() == ErrorKind::ServerLost => Self::set_trusting(plan, Trust::Answer).await,
            other => other,
        }
    }

    #[tracing::instrument(name = "server.start", level = "debug", skip(plan))]
    async fn set_trusting(plan: &Arc<Plan>, trust: Trust) -> Result<Self> {
        let inputs = Inputs::read(plan)?;
        let server = Arc::new(Server::start(plan, trust).await?);
        tracing::info!(backend = %server.backend, reason = server.reason, version = server.version, reused = server.origin == Origin::Reused, "server");
        let fingerprint = inputs.fingerprint(plan, server.version_num, server.role());
        let template = Arc::new(TemplateCell {
            plan: Arc::clone(plan),
            inputs,
            fingerprint: fingerprint.clone(),
            server: Arc::clone(&server),
            cell: OnceCell::new(),
        });
        let setting = LaneSetting {
            server: Arc::clone(&server),
            fingerprint,
            runtime: runtime::background()?.clone(),
            slot: *plan.slot.get(),
            session: session_settings(plan),
        };
        let source = Arc::clone(&template);
        let pool = LanePool::new(
            setting,
            Box::new(move || {
                let source = Arc::clone(&source);
                Box::pin(async move { Ok(source.ensure().await?.name) })
            }),
        );
        // Files may speak of a server that died a moment ago; the first connection shows it.
        if trust == Trust::Files && server.origin == Origin::Reused && !server.outlives_us() {
            pool.warm_up().await?;
        }
        Ok(Self { server, template, pool })
    }
}

impl TemplateCell {
    async fn ensure(self: &Arc<Self>) -> Result<Template> {
        let build = || async {
            let this = Arc::clone(self);
            runtime::background()?
                .spawn(async move { template::ensure(&this.server, &this.plan, &this.inputs, &this.fingerprint).await })
                .await
                .unwrap_or_else(ended)
        };
        self.cell.get_or_init(build).await.clone()
    }
}

/// sqlx names a time zone and a date style in its start-up message, which beats the server's own settings.
fn session_settings(plan: &Plan) -> String {
    use std::fmt::Write as _;
    plan.settings
        .iter()
        .filter(|(name, _)| ["timezone", "datestyle"].contains(&name.to_ascii_lowercase().as_str()))
        .fold(String::new(), |mut sql, (name, value)| {
            write!(sql, "set {name} = {}; ", Literal(value)).expect("writing to a string does not fail");
            sql
        })
}

fn ended<T>(error: tokio::task::JoinError) -> Result<T> {
    Err(Error::new(ErrorKind::Io, "the background task ended early").with_source(error))
}

static SHARED: Lazy<Result<Harness>> = Lazy::new(|| Builder::new().build());

/// The process's own harness, resolved from `ebbtide.toml` and the environment.
///
/// # Errors
/// As for [`Builder::build`].
pub fn harness() -> Result<Harness> {
    SHARED.clone()
}

/// A transaction from the process's own harness, rolled back when it is closed or dropped.
///
/// # Errors
/// As for [`Harness::tx`].
///
/// # Examples
/// ```no_run
/// # type Error = Box<dyn std::error::Error>;
/// # async fn test() -> Result<(), Error> {
/// let mut tx = ebbtide::tx().await?;
/// let one: i32 = sqlx::query_scalar("select 1").fetch_one(&mut *tx).await?;
/// # Ok(())
/// # }
/// ```
pub async fn tx() -> Result<Tx> {
    harness()?.tx().await
}
