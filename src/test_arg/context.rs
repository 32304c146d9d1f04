//! One test: its options, and the source of its arguments.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::{PgConnectOptions, PgPool};
use tokio::sync::OnceCell;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::config::{Keep, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::harness::{Harness, Setup};
use crate::lane::{Checkout, Database, LaneRequest, OnDrop, Sandbox, TxOptions};

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
}

struct Inner {
    spec: TestSpec,
    /// Receives the checkouts that are dropped. `None` after the end of the test.
    collector: Mutex<Option<UnboundedSender<Checkout>>>,
    /// The one database or sandbox of all arguments of sqlx's types.
    shared: Mutex<Option<Arc<OnceCell<Shared>>>>,
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
            shared: Mutex::new(Some(Arc::default())),
        };
        (
            Self {
                inner: Arc::new(inner),
            },
            collected,
        )
    }

    /// The test's path without its crate, such as `customers::starts_empty`.
    #[must_use]
    pub fn test_name(&self) -> &str {
        &self.inner.spec.name
    }

    /// The harness with the test's fixtures, migrations and role.
    ///
    /// # Errors
    /// As for [`harness()`](crate::Harness::shared).
    pub fn harness(&self) -> Result<Harness> {
        let harness = Harness::shared()?.with_setup(self.inner.spec.setup.clone());
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

    /// A variable, which holds for one run, overrides the attribute. The attribute overrides
    /// `ebbtide.toml` and the builder.
    pub(super) fn keep(&self) -> Keep {
        let Ok(harness) = Harness::shared() else {
            return Keep::Never;
        };
        let planned = &harness.plan().keep;
        match (&planned.source, self.inner.spec.keep) {
            (Source::Variable(_) | Source::DotEnv(_), _) | (_, None) => planned.value,
            (_, Some(of_attribute)) => of_attribute,
        }
    }

    /// Drops what the context itself holds: the shared database, and its sender, without which the
    /// collector's channel closes when the last checkout is dropped.
    pub(super) fn finish(&self) {
        drop(
            self.inner
                .shared
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        drop(
            self.inner
                .collector
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    fn shared(&self) -> Arc<OnceCell<Shared>> {
        self.inner
            .shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .unwrap_or_default()
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
        Ok(LaneRequest {
            lanes,
            test: self.test_name().to_owned(),
            on_drop: self.on_drop(),
        })
    }

    /// After the test's end nothing collects: a thread that outlives its test closes its checkouts
    /// in the background.
    fn on_drop(&self) -> OnDrop {
        let collector = self
            .inner
            .collector
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        collector.map_or(OnDrop::CloseInBackground, OnDrop::SendTo)
    }
}

impl fmt::Debug for TestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestContext")
            .field("spec", &self.inner.spec)
            .finish_non_exhaustive()
    }
}
