//! Contents of some tests that differ from the plan's.

use std::fmt;
use std::sync::Arc;

use sqlx::migrate::Migrator;
use tokio::sync::OnceCell;

use super::sharing;
use super::template_cell::{TemplateCell, UpTo};
use crate::config::{Expect, MigrationVersion, Migrations, SchemaSource};
use crate::error::{Error, ErrorKind, Result};
use crate::provision::{InputFile, Inputs, PlanInputs};

/// Other contents for some tests: other migrations, fixtures on top, or more expectations than the
/// plan has.
///
/// A setup with migrations of its own keeps the plan's extensions, and drops the plan's seeds and
/// expectations. ebbtide applies fixtures in the order in which they were added, each in one
/// transaction.
///
/// Methods that take a path or SQL only record it. The first test that uses the setup reports an
/// error in it.
///
/// # Examples
/// ```
/// use ebbtide::config::Expect;
///
/// let setup = ebbtide::Setup::new()
///     .migrations("migrations/billing")
///     .fixture("customers.sql", "insert into customers (first_name) values ('Laura')")
///     .expect(Expect::new().rows("customers", 1));
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Setup {
    schema: Schema,
    /// The last version to apply; `None` for all.
    up_to: Option<MigrationVersion>,
    fixtures: Vec<InputFile>,
    expect: Expect,
}

#[derive(Clone, Default)]
enum Schema {
    #[default]
    OfThePlan,
    /// `None`: no migrations.
    Other(Option<Migrations>),
    Embedded(&'static Migrator),
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::OfThePlan, Self::OfThePlan) => true,
            (Self::Other(one), Self::Other(other)) => one == other,
            (Self::Embedded(one), Self::Embedded(other)) => std::ptr::eq(*one, *other),
            _ => false,
        }
    }
}

impl Setup {
    /// A setup without changes: the plan's contents.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fixture. `sql` holds its statements. Errors show `name`, which is usually the file's
    /// path.
    #[must_use]
    pub fn fixture(mut self, name: &str, sql: &str) -> Self {
        self.fixtures
            .push(InputFile::embedded("fixture", name, sql));
        self
    }

    /// Migrates from another directory, relative to the package's root, or from another source: see
    /// [`Migrations`].
    #[must_use]
    pub fn migrations(self, source: impl Into<Migrations>) -> Self {
        Self {
            schema: Schema::Other(Some(source.into())),
            ..self
        }
    }

    /// Applies no migrations.
    #[must_use]
    pub fn without_migrations(self) -> Self {
        Self {
            schema: Schema::Other(None),
            ..self
        }
    }

    /// Applies the migrations that `sqlx::migrate!` has embedded, as the migrator's own `run` does.
    ///
    /// The ledger has the migrator's name, in the schemas that the migrator creates. A migrator
    /// that ignores missing migrations accepts rows without a file. Two fields change nothing: the
    /// lock meets no other session in a new database, and sqlx does not read the migrator's
    /// `no_tx`, because each migration has one.
    #[must_use]
    pub fn migrator(self, migrator: &'static Migrator) -> Self {
        Self {
            schema: Schema::Embedded(migrator),
            ..self
        }
    }

    /// Applies the migrations up to and with this version. [`Database::migrate`] applies the rest.
    ///
    /// The setup has a template of its own. The plan's seeds and expectations belong to its last
    /// version, so they are dropped; the setup's fixtures and expectations apply. With several
    /// sources, those before the version's source are complete, and those after it have not begun.
    /// The plan's bootstrap runs in any case.
    ///
    /// A version is what the tool records, or the number with which a file begins: see
    /// [`MigrationVersion`]. A [`MigrationCommand`](crate::config::MigrationCommand) takes it as
    /// its `{revision}`. A function has no versions. If there is no such version, the first test that
    /// uses the setup reports [`MigrationSource`](ErrorKind::MigrationSource).
    ///
    /// [`Database::migrate`]: crate::Database::migrate
    ///
    /// # Examples
    /// ```no_run
    /// # async fn test() -> ebbtide::Result<()> {
    /// let old_row = "insert into customers (name) values ('Ada Lovelace')";
    /// let setup = ebbtide::Setup::new().migrations_up_to(41).fixture("ada.sql", old_row);
    /// let database = ebbtide::Harness::shared()?.with_setup(setup).database().await?;
    /// let change = database.migrate_to(42).await?;
    /// assert_eq!(change.to_string(), "applied 42");
    /// # database.close().await
    /// # }
    /// ```
    #[must_use]
    pub fn migrations_up_to(self, version: impl Into<MigrationVersion>) -> Self {
        Self {
            up_to: Some(version.into()),
            ..self
        }
    }

    /// Adds to what the database must contain. For the same table or type, the later call counts.
    #[must_use]
    pub fn expect(self, expect: Expect) -> Self {
        Self {
            expect: expect.over(self.expect),
            ..self
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self.schema, Schema::OfThePlan)
            && self.up_to.is_none()
            && self.fixtures.is_empty()
            && self.expect.is_empty()
    }

    /// The template of this setup. `plans` is the plan's own: the setup's is a copy of it with
    /// fixtures, or replaces its migrations.
    pub(super) fn apply(&self, plans: &Arc<TemplateCell>) -> Result<TemplateCell> {
        let base = match &self.schema {
            Schema::OfThePlan if self.up_to.is_none() => None,
            Schema::OfThePlan => {
                let migrations = plans.plan.migrations.get().clone();
                Some(self.with_schema(plans, migrations, None)?)
            }
            Schema::Embedded(migrator) => Some(self.with_schema(plans, None, Some(migrator))?),
            Schema::Other(migrations) => {
                let missing = migrations
                    .iter()
                    .flat_map(|sources| &sources.0)
                    .find_map(|source| match source {
                        SchemaSource::Directory(dir) | SchemaSource::Files(_, dir) => {
                            Some(plans.plan.package_root.get().join(dir))
                                .filter(|dir| !dir.is_dir())
                        }
                        SchemaSource::Command(_) | SchemaSource::Function(_) => None,
                    });
                if let Some(dir) = missing {
                    return Err(Error::new(
                        ErrorKind::MigrationSource,
                        format!(
                            "the migrations of a test's setup must be a directory, but {} is none",
                            dir.display()
                        ),
                    )
                    .with_help(
                        "create the directory, or correct its path, which is relative to the \
                         package's root (where its Cargo.toml is)",
                    ));
                }
                Some(self.with_schema(plans, migrations.clone(), None)?)
            }
        };
        if self.fixtures.is_empty() && self.expect.is_empty() {
            return base.ok_or_else(|| {
                // `Harness::with_setup` ignores an empty setup, so this is a mistake in ebbtide.
                Error::new(
                    ErrorKind::Config,
                    "a setup without changes must use the plan's own template",
                )
            });
        }
        let base = base.map_or_else(|| Arc::clone(plans), Arc::new);
        let inputs = PlanInputs::of(Inputs::of_fixtures(self.fixtures.clone()));
        let plan = base.plan.for_layer(self.expect.clone());
        let fingerprint = inputs.layered_fingerprint(&plan, &base.fingerprint);
        let sharing = sharing::of_layer(&plan, &inputs, (&base.plan, &base.inputs, &base.sharing));
        Ok(TemplateCell {
            plan: Arc::new(plan),
            inputs,
            up_to: None,
            fingerprint,
            server: Arc::clone(&base.server),
            sharing,
            base: Some(base),
            cell: OnceCell::new(),
        })
    }
}

impl Setup {
    /// The template of these migrations, up to the setup's version if it has one.
    fn with_schema(
        &self,
        plans: &TemplateCell,
        migrations: Option<Migrations>,
        migrator: Option<&'static Migrator>,
    ) -> Result<TemplateCell> {
        let plan = plans.plan.with_contents(migrations)?;
        let mut inputs = match migrator {
            Some(migrator) => Inputs::with_migrator(&plan, migrator)?,
            None => Inputs::read(&plan)?,
        };
        let mut up_to = None;
        if let Some(version) = &self.up_to {
            let place = inputs.place_of(version)?;
            let part = inputs.up_to(&place);
            let all = std::mem::replace(&mut inputs, part);
            up_to = Some(UpTo { all, place });
        }
        let server = Arc::clone(&plans.server);
        let inputs = PlanInputs::of(inputs);
        let fingerprint = inputs.fingerprint(&plan, server.version_num, server.role());
        // A test of the setup can apply every migration.
        let all = up_to
            .as_ref()
            .map(|up_to| PlanInputs::of(up_to.all.clone()));
        let sharing = sharing::of_contents(&plan, &inputs, all.as_ref().unwrap_or(&inputs));
        Ok(TemplateCell {
            plan: Arc::new(plan),
            inputs,
            up_to,
            fingerprint,
            server,
            sharing,
            base: None,
            cell: OnceCell::new(),
        })
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = match &self.schema {
            Schema::OfThePlan => "of the plan".to_owned(),
            Schema::Other(None) => "none".to_owned(),
            Schema::Other(Some(migrations)) => format!("{migrations:?}"),
            Schema::Embedded(migrator) => {
                format!("{} embedded migrations", migrator.iter().count())
            }
        };
        let fixtures: Vec<&str> = self
            .fixtures
            .iter()
            .map(|fixture| &*fixture.display_path)
            .collect();
        f.debug_struct("Setup")
            .field("migrations", &schema)
            .field("up_to", &self.up_to)
            .field("fixtures", &fixtures)
            .field("expect", &self.expect)
            .finish()
    }
}
