//! A template that this process builds or finds once, when the first lane has to be copied.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use super::runtime;
use super::versions::VersionsOfCopy;
use crate::config::Plan;
use crate::error::Result;
use crate::names::DatabaseName;
use crate::names::Fingerprint;
use crate::provision::{Inputs, MigrationPlace, PlanInputs};
use crate::server::{Server, Sharing, VerifyMode};
use crate::template::{self, CopyVersions, Freshness, RequiredServer, Template, TemplateSource};

/// A template that is built or found on first use.
#[derive(Debug)]
pub(super) struct TemplateCell {
    pub(super) plan: Arc<Plan>,
    pub(super) inputs: PlanInputs,
    /// Present if `inputs` end before the plan's last migration.
    pub(super) up_to: Option<UpTo>,
    pub(super) fingerprint: Fingerprint,
    pub(super) server: Arc<Server>,
    /// Whether the server may hold other contents as well.
    pub(super) sharing: Sharing,
    /// The template below it: this one is a copy of that one, with fixtures added.
    pub(super) base: Option<Arc<TemplateCell>>,
    pub(super) cell: OnceCell<Result<Template>>,
}

/// A version before the last one.
#[derive(Debug, Clone)]
pub(super) struct UpTo {
    /// All migrations of the plan.
    pub(super) all: Inputs,
    /// The place of the version among them.
    pub(super) place: MigrationPlace,
}

impl TemplateCell {
    /// The template that the migrations made, below all fixtures.
    pub(super) fn below_fixtures(self: &Arc<Self>) -> &Arc<Self> {
        self.base.as_ref().map_or(self, Self::below_fixtures)
    }

    /// The same template, and those below it, on another server. The fingerprints change where the
    /// other server has another version.
    pub(super) fn on(&self, server: &Arc<Server>) -> Self {
        let base = self.base.as_ref().map(|base| Arc::new(base.on(server)));
        let fingerprint = match &base {
            Some(base) => self
                .inputs
                .layered_fingerprint(&self.plan, &base.fingerprint),
            None => self
                .inputs
                .fingerprint(&self.plan, server.version_num, server.role()),
        };
        Self {
            plan: Arc::clone(&self.plan),
            inputs: self.inputs.clone(),
            up_to: self.up_to.clone(),
            fingerprint,
            server: Arc::clone(server),
            sharing: self.sharing.clone(),
            base,
            cell: OnceCell::new(),
        }
    }

    /// The same template for a database that is migrated and dropped again. That of a dedicated
    /// template is on a second dedicated server: on the first one, the roles that the migrations
    /// create exist already, and a down migration would drop the roles that the template needs.
    pub(super) async fn for_trial(self: Arc<Self>, purpose: &str) -> Result<Arc<Self>> {
        if !self.sharing.is_dedicated() {
            return Ok(self);
        }
        let sharing = self.sharing.for_purpose(purpose);
        let server = Server::start(&self.plan, &sharing, VerifyMode::Answer).await?;
        Ok(Arc::new(self.on(&Arc::new(server))))
    }

    /// Whether the build itself may touch the whole server, and so needs the state that the server
    /// started with. Fixtures that share the base's dedicated server touch only their own database.
    fn required_server(&self) -> RequiredServer {
        // Fixtures have a dedicated server of their own if they contain server-wide statements.
        // Their base is built on that server as well.
        let touches = match &self.base {
            _ if !self.sharing.is_dedicated() => false,
            Some(base) => base.sharing != self.sharing,
            None => true,
        };
        if touches {
            RequiredServer::Pristine
        } else {
            RequiredServer::Any
        }
    }

    /// Builds or finds the template once for this process.
    pub(super) async fn ensure(self: &Arc<Self>) -> Result<Template> {
        // A task of its own: a test that is cancelled must not abandon a half-built template. Then
        // the cell stays empty, and the next test starts a second task. That one waits for the
        // build lock of the first, and finds its template.
        let build = || async {
            let this = Arc::clone(self);
            runtime::background()?
                .spawn(async move { this.build().await })
                .await
                .unwrap_or_else(runtime::task_failed)
        };
        self.cell.get_or_init(build).await.clone()
    }

    /// Builds or finds the template, also if this process has done so before: another process may
    /// have dropped it since.
    async fn build(&self) -> Result<Template> {
        let base = self.base.clone();
        template::ensure(
            &self.server,
            &self.plan,
            self.inputs.get()?,
            &self.fingerprint,
            base.map(|base| base as Arc<dyn TemplateSource>),
            self.required_server(),
        )
        .await
    }
}

impl TemplateSource for TemplateCell {
    fn template(self: Arc<Self>, freshness: Freshness) -> BoxFuture<'static, Result<Template>> {
        Box::pin(async move {
            match (freshness, self.cell.get()) {
                // Not stored in the cell: a template that was built again has the same name.
                (Freshness::Rechecked, Some(Ok(_))) => self.build().await,
                // A build that failed is not repeated: all tests report one error.
                (Freshness::Rechecked | Freshness::Cached, _) => self.ensure().await,
            }
        })
    }

    fn versions_of(self: Arc<Self>, copy: DatabaseName) -> Box<dyn CopyVersions> {
        let cell = self.below_fixtures();
        let (inputs, at) = match &cell.up_to {
            Some(up_to) => (PlanInputs::of(up_to.all.clone()), Some(up_to.place.clone())),
            None => (cell.inputs.clone(), None),
        };
        Box::new(VersionsOfCopy {
            server: Arc::clone(&cell.server),
            plan: Arc::clone(&cell.plan),
            inputs,
            database: copy,
            at,
        })
    }
}
