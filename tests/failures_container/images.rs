//! Images that are not there, not of PostgreSQL, or of another version.

use std::time::Instant;

use ebbtide::{Backend, ServerReport};

use crate::children::play;
use crate::engine::{DerivedImage, Engine};
use crate::support::again::role;
use crate::support::{Scratch, here, natively};

/// In a registry that nobody runs, which refuses at once.
const REFUSED: &str = "localhost:1/postgres:17";

#[tokio::test]
async fn a_refused_pull_lists_the_images_that_are_there() {
    let Some(engine) = Engine::of_this_machine(here!()) else {
        return;
    };
    if role().is_none() {
        return play(engine.child(here!()).env("EBBTIDE_IMAGE", REFUSED));
    }
    let scratch = Scratch::new();
    let error = engine.not_started(&scratch).await;
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
async fn auto_goes_on_without_an_image_that_cannot_be_pulled() {
    let Some(engine) = Engine::of_this_machine(here!()) else {
        return;
    };
    if role().is_none() {
        return play(engine.child(here!()).env("EBBTIDE_IMAGE", REFUSED));
    }
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    // The first fills the cache of `initdb`, for a fair comparison.
    start(&scratch, Backend::Native).await;
    let (_, plain) = start(&scratch, Backend::Native).await;
    let (server, after_refusal) = start(&scratch, Backend::Auto).await;
    println!("native at once: {plain:.0} ms; after a refused pull: {after_refusal:.0} ms");
    assert_eq!(server.backend, Backend::Native);
    engine.wait_until_deserted(&scratch);
    engine.replacements().bind(|| {
        insta::assert_snapshot!(server.reason, @r"
        auto: no container, because image localhost:1/postgres:17 is not on the engine and cannot be pulled: [ITS WORDS]
        ");
    });
}

/// A server of its own, and the milliseconds until it was there.
async fn start(scratch: &Scratch, backend: Backend) -> (ServerReport, f64) {
    let harness = scratch.lonely().backend(backend).build().unwrap();
    let began = Instant::now();
    let server = harness.start().await.unwrap();
    let took = began.elapsed();
    drop(harness);
    scratch.wait_until_deserted();
    (server, took.as_secs_f64() * 1e3)
}

#[tokio::test]
async fn an_image_of_another_major_version_is_refused() {
    let Some(engine) = Engine::of_this_machine(here!()) else {
        return;
    };
    let wanted = engine.major() + 1;
    if role().is_none() {
        return play(
            engine
                .child(here!())
                .env("EBBTIDE_POSTGRES", wanted.to_string()),
        );
    }
    let scratch = Scratch::new();
    let error = engine.not_started(&scratch).await;
    let mut settings = engine.replacements();
    settings.add_filter(&format!(r"\b{wanted}\b"), "[WANTED]");
    settings.bind(|| {
        assert_report!(scratch, error, ImageUnavailable, @r"
        image [IMAGE] holds PostgreSQL [MAJOR], and [WANTED] is wanted
          help: set EBBTIDE_IMAGE to an image of PostgreSQL [WANTED], or leave the image or the version unsaid
        ");
    });
}

#[tokio::test]
async fn an_image_that_does_not_tell_its_version_is_refused_for_what_it_holds() {
    let Some(engine) = Engine::of_this_machine(here!()) else {
        return;
    };
    if role().is_none() {
        let image = DerivedImage::new(&engine, "silent", "PG_MAJOR=");
        return play(
            engine
                .child(here!())
                .env("EBBTIDE_IMAGE", &image.name)
                .env("EBBTIDE_POSTGRES", "99"),
        );
    }
    let scratch = Scratch::new();
    let error = engine.not_started(&scratch).await;
    engine.replacements().bind(|| {
        assert_report!(scratch, error, ImageUnavailable, @r"
        image [IMAGE]-silent holds PostgreSQL [MAJOR], and 99 is wanted
          help: set EBBTIDE_IMAGE to an image of PostgreSQL 99, or leave the image or the version unsaid
        ");
    });
}

#[tokio::test]
async fn an_image_without_the_official_entrypoint_is_refused() {
    let Some(engine) = Engine::of_this_machine(here!()) else {
        return;
    };
    if role().is_none() {
        // The entrypoint lies where nobody looks for it any more.
        let image = DerivedImage::new(&engine, "other", "PATH=/usr/bin:/bin");
        return play(engine.child(here!()).env("EBBTIDE_IMAGE", &image.name));
    }
    let scratch = Scratch::new();
    let error = engine.not_started(&scratch).await;
    engine.replacements().bind(|| {
        assert_report!(scratch, error, ImageUnavailable, @r"
        image [IMAGE]-other cannot be used: not an image of PostgreSQL: there is no docker-entrypoint.sh
          help: set EBBTIDE_IMAGE to an image that keeps the contract of the official one, such as postgres, postgis/postgis, pgvector/pgvector or timescale/timescaledb; or set EBBTIDE_BACKEND=native
        ");
    });
}

#[tokio::test]
async fn an_image_without_a_shell_is_refused() {
    let Some(engine) = Engine::of_this_machine(here!()) else {
        return;
    };
    if role().is_none() {
        let image = DerivedImage::new(&engine, "bare", "PATH=/nowhere");
        return play(engine.child(here!()).env("EBBTIDE_IMAGE", &image.name));
    }
    let scratch = Scratch::new();
    let error = engine.not_started(&scratch).await;
    engine.replacements().bind(|| {
        assert_report!(scratch, error, ImageUnavailable, @r"
        image [IMAGE]-bare cannot be used: there is no sh
          caused by: [ITS WORDS]
          help: set EBBTIDE_IMAGE to an image that keeps the contract of the official one, such as postgres, postgis/postgis, pgvector/pgvector or timescale/timescaledb; or set EBBTIDE_BACKEND=native
        ");
    });
}
