//! Engines that cannot be asked.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use ebbtide::{Backend, ErrorKind, Storage};

use crate::children::{as_nobody, child, play};
use crate::engine::SOCKET;
use crate::reports::not_started;
use crate::support::again::role;
use crate::support::{Scratch, here, natively};

#[tokio::test]
async fn a_docker_host_that_is_no_url_is_a_fault_of_the_configuration() {
    if role().is_none() {
        return play(child(here!()).env("DOCKER_HOST", "localhost:2375"));
    }
    let scratch = Scratch::new();
    let error = not_started(&scratch, scratch.lonely().backend(Backend::Container)).await;
    assert_report!(scratch, error, Config, @r#"
    DOCKER_HOST="localhost:2375" is not of the form unix:///path, tcp://host:port, http://host:port or https://host:port
      help: correct DOCKER_HOST, or unset it to have the usual sockets searched
    "#);
    let error = not_started(&scratch, scratch.lonely().backend(Backend::Auto)).await;
    assert_eq!(
        error.kind(),
        ErrorKind::Config,
        "what is said wrong is no reason to go on without it"
    );
}

#[tokio::test]
async fn a_docker_host_where_nobody_listens_is_told() {
    if role().is_none() {
        return play(child(here!()).env("DOCKER_HOST", "unix:///nowhere/docker.sock"));
    }
    let scratch = Scratch::new();
    let error = not_started(&scratch, scratch.lonely().backend(Backend::Container)).await;
    assert_report!(scratch, error, BackendUnavailable, @r"
    the container engine that DOCKER_HOST names does not answer
      tried:
        unix:///nowhere/docker.sock (DOCKER_HOST): nothing answers: start Docker, `sudo systemctl start docker` or its desktop application
      help: start it, correct or unset DOCKER_HOST, or set EBBTIDE_BACKEND=native
    ");
}

#[tokio::test]
async fn a_docker_host_at_a_closed_port_is_told() {
    if role().is_none() {
        // Nothing but the system itself may listen on such a low port.
        return play(child(here!()).env("DOCKER_HOST", "tcp://127.0.0.1:1"));
    }
    let scratch = Scratch::new();
    let error = not_started(&scratch, scratch.lonely().backend(Backend::Container)).await;
    assert_report!(scratch, error, BackendUnavailable, @r"
    the container engine that DOCKER_HOST names does not answer
      tried:
        tcp://127.0.0.1:1 (DOCKER_HOST): nothing answers: start the engine there, or correct the port
      help: start it, correct or unset DOCKER_HOST, or set EBBTIDE_BACKEND=native
    ");
}

#[tokio::test]
async fn a_context_that_does_not_exist_is_a_fault_of_the_configuration() {
    if role().is_none() {
        return play(child(here!()).env("DOCKER_CONTEXT", "gone"));
    }
    let scratch = Scratch::new();
    let error = not_started(&scratch, scratch.lonely().backend(Backend::Container)).await;
    assert_report!(scratch, error, Config, @r#"
    DOCKER_CONTEXT="gone" cannot be used: there is no such context below /nonexistent/.docker/contexts
      help: `docker context ls` lists the contexts there are; correct DOCKER_CONTEXT or unset it
    "#);
}

#[tokio::test]
async fn a_socket_that_one_may_not_use_is_told() {
    if role().is_none() {
        return behind_a_closed_socket(here!());
    }
    let scratch = Scratch::new();
    let error = not_started(&scratch, scratch.lonely().backend(Backend::Container)).await;
    replacements().bind(|| {
        assert_report!(scratch, error, BackendUnavailable, @r"
        the container engine that DOCKER_HOST names does not answer
          tried:
            unix://[PLACE]/docker.sock (DOCKER_HOST): permission denied: add yourself to the engine's group, `sudo usermod -aG docker $USER`, and log in again; or use a rootless engine
          help: start it, correct or unset DOCKER_HOST, or set EBBTIDE_BACKEND=native
        ");
    });
}

#[tokio::test]
async fn auto_goes_on_without_an_engine_that_one_may_not_use() {
    if role().is_none() {
        if natively(here!()) {
            behind_a_closed_socket(here!());
        }
        return;
    }
    let scratch = Scratch::new();
    let harness = scratch
        .lonely()
        .backend(Backend::Auto)
        .storage(Storage::Disk)
        .build()
        .unwrap();
    let server = harness.start().await.unwrap();
    assert_eq!(server.backend, Backend::Native);
    let beginning = "auto: no container, because the container engine that DOCKER_HOST names does not answer: unix://";
    assert!(server.reason.starts_with(beginning), "{}", server.reason);
    assert!(
        server
            .reason
            .contains(" (DOCKER_HOST): permission denied: add yourself "),
        "{}",
        server.reason
    );
    drop(harness);
    scratch.wait_until_deserted();
}

#[tokio::test]
async fn without_an_engine_and_without_binaries_both_are_told_with_what_would_mend_them() {
    if role().is_none() {
        return play(
            child(here!())
                .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
                .env("EBBTIDE_PG_BIN", "/nowhere"),
        );
    }
    let scratch = Scratch::new();
    let error = not_started(&scratch, scratch.lonely().backend(Backend::Auto)).await;
    assert_report!(scratch, error, BackendUnavailable, @r"
    there is neither a container engine nor PostgreSQL's binaries to use
      container:
        the container engine that DOCKER_HOST names does not answer
          tried:
            unix:///nowhere/docker.sock (DOCKER_HOST): nothing answers: start Docker, `sudo systemctl start docker` or its desktop application
          help: start it, correct or unset DOCKER_HOST, or set EBBTIDE_BACKEND=native
      native:
        no PostgreSQL server binaries found
          tried:
            /nowhere (EBBTIDE_PG_BIN): holds no `postgres`
          help: install them (Debian, Ubuntu: `apt-get install postgresql`; Fedora: `dnf install postgresql-server postgresql-contrib`; macOS: `brew install postgresql`), or set EBBTIDE_PG_BIN to the directory that holds `postgres` and `initdb`
      help: mend either of the two, or name a server of yours with EBBTIDE_URL
    ");
}

fn replacements() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(SOCKET, "unix://[PLACE]/docker.sock");
    settings
}

/// Plays the test as an ordinary user, for whom the engine's socket is closed.
fn behind_a_closed_socket(test: &str) {
    let scratch = Scratch::new();
    let socket = scratch.path("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).unwrap();
    // In a directory that everybody can reach, which the build's need not be.
    let executable = scratch.path("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &executable).unwrap();
    let mut child = child(test);
    child.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    play(as_nobody(&executable, &child).current_dir("/"));
}
