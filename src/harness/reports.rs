//! What starting a server and building a template return, in plain values.

use std::time::Duration;

use serde::Serialize;

use crate::config::Backend;
use crate::names::Fingerprint;
use crate::provision::ProvisionReport;
use crate::server::{Origin, Server};
use crate::template::Template;

/// The running server: what [`Harness::start`](crate::Harness::start) returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServerReport {
    /// How the server was started. Never [`Backend::Auto`].
    pub backend: Backend,
    /// PostgreSQL's version, as the setting `server_version` has it.
    pub server_version: String,
    /// Why it is this backend: the choice of `auto`, or the place that specified it.
    pub reason: String,
    /// Whether the server was running already.
    pub reused: bool,
    /// Time to start or find the server. In JSON `took_ms`, in milliseconds.
    #[serde(rename = "took_ms", with = "crate::milliseconds")]
    pub took: Duration,
}

/// The template that tests get copies of: what [`Harness::provision`](crate::Harness::provision)
/// returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TemplateReport {
    /// Hash of everything that determines this database.
    pub fingerprint: Fingerprint,
    /// Whether the template existed already.
    pub reused: bool,
    /// Time to build or find the template. In JSON `took_ms`, in milliseconds.
    #[serde(rename = "took_ms", with = "crate::milliseconds")]
    pub took: Duration,
    /// What the build did, also when another process has built the template.
    pub provisioned: ProvisionReport,
}

impl ServerReport {
    pub(super) fn of(server: &Server) -> Self {
        Self {
            backend: server.backend,
            server_version: server.version.clone(),
            reason: server.reason.clone(),
            reused: server.origin == Origin::Reused,
            took: server.took,
        }
    }
}

impl TemplateReport {
    pub(super) fn of(fingerprint: &Fingerprint, template: Template) -> Self {
        Self {
            fingerprint: fingerprint.clone(),
            reused: template.origin == Origin::Reused,
            took: template.took,
            provisioned: template.report,
        }
    }
}
