//! Where the server's port is published, and where it is reached.

use std::net::IpAddr;

use super::super::published_port::PublishedPort;
use super::Launch;
use crate::conn::PORT;
use crate::error::Result;

pub(super) const LOOPBACK: &str = "127.0.0.1";

impl Launch<'_> {
    /// The address of the engine's host at which the port is published.
    ///
    /// It is the narrowest one that this client can reach: the loopback address for an engine on
    /// this machine, the engine's own address for a remote one. A host name may resolve differently
    /// on the engine's host, so with a name the port is published at all addresses.
    pub(super) fn publish_on(&self) -> String {
        match self.engine.endpoint.remote_host() {
            None | Some("localhost") => LOOPBACK.to_owned(),
            Some(host) if host.parse::<IpAddr>().is_ok() => host.to_owned(),
            Some(_) => "0.0.0.0".to_owned(),
        }
    }

    /// The addresses at which the server may answer, in the order of preference.
    pub(super) async fn addresses(&self) -> Result<Vec<(String, u16)>> {
        let Some(inspected) = self.inspect().await? else {
            return Ok(Vec::new());
        };
        let network = inspected.network_settings.unwrap_or_default();
        let mut addresses = Vec::new();
        for (_, bindings) in network.ports.unwrap_or_default() {
            for binding in bindings.unwrap_or_default() {
                let Some(port) = binding.host_port.and_then(|port| port.parse().ok()) else {
                    continue;
                };
                // Not the address of the binding, which may be 0.0.0.0.
                let host = self
                    .engine
                    .endpoint
                    .remote_host()
                    .unwrap_or(LOOPBACK)
                    .to_owned();
                addresses.push((host, port));
            }
        }
        // A client in another container of this engine does not reach the host's published port,
        // nor does any client of an engine without port forwarding. Both reach the container's own
        // address.
        if self.engine.endpoint.remote_host().is_none() {
            let own = network
                .networks
                .unwrap_or_default()
                .into_values()
                .filter_map(|network| network.ip_address);
            addresses.extend(
                own.filter(|address| !address.is_empty())
                    .map(|address| (address, PORT)),
            );
        }
        addresses.dedup();
        Ok(addresses)
    }

    pub(super) fn published(&self, (host, port): &(String, u16)) -> PublishedPort {
        PublishedPort {
            host: host.clone(),
            port: *port,
            password: self.password.clone(),
            container: self.name.clone(),
            engine: self.engine.endpoint.url.clone(),
        }
    }
}
