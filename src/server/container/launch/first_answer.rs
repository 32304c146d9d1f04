//! The wait for the server's first answer.

use std::time::Duration;

use super::super::engine;
use super::super::published_port::PublishedPort;
use super::Launch;
use super::failure::unanswered_error;
use super::log::ContainerLog;
use crate::conn::{ADMIN_DATABASE, ConnParams};
use crate::error::{Result, cause_message};
use crate::server::identification::{Identification, SUPERUSER, identify};
use crate::wait::Polling;

/// How long one attempt to connect may take. A forwarded port may accept a connection and then send
/// nothing.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

impl Launch<'_> {
    /// Waits until the server answers a query, at the published port or the container's own
    /// address.
    ///
    /// A connection alone would not prove it, because a forwarded port accepts connections before
    /// the server does.
    ///
    /// # Errors
    /// The container ended, or the start timeout has passed. Both contain the end of the log.
    pub(super) async fn await_first_answer(
        &self,
        log: &ContainerLog,
    ) -> Result<(PublishedPort, Identification)> {
        let mut polling = Polling::new("server start: no answer", *self.plan.start_timeout.get());
        let mut addresses = Vec::new();
        let mut seen = "the container has no address yet".to_owned();
        loop {
            // The order matters: a container that ends after this check gets one more attempt, so
            // `seen` contains the last failure before its end.
            //
            // A log that cannot be read proves no end. Then the engine decides, which removes a
            // container as soon as it has ended (`auto_remove`).
            let ended = log.has_ended() || log.is_lost() && self.inspect().await?.is_none();
            if addresses.is_empty() && !ended {
                addresses = self.addresses().await?;
            }
            match self.first_answer(&addresses).await {
                // Addresses are tried in the order of preference. While a later one was tried, an
                // earlier one may have become ready.
                Ok((position, own)) => {
                    let (position, found) = self
                        .first_answer(&addresses[..position])
                        .await
                        .unwrap_or((position, own));
                    return Ok((self.published(&addresses[position]), found));
                }
                Err(refusals) if !refusals.is_empty() => seen = refusals,
                Err(_) => {}
            }
            if ended {
                return Err(self.ended_error(&log.text(), &seen));
            }
            if let Err(error) = polling.pause(&seen).await {
                return Err(unanswered_error(error, &log.text()));
            }
        }
    }

    /// The first of these addresses at which the server answers.
    ///
    /// # Errors
    /// The reason for each address, or an empty string without addresses.
    async fn first_answer(
        &self,
        addresses: &[(String, u16)],
    ) -> Result<(usize, Identification), String> {
        let mut refusals = Vec::new();
        for (position, (host, port)) in addresses.iter().enumerate() {
            match self.identify_at(host, *port).await {
                Ok(found) => return Ok((position, found)),
                Err(reason) => refusals.push(format!("{host}:{port}: {reason}")),
            }
        }
        Err(refusals.join("; "))
    }

    /// Connects, and checks that the server is the one of this container.
    async fn identify_at(&self, host: &str, port: u16) -> Result<Identification, String> {
        let conn = ConnParams::tcp(host, port, SUPERUSER, &self.password);
        let attempt = async {
            let mut connection = conn
                .connect_own(ADMIN_DATABASE)
                .await
                .map_err(|error| first_cause(&error))?;
            identify(&mut connection)
                .await
                .map_err(|error| first_cause(&error))
        };
        let found = tokio::time::timeout(ATTEMPT_TIMEOUT, attempt)
            .await
            .map_err(|_| "no answer".to_owned())??;
        // The password alone does not prove it: with the method `trust`, another server accepts
        // every password (https://www.postgresql.org/docs/current/auth-trust.html).
        match found.identity.as_deref() {
            Some(identity) if identity == self.instance.name() => Ok(found),
            other => Err(format!("another server answers: {other:?}")),
        }
    }
}

/// The innermost cause of an error, as the system or the server reports it.
fn first_cause(error: &(dyn std::error::Error + 'static)) -> String {
    cause_message(engine::causes(error).last().unwrap_or(error))
}
