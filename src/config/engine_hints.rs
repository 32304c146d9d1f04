//! The variables that choose a container engine.

use std::path::PathBuf;

/// The variables that Docker's and Podman's own tools read
/// (<https://docs.docker.com/reference/cli/docker/#environment-variables>).
pub(super) const VARIABLES: [&str; 6] = [
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "CONTAINER_HOST",
];

/// Everything outside the plan that decides which container engine is used.
///
/// The environment is read once. The container backend searches for an engine only when it starts a
/// server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct EngineHints {
    /// `DOCKER_HOST`, such as `unix:///var/run/docker.sock`.
    pub(crate) docker_host: Option<String>,
    /// `DOCKER_CONTEXT`, which overrides the current context of Docker's configuration.
    pub(crate) context: Option<String>,
    /// `DOCKER_CONFIG`, else `.docker` in the home directory.
    pub(crate) config_dir: Option<PathBuf>,
    /// Whether `DOCKER_TLS_VERIFY` has a value: Docker does not look at which.
    pub(crate) tls_verify: bool,
    /// `DOCKER_CERT_PATH`: the directory with `ca.pem`, `cert.pem` and `key.pem`.
    pub(crate) cert_path: Option<PathBuf>,
    /// `CONTAINER_HOST`, Podman's counterpart of `DOCKER_HOST`.
    pub(crate) container_host: Option<String>,
    pub(crate) home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`, where rootless engines put their sockets.
    pub(crate) runtime_dir: Option<PathBuf>,
}

impl EngineHints {
    pub(super) fn new(
        variable: impl Fn(&str) -> Option<String>,
        home: Option<PathBuf>,
        runtime_dir: Option<PathBuf>,
    ) -> Self {
        let [host, context, config, verify, certificates, container_host] = VARIABLES.map(variable);
        Self {
            docker_host: host,
            context,
            config_dir: config
                .map(PathBuf::from)
                .or_else(|| home.as_ref().map(|home| home.join(".docker"))),
            tls_verify: verify.is_some(),
            cert_path: certificates.map(PathBuf::from),
            container_host,
            home,
            runtime_dir,
        }
    }
}
