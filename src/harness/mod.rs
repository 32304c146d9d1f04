//! Connects plan, server, template and lanes, and holds the process's default harness.
//!
//! | file | noun |
//! |---|---|
//! | `template_and_lanes` | a server with one template and its lanes, opened on first use |
//! | `named` | the harness of each named plan |
//! | `setup` | other contents for some tests |
//! | `sharing` | whether a template's contents need a dedicated server |
//! | `runtime` | the background runtime |
//! | `reports` | what `start` and `provision` return |
//! | `versions` | migrates a copy of a template to other versions |
//! | `drift`, `health`, `reversible`, `each_version` | the checks of a schema that a program can call |
//!
//! One `TemplateAndLanes` exists for the plan and one for each distinct setup. Each is in a
//! `OnceCell`, so tests that run at the same time open it once and share the outcome, errors
//! included. The opening runs as a task of the background runtime. Its connections must outlive the
//! first test, and a dropped future must not abandon a half-started server.

mod drift;
mod each_version;
mod health;
mod named;
#[cfg(test)]
mod report_json;
mod reports;
mod reversible;
mod runtime;
mod setup;
mod sharing;
mod template_and_lanes;
mod template_cell;
mod versions;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use once_cell::sync::Lazy;
use tokio::sync::OnceCell;

use crate::clean_up::{self, CleanUpReport};
use crate::config::{Builder, Environment, Plan};
use crate::error::Result;
use crate::lane::{Database, LanePool, LaneRequest, OnDrop, Sandbox, Tx, TxOptions};
use crate::names::Fingerprint;
use crate::server;
use runtime::task_failed;
use template_and_lanes::TemplateAndLanes;

pub use drift::{ComparedDatabase, DriftReport};
pub use health::{HealthReport, LedgerHealth};
pub use reports::{ServerReport, TemplateReport};
use runtime::background;
pub use setup::Setup;

/// A plan together with its server, template and lanes. Each of them is created on first use.
///
/// Cloning is cheap, and all clones share everything. Most tests use the process's default harness
/// through [`tx`](crate::tx()).
///
/// # Examples
/// ```no_run
/// # async fn test() -> ebbtide::Result<()> {
/// let harness = ebbtide::Harness::builder()
///     .extension("pg_trgm")
///     .migrations("migrations")
///     .build()?;
/// let tx = harness.tx().await?;
/// # tx.close().await
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Harness {
    shared: Arc<Shared>,
    setup: Option<Arc<Setup>>,
    login: LaneLogin,
}

/// As which role the sessions of tests log in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LaneLogin {
    /// The role of the plan's `test.role`.
    OfPlan,
    Role(Arc<str>),
    /// The role that administers the server.
    Administrator,
}

impl LaneLogin {
    /// The role, if it is another one than the administrator.
    fn role<'a>(&'a self, plan: &'a Plan) -> Option<&'a str> {
        match self {
            Self::OfPlan => plan.test_role.as_deref(),
            Self::Role(role) => Some(role),
            Self::Administrator => None,
        }
    }
}

#[derive(Debug)]
struct Shared {
    plan: Arc<Plan>,
    // A failure is kept as well: every test of the process reports it, and none repeats the work.
    template_and_lanes: OnceCell<Result<TemplateAndLanes>>,
    setups: Mutex<Setups>,
    of_roles: Mutex<RoleLanes>,
}

/// The lanes of roles other than the plan's, by the template's fingerprint and the role.
type RoleLanes = HashMap<(Fingerprint, Option<String>), TemplateAndLanes>;

type TemplateAndLanesCell = Arc<OnceCell<Result<TemplateAndLanes>>>;

/// The templates and lanes of the setups that this process has used.
#[derive(Debug, Default)]
struct Setups {
    /// By the fingerprint that each would have on the plan's own server.
    by_fingerprint: HashMap<Fingerprint, TemplateAndLanesCell>,
    /// By the setup itself. Applying a setup reads and hashes everything that it holds, so the
    /// first test does it for all.
    applied: Vec<(Arc<Setup>, TemplateAndLanesCell)>,
}

impl Setups {
    /// The template and lanes of a setup, if a test has opened them already.
    fn template_and_lanes(&self, setup: &Setup) -> Option<Result<TemplateAndLanes>> {
        let (_, cell) = self
            .applied
            .iter()
            .find(|(applied, _)| **applied == *setup)?;
        // `None` while another test is filling the cell. The caller then waits for it.
        cell.get().cloned()
    }

    /// The cell for a setup that has been applied. Setups with equal contents share one.
    fn cell(&mut self, setup: &Arc<Setup>, fingerprint: &Fingerprint) -> TemplateAndLanesCell {
        let cell = Arc::clone(self.by_fingerprint.entry(fingerprint.clone()).or_default());
        if !self.applied.iter().any(|(applied, _)| applied == setup) {
            self.applied.push((Arc::clone(setup), Arc::clone(&cell)));
        }
        cell
    }
}

impl Builder {
    /// Resolves the builder, the environment and `ebbtide.toml` into a harness. It starts nothing.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config), [`MigrationSource`](crate::ErrorKind::MigrationSource)
    /// or [`Seed`](crate::ErrorKind::Seed): a value cannot be used. The error names the place of
    /// the value.
    pub fn build(self) -> Result<Harness> {
        Ok(Harness::of(self.resolve_here()?))
    }

    /// Like [`build`](Self::build), for a harness that the process has without a builder.
    fn build_for_process(self) -> Result<Harness> {
        Ok(Harness::of(Plan {
            is_process_wide: true,
            ..self.resolve_here()?
        }))
    }

    /// Resolves the plan in this process's environment.
    fn resolve_here(&self) -> Result<Plan> {
        let environment = Environment::capture(server::own_uid(), self.own_package_root())?;
        self.resolve(&environment)
    }
}

impl Harness {
    fn of(plan: Plan) -> Self {
        let plan = Arc::new(plan);
        tracing::debug!(%plan, "plan");
        let shared = Shared {
            plan,
            template_and_lanes: OnceCell::new(),
            setups: Mutex::default(),
            of_roles: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            setup: None,
            login: LaneLogin::OfPlan,
        }
    }

    /// The process's default harness, resolved from `ebbtide.toml` and the environment on the first
    /// call.
    ///
    /// # Errors
    /// As for [`Builder::build`].
    pub fn shared() -> Result<Self> {
        HARNESS.clone()
    }

    /// A builder without any value: `ebbtide.toml`, the environment and the defaults fill what it
    /// lacks.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The same harness with other migrations, with fixtures on top, or with further expectations.
    ///
    /// A setup has a template of its own, which is built once for each content. The template is on
    /// the same server. If the setup contains statements that touch the whole server, such as
    /// `CREATE ROLE`, the template is on a dedicated server.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test() -> ebbtide::Result<()> {
    /// let insert = "insert into customers (first_name) values ('Laura')";
    /// let vips = ebbtide::Setup::new().fixture("vips.sql", insert);
    /// let tx = ebbtide::Harness::shared()?.with_setup(vips).tx().await?;
    /// # tx.close().await
    /// # }
    /// ```
    #[must_use]
    pub fn with_setup(&self, setup: Setup) -> Self {
        let setup = (!setup.is_empty()).then(|| Arc::new(setup));
        Self {
            shared: Arc::clone(&self.shared),
            setup,
            login: self.login.clone(),
        }
    }

    /// The same harness, with tests whose sessions log in as another role than the plan's
    /// `test.role`.
    ///
    /// The role comes from the plan's roles, the bootstrap or the migrations. The template is the
    /// same.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test() -> ebbtide::Result<()> {
    /// let mut tx = ebbtide::Harness::shared()?.as_role("auditor").tx().await?;
    /// let role: String = sqlx::query_scalar("select session_user::text").fetch_one(&mut *tx).await?;
    /// assert_eq!(role, "auditor");
    /// # tx.close().await
    /// # }
    /// ```
    #[must_use]
    pub fn as_role(&self, role: impl Into<String>) -> Self {
        Self {
            login: LaneLogin::Role(role.into().into()),
            ..self.clone()
        }
    }

    /// The same harness, with sessions of the role that administers the server.
    fn as_administrator(&self) -> Self {
        Self {
            login: LaneLogin::Administrator,
            ..self.clone()
        }
    }

    /// The resolved configuration, with the place that each value came from.
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
    /// The start continues in the background when the future is dropped. Nothing is left behind.
    pub async fn start(&self) -> Result<ServerReport> {
        let template_and_lanes = self.template_and_lanes().await?;
        Ok(ServerReport::of(&template_and_lanes.server))
    }

    /// Builds or finds the template: extensions, migrations, verification, seeds, expectations.
    ///
    /// # Errors
    /// A phase failed. The half-built database is dropped.
    ///
    /// # Cancel safety
    /// The build continues in the background when the future is dropped.
    pub async fn provision(&self) -> Result<TemplateReport> {
        let template_and_lanes = self.template_and_lanes().await?;
        let cell = &template_and_lanes.template;
        Ok(TemplateReport::of(&cell.fingerprint, cell.ensure().await?))
    }

    /// A transaction on a private copy of the template, which is rolled back when the [`Tx`] is
    /// closed or dropped.
    ///
    /// # Errors
    /// The server cannot be started, a phase of provisioning failed, or no copy became free in
    /// time.
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

    /// Like [`tx`](Self::tx), with options for the transaction.
    ///
    /// # Errors
    /// - As for [`tx`](Self::tx).
    /// - [`Config`](crate::ErrorKind::Config): [`savepoints`](TxOptions::savepoints) are requested,
    ///   and the server of the plan's URL requires an encrypted connection.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = ebbtide::TxOptions::new().savepoints();
    /// let mut tx = ebbtide::Harness::shared()?.tx_with(options).await?;
    /// let insert = "insert into customers (id, first_name) values (1, 'Laura')";
    /// sqlx::query(insert).execute(&mut *tx).await?;
    /// sqlx::query(insert).execute(&mut *tx).await.expect_err("the id is taken");
    /// // The failed statement undid only itself.
    /// let count = "select count(*) from customers";
    /// let customers: i64 = sqlx::query_scalar(count).fetch_one(&mut *tx).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn tx_with(&self, options: TxOptions) -> Result<Tx> {
        Tx::open(self.lane_request().await?, options).await
    }

    /// A pool whose one connection is in a transaction, which is rolled back when the [`Sandbox`]
    /// is closed or dropped.
    ///
    /// # Errors
    /// As for [`tx`](Self::tx).
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn sandbox(&self) -> Result<Sandbox> {
        Sandbox::open(self.lane_request().await?).await
    }

    /// A private copy of the template without a transaction around it: commits are real.
    ///
    /// # Errors
    /// As for [`tx`](Self::tx).
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn database(&self) -> Result<Database> {
        Database::open(self.lane_request().await?).await
    }

    /// A request of the current test. When what it opens is dropped, the lane is closed in the
    /// background.
    async fn lane_request(&self) -> Result<LaneRequest> {
        let test = current_test();
        let lanes = self.lanes().await;
        Ok(LaneRequest {
            lanes: lanes.map_err(|error| error.for_test(&test))?,
            test,
            reservation: None,
            on_drop: OnDrop::CloseInBackground,
        })
    }

    /// The lanes of this harness's template.
    pub(crate) async fn lanes(&self) -> Result<LanePool> {
        // Boxed for the same reason as in `LaneRequest::acquire`.
        Ok(Box::pin(self.template_and_lanes()).await?.pool)
    }

    /// Drops the databases of ebbtide on the server that no process uses: templates, their copies,
    /// half-built ones, and kept ones that have expired.
    ///
    /// It is meant for an external server. The databases of any other server go with the server.
    ///
    /// Only databases of the plan's own role are dropped. Databases that a process still uses stay,
    /// and so do those that this process has used: call it from a process that runs no tests. A
    /// test process that starts meanwhile builds its template again.
    ///
    /// # Errors
    /// The server cannot be reached. A single database that cannot be dropped is listed in
    /// [`CleanUpReport::held`].
    ///
    /// # Cancel safety
    /// The work continues in the background when the future is dropped.
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
            clean_up::drop_all_unused(&server, &mut admin)
                .await
                .map_err(|error| server.diagnose(error))
        };
        background()?.spawn(work).await.unwrap_or_else(task_failed)
    }

    /// Opens the plan's template and lanes, and those of the setup if this harness has one.
    ///
    /// The plan's come first in any case: a setup's fingerprint contains the server's version, and
    /// its fixtures lie on top of the plan's template. A setup on the same server costs no further
    /// connection. One with a dedicated server starts it here, in the background.
    async fn template_and_lanes(&self) -> Result<TemplateAndLanes> {
        let of_plan = self.template_and_lanes_of_plan().await?;
        if self.login == LaneLogin::OfPlan {
            return Ok(of_plan);
        }
        let role = self.login.role(self.plan());
        if role == self.plan().test_role.as_deref() {
            return Ok(of_plan);
        }
        let key = (
            of_plan.template.fingerprint.clone(),
            role.map(str::to_owned),
        );
        let mut of_roles = self
            .shared
            .of_roles
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = of_roles.get(&key) {
            return Ok(known.clone());
        }
        let of_role = of_plan.as_role(role)?;
        of_roles.insert(key, of_role.clone());
        Ok(of_role)
    }

    /// The same, for the role of the plan.
    async fn template_and_lanes_of_plan(&self) -> Result<TemplateAndLanes> {
        let template_and_lanes = self
            .shared
            .template_and_lanes
            .get_or_init(|| self.open())
            .await
            .clone()?;
        let Some(setup) = &self.setup else {
            return Ok(template_and_lanes);
        };
        // The mutex is not held while this applies or opens a setup. Two tests may both apply the
        // setup, but its fingerprint leads both to one cell, so only one test opens the cell.
        let opened = self.setups().template_and_lanes(setup);
        if let Some(template_and_lanes) = opened {
            return template_and_lanes;
        }
        let of_setup = setup.apply(&template_and_lanes.template)?;
        let cell = self.setups().cell(setup, &of_setup.fingerprint);
        let open = || async {
            // The same server: nothing has to be connected, so this needs no background task.
            if of_setup.sharing == template_and_lanes.template.sharing {
                return TemplateAndLanes::of(of_setup, template_and_lanes.runtime);
            }
            background()?
                .spawn(TemplateAndLanes::open_elsewhere(of_setup))
                .await
                .unwrap_or_else(task_failed)
        };
        cell.get_or_init(open).await.clone()
    }

    async fn open(&self) -> Result<TemplateAndLanes> {
        // Only the first test's setup is opened with the plan. Other tests wait in the same cell,
        // and open their setups afterwards.
        let (plan, setup) = (Arc::clone(&self.shared.plan), self.setup.clone());
        let opening = background()?
            .spawn(async move { TemplateAndLanes::open(&plan, setup.as_deref()).await });
        let (template_and_lanes, of_setup) = opening.await.unwrap_or_else(task_failed)?;
        if let (Some(setup), Some(of_setup)) = (&self.setup, of_setup) {
            let cell = self.setups().cell(setup, &of_setup.template.fingerprint);
            // Nothing has filled the cell before: every setup waits for the plan's own, which opens
            // here.
            let _ = cell.set(Ok(of_setup));
        }
        Ok(template_and_lanes)
    }

    fn setups(&self) -> std::sync::MutexGuard<'_, Setups> {
        self.shared
            .setups
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spawns `work` on the background runtime, from a thread with or without a runtime. The task runs
/// to its end even if the returned future is dropped.
///
/// # Errors
/// The runtime cannot be started, or `work` has panicked.
pub(crate) fn in_background<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<impl Future<Output = Result<T>> + Send> {
    let task = background()?.spawn(work);
    Ok(async move { task.await.or_else(task_failed) })
}

/// The name of the running test. libtest names each test's thread after the test.
fn current_test() -> String {
    std::thread::current()
        .name()
        .unwrap_or("ebbtide")
        .to_owned()
}

static HARNESS: Lazy<Result<Harness>> = Lazy::new(|| Builder::new().build_for_process());
