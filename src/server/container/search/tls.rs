//! The encrypted connection to an engine.

use std::path::Path;

use testcontainers::bollard::{ClientVersion, Docker};

use super::super::engine::reason;

/// The client of an encrypted connection.
///
/// # Errors
/// ebbtide is built without `tls`, or a file is missing or not valid.
pub(super) fn client(
    host: &str,
    certificates: &Path,
    timeout_seconds: u64,
    api: &ClientVersion,
) -> Result<Docker, String> {
    // testcontainers always compiles bollard's TLS client, but only the feature `tls` adds a
    // provider of cryptography. Without a provider, the client panics.
    if !cfg!(feature = "tls") {
        return Err(
            "an encrypted connection needs ebbtide's feature `tls`: enable it in Cargo.toml"
                .to_owned(),
        );
    }
    let [authority, certificate, key] =
        ["ca.pem", "cert.pem", "key.pem"].map(|name| certificates.join(name));
    // bollard reads the certificate and the key during the handshake, and ignores an error. The
    // engine would then reject a client without a certificate, and its reason would name no file.
    for file in [&authority, &certificate, &key] {
        std::fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Docker::connect_with_ssl(host, &key, &certificate, &authority, timeout_seconds, api)
        .map_err(|error| reason(&error))
}

#[cfg(test)]
mod tests {
    use super::super::super::engine::Engine;
    use super::super::Search;
    use super::super::address::Address;
    use super::super::tests::{COLIMA, Dir, host};
    use crate::config::EngineHints;

    #[tokio::test]
    async fn certificates_of_a_context_or_a_variable_encrypt_the_connection() {
        let dir = Dir::new();
        dir.write(
            &format!("contexts/meta/{COLIMA}/meta.json"),
            r#"{"Endpoints":{"docker":{"Host":"tcp://far"}}}"#,
        );
        dir.write(&format!("contexts/tls/{COLIMA}/docker/ca.pem"), "");
        let by_context = EngineHints {
            context: Some("colima".into()),
            ..dir.hints()
        };
        let by_variable = EngineHints {
            tls_verify: true,
            cert_path: Some("/nowhere".into()),
            ..host("tcp://far")
        };
        for hints in [by_context, by_variable] {
            let search = Search::new(&hints).unwrap();
            assert_eq!(
                search.places[0].as_ref().unwrap().address,
                Address::Tcp("far:2376".into())
            );
            let report = format!("{:?}", Engine::find(&hints).await.unwrap_err());
            let expected = if cfg!(feature = "tls") {
                ".pem: No such file"
            } else {
                "feature `tls`"
            };
            assert!(report.contains(expected), "{report}");
        }
    }
}
