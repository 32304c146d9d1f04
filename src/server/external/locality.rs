//! Whether a server is on this machine. On another machine, ebbtide creates and drops databases
//! only if the plan allows it.

use std::net::{IpAddr, ToSocketAddrs as _};

use crate::config::{Plan, ServerUrl};
use crate::conn::{ConnParams, PORT};
use crate::error::{Error, ErrorKind, Result};

/// Refuses a server on another machine, unless the plan has `allow_remote = true`.
///
/// # Errors
/// The server is on another machine, or its host name has no address.
pub(super) async fn check(plan: &Plan, url: &ServerUrl, conn: &ConnParams) -> Result<()> {
    // Without a host, the server listens on a Unix socket of this machine.
    let Some(host) = conn.host() else {
        return Ok(());
    };
    // Before the lookup: RFC 6761 reserves `localhost` for the loopback address. With the
    // permission, the driver reports a host that has no address.
    if *plan.allow_remote.get() || host.eq_ignore_ascii_case("localhost") {
        return Ok(());
    }
    let addresses = addresses(host).await.map_err(|error| {
        Error::new(
            ErrorKind::BackendUnavailable,
            format!(
                "the host {host} of {url} ({}) has no address",
                plan.url.source
            ),
        )
        .with_source(error)
        .with_help("correct the URL, or start the service that resolves the host name")
    })?;
    // The driver may connect to any of the addresses. An IPv4 address in the form
    // `::ffff:127.0.0.1` counts as loopback only after its conversion.
    if addresses
        .iter()
        .all(|address| address.to_canonical().is_loopback())
    {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Config,
        format!(
            "the server at {host} is not on this machine, and ebbtide creates and drops databases \
             there"
        ),
    )
    .with_source(format!("the URL is {url} ({})", plan.url.source))
    .with_help(
        "if it is a server for tests, write allow_remote = true below [server] in ebbtide.toml, \
         or set EBBTIDE_ALLOW_REMOTE=true",
    ))
}

/// The addresses of a host. The lookup of a name blocks, so it runs on a thread for blocking calls.
async fn addresses(host: &str) -> std::io::Result<Vec<IpAddr>> {
    // A URL writes an IPv6 address in brackets.
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let lookup = tokio::task::spawn_blocking(move || (host.as_str(), PORT).to_socket_addrs());
    Ok(lookup
        .await
        .map_err(std::io::Error::other)??
        .map(|address| address.ip())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_needs_no_lookup_and_an_unknown_name_is_an_error() {
        for (host, is_loopback) in [
            ("127.8.9.1", true),
            ("[::1]", true),
            ("10.0.0.1", false),
            ("[2001:db8::1]", false),
        ] {
            let found = addresses(host).await.expect("it is an address");
            assert_eq!(
                (found.len(), found[0].is_loopback()),
                (1, is_loopback),
                "{host}"
            );
        }
        assert!(addresses("no-such-host.invalid").await.is_err());
    }
}
