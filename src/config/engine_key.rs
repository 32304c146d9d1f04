//! The variables that choose a container engine, as a part of the key of a container's server.

use super::engine_hints::EngineHints;
use crate::names::PartsHash;

impl EngineHints {
    /// Adds every hint to the key of a server.
    pub(crate) fn hash_into(&self, hash: &mut PartsHash) {
        // Without `..`: a new hint does not compile until it is here.
        let Self {
            docker_host,
            context,
            config_dir,
            tls_verify,
            cert_path,
            container_host,
            home,
            runtime_dir,
        } = self;
        for (name, text) in [
            ("docker_host", docker_host),
            ("context", context),
            ("container_host", container_host),
        ] {
            hash.list(name, text.as_slice());
        }
        hash.part("tls_verify", tls_verify.to_string());
        for (name, dir) in [
            ("config_dir", config_dir),
            ("cert_path", cert_path),
            ("home", home),
            ("runtime_dir", runtime_dir),
        ] {
            let dir = dir.as_ref().map(|dir| dir.as_os_str().as_encoded_bytes());
            hash.list(name, dir.as_slice());
        }
    }
}
