//! The attribute's options for one test.

use sqlx::migrate::Migrator;

use crate::config::{Expect, IsolationLevel, Keep, MigrationVersion, package_root};
use crate::harness::Setup;
use crate::test_arg::{PoolKind, TestSpec};

/// The attribute's options for one test.
#[derive(Debug)]
pub struct Test {
    pub(super) spec: TestSpec,
}

impl Test {
    /// `path` is the test's path, beginning with the name of its crate. `package_root` is the
    /// directory of the package in which the test was compiled, if Cargo compiled it.
    #[must_use]
    pub fn new(path: &str, package_root: Option<&'static str>) -> Self {
        package_root::record_compiled_in(package_root);
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

    /// See [`Setup::without_migrations`](crate::Setup::without_migrations).
    #[must_use]
    pub fn without_migrations(self) -> Self {
        self.adjust(Setup::without_migrations)
    }

    /// See [`Setup::migrator`](crate::Setup::migrator).
    #[must_use]
    pub fn migrator(self, migrator: &'static Migrator) -> Self {
        self.adjust(|setup| setup.migrator(migrator))
    }

    /// See [`Setup::migrations_up_to`](crate::Setup::migrations_up_to).
    #[must_use]
    pub fn migrations_up_to(self, version: impl Into<MigrationVersion>) -> Self {
        self.adjust(|setup| setup.migrations_up_to(version))
    }

    /// See [`Setup::expect`](crate::Setup::expect).
    #[must_use]
    pub fn expect(self, expect: Expect) -> Self {
        self.adjust(|setup| setup.expect(expect))
    }

    /// What the test's arguments of sqlx's types use.
    #[must_use]
    pub fn pool(mut self, pool: PoolKind) -> Self {
        self.spec.pool = pool;
        self
    }

    /// See [`Harness::as_role`](crate::Harness::as_role).
    #[must_use]
    pub fn role(mut self, role: &str) -> Self {
        self.spec.role = Some(role.to_owned());
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
