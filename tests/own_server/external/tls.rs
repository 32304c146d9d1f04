//! Encrypted connections to an external server (`sslmode`).

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use ebbtide::{ErrorKind, TxOptions};

use super::external_server::{ExternalServer, PASSWORD, account, runs_without_overrides};
use crate::support::skip::skip;
use crate::support::this_test;

/// Creates the certificate of an authority, and a certificate for `localhost` that it signed, as
/// files in the directory. Returns whether `openssl` succeeded.
fn create_certificates(dir: &Path) -> bool {
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 \
         -subj /CN=authority && \
         openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr \
         -subj /CN=localhost && \
         printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE\\n' > server.ext && \
         openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
         -extfile server.ext -out server.crt";
    Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// A `pg_hba.conf` that accepts TCP connections only with encryption.
const ENCRYPTED_ONLY_HBA: &str =
    "local all postgres trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";

/// Makes the file readable for the server's user only: PostgreSQL refuses a private key that other
/// users can read.
fn make_private_to_server(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    if let Some((uid, gid)) = account() {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

/// Starts a server with encryption, or without it if `openssl` failed. `None` as for
/// [`ExternalServer::start`], or if there is no `openssl`.
async fn start_encrypted(test: &str) -> Option<ExternalServer> {
    if !runs_without_overrides(test) || !has_openssl() {
        return None;
    }
    let mut has_certificates = false;
    let external = ExternalServer::start_with(test, "fsync = off\nssl = on", |data| {
        has_certificates = create_certificates(data);
        std::fs::write(data.join("pg_hba.conf"), ENCRYPTED_ONLY_HBA).unwrap();
        for file in ["server.key", "server.crt", "ca.crt"] {
            if has_certificates {
                make_private_to_server(&data.join(file));
            } else {
                std::fs::write(data.join("postgresql.auto.conf"), "").unwrap();
            }
        }
    })
    .await?;
    external.create_role("app", "createdb").await;
    Some(external)
}

/// Whether `openssl` is installed. If not, the test is reported as skipped.
fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    if !found {
        skip(
            "openssl",
            "openssl, which creates the certificates, is not installed",
        );
    }
    found
}

#[tokio::test]
async fn every_sslmode_that_the_certificate_satisfies_connects() {
    let Some(external) = start_encrypted(this_test!()).await else {
        return;
    };
    let root = external.scratch.path("outside/data/ca.crt");
    for (host, query) in [
        ("127.0.0.1", "sslmode=require".to_owned()),
        (
            "127.0.0.1",
            format!("sslmode=verify-ca&sslrootcert={}", root.display()),
        ),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={}", root.display()),
        ),
    ] {
        let url = format!(
            "postgres://app:{PASSWORD}@{host}:{}/postgres?{query}",
            external.port()
        );
        let mut tx = external.builder(&url).build().unwrap().tx().await.unwrap();
        let version: String = sqlx::query_scalar(
            "select version from pg_stat_ssl where pid = pg_backend_pid() and ssl",
        )
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        assert!(version.starts_with("TLSv1."), "{version}");
        tx.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_satisfy_the_sslmode_is_an_error() {
    let Some(external) = start_encrypted(this_test!()).await else {
        return;
    };
    let other_authority = external
        .scratch
        .write("elsewhere/note", "")
        .parent()
        .unwrap()
        .to_owned();
    assert!(create_certificates(&other_authority));
    let url = |host: &str, root: &Path| {
        let root = root.display();
        format!(
            "postgres://app:{PASSWORD}@{host}:{}/postgres?sslmode=verify-full&sslrootcert={root}",
            external.port()
        )
    };
    let wrong_authority = external
        .builder(&url("localhost", &other_authority.join("ca.crt")))
        .build()
        .unwrap();
    let error = wrong_authority
        .start()
        .await
        .expect_err("another authority signed the certificate");
    external.replacements().bind(|| {
        assert_report!(external.scratch, error, AccessDenied, @r"
    the certificate of the server at localhost:[PORT] does not meet the requirements of postgres://app:***@localhost:[PORT]/postgres?sslmode=verify-full&sslrootcert=[SCRATCH]/elsewhere/ca.crt
      caused by: [THE DRIVER'S WORDS]
      help: name the certificate of its authority with sslrootcert=FILE; sslmode=verify-ca accepts any host name, and sslmode=require any certificate
    ");
    });
    let wrong_name = external
        .builder(&url(
            "127.0.0.1",
            &external.scratch.path("outside/data/ca.crt"),
        ))
        .build()
        .unwrap();
    let error = wrong_name
        .start()
        .await
        .expect_err("the certificate is for localhost");
    assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error:?}");
}

#[tokio::test]
async fn savepoints_are_refused_on_an_encrypted_connection() {
    let Some(external) = start_encrypted(this_test!()).await else {
        return;
    };
    for mode in ["require", "prefer"] {
        let url = format!(
            "postgres://app:{PASSWORD}@127.0.0.1:{}/postgres?sslmode={mode}",
            external.port()
        );
        let harness = external.builder(&url).build().unwrap();
        let error = harness
            .tx_with(TxOptions::new().savepoints())
            .await
            .expect_err("the connection is encrypted");
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(
            error.help().unwrap().contains("sslmode=disable"),
            "{error:?}"
        );
        // The refused test has returned its lane.
        harness.tx().await.unwrap().close().await.unwrap();
    }
}
