//! The container backend in a build without the feature `container`.

use crate::support::child_process::{child_role, run_passing, test_command_as};
use crate::support::reports::start_error;
use crate::support::{Scratch, this_test};
use ebbtide::config::Backend;

/// Runs the test in a child without `EBBTIDE_BACKEND`, which would override the builder.
fn run_without_backend_variable(test: &str) {
    run_passing(test_command_as("child", test).env_remove("EBBTIDE_BACKEND"));
}

#[tokio::test]
async fn the_container_backend_is_refused_and_the_error_names_the_feature() {
    if child_role().is_none() {
        return run_without_backend_variable(this_test!());
    }
    let scratch = Scratch::new();
    let error = start_error(&scratch, scratch.own_server().backend(Backend::Container)).await;
    assert_report!(scratch, error, BackendUnavailable, @r"
    the container backend is not part of this build of ebbtide
      help: enable ebbtide's feature `container`, or set EBBTIDE_BACKEND=native
    ");
}

#[tokio::test]
async fn auto_selects_native_and_reports_the_reason() {
    let scratch = Scratch::new();
    if child_role().is_none() {
        if crate::support::runs_natively(this_test!()) {
            run_without_backend_variable(this_test!());
        }
        return;
    }
    let harness = scratch.own_server().backend(Backend::Auto).build().unwrap();
    let server = harness.start().await.unwrap();
    assert_eq!(server.backend, Backend::Native);
    assert_eq!(
        server.reason,
        "auto: this build of ebbtide has no container backend"
    );
    drop(harness);
    scratch.wait_until_servers_end();
}
