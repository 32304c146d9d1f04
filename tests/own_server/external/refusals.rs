//! URLs, roles and servers that ebbtide refuses, and the error for each.

use std::path::Path;
use std::time::Duration;

use ebbtide::Error;
use ebbtide::config::{Builder, External};

use super::external_server::{ExternalServer, PASSWORD, runs_without_overrides};
use crate::support::Scratch;
use crate::support::this_test;

/// Starts, which must be refused for this reason, and returns the error. The error must not contain
/// the password.
async fn start_error(builder: Builder, reason: &str) -> Error {
    let error = builder.build().unwrap().start().await.expect_err(reason);
    assert!(!format!("{error:?}").contains(PASSWORD), "{error:?}");
    error
}

/// A builder for a URL that leads to no [`ExternalServer`].
fn builder_for(scratch: &Scratch, url: &str) -> Builder {
    scratch.builder().backend(External::new().url(url))
}

/// Asserts an error's kind, remedy and report. A filter replaces the server's port.
macro_rules! assert_refused {
    ($external:expr, $error:expr, $kind:ident, @$report:literal) => {{
        let error = $error;
        $external.replacements().bind(|| { assert_report!($external.scratch, error, $kind, @$report); });
    }};
}

#[tokio::test]
async fn a_wrong_password_is_rejected_and_not_printed() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external
        .create_role("app", "createdb")
        .await
        .replace(PASSWORD, "wr0ng");
    let error = start_error(external.builder(&url), "the password is wrong").await;
    assert!(!format!("{error:?}").contains("wr0ng"), "{error:?}");
    assert_refused!(external, error, AccessDenied, @r#"
    the server rejects the login with postgres://app:***@127.0.0.1:[PORT]/postgres (builder)
      caused by: password authentication failed for user "app"
      help: correct the role or its password in the URL, or allow the role in pg_hba.conf
    "#);
}

#[tokio::test]
async fn a_role_without_createdb_is_refused_with_the_statement_that_grants_it() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("reader", "").await;
    let error = start_error(external.builder(&url), "the role has no CREATEDB").await;
    assert_refused!(external, error, AccessDenied, @r#"
    the external server's role must be able to create databases, but reader has no CREATEDB at 127.0.0.1:[PORT]
      help: have a superuser run `ALTER ROLE "reader" CREATEDB;`
    "#);
}

/// On such a server, other processes lock lanes with files of their own, which this process cannot
/// see. It could drop databases that are in use.
#[tokio::test]
async fn a_server_that_ebbtide_has_started_is_refused() {
    let Some(external) = ExternalServer::start_with(
        this_test!(),
        "fsync = off\nebbtide.identity = '00c0ffee.00c0ffee'",
        |_| (),
    )
    .await
    else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let error = start_error(external.builder(&url), "ebbtide has started the server").await;
    assert_refused!(external, error, BackendUnavailable, @"
    an external server must not be one that ebbtide has started: 127.0.0.1:[PORT] may be in use by other tests
      help: remove the URL, because tests with the same settings find that server and share it; or name a server of your own
    ");
}

#[tokio::test]
async fn logging_plans_needs_a_superuser() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let builder = external
        .builder(&url)
        .log_plans_slower_than(Duration::from_millis(50));
    let error = start_error(builder, "the role may not use auto_explain").await;
    assert_refused!(external, error, AccessDenied, @"
    the external server's role must be a superuser to log plans of slow statements (builder), but app is no superuser at 127.0.0.1:[PORT]
      help: unset EBBTIDE_LOG_PLANS_SLOWER_THAN, or name a superuser in the URL: only superusers may use auto_explain
    ");
}

#[tokio::test]
async fn a_setting_that_a_session_cannot_change_is_refused() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let builder = external
        .builder(&url)
        .setting("work_mem", "5MB")
        .setting("shared_buffers", "1GB");
    let error = start_error(builder, "shared_buffers needs a restart").await;
    assert_refused!(external, error, Config, @r#"
    the server at 127.0.0.1:[PORT] does not let a session set shared_buffers (builder)
      caused by: parameter "shared_buffers" cannot be changed without restarting the server
      help: an external server has its own configuration, where settings of this kind belong: remove it from `settings`, correct its value, or have the server's administrator set it
    "#);
    let builder = external.builder(&url).setting("log_statement", "all");
    let error = start_error(builder, "log_statement needs a superuser").await;
    assert_refused!(external, error, Config, @r#"
    the server at 127.0.0.1:[PORT] does not let a session set log_statement (builder)
      caused by: permission denied to set parameter "log_statement"
      help: an external server has its own configuration, where settings of this kind belong: remove it from `settings`, correct its value, or have the server's administrator set it
    "#);
    let harness = external
        .builder(&url)
        .setting("work_mem", "5MB")
        .build()
        .unwrap();
    let mut tx = harness.tx().await.unwrap();
    let work_mem: String = sqlx::query_scalar("show work_mem")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(work_mem, "5MB");
    tx.close().await.unwrap();
}

#[tokio::test]
async fn a_server_of_another_version_is_refused() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let builder = external.builder(&url).postgres(99);
    let error = start_error(builder, "the server is not PostgreSQL 99").await;
    assert_refused!(external, error, Config, @r"
    the external server must be PostgreSQL 99 (builder), but 127.0.0.1:[PORT] is PostgreSQL [VERSION]
      help: name a server of that version in the URL, or require this one's
    ");
}

#[tokio::test]
async fn a_standby_is_refused() {
    let standby = |data: &Path| std::fs::write(data.join("standby.signal"), "").unwrap();
    let Some(external) = ExternalServer::start_with(this_test!(), "", standby).await else {
        return;
    };
    let socket = external.scratch.path("outside");
    let url = format!(
        "postgres:///?host={}&port={}&user=postgres",
        socket.display(),
        external.port()
    );
    let error = start_error(external.builder(&url), "a standby accepts no writes").await;
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&external.port().to_string(), "[PORT]");
    settings.bind(|| {
        assert_report!(external.scratch, error, BackendUnavailable, @r"
    the external server must accept writes, but [SCRATCH]/outside/.s.PGSQL.[PORT] is a standby
      help: name the primary server in the URL
    ");
    });
}

#[tokio::test]
async fn a_url_without_a_server_is_refused_with_the_advice_to_remove_it() {
    if !runs_without_overrides(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    // No process listens on port 1 (tcpmux).
    let url = format!("postgres://app:{PASSWORD}@127.0.0.1:1/postgres");
    let error = start_error(builder_for(&scratch, &url), "no server listens on port 1").await;
    assert_report!(scratch, error, BackendUnavailable, @r"
    no server answers at 127.0.0.1:1 (builder)
      caused by: [THE DRIVER'S WORDS]
      help: start the server, or correct the URL; without a URL, ebbtide starts its own server
    ");
}

#[tokio::test]
async fn a_server_on_another_machine_must_be_allowed() {
    if !runs_without_overrides(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    // An address for documentation (RFC 5737), which no host has.
    let url = format!("postgres://app:{PASSWORD}@192.0.2.1/postgres");
    let error = start_error(builder_for(&scratch, &url), "allow_remote is not set").await;
    assert_report!(scratch, error, Config, @r"
    the server at 192.0.2.1 is not on this machine, and ebbtide creates and drops databases there
      caused by: the URL is postgres://app:***@192.0.2.1/postgres (builder)
      help: if it is a server for tests, write allow_remote = true below [server] in ebbtide.toml, or set EBBTIDE_ALLOW_REMOTE=true
    ");
}

#[tokio::test]
async fn a_host_name_without_an_address_is_an_error() {
    if !runs_without_overrides(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let url = format!("postgres://app:{PASSWORD}@no-such-host.invalid/postgres");
    let error = start_error(builder_for(&scratch, &url), "the host name has no address").await;
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(
        "failed to lookup address information: .*",
        "[THE SYSTEM'S WORDS]",
    );
    settings.bind(|| {
        assert_report!(scratch, error, BackendUnavailable, @r"
    the host no-such-host.invalid of postgres://app:***@no-such-host.invalid/postgres (builder) has no address
      caused by: [THE SYSTEM'S WORDS]
      help: correct the URL, or start the service that resolves the host name
    ");
    });
}

#[tokio::test]
async fn a_malformed_url_is_reported_without_its_password() {
    if !runs_without_overrides(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let url = format!("postgres://app:{PASSWORD}@127.0.0.1:port/postgres");
    let error = start_error(builder_for(&scratch, &url), "the port is not a number").await;
    assert_report!(scratch, error, Config, @r"
    the URL postgres://app:***@127.0.0.1:port/postgres (builder) cannot be parsed
      caused by: error with configuration: invalid port number
      help: write the URL as postgres://user:password@host:5432/database?sslmode=require; percent-encode special characters of the password (%XX)
    ");
    let url = "postgres://app@127.0.0.1/postgres?sslmode=perhaps";
    let error = start_error(builder_for(&scratch, url), "the sslmode does not exist").await;
    assert_report!(scratch, error, Config, @r#"
    the URL postgres://app@127.0.0.1/postgres?sslmode=perhaps (builder) cannot be parsed
      caused by: error with configuration: error with configuration: unknown value "perhaps" for `ssl_mode`
      help: write the URL as postgres://user:password@host:5432/database?sslmode=require; percent-encode special characters of the password (%XX)
    "#);
}

#[tokio::test]
async fn required_encryption_that_the_server_lacks_is_an_error() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await + "?sslmode=require";
    let error = start_error(external.builder(&url), "the server has no encryption").await;
    #[cfg(feature = "tls")]
    assert_refused!(external, error, BackendUnavailable, @r"
    postgres://app:***@127.0.0.1:[PORT]/postgres?sslmode=require requires encryption, which the server at 127.0.0.1:[PORT] does not support
      caused by: error occurred while attempting to establish a TLS connection: server does not support TLS
      help: enable `ssl` on the server, or use sslmode=prefer
    ");
    #[cfg(not(feature = "tls"))]
    assert_refused!(external, error, Config, @r"
    postgres://app:***@127.0.0.1:[PORT]/postgres?sslmode=require requires encryption, which is not part of this build of ebbtide
      caused by: error occurred while attempting to establish a TLS connection: TLS upgrade required by connect options but SQLx was built without TLS support enabled
      help: enable ebbtide's feature `tls`
    ");
}
