//! Containers that end before PostgreSQL answers, and engines that end before the container runs.

use std::process::Stdio;

use ebbtide::ErrorKind;

use crate::children::play;
use crate::engine::{Engine, contained};
use crate::relay::{Relay, Watch};
use crate::reports::assert_tells;
use crate::support::again::{passed, role};
use crate::support::{Scratch, here, wait_until};

/// The file that tells the parent that the child has seen enough.
const NEXT_SCENE: &str = "NEXT_SCENE";

#[tokio::test]
async fn a_setting_that_the_server_refuses_is_in_the_containers_log() {
    let Some(engine) = Engine::of_this_machine(here!()) else {
        return;
    };
    if role().is_none() {
        return play(&mut engine.child(here!()));
    }
    let scratch = Scratch::new();
    scratch.write(
        "ebbtide.toml",
        "[server]\nsettings = { shared_buffers = \"lots\" }\n",
    );
    let error = engine.not_started(&scratch).await;
    assert_tells(
        &error,
        ErrorKind::ServerStart,
        &["invalid value for parameter \"shared_buffers\": \"lots\""],
    );
    engine.replacements().bind(|| {
        assert_report!(scratch, error, ServerStart, @r"
        the container from image [IMAGE] ended before PostgreSQL answered
          the container's log ends:
            [LINES]
          help: the log says why; settings that the server refuses come from `settings` in ebbtide.toml or the builder
        ");
    });
}

#[tokio::test]
async fn a_server_that_takes_too_long_leads_to_the_limit_and_to_its_log() {
    let Some(engine) = Engine::of_this_machine(here!()) else {
        return;
    };
    if role().is_none() {
        return play(engine.child(here!()).env("EBBTIDE_START_TIMEOUT", "100ms"));
    }
    let scratch = Scratch::new();
    let error = engine.not_started(&scratch).await;
    let beginning = "server start: no answer: not done after 100ms (127.0.0.1:";
    assert_tells(
        &error,
        ErrorKind::Timeout,
        &[beginning, "EBBTIDE_START_TIMEOUT"],
    );
}

#[tokio::test]
async fn an_engine_that_goes_before_the_container_runs_is_told_and_its_container_goes_when_it_is_back()
 {
    let Some(engine) = Engine::of_this_machine(here!()) else {
        return;
    };
    if role().is_none() {
        return without_the_engine(&engine, here!(), Watch::Withhold("/start"));
    }
    let scratch = Scratch::new();
    let error = contained(&scratch)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("the engine has gone");
    assert_eq!(engine.containers(&scratch), ["created"]);
    next_scene();
    engine.wait_until_deserted(&scratch);
    engine.replacements().bind(|| {
        assert_report!(scratch, error, ServerStart, @r"
        the engine at unix://[PLACE]/docker.sock did not start the container
          caused by: [ITS WORDS]
          help: see with `docker version` whether the engine still answers, and run the tests again; or set EBBTIDE_BACKEND=native
        ");
    });
}

#[tokio::test]
async fn an_engine_that_goes_while_the_container_starts_is_told_and_the_container_goes_by_itself() {
    let Some(engine) = Engine::of_this_machine(here!()) else {
        return;
    };
    if role().is_none() {
        return without_the_engine(&engine, here!(), Watch::Tell("/start"));
    }
    let scratch = Scratch::new();
    let error = contained(&scratch)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("the engine has gone");
    engine.wait_until_deserted(&scratch);
    // Whether the answer came through is a matter of chance.
    assert_tells(
        &error,
        ErrorKind::ServerStart,
        &["the engine at unix://", "the container", "caused by: "],
    );
    next_scene();
}

/// Plays the test with an engine that is gone when it is asked for something, and back when the child has seen enough.
fn without_the_engine(engine: &Engine, test: &str, watch: Watch) {
    let scratch = Scratch::new();
    let socket = scratch.path("docker.sock");
    let relay = Relay::on_socket(&socket, watch);
    let mut child = engine.child(test);
    child
        .env("DOCKER_HOST", &relay.daemon.url)
        .env(NEXT_SCENE, scratch.path("next"));
    let child = child
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    relay.wait_until_seen();
    relay.cut();
    wait_until("the child has seen enough", || {
        scratch.path("next").exists()
    });
    std::fs::remove_file(&socket).unwrap();
    let _back = Relay::on_socket(&socket, Watch::Nothing);
    println!("{}", passed(&child.wait_with_output().unwrap()));
}

fn next_scene() {
    std::fs::write(std::env::var(NEXT_SCENE).unwrap(), "").unwrap();
}
