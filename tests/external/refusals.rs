//! What may be wrong with a URL, a role or a server, and what ebbtide says about it.

use std::path::Path;
use std::time::Duration;

use ebbtide::Error;

use super::outside::{Outside, PASSWORD, undisturbed};
use super::support::Scratch;
use super::support::here;

/// The error of a start, in which no password is told.
async fn refused(outside: &Outside, url: &str) -> Error {
    let error = outside
        .builder(url)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("the start is refused");
    assert!(!format!("{error:?}").contains(PASSWORD), "{error:?}");
    error
}

/// Asserts an error's kind, remedy and report, in which the port differs from run to run.
macro_rules! assert_refused {
    ($outside:expr, $error:expr, $kind:ident, @$report:literal) => {{
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(&format!(":{}", $outside.port()), ":[PORT]");
        let error = $error;
        settings.bind(|| { assert_report!($outside.scratch, error, $kind, @$report); });
    }};
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_told() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside
        .role("app", "createdb")
        .await
        .replace(PASSWORD, "wr0ng");
    let error = refused(&outside, &url).await;
    assert!(!format!("{error:?}").contains("wr0ng"), "{error:?}");
    assert_refused!(outside, error, AccessDenied, @r#"
    the server does not let us in with postgres://app:***@127.0.0.1:[PORT]/postgres (builder)
      caused by: password authentication failed for user "app"
      help: correct the role or its password in the URL, or see to it that pg_hba.conf lets them in
    "#);
}

#[tokio::test]
async fn a_role_without_createdb_learns_who_may_change_that() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("reader", "").await;
    assert_refused!(outside, refused(&outside, &url).await, AccessDenied, @r#"
    the role reader may not create databases on the server at 127.0.0.1:[PORT]
      help: have a superuser run `ALTER ROLE "reader" CREATEDB;`
    "#);
}

/// Nobody sees from outside which of its databases are in use.
#[tokio::test]
async fn a_server_that_ebbtide_has_started_is_refused() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::with(
        "fsync = off\nebbtide.identity = '00c0ffee.00c0ffee'",
        |_| (),
    )
    .await
    else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    assert_refused!(outside, refused(&outside, &url).await, BackendUnavailable, @"
    the server at 127.0.0.1:[PORT] is one that ebbtide has started, and its tests may be running
      help: leave the URL away: whoever wants the same settings finds that server and shares it; or name one of your own
    ");
}

#[tokio::test]
async fn plans_are_for_superusers() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let harness = outside
        .builder(&url)
        .log_plans_slower_than(Duration::from_millis(50))
        .build()
        .unwrap();
    let error = harness.start().await.expect_err("it may not");
    assert_refused!(outside, error, AccessDenied, @"
    the role app may not ask the server at 127.0.0.1:[PORT] for plans of slow statements (builder)
      help: unset EBBTIDE_LOG_PLANS_SLOWER_THAN, or name a superuser in the URL: auto_explain is for them alone
    ");
}

#[tokio::test]
async fn a_setting_that_no_session_may_change_belongs_to_the_server() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let harness = outside
        .builder(&url)
        .setting("work_mem", "5MB")
        .setting("shared_buffers", "1GB")
        .build()
        .unwrap();
    let error = harness.start().await.expect_err("it needs a restart");
    assert_refused!(outside, error, Config, @r#"
    the server at 127.0.0.1:[PORT] does not let a session set shared_buffers (builder)
      caused by: parameter "shared_buffers" cannot be changed without restarting the server
      help: an external server has its own configuration, where settings of this kind belong: take it out of `settings`, correct its value, or have the server's administrator set it
    "#);
    let harness = outside
        .builder(&url)
        .setting("log_statement", "all")
        .build()
        .unwrap();
    let error = harness.start().await.expect_err("it needs a superuser");
    assert_refused!(outside, error, Config, @r#"
    the server at 127.0.0.1:[PORT] does not let a session set log_statement (builder)
      caused by: permission denied to set parameter "log_statement"
      help: an external server has its own configuration, where settings of this kind belong: take it out of `settings`, correct its value, or have the server's administrator set it
    "#);
    let harness = outside
        .builder(&url)
        .setting("work_mem", "5MB")
        .build()
        .unwrap();
    let mut tx = harness.tx().await.unwrap();
    let set: String = sqlx::query_scalar("show work_mem")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(set, "5MB");
    tx.close().await.unwrap();
}

#[tokio::test]
async fn another_version_than_the_wanted_one_is_refused() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let error = outside
        .builder(&url)
        .postgres(99)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("there is no such version");
    assert_refused!(outside, error, Config, @r"
    the server at 127.0.0.1:[PORT] is PostgreSQL [VERSION], and 99 is wanted (builder)
      help: name a server of that version in the URL, or ask for this one's
    ");
}

#[tokio::test]
async fn a_standby_is_refused() {
    if !undisturbed(here!()) {
        return;
    }
    let standby = |data: &Path| std::fs::write(data.join("standby.signal"), "").unwrap();
    let Some(outside) = Outside::with("", standby).await else {
        return;
    };
    let socket = outside.scratch.path("outside");
    let url = format!(
        "postgres:///?host={}&port={}&user=postgres",
        socket.display(),
        outside.port()
    );
    let error = outside
        .builder(&url)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("nothing can be written there");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&outside.port().to_string(), "[PORT]");
    settings.bind(|| {
        assert_report!(outside.scratch, error, BackendUnavailable, @r"
    the server at [SCRATCH]/outside/.s.PGSQL.[PORT] is a standby, where nothing can be written
      help: name the primary server in the URL
    ");
    });
}

#[tokio::test]
async fn where_no_server_answers_a_server_of_our_own_would() {
    if !undisturbed(here!()) {
        return;
    }
    let scratch = Scratch::new();
    // Nobody listens there: the port is for the system's own tools.
    let url = format!("postgres://app:{PASSWORD}@127.0.0.1:1/postgres");
    let error = scratch
        .builder()
        .url(url)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("nobody is there");
    assert!(!format!("{error:?}").contains(PASSWORD), "{error:?}");
    assert_report!(scratch, error, BackendUnavailable, @r"
    no server answers at 127.0.0.1:1 (builder)
      caused by: [THE DRIVER'S WORDS]
      help: start it, or correct the URL; without one, ebbtide starts a server of its own
    ");
}

#[tokio::test]
async fn a_server_elsewhere_has_to_be_allowed() {
    if !undisturbed(here!()) {
        return;
    }
    let scratch = Scratch::new();
    // An address for documentation: nothing is ever there.
    let url = format!("postgres://app:{PASSWORD}@192.0.2.1/postgres");
    let error = scratch
        .builder()
        .url(url)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("it is not allowed");
    assert_report!(scratch, error, Config, @r"
    the server at 192.0.2.1 is not on this machine, and ebbtide creates and drops databases there
      caused by: the URL is postgres://app:***@192.0.2.1/postgres (builder)
      help: if it is a server for tests, write allow_remote = true below [server] in ebbtide.toml, or set EBBTIDE_ALLOW_REMOTE=true
    ");
}

#[tokio::test]
async fn a_host_without_an_address_is_told() {
    if !undisturbed(here!()) {
        return;
    }
    let scratch = Scratch::new();
    let url = format!("postgres://app:{PASSWORD}@no-such-host.invalid/postgres");
    let error = scratch
        .builder()
        .url(url)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("there is no such host");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(
        "failed to lookup address information: .*",
        "[THE SYSTEM'S WORDS]",
    );
    settings.bind(|| {
        assert_report!(scratch, error, BackendUnavailable, @r"
    the host no-such-host.invalid of postgres://app:***@no-such-host.invalid/postgres (builder) has no address
      caused by: [THE SYSTEM'S WORDS]
      help: correct the URL, or start what gives the host its name
    ");
    });
}

#[tokio::test]
async fn a_url_that_cannot_be_read_is_told_without_its_password() {
    if !undisturbed(here!()) {
        return;
    }
    let scratch = Scratch::new();
    let url = format!("postgres://app:{PASSWORD}@127.0.0.1:port/postgres");
    let error = scratch
        .builder()
        .url(url)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("that is no port");
    assert!(!format!("{error:?}").contains(PASSWORD), "{error:?}");
    assert_report!(scratch, error, Config, @r"
    the URL postgres://app:***@127.0.0.1:port/postgres (builder) cannot be read
      caused by: error with configuration: invalid port number
      help: it reads like postgres://user:password@host:5432/database?sslmode=require; write special characters of a password as %XX
    ");
    let url = "postgres://app@127.0.0.1/postgres?sslmode=perhaps";
    let error = scratch
        .builder()
        .url(url)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("there is no such mode");
    assert_report!(scratch, error, Config, @r#"
    the URL postgres://app@127.0.0.1/postgres?sslmode=perhaps (builder) cannot be read
      caused by: error with configuration: error with configuration: unknown value "perhaps" for `ssl_mode`
      help: it reads like postgres://user:password@host:5432/database?sslmode=require; write special characters of a password as %XX
    "#);
}

#[tokio::test]
async fn encryption_that_a_server_lacks_is_told() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await + "?sslmode=require";
    #[cfg(feature = "tls")]
    assert_refused!(outside, refused(&outside, &url).await, BackendUnavailable, @r"
    postgres://app:***@127.0.0.1:[PORT]/postgres?sslmode=require asks for encryption, and the server at 127.0.0.1:[PORT] has none
      caused by: error occurred while attempting to establish a TLS connection: server does not support TLS
      help: turn on `ssl` on the server, or use sslmode=prefer
    ");
    #[cfg(not(feature = "tls"))]
    assert_refused!(outside, refused(&outside, &url).await, Config, @r"
    postgres://app:***@127.0.0.1:[PORT]/postgres?sslmode=require asks for encryption, which is not part of this build of ebbtide
      caused by: error occurred while attempting to establish a TLS connection: TLS upgrade required by connect options but SQLx was built without TLS support enabled
      help: turn on ebbtide's feature `tls`
    ");
}
