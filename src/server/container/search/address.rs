//! How the URL of an engine is parsed.

use std::path::PathBuf;

use super::super::engine::authority;

/// How an engine is reached.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    Socket(PathBuf),
    /// A host, and its port unless the scheme implies one.
    Tcp(String),
    /// A protocol that ebbtide does not support, with the remedy.
    Unsupported(String),
}

impl Address {
    /// `port` is used if the URL has none.
    ///
    /// # Errors
    /// The end of a sentence that begins with the URL.
    pub(super) fn parse(url: &str, port: u16) -> Result<Self, String> {
        const INVALID: &str = "is not of the form unix:///path, tcp://host:port, http://host:port \
                               or https://host:port";
        let (scheme, rest) = url.split_once("://").ok_or(INVALID)?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Socket(PathBuf::from(rest))),
            "tcp" | "http" | "https" if !authority(rest).is_empty() => {
                // Without the path: bollard requests every resource from the root.
                let host = authority(rest);
                // The schemes of HTTP imply their own ports. In `[::1]:2375`, only the colon after
                // the bracket separates a port.
                let complete =
                    scheme != "tcp" || host.rsplit(']').next().is_some_and(|end| end.contains(':'));
                Ok(Self::Tcp(if complete {
                    host.to_owned()
                } else {
                    format!("{host}:{port}")
                }))
            }
            // ssh would forward the requests, but not the published ports of the servers.
            "ssh" => Ok(Self::Unsupported(
                "ssh is not supported: let the engine listen on tcp:// with certificates, or run \
                 the tests on that machine"
                    .to_owned(),
            )),
            "npipe" => Ok(Self::Unsupported(
                "named pipes are not supported: set DOCKER_HOST to a socket".to_owned(),
            )),
            _ => Err(INVALID.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_a_default_port_and_nonsense_is_refused() {
        let parse = |url| Address::parse(url, 2375);
        assert_eq!(
            parse("unix:///a b.sock"),
            Ok(Address::Socket("/a b.sock".into()))
        );
        assert_eq!(
            parse("tcp://docker"),
            Ok(Address::Tcp("docker:2375".into()))
        );
        assert_eq!(parse("tcp://[::1]/"), Ok(Address::Tcp("[::1]:2375".into())));
        assert_eq!(parse("tcp://[::1]:1"), Ok(Address::Tcp("[::1]:1".into())));
        assert_eq!(
            parse("http://docker:1/path"),
            Ok(Address::Tcp("docker:1".into()))
        );
        assert!(
            matches!(parse("ssh://me@far:22"), Ok(Address::Unsupported(_))),
            "ssh is a URL"
        );
        for nonsense in [
            "docker.sock",
            "localhost:2375",
            "unix://docker.sock",
            "tcp://",
            "fd://",
            "",
        ] {
            assert!(parse(nonsense).is_err(), "{nonsense}");
        }
    }
}
