//! One test: its options, and the source of its arguments.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::postgres::{PgConnectOptions, PgPool};
use tokio::sync::OnceCell;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::lane_need::LaneNeed;
use crate::config::Keep;
use crate::error::{Error, ErrorKind, Result};
use crate::harness::{Harness, Setup};
use crate::lane::{Checkout, Database, LaneRequest, OnDrop, Reservation, Sandbox, TxOptions};

/// What the arguments of sqlx's types lead to: the attribute's option `pool`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PoolKind {
    /// A [`Sandbox`](crate::Sandbox), which is rolled back.
    Sandbox,
    /// A [`Database`](crate::Database) of the test's own.
    #[default]
    Database,
}

/// The attribute's options for one test.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestSpec {
    pub(crate) name: String,
    pub(crate) setup: Setup,
    pub(crate) pool: PoolKind,
    /// `None`: the plan decides.
    pub(crate) role: Option<String>,
    pub(crate) tx: TxOptions,
    /// `None`: the plan decides.
    pub(crate) keep: Option<Keep>,
}

/// The test that is about to begin: the source of its arguments, see [`TestArg`](crate::TestArg).
///
/// Whatever comes from here is closed at the test's end, even if the test panics. An error in
/// closing it, such as a violated deferred constraint, fails the test.
#[derive(Clone)]
pub struct TestContext {
    inner: Arc<Inner>,
    /// The name of the plan whose databases this context makes. `None`: the default plan.
    plan: PlanName,
}

/// `None`: the default plan.
type PlanName = Option<Arc<str>>;

struct Inner {
    spec: TestSpec,
    /// Receives the checkouts that are dropped. `None` after the end of the test.
    collector: Mutex<Option<UnboundedSender<Checkout>>>,
    /// The one database or sandbox of all arguments of sqlx's types, for each plan. `None` after
    /// the end of the test.
    shared: Mutex<Option<HashMap<PlanName, Arc<OnceCell<Shared>>>>>,
    /// The plan and the need of each argument.
    announced: Mutex<Vec<(PlanName, LaneNeed)>>,
    /// The permits that the test has while its arguments are made.
    reservations: Mutex<Vec<Arc<Reservation>>>,
}

enum Shared {
    Sandbox(Sandbox),
    Database(Database),
}

impl TestContext {
    /// The context, and the receiver of the checkouts that the test returns.
    pub(crate) fn new(spec: TestSpec) -> (Self, UnboundedReceiver<Checkout>) {
        let (collector, collected) = mpsc::unbounded_channel();
        let inner = Inner {
            spec,
            collector: Mutex::new(Some(collector)),
            shared: Mutex::new(Some(HashMap::new())),
            announced: Mutex::default(),
            reservations: Mutex::default(),
        };
        (
            Self {
                inner: Arc::new(inner),
                plan: None,
            },
            collected,
        )
    }

    /// The test's path without its crate, such as `customers::starts_empty`.
    #[must_use]
    pub fn test_name(&self) -> &str {
        &self.inner.spec.name
    }

    /// The name of the plan whose databases come from this context: that of `#[plan("audit")]` at
    /// the argument. `None` for the default plan.
    #[must_use]
    pub fn plan(&self) -> Option<&str> {
        self.plan.as_deref()
    }

    /// The context of the same test whose databases are those of a named plan, or of the default
    /// plan for `None`. For an argument that needs databases of several plans.
    ///
    /// While such an argument has its first database, it may wait for its second.
    ///
    /// # Examples
    /// ```no_run
    /// use ebbtide::{Database, TestArg, TestContext};
    ///
    /// struct Services {
    ///     shop: Database,
    ///     audit: Database,
    /// }
    ///
    /// impl TestArg for Services {
    ///     async fn from_test(context: &TestContext) -> ebbtide::Result<Self> {
    ///         let shop = context.database().await?;
    ///         let audit = context.on_plan(Some("audit")).database().await?;
    ///         Ok(Services { shop, audit })
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn on_plan(&self, plan: Option<&str>) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            plan: plan.map(Arc::from),
        }
    }

    /// The harness with the test's role, fixtures and migrations. The last two of the attribute belong to the
    /// default plan, so the harness of a named plan has the plan's contents only.
    ///
    /// # Errors
    /// As for [`Harness::shared`], or [`Harness::named`].
    pub fn harness(&self) -> Result<Harness> {
        let harness = match &self.plan {
            Some(plan) => Harness::named(plan)?,
            None => Harness::shared()?.with_setup(self.inner.spec.setup.clone()),
        };
        Ok(match &self.inner.spec.role {
            Some(role) => harness.as_role(role),
            None => harness,
        })
    }

    /// A pool on the test's own database, or with `pool = "sandbox"` on its sandbox. Each call
    /// returns the same pool.
    ///
    /// # Errors
    /// As for [`Harness::database`].
    pub async fn pool(&self) -> Result<PgPool> {
        let shared = self.shared();
        Ok(match self.share(&shared).await? {
            Shared::Sandbox(sandbox) => PgPool::clone(sandbox),
            Shared::Database(database) => database.pool(),
        })
    }

    pub(super) async fn connect_options(&self, wanted: &str) -> Result<PgConnectOptions> {
        let shared = self.shared();
        match self.share(&shared).await? {
            Shared::Database(database) => Ok(database.connect_options()),
            Shared::Sandbox(_) => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "a test with pool = \"sandbox\" has one connection, so it cannot have {wanted}"
                ),
            )
            .with_help("take a PgPool instead, or set pool = \"database\", which is the default")),
        }
    }

    /// The attribute's option `keep`.
    pub(super) fn keep(&self) -> Option<Keep> {
        self.inner.spec.keep
    }

    /// What the arguments of sqlx's types need together.
    pub(super) fn pool_need(&self) -> LaneNeed {
        match self.inner.spec.pool {
            PoolKind::Sandbox => LaneNeed::Connection,
            PoolKind::Database => LaneNeed::Database,
        }
    }

    /// Records what an argument of this context's plan will need.
    pub(crate) fn announce(&self, need: LaneNeed) {
        lock(&self.inner.announced).push((self.plan.clone(), need));
    }

    /// The plan and the need of each argument.
    pub(super) fn announced(&self) -> Vec<(PlanName, LaneNeed)> {
        lock(&self.inner.announced).clone()
    }

    pub(super) fn set_reservations(&self, reservations: Vec<Arc<Reservation>>) {
        let earlier = std::mem::replace(&mut *lock(&self.inner.reservations), reservations);
        // Permits are released without the mutex.
        drop(earlier);
    }

    /// Drops what the context itself holds: the shared database, and its sender, without which the
    /// collector's channel closes when the last checkout is dropped.
    pub(super) fn finish(&self) {
        drop(lock(&self.inner.shared).take());
        drop(lock(&self.inner.collector).take());
    }

    fn shared(&self) -> Arc<OnceCell<Shared>> {
        match &mut *lock(&self.inner.shared) {
            Some(of_plans) => Arc::clone(of_plans.entry(self.plan.clone()).or_default()),
            None => Arc::default(),
        }
    }

    async fn share<'a>(&self, shared: &'a OnceCell<Shared>) -> Result<&'a Shared> {
        let make = || async {
            Ok(match self.inner.spec.pool {
                PoolKind::Sandbox => Shared::Sandbox(self.sandbox().await?),
                PoolKind::Database => Shared::Database(self.database().await?),
            })
        };
        shared.get_or_try_init(make).await
    }

    /// The attribute's options for a transaction.
    pub(super) fn tx_options(&self) -> TxOptions {
        self.inner.spec.tx
    }

    pub(super) async fn lane_request(&self) -> Result<LaneRequest> {
        let lanes = async { self.harness()?.lanes().await };
        let lanes = lanes
            .await
            .map_err(|error| error.for_test(self.test_name()))?;
        let reservations = lock(&self.inner.reservations);
        let reservation = reservations
            .iter()
            .find(|reservation| reservation.is_for(&lanes))
            .cloned();
        drop(reservations);
        Ok(LaneRequest {
            lanes,
            reservation,
            test: self.test_name().to_owned(),
            on_drop: self.on_drop(),
        })
    }

    /// After the test's end nothing collects: a thread that outlives its test closes its checkouts
    /// in the background.
    fn on_drop(&self) -> OnDrop {
        let collector = lock(&self.inner.collector).clone();
        collector.map_or(OnDrop::CloseInBackground, OnDrop::SendTo)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for TestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestContext")
            .field("spec", &self.inner.spec)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}
