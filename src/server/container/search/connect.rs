//! The first requests to an engine.

use std::time::Duration;

use futures_util::future;
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::SystemInfo;
use testcontainers::bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};

use super::super::engine::{Engine, EngineKind, reason};
use super::address::Address;
use super::candidate::Candidate;
use super::tls;

/// How long a candidate may take to answer the first two requests.
///
/// Podman's service may have to start first, because systemd starts it at the first connection
/// (<https://github.com/containers/podman/blob/main/docs/tutorials/socket_activation.md>).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How many seconds the answer to a later request may take to begin.
const REQUEST_TIMEOUT_SECONDS: u64 = 120;

impl Candidate {
    /// Connects to the engine and reads its version and its memory.
    ///
    /// # Errors
    /// The reason why the engine cannot be used, with the remedy.
    pub(super) async fn connect(&self) -> Result<Engine, String> {
        let docker = self.client(API_DEFAULT_VERSION)?;
        // Both requests run concurrently, because Podman starts programs for each answer, which
        // takes half a second.
        let answers = tokio::time::timeout(
            CONNECT_TIMEOUT,
            future::try_join(docker.version(), readable_info(&docker)),
        );
        let (version, info) = match answers.await {
            Ok(Ok(answers)) => answers,
            Ok(Err(error)) => return Err(self.diagnose(&error)),
            Err(_) => return Err(format!("no answer within {CONNECT_TIMEOUT:?}")),
        };
        let docker = self.client(&common_version(version.api_version.as_deref()))?;
        Ok(Engine {
            endpoint: self.endpoint.clone(),
            kind: EngineKind::of(&version),
            version: version.version.unwrap_or_default(),
            // Docker reports 0 if it cannot read its machine's memory.
            memory: info
                .mem_total
                .and_then(|bytes| u64::try_from(bytes).ok())
                .filter(|bytes| *bytes > 0),
            docker,
        })
    }

    fn client(&self, api: &ClientVersion) -> Result<Docker, String> {
        let made = match (&self.address, &self.certificates) {
            (Address::Socket(path), _) => {
                // bollard calls `Path::exists`, which is also false if a directory of the path
                // cannot be searched. It would report such a socket as a missing one.
                std::fs::metadata(path)
                    .map_err(|error| self.io_reason(error.kind(), &error.to_string()))?;
                Docker::connect_with_unix(&path.to_string_lossy(), REQUEST_TIMEOUT_SECONDS, api)
            }
            (Address::Tcp(host), Some(certificates)) => {
                return tls::client(host, certificates, REQUEST_TIMEOUT_SECONDS, api);
            }
            // `connect_with_http` would send an unencrypted request to this port.
            (Address::Tcp(_), None) if self.endpoint.url.starts_with("https://") => {
                let reason = "an https address needs certificates, and none are configured";
                return Err(reason.to_owned());
            }
            (Address::Tcp(host), None) => {
                Docker::connect_with_http(host, REQUEST_TIMEOUT_SECONDS, api)
            }
            (Address::Unsupported(remedy), _) => return Err(remedy.clone()),
        };
        made.map_err(|error| reason(&error))
    }
}

/// Reads the engine's description. It is empty if it cannot be parsed.
async fn readable_info(docker: &Docker) -> Result<SystemInfo, EngineError> {
    match docker.info().await {
        // bollard 0.20 sends no version of the API, so an engine answers in its own latest one.
        // Podman and later versions of Docker may send values that bollard cannot parse. ebbtide
        // can do without them: it reads only the memory.
        Err(EngineError::JsonDataError { .. }) => Ok(SystemInfo::default()),
        answer => answer,
    }
}

/// The latest version of the API that both the engine and our client support.
fn common_version(engine: Option<&str>) -> ClientVersion {
    let client = *API_DEFAULT_VERSION;
    let numbers = engine.and_then(|version| version.split_once('.'));
    let numbers =
        numbers.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let engine = numbers.map(|(major_version, minor_version)| ClientVersion {
        major_version,
        minor_version,
    });
    // Docker rejects a version later than its own with status 400. This matters once bollard sends
    // the version: the URLs of 0.20 lack it (https://github.com/fussybeaver/bollard/issues/736).
    engine.filter(|engine| *engine < client).unwrap_or(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_side_determines_the_version_of_the_api() {
        let common = |engine| common_version(engine).to_string();
        assert_eq!(common(Some("1.41")), "1.41");
        assert_eq!(common(Some("1.9")), "1.9");
        for later in [Some("1.999"), Some("new"), None] {
            assert_eq!(common(later), API_DEFAULT_VERSION.to_string());
        }
    }
}
