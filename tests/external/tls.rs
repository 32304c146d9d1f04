//! Encrypted connections, as the driver offers them.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use ebbtide::{ErrorKind, TxOptions};

use super::outside::{Outside, PASSWORD, account, undisturbed};
use super::support::here;
use super::support::skip::skip;

/// An authority and a certificate for `localhost` that it signed, as files in the directory.
fn certify(dir: &Path) -> bool {
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=authority && \
         openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost && \
         printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE\\n' > server.ext && \
         openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.crt";
    Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .output()
        .is_ok_and(|output| output.status.success())
}

const ENCRYPTED_ONLY: &str =
    "local all postgres trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";

/// A file that the server may read, and that it takes for a key.
fn secret(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    if let Some((uid, gid)) = account() {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

async fn encrypted() -> Option<Outside> {
    let mut certified = false;
    let outside = Outside::with("fsync = off\nssl = on", |data| {
        certified = certify(data);
        std::fs::write(data.join("pg_hba.conf"), ENCRYPTED_ONLY).unwrap();
        for file in ["server.key", "server.crt", "ca.crt"] {
            if certified {
                secret(&data.join(file));
            } else {
                std::fs::write(data.join("postgresql.auto.conf"), "").unwrap();
            }
        }
    })
    .await?;
    outside.role("app", "createdb").await;
    Some(outside)
}

fn is_there() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    if !found {
        skip("openssl", "no openssl to make a certificate with");
    }
    found
}

#[tokio::test]
async fn every_mode_connects_that_the_certificate_allows() {
    if !undisturbed(here!()) {
        return;
    }
    if !is_there() {
        return;
    }
    let Some(outside) = encrypted().await else {
        return;
    };
    let root = outside.scratch.path("outside/data/ca.crt");
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
            outside.port()
        );
        let mut tx = outside.builder(&url).build().unwrap().tx().await.unwrap();
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
async fn a_certificate_that_is_not_what_was_asked_for_is_told() {
    if !undisturbed(here!()) {
        return;
    }
    if !is_there() {
        return;
    }
    let Some(outside) = encrypted().await else {
        return;
    };
    let elsewhere = outside
        .scratch
        .write("elsewhere/note", "")
        .parent()
        .unwrap()
        .to_owned();
    assert!(certify(&elsewhere));
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&format!(":{}", outside.port()), ":[PORT]");
    let url = |host: &str, root: &Path| {
        let root = root.display();
        format!(
            "postgres://app:{PASSWORD}@{host}:{}/postgres?sslmode=verify-full&sslrootcert={root}",
            outside.port()
        )
    };
    let wrong = outside
        .builder(&url("localhost", &elsewhere.join("ca.crt")))
        .build()
        .unwrap();
    let error = wrong
        .start()
        .await
        .expect_err("another authority has signed it");
    settings.bind(|| {
        assert_report!(outside.scratch, error, AccessDenied, @r"
    the certificate of the server at localhost:[PORT] is not what postgres://app:***@localhost:[PORT]/postgres?sslmode=verify-full&sslrootcert=[SCRATCH]/elsewhere/ca.crt asks for
      caused by: [THE DRIVER'S WORDS]
      help: name the certificate of its authority with sslrootcert=FILE; sslmode=verify-ca accepts any host name, and sslmode=require any certificate
    ");
    });
    let name = outside
        .builder(&url(
            "127.0.0.1",
            &outside.scratch.path("outside/data/ca.crt"),
        ))
        .build()
        .unwrap();
    let error = name.start().await.expect_err("it is for another name");
    assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error:?}");
}

#[tokio::test]
async fn a_savepoint_for_each_statement_is_refused() {
    if !undisturbed(here!()) {
        return;
    }
    if !is_there() {
        return;
    }
    let Some(outside) = encrypted().await else {
        return;
    };
    for mode in ["require", "prefer"] {
        let url = format!(
            "postgres://app:{PASSWORD}@127.0.0.1:{}/postgres?sslmode={mode}",
            outside.port()
        );
        let harness = outside.builder(&url).build().unwrap();
        let error = harness
            .tx_with(TxOptions::new().savepoints())
            .await
            .expect_err("it is encrypted");
        assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
        assert!(
            error.help().unwrap().contains("sslmode=disable"),
            "{error:?}"
        );
        // The lane is free again.
        harness.tx().await.unwrap().close().await.unwrap();
    }
}
