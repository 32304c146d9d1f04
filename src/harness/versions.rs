//! Migrates a copy of a template to other versions.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::config::{MigrationVersion, Plan};
use crate::error::Result;
use crate::names::DatabaseName;
use crate::progress::Progress;
use crate::provision::{self, MigrationPlace, PlanInputs, VersionChange};
use crate::server::Server;
use crate::template::CopyVersions;

/// The version of one copy of a template.
pub(super) struct VersionsOfCopy {
    pub(super) server: Arc<Server>,
    pub(super) plan: Arc<Plan>,
    /// All migrations of the plan.
    pub(super) inputs: PlanInputs,
    pub(super) database: DatabaseName,
    /// `None`: at the end of all migrations.
    pub(super) at: Option<MigrationPlace>,
}

impl CopyVersions for VersionsOfCopy {
    fn change<'c>(
        &'c mut self,
        to: Option<&'c MigrationVersion>,
    ) -> BoxFuture<'c, Result<VersionChange>> {
        Box::pin(async move {
            let inputs = self.inputs.get()?;
            let at = self.at.get_or_insert_with(|| inputs.end());
            let to = match to {
                Some(version) => inputs.place_of(version)?,
                None => inputs.end(),
            };
            let progress = Progress::start("migrating the test's database");
            let conn = match self.plan.owner.get() {
                Some(owner) => self.server.conn_of_role(owner, &self.plan)?.read_write(),
                None => self.server.conn.read_write(),
            };
            let target = provision::Target {
                conn: &conn,
                database: self.database.as_str(),
            };
            provision::change_version(target, &self.plan, inputs, at, &to, &progress)
                .await
                .map_err(|error| self.server.diagnose(error))
        })
    }

    fn of_copy(&self, copy: DatabaseName) -> Box<dyn CopyVersions> {
        Box::new(Self {
            server: Arc::clone(&self.server),
            plan: Arc::clone(&self.plan),
            inputs: self.inputs.clone(),
            database: copy,
            at: self.at.clone(),
        })
    }
}
