//! Engines that cannot be reached.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use ebbtide::ErrorKind;

use ebbtide::config::{Backend, Storage};

use crate::failures_container::children::{as_unprivileged_user, child, run_child};
use crate::failures_container::engine::SOCKET_PATTERN;
use crate::support::child_process::child_role;
use crate::support::reports::start_error;
use crate::support::{Scratch, runs_natively, this_test};

#[tokio::test]
async fn a_docker_host_that_is_no_url_is_a_configuration_error() {
    if child_role().is_none() {
        return run_child(child(this_test!()).env("DOCKER_HOST", "localhost:2375"));
    }
    let scratch = Scratch::new();
    let error = start_error(&scratch, scratch.own_server().backend(Backend::Container)).await;
    assert_report!(scratch, error, Config, @r#"
    DOCKER_HOST="localhost:2375" is not of the form unix:///path, tcp://host:port, http://host:port or https://host:port
      help: correct DOCKER_HOST, or unset it so that ebbtide tries the usual sockets
    "#);
    let error = start_error(&scratch, scratch.own_server().backend(Backend::Auto)).await;
    assert_eq!(
        error.kind(),
        ErrorKind::Config,
        "auto must not ignore a malformed DOCKER_HOST"
    );
}

#[tokio::test]
async fn a_docker_host_without_a_listener_is_reported() {
    if child_role().is_none() {
        return run_child(child(this_test!()).env("DOCKER_HOST", "unix:///nowhere/docker.sock"));
    }
    let scratch = Scratch::new();
    let error = start_error(&scratch, scratch.own_server().backend(Backend::Container)).await;
    assert_report!(scratch, error, BackendUnavailable, @r"
    the container engine that DOCKER_HOST names does not answer
      tried:
        unix:///nowhere/docker.sock (DOCKER_HOST): nothing answers: start Docker, `sudo systemctl start docker` or its desktop application
      help: start it, correct or unset DOCKER_HOST, or set EBBTIDE_BACKEND=native
    ");
}

#[tokio::test]
async fn a_docker_host_at_a_closed_port_is_reported() {
    if child_role().is_none() {
        // Only root can listen on such a low port, and nothing does.
        return run_child(child(this_test!()).env("DOCKER_HOST", "tcp://127.0.0.1:1"));
    }
    let scratch = Scratch::new();
    let error = start_error(&scratch, scratch.own_server().backend(Backend::Container)).await;
    assert_report!(scratch, error, BackendUnavailable, @r"
    the container engine that DOCKER_HOST names does not answer
      tried:
        tcp://127.0.0.1:1 (DOCKER_HOST): nothing answers: start the engine there, or correct the port
      help: start it, correct or unset DOCKER_HOST, or set EBBTIDE_BACKEND=native
    ");
}

#[tokio::test]
async fn a_context_that_does_not_exist_is_a_configuration_error() {
    if child_role().is_none() {
        return run_child(child(this_test!()).env("DOCKER_CONTEXT", "gone"));
    }
    let scratch = Scratch::new();
    let error = start_error(&scratch, scratch.own_server().backend(Backend::Container)).await;
    assert_report!(scratch, error, Config, @r#"
    DOCKER_CONTEXT="gone" cannot be used: there is no such context below /nonexistent/.docker/contexts
      help: `docker context ls` lists the contexts; correct DOCKER_CONTEXT or unset it
    "#);
}

#[tokio::test]
async fn a_socket_without_permission_is_reported() {
    if child_role().is_none() {
        return run_without_permission(this_test!());
    }
    let scratch = Scratch::new();
    let error = start_error(&scratch, scratch.own_server().backend(Backend::Container)).await;
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
async fn auto_starts_a_native_server_if_the_socket_gives_no_permission() {
    if child_role().is_none() {
        if runs_natively(this_test!()) {
            run_without_permission(this_test!());
        }
        return;
    }
    let scratch = Scratch::new();
    let harness = scratch
        .own_server()
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
    scratch.wait_until_servers_end();
}

#[tokio::test]
async fn without_an_engine_and_without_binaries_both_are_reported_with_their_remedies() {
    if child_role().is_none() {
        return run_child(
            child(this_test!())
                .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
                .env("EBBTIDE_PG_BIN", "/nowhere"),
        );
    }
    let scratch = Scratch::new();
    let error = start_error(&scratch, scratch.own_server().backend(Backend::Auto)).await;
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
      help: make one of them available, or name a server of your own with EBBTIDE_URL
    ");
}

fn replacements() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(SOCKET_PATTERN, "unix://[PLACE]/docker.sock");
    settings
}

/// Runs the test as a user who has no permission to use the engine's socket.
fn run_without_permission(test: &str) {
    let scratch = Scratch::new();
    let socket = scratch.path("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).unwrap();
    // A copy in a directory that every user can access. The build directory may be closed to
    // others.
    let executable = scratch.path("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &executable).unwrap();
    let mut child = child(test);
    child.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    run_child(as_unprivileged_user(&executable, &child).current_dir("/"));
}
