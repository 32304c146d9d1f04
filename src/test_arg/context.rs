//! The test that runs, and what it was lent.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::{PgConnectOptions, PgPool};
use tokio::sync::OnceCell;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::config::{Keep, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::harness::{self, Harness, Setup};
use crate::lane::{Checkout, Database, Ending, Sandbox, Tx, TxOptions};

/// What sqlx's types are in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PoolKind {
    /// Of a sandbox, rolled back.
    Sandbox,
    /// Of a database of the test's own.
    #[default]
    Database,
}

/// What the attribute says about a test.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestSpec {
    pub(crate) name: String,
    pub(crate) setup: Setup,
    pub(crate) pool: PoolKind,
    pub(crate) tx: TxOptions,
    /// None where the plan decides.
    pub(crate) keep: Option<Keep>,
}

/// The test that is about to begin: where [`TestArg`](crate::TestArg) takes from.
///
/// What is taken from here is closed at the test's end, even if the test panics. An error in closing it, such as a
/// deferred constraint that does not hold, fails the test.
#[derive(Clone)]
pub struct TestContext {
    inner: Arc<Inner>,
}

struct Inner {
    spec: TestSpec,
    /// Until the end of the test.
    collector: Mutex<Option<UnboundedSender<Checkout>>>,
    /// What all of sqlx's types speak of.
    shared: Mutex<Option<Arc<OnceCell<Shared>>>>,
}

enum Shared {
    Sandbox(Sandbox),
    Database(Database),
}

impl TestContext {
    /// The context, and where what was lent comes back.
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

    /// The test's path, such as `customers::starts_empty`.
    #[must_use]
    pub fn test_name(&self) -> &str {
        &self.inner.spec.name
    }

    /// The harness with the test's fixtures and migrations.
    ///
    /// # Errors
    /// As for [`harness()`](crate::harness()).
    pub fn harness(&self) -> Result<Harness> {
        Ok(harness::harness()?.with_setup(self.inner.spec.setup.clone()))
    }

    /// A transaction that is rolled back, with what the attribute says of the test's transactions.
    ///
    /// # Errors
    /// As for [`Harness::tx_with`].
    pub async fn tx(&self) -> Result<Tx> {
        self.tx_with(self.inner.spec.tx).await
    }

    /// A transaction that is rolled back, with these options instead of the attribute's.
    ///
    /// # Errors
    /// As for [`Harness::tx_with`].
    pub async fn tx_with(&self, options: TxOptions) -> Result<Tx> {
        Tx::open(
            &self.harness()?.lanes().await?,
            self.test_name(),
            options,
            self.ending(),
        )
        .await
    }

    /// A pool on a transaction that is rolled back.
    ///
    /// # Errors
    /// As for [`Harness::sandbox`].
    pub async fn sandbox(&self) -> Result<Sandbox> {
        Sandbox::open(
            &self.harness()?.lanes().await?,
            self.test_name(),
            self.ending(),
        )
        .await
    }

    /// A database of the test's own: another one for each call.
    ///
    /// # Errors
    /// As for [`Harness::database`].
    pub async fn database(&self) -> Result<Database> {
        Database::open(
            &self.harness()?.lanes().await?,
            self.test_name(),
            self.ending(),
        )
        .await
    }

    /// A pool on the test's own database, or sandbox: the same one for each call.
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
            .with_help("ask for PgPool, or leave the pool at \"database\"")),
        }
    }

    /// The person at the keyboard decides before the test's author does, and the author before the project.
    pub(super) fn keep(&self) -> Keep {
        let Ok(harness) = harness::harness() else {
            return Keep::Never;
        };
        let planned = &harness.plan().keep;
        match (&planned.source, self.inner.spec.keep) {
            (Source::Variable(_) | Source::DotEnv(_), _) | (_, None) => planned.value,
            (_, Some(said)) => said,
        }
    }

    /// Gives up what the context itself holds. What the test still holds comes back when it is dropped.
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

    /// A thread of the test's that outlives it closes its own.
    fn ending(&self) -> Ending {
        let collector = self
            .inner
            .collector
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        collector.map_or(Ending::Background, Ending::Collected)
    }
}

impl fmt::Debug for TestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestContext")
            .field("spec", &self.inner.spec)
            .finish_non_exhaustive()
    }
}
