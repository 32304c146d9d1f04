//! The attribute's options for one test.

use sqlx::migrate::Migrator;

use crate::config::{IsolationLevel, Keep, PgEnum};
use crate::harness::Setup;
use crate::test_arg::{PoolKind, TestSpec};

/// The attribute's options for one test.
#[derive(Debug)]
pub struct Test {
    pub(super) spec: TestSpec,
}

impl Test {
    /// `path` is the test's path, beginning with the name of its crate.
    #[must_use]
    pub fn new(path: &str) -> Self {
        // The test runner's names have no crate.
        let name = path
            .split_once("::")
            .map_or(path, |(_, name)| name)
            .to_owned();
        Self {
            spec: TestSpec {
                name,
                ..TestSpec::default()
            },
        }
    }

    /// See [`Setup::fixture`](crate::Setup::fixture).
    #[must_use]
    pub fn fixture(self, path: &str, sql: &str) -> Self {
        self.adjust(|setup| setup.fixture(path, sql))
    }

    /// See [`Setup::migrations`](crate::Setup::migrations).
    #[must_use]
    pub fn migrations(self, dir: &str) -> Self {
        self.adjust(|setup| setup.migrations(dir))
    }

    /// See [`Setup::no_migrations`](crate::Setup::no_migrations).
    #[must_use]
    pub fn no_migrations(self) -> Self {
        self.adjust(Setup::no_migrations)
    }

    /// See [`Setup::migrator`](crate::Setup::migrator).
    #[must_use]
    pub fn migrator(self, migrator: &'static Migrator) -> Self {
        self.adjust(|setup| setup.migrator(migrator))
    }

    /// See [`Setup::expect_table`](crate::Setup::expect_table).
    #[must_use]
    pub fn expect_table(self, table: &str) -> Self {
        self.adjust(|setup| setup.expect_table(table))
    }

    /// See [`Setup::expect_rows`](crate::Setup::expect_rows).
    #[must_use]
    pub fn expect_rows(self, table: &str, rows: u64) -> Self {
        self.adjust(|setup| setup.expect_rows(table, rows))
    }

    /// See [`Setup::expect_enum`](crate::Setup::expect_enum).
    #[must_use]
    pub fn expect_enum(self, name: &str, labels: &[&str]) -> Self {
        self.adjust(|setup| setup.expect_enum(name, labels))
    }

    /// See [`Setup::expect_enum_of`](crate::Setup::expect_enum_of).
    #[must_use]
    pub fn expect_enum_of<T: PgEnum>(self) -> Self {
        self.adjust(Setup::expect_enum_of::<T>)
    }

    /// What the test's arguments of sqlx's types use.
    #[must_use]
    pub fn pool(mut self, pool: PoolKind) -> Self {
        self.spec.pool = pool;
        self
    }

    /// See [`TxOptions::isolation_level`](crate::TxOptions::isolation_level).
    #[must_use]
    pub fn isolation_level(mut self, level: IsolationLevel) -> Self {
        self.spec.tx = self.spec.tx.isolation_level(level);
        self
    }

    /// See [`TxOptions::savepoints`](crate::TxOptions::savepoints).
    #[must_use]
    pub fn savepoints(mut self) -> Self {
        self.spec.tx = self.spec.tx.savepoints();
        self
    }

    /// When the test's database is kept. It overrides the plan's value.
    #[must_use]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.spec.keep = Some(keep);
        self
    }

    fn adjust(mut self, change: impl FnOnce(Setup) -> Setup) -> Self {
        self.spec.setup = change(std::mem::take(&mut self.spec.setup));
        self
    }
}
