//! A server with one template, which is built or found on first use, and the template's lanes.
//!
//! ```text
//!  plan --PlanInputs::find--> fingerprint without version --sharing--> shared or dedicated server
//!       --Server::start--> version --> fingerprint --> TemplateCell (empty) --> LanePool
//!                                                          |
//!                   the first lane that has to be copied ----> template::ensure: found or built
//! ```
//!
//! The template is not built when the server is ready, but when the first lane has to be copied. A
//! lane of an earlier process that still equals the template needs no template.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::setup::Setup;
use super::template_cell::TemplateCell;
use super::{runtime, sharing};
use crate::config::Plan;
use crate::conn::ConnParams;
use crate::error::{Error, ErrorKind, Result};
use crate::lane::{LanePool, LaneSetting, TestRole};
use crate::names::Literal;
use crate::provision::PlanInputs;
use crate::server::{Origin, Server, VerifyMode};

/// A server with one template and its lanes.
#[derive(Debug, Clone)]
pub(super) struct TemplateAndLanes {
    pub(super) server: Arc<Server>,
    pub(super) template: Arc<TemplateCell>,
    pub(super) pool: LanePool,
    pub(super) runtime: &'static Handle,
}

impl TemplateAndLanes {
    /// Starts or finds the plan's server, and prepares the plan's template and lanes, and those of
    /// the setup if they are on the same server.
    ///
    /// There are two attempts, which differ in how they verify the server.
    pub(super) async fn open(
        plan: &Arc<Plan>,
        setup: Option<&Setup>,
    ) -> Result<(Self, Option<Self>)> {
        // The first attempt trusts the registry's files, which saves a process that finds a running
        // server one connection. The files may name a server that died a moment ago. Then the
        // connection of the first lane fails with `ServerLost`, and the second attempt requires an
        // answer from the server.
        match Self::open_verifying(plan, setup, VerifyMode::Files).await {
            Err(error) if error.kind() == ErrorKind::ServerLost => {
                Self::open_verifying(plan, setup, VerifyMode::Answer).await
            }
            other => other,
        }
    }

    #[tracing::instrument(name = "server.start", level = "debug", skip(plan, setup))]
    async fn open_verifying(
        plan: &Arc<Plan>,
        setup: Option<&Setup>,
        mode: VerifyMode,
    ) -> Result<(Self, Option<Self>)> {
        let (inputs, new_memo) = PlanInputs::find(plan)?;
        // The sharing decides which server is found or started, so it comes before the server.
        let sharing = sharing::of_contents(plan, &inputs, &inputs);
        let server = Arc::new(Server::start(plan, &sharing, mode).await?);
        tracing::info!(
            backend = %server.backend,
            reason = server.reason,
            version = server.version,
            reused = server.origin == Origin::Reused,
            "server"
        );
        if let Some(new_memo) = new_memo {
            new_memo.write();
        }
        let fingerprint = inputs.fingerprint(plan, server.version_num, server.role());
        let template_and_lanes = Self::of(
            TemplateCell {
                plan: Arc::clone(plan),
                inputs,
                up_to: None,
                fingerprint,
                server,
                sharing,
                base: None,
                cell: OnceCell::new(),
            },
            runtime::background()?,
        )?;
        // If a setup cannot be applied, only the tests that use this setup fail, when they apply
        // it.
        let of_setup = setup.and_then(|setup| setup.apply(&template_and_lanes.template).ok());
        let of_setup =
            of_setup.filter(|of_setup| of_setup.sharing == template_and_lanes.template.sharing);
        let of_setup = of_setup.map(|template| Self::of(template, template_and_lanes.runtime));
        let of_setup = of_setup.transpose()?;
        // The lane that proves the server's life is the one that the first test is about to use.
        of_setup
            .as_ref()
            .unwrap_or(&template_and_lanes)
            .check_reused_server(mode)
            .await?;
        Ok((template_and_lanes, of_setup))
    }

    /// Starts or finds another server than the plan's own for a template, with the same two
    /// attempts as [`open`](Self::open).
    pub(super) async fn open_elsewhere(template: TemplateCell) -> Result<Self> {
        match Self::open_elsewhere_verifying(&template, VerifyMode::Files).await {
            Err(error) if error.kind() == ErrorKind::ServerLost => {
                Self::open_elsewhere_verifying(&template, VerifyMode::Answer).await
            }
            other => other,
        }
    }

    async fn open_elsewhere_verifying(template: &TemplateCell, mode: VerifyMode) -> Result<Self> {
        let server = Server::start(&template.plan, &template.sharing, mode).await?;
        let template = template.on(&Arc::new(server));
        let template_and_lanes = Self::of(template, runtime::background()?)?;
        template_and_lanes.check_reused_server(mode).await?;
        Ok(template_and_lanes)
    }

    /// Prepares one lane of a server that only the registry's files vouch for.
    ///
    /// # Errors
    /// [`ErrorKind::ServerLost`]: the server is gone. Other errors are not reported here.
    async fn check_reused_server(&self, mode: VerifyMode) -> Result<()> {
        // A server that this process started has answered, and so has an external one: its lock
        // session is connected.
        if mode == VerifyMode::Files
            && self.server.origin == Origin::Reused
            && !self.server.outlives_us()
        {
            match self.pool.warm_up().await {
                Err(error) if error.kind() == ErrorKind::ServerLost => return Err(error),
                // If the template cannot be built, the tests that use it report the error.
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// A pool for the lanes of a template. It connects to nothing.
    ///
    /// # Errors
    /// The plan's values cannot be used together.
    pub(super) fn of(template: TemplateCell, runtime: &'static Handle) -> Result<Self> {
        let role = template.plan.test_role.get().clone();
        Self::with_lanes(Arc::new(template), runtime, role.as_deref())
    }

    /// The same template, with lanes whose sessions log in as another role; without one, as the
    /// role that administers the server.
    ///
    /// # Errors
    /// As for [`of`](Self::of).
    pub(super) fn as_role(&self, role: Option<&str>) -> Result<Self> {
        Self::with_lanes(Arc::clone(&self.template), self.runtime, role)
    }

    fn with_lanes(
        template: Arc<TemplateCell>,
        runtime: &'static Handle,
        role: Option<&str>,
    ) -> Result<Self> {
        let server = &template.server;
        // A plan that names ebbtide's own role has it on purpose.
        let notes_bypass = role != Some(server.conn.user());
        let role = role.filter(|_| notes_bypass);
        let setting = LaneSetting {
            server: Arc::clone(&template.server),
            conn: conn(&template, role)?,
            test_role: role.map(TestRole::new),
            notes_bypass,
            fingerprint: template.fingerprint.clone(),
            runtime: runtime.clone(),
            slot: *template.plan.slot.get(),
            log_plans_slower_than: *template.plan.log_plans_slower_than.get(),
            keep: template.plan.keep.clone(),
            keep_for: *template.plan.keep_for.get(),
            plan: template.plan.name().map(str::to_owned),
            session_settings: session_settings(&template.plan),
            absent_migrations: template.plan.absent_migrations(),
        };
        let source = Arc::clone(&template);
        let pool = LanePool::new(setting, source);
        Ok(Self {
            server: Arc::clone(&template.server),
            template,
            pool,
            runtime,
        })
    }
}

/// How tests connect to the server.
fn conn(template: &TemplateCell, role: Option<&str>) -> Result<ConnParams> {
    let (server, plan) = (&template.server, &template.plan);
    match (role, *plan.log_plans_slower_than.get()) {
        (None, Some(limit)) => Ok(server.conn.logging_plans(limit)),
        (None, None) => Ok(server.conn.clone()),
        (Some(role), None) => server.conn_of_role(role, plan),
        (Some(role), Some(_)) => Err(Error::new(
            ErrorKind::Config,
            format!(
                "log_plans_slower_than ({}) must not be set for tests that log in as a role, but \
                 these log in as {role:?}",
                plan.log_plans_slower_than.source
            ),
        )
        .with_help(
            "only superusers may load auto_explain: unset one of the two, for example for one run \
             with EBBTIDE_TEST_ROLE=postgres",
        )),
    }
}

/// The plan's `TimeZone` and `DateStyle` as `SET` statements. sqlx sends both in its start-up
/// message, which overrides the server's settings.
fn session_settings(plan: &Plan) -> String {
    use std::fmt::Write as _;
    plan.settings
        .iter()
        .filter(|(name, _)| ["timezone", "datestyle"].contains(&name.to_ascii_lowercase().as_str()))
        .fold(String::new(), |mut sql, (name, value)| {
            write!(sql, "set {name} = {}; ", Literal(value))
                .expect("writing to a string does not fail");
            sql
        })
}
