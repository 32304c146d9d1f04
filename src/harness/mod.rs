//! Wires plan, server, template and lanes together. The only per-process state is here.

mod drift;
mod health;
mod reversible;
mod runtime;
mod setup;
mod sharing;
mod template_and_lanes;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use once_cell::sync::Lazy;
use tokio::sync::OnceCell;

use crate::clean_up::{self, CleanUpReport};
use crate::config::{Backend, Builder, Environment, Plan};
use crate::error::Result;
use crate::lane::{Database, Ending, LanePool, Sandbox, Tx, TxOptions};
use crate::names::Fingerprint;
use crate::provision::ProvisionReport;
use crate::server::{self, Origin};
use template_and_lanes::{TemplateAndLanes, ended};

pub use drift::DriftReport;
pub use health::Health;
use runtime::background;
pub use setup::Setup;

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
    setup: Option<Arc<Setup>>,
}

#[derive(Debug)]
struct Shared {
    plan: Arc<Plan>,
    // A failure is kept as well: every test of the process is told, none pays for it again.
    template_and_lanes: OnceCell<Result<TemplateAndLanes>>,
    variants: Mutex<Variants>,
}

type TemplateAndLanesCell = Arc<OnceCell<Result<TemplateAndLanes>>>;

/// The stages of variants.
#[derive(Debug, Default)]
struct Variants {
    /// By the fingerprint that each would have on the plan's own server.
    stages: HashMap<Fingerprint, TemplateAndLanesCell>,
    /// By the setup itself: applying one reads and hashes all that it holds, which one test does for all.
    applied: Vec<(Arc<Setup>, TemplateAndLanesCell)>,
}

impl Variants {
    /// The template_and_lanes of a setup that a test has applied.
    fn template_and_lanes(&self, setup: &Setup) -> Option<Result<TemplateAndLanes>> {
        let (_, cell) = self
            .applied
            .iter()
            .find(|(applied, _)| **applied == *setup)?;
        cell.get().cloned()
    }

    /// The cell for the template_and_lanes of a setup that has been applied.
    fn cell(&mut self, setup: &Arc<Setup>, fingerprint: &Fingerprint) -> TemplateAndLanesCell {
        let cell = Arc::clone(self.stages.entry(fingerprint.clone()).or_default());
        if !self.applied.iter().any(|(applied, _)| applied == setup) {
            self.applied.push((Arc::clone(setup), Arc::clone(&cell)));
        }
        cell
    }
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
    /// [`Config`](crate::ErrorKind::Config), [`MigrationSource`](crate::ErrorKind::MigrationSource) or
    /// [`Seed`](crate::ErrorKind::Seed): a value is not usable; the error names where it came from.
    pub fn build(self) -> Result<Harness> {
        let environment = Environment::capture(server::own_uid())?;
        let plan = Arc::new(self.plan(&environment)?);
        tracing::debug!(%plan, "plan");
        let shared = Shared {
            plan,
            template_and_lanes: OnceCell::new(),
            variants: Mutex::default(),
        };
        Ok(Harness {
            shared: Arc::new(shared),
            setup: None,
        })
    }
}

impl Harness {
    /// Starts from the defaults, which `ebbtide.toml` and the environment refine.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The same harness with other migrations, or with fixtures on top. The server is shared, unless one of the two touches
    /// the whole server, as `CREATE ROLE` does.
    ///
    /// What the setup makes is a template of its own, built once for each content.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test() -> ebbtide::Result<()> {
    /// let vips = ebbtide::Setup::new().fixture("vips.sql", "insert into customers (first_name) values ('Laura')");
    /// let tx = ebbtide::harness()?.with_setup(vips).tx().await?;
    /// # tx.close().await
    /// # }
    /// ```
    #[must_use]
    pub fn with_setup(&self, setup: Setup) -> Self {
        let setup = (!setup.is_empty()).then(|| Arc::new(setup));
        Self {
            shared: Arc::clone(&self.shared),
            setup,
        }
    }

    /// What was asked for, with the origin of every value.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    /// Starts or finds the server.
    ///
    /// # Errors
    /// The server cannot be started: see [`ErrorKind`](crate::ErrorKind) for the reasons.
    ///
    /// # Cancel safety
    /// The start goes on in the background when the future is dropped; nothing is left behind.
    pub async fn start(&self) -> Result<ServerReport> {
        let template_and_lanes = self.template_and_lanes().await?;
        let server = &template_and_lanes.server;
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
        let template_and_lanes = self.template_and_lanes().await?;
        let template = template_and_lanes.template.ensure().await?;
        Ok(TemplateReport {
            fingerprint: template_and_lanes.template.fingerprint.clone(),
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
        self.tx_with(TxOptions::new()).await
    }

    /// The same with a wish or two.
    ///
    /// # Errors
    /// As for [`tx`](Self::tx). And [`Config`](crate::ErrorKind::Config): with [`savepoints`](TxOptions::savepoints), the
    /// server of the plan's URL wants an encrypted connection.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut tx = ebbtide::harness()?.tx_with(ebbtide::TxOptions::new().savepoints()).await?;
    /// let insert = "insert into customers (id, first_name) values (1, 'Laura')";
    /// sqlx::query(insert).execute(&mut *tx).await?;
    /// sqlx::query(insert).execute(&mut *tx).await.expect_err("the id is taken");
    /// let customers: i64 = sqlx::query_scalar("select count(*) from customers").fetch_one(&mut *tx).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn tx_with(&self, options: TxOptions) -> Result<Tx> {
        Tx::open(
            &self.lanes().await?,
            &current_test(),
            options,
            Ending::Background,
        )
        .await
    }

    /// A pool whose one connection sits in a transaction, rolled back when it is closed or dropped.
    ///
    /// # Errors
    /// As for [`tx`](Self::tx).
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn sandbox(&self) -> Result<Sandbox> {
        Sandbox::open(&self.lanes().await?, &current_test(), Ending::Background).await
    }

    /// A private copy of the template, handed over whole.
    ///
    /// # Errors
    /// As for [`tx`](Self::tx).
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn database(&self) -> Result<Database> {
        Database::open(&self.lanes().await?, &current_test(), Ending::Background).await
    }

    /// The lanes of this harness's template.
    pub(crate) async fn lanes(&self) -> Result<LanePool> {
        Ok(self.template_and_lanes().await?.pool)
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
    /// let report = ebbtide::Harness::builder().build()?.clean_up().await?;
    /// println!("dropped: {}", report.dropped.join(", "));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn clean_up(&self) -> Result<CleanUpReport> {
        let server = self.template_and_lanes().await?.server;
        let work = async move {
            let mut admin = server.admin().await?;
            clean_up::everything(&server, &mut admin)
                .await
                .map_err(|error| server.diagnose(error))
        };
        background()?.spawn(work).await.unwrap_or_else(ended)
    }

    async fn template_and_lanes(&self) -> Result<TemplateAndLanes> {
        let template_and_lanes = self
            .shared
            .template_and_lanes
            .get_or_init(|| self.set_stage())
            .await
            .clone()?;
        let Some(setup) = &self.setup else {
            return Ok(template_and_lanes);
        };
        let known = self.variants().template_and_lanes(setup);
        if let Some(template_and_lanes) = known {
            return template_and_lanes;
        }
        let varied = setup.apply(&template_and_lanes.template)?;
        let cell = self.variants().cell(setup, &varied.fingerprint);
        let set = || async {
            if varied.sharing == template_and_lanes.template.sharing {
                return Ok(TemplateAndLanes::of(varied, template_and_lanes.runtime));
            }
            background()?
                .spawn(TemplateAndLanes::elsewhere(varied))
                .await
                .unwrap_or_else(ended)
        };
        cell.get_or_init(set).await.clone()
    }

    async fn set_stage(&self) -> Result<TemplateAndLanes> {
        let (plan, setup) = (Arc::clone(&self.shared.plan), self.setup.clone());
        let setting = background()?
            .spawn(async move { TemplateAndLanes::set(&plan, setup.as_deref()).await });
        let (template_and_lanes, varied) = setting.await.unwrap_or_else(ended)?;
        if let (Some(setup), Some(varied)) = (&self.setup, varied) {
            let cell = self.variants().cell(setup, &varied.template.fingerprint);
            // The first template_and_lanes of all: no other test has set it.
            let _ = cell.set(Ok(varied));
        }
        Ok(template_and_lanes)
    }

    fn variants(&self) -> std::sync::MutexGuard<'_, Variants> {
        self.shared
            .variants
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs something on the background runtime, whatever runs here.
///
/// # Errors
/// The runtime cannot be made, or what ran has panicked.
pub(crate) fn in_background<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<impl Future<Output = Result<T>> + Send> {
    let task = background()?.spawn(work);
    Ok(async move { task.await.or_else(ended) })
}

/// The test that runs: the test runner's threads bear the names of their tests.
fn current_test() -> String {
    std::thread::current()
        .name()
        .unwrap_or("ebbtide")
        .to_owned()
}

static SHARED: Lazy<Result<Harness>> = Lazy::new(|| Builder::new().build());

/// The process's own harness, resolved from `ebbtide.toml` and the environment.
///
/// # Errors
/// As for [`Builder::build`].
pub fn harness() -> Result<Harness> {
    SHARED.clone()
}
