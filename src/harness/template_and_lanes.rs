//! What is there once the server runs: a template, made when it is first needed, and its lanes.

use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::setup::Setup;
use super::{runtime, sharing};
use crate::config::Plan;
use crate::conn::ConnParams;
use crate::error::{Error, ErrorKind, Result};
use crate::lane::{Freshness, LanePool, LaneSetting};
use crate::names::{Fingerprint, Literal};
use crate::provision::Inputs;
use crate::server::{Origin, Server, Sharing, VerifyMode};
use crate::template::{self, Ground, Template};

/// A server with one template and its lanes.
#[derive(Debug, Clone)]
pub(super) struct TemplateAndLanes {
    pub(super) server: Arc<Server>,
    pub(super) template: Arc<TemplateCell>,
    pub(super) pool: LanePool,
    pub(super) runtime: &'static Handle,
}

/// A template that is built or found when it is first needed.
#[derive(Debug)]
pub(super) struct TemplateCell {
    pub(super) plan: Arc<Plan>,
    pub(super) inputs: Inputs,
    pub(super) fingerprint: Fingerprint,
    pub(super) server: Arc<Server>,
    /// Whether the server may hold other contents, too.
    pub(super) sharing: Sharing,
    /// The template that it is a copy of, with more in it.
    pub(super) base: Option<Arc<TemplateCell>>,
    pub(super) cell: OnceCell<Result<Template>>,
}

impl TemplateAndLanes {
    /// The plan's own template_and_lanes, and the setup's where there is one.
    ///
    /// Believes the registry's files first; when the first connection shows that they are stale, looks closer.
    pub(super) async fn set(
        plan: &Arc<Plan>,
        setup: Option<&Setup>,
    ) -> Result<(Self, Option<Self>)> {
        match Self::set_verifying(plan, setup, VerifyMode::Files).await {
            Err(error) if error.kind() == ErrorKind::ServerLost => {
                Self::set_verifying(plan, setup, VerifyMode::Answer).await
            }
            other => other,
        }
    }

    #[tracing::instrument(name = "server.start", level = "debug", skip(plan, setup))]
    async fn set_verifying(
        plan: &Arc<Plan>,
        setup: Option<&Setup>,
        mode: VerifyMode,
    ) -> Result<(Self, Option<Self>)> {
        let inputs = Inputs::read(plan)?;
        let sharing = sharing::of_contents(plan, &inputs);
        let server = Arc::new(Server::start(plan, &sharing, mode).await?);
        tracing::info!(backend = %server.backend, reason = server.reason, version = server.version, reused = server.origin == Origin::Reused, "server");
        let fingerprint = inputs.fingerprint(plan, server.version_num, server.role());
        let template_and_lanes = Self::of(
            TemplateCell {
                plan: Arc::clone(plan),
                inputs,
                fingerprint,
                server,
                sharing,
                base: None,
                cell: OnceCell::new(),
            },
            runtime::background()?,
        );
        // What is wrong with a setup is told to the tests that want it, and not to all.
        let varied = setup.and_then(|setup| setup.apply(&template_and_lanes.template).ok());
        let varied = varied.filter(|varied| varied.sharing == template_and_lanes.template.sharing);
        let varied = varied.map(|template| Self::of(template, template_and_lanes.runtime));
        varied
            .as_ref()
            .unwrap_or(&template_and_lanes)
            .see(mode)
            .await?;
        Ok((template_and_lanes, varied))
    }

    /// The template_and_lanes of a template that needs another server than the plan's own.
    pub(super) async fn elsewhere(template: TemplateCell) -> Result<Self> {
        match Self::elsewhere_verifying(&template, VerifyMode::Files).await {
            Err(error) if error.kind() == ErrorKind::ServerLost => {
                Self::elsewhere_verifying(&template, VerifyMode::Answer).await
            }
            other => other,
        }
    }

    async fn elsewhere_verifying(template: &TemplateCell, mode: VerifyMode) -> Result<Self> {
        let server = Server::start(&template.plan, &template.sharing, mode).await?;
        let template_and_lanes = Self::of(template.on(&Arc::new(server)), runtime::background()?);
        template_and_lanes.see(mode).await?;
        Ok(template_and_lanes)
    }

    /// Files may speak of a server that died a moment ago; the first connection shows it.
    async fn see(&self, mode: VerifyMode) -> Result<()> {
        if mode == VerifyMode::Files
            && self.server.origin == Origin::Reused
            && !self.server.outlives_us()
        {
            match self.pool.warm_up().await {
                Err(error) if error.kind() == ErrorKind::ServerLost => return Err(error),
                // What is wrong with the template is told to those who ask for it.
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// The lanes of a template, none of which exists yet.
    pub(super) fn of(template: TemplateCell, runtime: &'static Handle) -> Self {
        let template = Arc::new(template);
        let setting = LaneSetting {
            server: Arc::clone(&template.server),
            conn: conn(&template),
            fingerprint: template.fingerprint.clone(),
            runtime: runtime.clone(),
            slot: *template.plan.slot.get(),
            log_plans_slower_than: *template.plan.log_plans_slower_than.get(),
            keep_for: *template.plan.keep_for.get(),
            session: session_settings(&template.plan),
            absent_migrations: template.plan.absent_migrations(),
        };
        let source = Arc::clone(&template);
        let pool = LanePool::new(
            setting,
            Box::new(move |look| {
                let source = Arc::clone(&source);
                Box::pin(async move {
                    match look {
                        Freshness::Once => source.ensure().await,
                        Freshness::Again => source.build().await,
                    }
                })
            }),
        );
        Self {
            server: Arc::clone(&template.server),
            template,
            pool,
            runtime,
        }
    }
}

impl TemplateCell {
    /// The template that the migrations made, on top of which fixtures lie.
    pub(super) fn below_fixtures(self: &Arc<Self>) -> &Arc<Self> {
        self.base.as_ref().map_or(self, Self::below_fixtures)
    }

    /// The same template, and those below it, on another server.
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
            fingerprint,
            server: Arc::clone(server),
            sharing: self.sharing.clone(),
            base,
            cell: OnceCell::new(),
        }
    }

    /// Whether the build itself may touch the whole server, and so needs one that is as it was at first.
    fn ground(&self) -> Ground {
        let touches = match &self.base {
            _ if !self.sharing.is_dedicated() => false,
            Some(base) => base.sharing != self.sharing,
            None => true,
        };
        if touches {
            Ground::Pristine
        } else {
            Ground::AsItIs
        }
    }

    pub(super) async fn ensure(self: &Arc<Self>) -> Result<Template> {
        let build = || async {
            let this = Arc::clone(self);
            runtime::background()?
                .spawn(async move { this.build().await })
                .await
                .unwrap_or_else(ended)
        };
        self.cell.get_or_init(build).await.clone()
    }

    /// Builds or finds it, whatever is remembered. Boxed, because a template's base is a template.
    fn build(self: Arc<Self>) -> Pin<Box<dyn Future<Output = Result<Template>> + Send>> {
        Box::pin(async move {
            let below = self.base.clone();
            let base: template::Base = Box::new(move || {
                let below = below.clone();
                Box::pin(async move {
                    match below {
                        Some(base) => Ok(Some(base.build().await?.name)),
                        None => Ok(None),
                    }
                })
            });
            template::ensure(
                &self.server,
                &self.plan,
                &self.inputs,
                &self.fingerprint,
                base,
                self.ground(),
            )
            .await
        })
    }
}

/// How tests reach the server.
fn conn(template: &TemplateCell) -> ConnParams {
    let server = &template.server;
    match *template.plan.log_plans_slower_than.get() {
        Some(limit) => server.conn.logging_plans(limit),
        None => server.conn.clone(),
    }
}

/// sqlx names a time zone and a date style in its start-up message, which beats the server's own settings.
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

pub(super) fn ended<T>(error: tokio::task::JoinError) -> Result<T> {
    Err(Error::new(ErrorKind::Io, "the background task ended early").with_source(error))
}
