//! Images that do not exist, do not contain PostgreSQL, or contain another version.

use std::time::Instant;

use ebbtide::config::Backend;

use ebbtide::report::ServerReport;

use crate::failures_container::children::run_child;
use crate::failures_container::engine::Engine;
use crate::support::child_process::child_role;
use crate::support::{Scratch, runs_natively, this_test};

/// An image in a registry at a closed port, so that a pull fails at once.
const UNREACHABLE_IMAGE: &str = "localhost:1/postgres:17";

#[tokio::test]
async fn a_refused_pull_is_reported_with_the_images_on_the_engine() {
    let variables = [("EBBTIDE_IMAGE", UNREACHABLE_IMAGE)];
    let Some(engine) = Engine::in_child(this_test!(), &variables) else {
        return;
    };
    let scratch = Scratch::new();
    let error = engine.start_error(&scratch).await;
    assert!(
        format!("{error:?}").contains(&format!("\n    {}\n", engine.image)),
        "{error:?}"
    );
    engine.replacements().bind(|| {
        assert_report!(scratch, error, ImageUnavailable, @r"
        image localhost:1/postgres:17 is not on the engine and cannot be pulled
          caused by: [ITS WORDS]
          images on the engine:
            [LINES]
          help: run `docker pull localhost:1/postgres:17` where there is a network, which also uses your credentials; set EBBTIDE_IMAGE to another image of PostgreSQL; or set EBBTIDE_BACKEND=native
        ");
    });
}

#[tokio::test]
async fn auto_starts_a_native_server_if_the_image_cannot_be_pulled() {
    let variables = [("EBBTIDE_IMAGE", UNREACHABLE_IMAGE)];
    let Some(engine) = Engine::in_child(this_test!(), &variables) else {
        return;
    };
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    // The first start fills the cache of `initdb`, so that the two measured starts are comparable.
    start(&scratch, Backend::Native).await;
    let (_, plain) = start(&scratch, Backend::Native).await;
    let (server, after_refusal) = start(&scratch, Backend::Auto).await;
    println!("native at once: {plain:.0} ms; after a refused pull: {after_refusal:.0} ms");
    assert_eq!(server.backend, Backend::Native);
    engine.wait_until_servers_end(&scratch);
    engine.replacements().bind(|| {
        insta::assert_snapshot!(server.reason, @r"
        auto: no container, because image localhost:1/postgres:17 is not on the engine and cannot be pulled: [ITS WORDS]
        ");
    });
}

/// Starts a server and returns the report and the milliseconds of the start.
async fn start(scratch: &Scratch, backend: Backend) -> (ServerReport, f64) {
    let harness = scratch.own_server().backend(backend).build().unwrap();
    let began = Instant::now();
    let server = harness.start().await.unwrap();
    let took = began.elapsed();
    drop(harness);
    scratch.wait_until_servers_end();
    (server, took.as_secs_f64() * 1e3)
}

#[tokio::test]
async fn an_image_of_another_major_version_is_refused() {
    let Some(engine) = Engine::of_this_machine(this_test!()) else {
        return;
    };
    let wanted = engine.major() + 1;
    if child_role().is_none() {
        return run_child(
            engine
                .child(this_test!())
                .env("EBBTIDE_POSTGRES", wanted.to_string()),
        );
    }
    let scratch = Scratch::new();
    let error = engine.start_error(&scratch).await;
    let mut settings = engine.replacements();
    settings.add_filter(&format!(r"\b{wanted}\b"), "[WANTED]");
    settings.bind(|| {
        assert_report!(scratch, error, ImageUnavailable, @r"
        image [IMAGE] contains PostgreSQL [MAJOR], but version [WANTED] was requested
          help: set EBBTIDE_IMAGE to an image of PostgreSQL [WANTED], or do not set both an image and a version
        ");
    });
}

#[tokio::test]
async fn an_image_without_a_version_variable_is_refused_for_the_version_of_its_binaries() {
    let image = ("silent", "PG_MAJOR=");
    let variables = [("EBBTIDE_POSTGRES", "99")];
    let Some(engine) = Engine::in_child_with_image(this_test!(), image, &variables) else {
        return;
    };
    let scratch = Scratch::new();
    let error = engine.start_error(&scratch).await;
    engine.replacements().bind(|| {
        assert_report!(scratch, error, ImageUnavailable, @r"
        image [IMAGE]-silent contains PostgreSQL [MAJOR], but version 99 was requested
          help: set EBBTIDE_IMAGE to an image of PostgreSQL 99, or do not set both an image and a version
        ");
    });
}

#[tokio::test]
async fn an_image_without_the_official_entrypoint_is_refused() {
    // docker-entrypoint.sh is in a directory that this PATH does not contain.
    let image = ("other", "PATH=/usr/bin:/bin");
    let Some(engine) = Engine::in_child_with_image(this_test!(), image, &[]) else {
        return;
    };
    let scratch = Scratch::new();
    let error = engine.start_error(&scratch).await;
    engine.replacements().bind(|| {
        assert_report!(scratch, error, ImageUnavailable, @r"
        image [IMAGE]-other cannot be used: not an image of PostgreSQL: there is no docker-entrypoint.sh
          help: set EBBTIDE_IMAGE to an image with the entrypoint of the official one, such as postgres, postgis/postgis, pgvector/pgvector or timescale/timescaledb; or set EBBTIDE_BACKEND=native
        ");
    });
}

#[tokio::test]
async fn an_image_without_a_shell_is_refused() {
    let image = ("bare", "PATH=/nowhere");
    let Some(engine) = Engine::in_child_with_image(this_test!(), image, &[]) else {
        return;
    };
    let scratch = Scratch::new();
    let error = engine.start_error(&scratch).await;
    engine.replacements().bind(|| {
        assert_report!(scratch, error, ImageUnavailable, @r"
        image [IMAGE]-bare cannot be used: there is no sh
          caused by: [ITS WORDS]
          help: set EBBTIDE_IMAGE to an image with the entrypoint of the official one, such as postgres, postgis/postgis, pgvector/pgvector or timescale/timescaledb; or set EBBTIDE_BACKEND=native
        ");
    });
}
