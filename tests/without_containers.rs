//! What a build without the feature `container` says when a container is asked for.
#![cfg(not(feature = "container"))]

#[macro_use]
#[path = "support/reports.rs"]
mod reports;
mod support;

use ebbtide::Backend;
use reports::not_started;
use support::again::{again_as, passed, role};
use support::{Scratch, here};

#[tokio::test]
async fn a_container_is_refused_with_the_feature_that_it_needs() {
    if role().is_none() {
        // The variable would beat the builder.
        passed(
            &again_as("child", here!())
                .env_remove("EBBTIDE_BACKEND")
                .output()
                .unwrap(),
        );
        return;
    }
    let scratch = Scratch::new();
    let error = not_started(&scratch, scratch.lonely().backend(Backend::Container)).await;
    assert_report!(scratch, error, BackendUnavailable, @r"
    the container backend is not part of this build of ebbtide
      help: turn on ebbtide's feature `container`, or set EBBTIDE_BACKEND=native
    ");
}

#[tokio::test]
async fn auto_means_native_and_tells_why() {
    let scratch = Scratch::new();
    if role().is_none() {
        if support::natively(here!()) {
            passed(
                &again_as("child", here!())
                    .env_remove("EBBTIDE_BACKEND")
                    .output()
                    .unwrap(),
            );
        }
        return;
    }
    let harness = scratch.lonely().backend(Backend::Auto).build().unwrap();
    let server = harness.start().await.unwrap();
    assert_eq!(server.backend, Backend::Native);
    assert_eq!(
        server.reason,
        "auto: this build of ebbtide has no container backend"
    );
    drop(harness);
    scratch.wait_until_deserted();
}
