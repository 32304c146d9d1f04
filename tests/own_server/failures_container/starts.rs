//! Containers that end before PostgreSQL answers, and engines that are lost before the container
//! runs.

use std::process::Stdio;

use ebbtide::ErrorKind;

use crate::engine_proxy::{EngineProxy, Watch};
use crate::failures_container::engine::{Engine, container_builder};
use crate::support::child_process::{assert_passed, child_role};
use crate::support::reports::assert_report_contains;
use crate::support::{Scratch, this_test, wait_until};

/// The environment variable for the file that a child creates when the engine may come back.
const DONE_FILE_VARIABLE: &str = "CHILD_DONE_FILE";

#[tokio::test]
async fn a_setting_that_the_server_rejects_is_reported_with_the_containers_log() {
    let Some(engine) = Engine::in_child(this_test!(), &[]) else {
        return;
    };
    let scratch = Scratch::new();
    scratch.write(
        "ebbtide.toml",
        "[server]\nsettings = { shared_buffers = \"lots\" }\n",
    );
    let error = engine.start_error(&scratch).await;
    assert_report_contains(
        &error,
        ErrorKind::ServerStart,
        &["invalid value for parameter \"shared_buffers\": \"lots\""],
    );
    engine.replacements().bind(|| {
        assert_report!(scratch, error, ServerStart, @r"
        the container from image [IMAGE] ended before PostgreSQL answered
          the container's log ends:
            [LINES]
          help: see the log for the reason; settings that the server rejects come from `settings` in ebbtide.toml or the builder
        ");
    });
}

#[tokio::test]
async fn a_server_that_starts_too_slowly_is_a_timeout_that_names_its_setting() {
    let variables = [("EBBTIDE_START_TIMEOUT", "100ms")];
    let Some(engine) = Engine::in_child(this_test!(), &variables) else {
        return;
    };
    let scratch = Scratch::new();
    let error = engine.start_error(&scratch).await;
    let beginning = "server start: no answer: not done after 100ms (127.0.0.1:";
    assert_report_contains(
        &error,
        ErrorKind::Timeout,
        &[beginning, "EBBTIDE_START_TIMEOUT"],
    );
}

#[tokio::test]
async fn an_engine_lost_before_the_container_runs_is_reported_and_the_container_is_removed_later() {
    let Some(engine) = Engine::of_this_machine(this_test!()) else {
        return;
    };
    if child_role().is_none() {
        return without_the_engine(&engine, this_test!(), Watch::Withhold("/start"));
    }
    let scratch = Scratch::new();
    let error = container_builder(&scratch)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("the connection to the engine is lost");
    assert_eq!(engine.containers(&scratch), ["created"]);
    signal_parent();
    engine.wait_until_servers_end(&scratch);
    engine.replacements().bind(|| {
        assert_report!(scratch, error, ServerStart, @r"
        the engine at unix://[PLACE]/docker.sock did not start the container
          caused by: [ITS WORDS]
          help: check with `docker version` whether the engine still answers, and run the tests again; or set EBBTIDE_BACKEND=native
        ");
    });
}

#[tokio::test]
async fn an_engine_lost_while_the_container_starts_is_reported_and_the_container_ends_itself() {
    let Some(engine) = Engine::of_this_machine(this_test!()) else {
        return;
    };
    if child_role().is_none() {
        return without_the_engine(&engine, this_test!(), Watch::Forward("/start"));
    }
    let scratch = Scratch::new();
    let error = engine.start_error(&scratch).await;
    // The engine's response arrives or is lost, so two different reports are possible.
    assert_report_contains(
        &error,
        ErrorKind::ServerStart,
        &["the engine at unix://", "the container", "caused by: "],
    );
    signal_parent();
}

/// Runs the test in a child, and cuts the connection to the engine at the watched request.
///
/// The child uses a proxy on a Unix socket as the engine. When the child calls [`signal_parent`], a
/// second proxy listens on the same path, as an engine that is back. So the child's supervisor can
/// remove the container.
fn without_the_engine(engine: &Engine, test: &str, watch: Watch) {
    let scratch = Scratch::new();
    let socket = scratch.path("docker.sock");
    let proxy = EngineProxy::on_socket(&socket, watch);
    let mut child = engine.child(test);
    child
        .env("DOCKER_HOST", &proxy.daemon.url)
        .env(DONE_FILE_VARIABLE, scratch.path("done"));
    let child = child
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    proxy.wait_until_seen();
    proxy.cut();
    wait_until("the child no longer needs the engine to be lost", || {
        scratch.path("done").exists()
    });
    std::fs::remove_file(&socket).unwrap();
    let _engine_is_back = EngineProxy::on_socket(&socket, Watch::Nothing);
    println!("{}", assert_passed(&child.wait_with_output().unwrap()));
}

fn signal_parent() {
    std::fs::write(std::env::var(DONE_FILE_VARIABLE).unwrap(), "").unwrap();
}
