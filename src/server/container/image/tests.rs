use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use super::layers::Layers;
use super::require::look_up;
use super::*;
use crate::config::EngineHints;
use crate::progress::Progress;

const EVENTS: &str = r#"{"status":"Pulling from library/postgres","id":"17"}
{"status":"Already exists","progressDetail":{},"id":"a"}
{"status":"Pulling fs layer","progressDetail":{},"id":"b"}
{"status":"Pulling fs layer","progressDetail":{},"id":"c"}
{"status":"Downloading","progressDetail":{"current":45000000,"total":130000000},"id":"b"}
{"status":"Extracting","progressDetail":{"current":1,"total":130000000},"id":"b"}
"#;

/// An engine with prepared answers. Each request gets the next answer of its kind, and the last
/// one repeatedly.
async fn engine_that_answers(mut answers: Vec<(&'static str, &'static str)>) -> Engine {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    answers.extend([
        (
            "GET /version ",
            r#"200 {"ApiVersion":"1.41","Version":"20.10"}"#,
        ),
        (
            "GET /info ",
            r#"200 {"MemTotal":1024,"Swarm":{"LocalNodeState":"of the future"}}"#,
        ),
    ]);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head: Vec<String> = BufReader::new(&stream)
                .lines()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            let at = answers
                .iter()
                .position(|(request, _)| head[0].starts_with(request))
                .expect(&head[0]);
            let (status, body) = answers[at].1.split_once(' ').unwrap();
            write!(
                stream,
                "HTTP/1.1 {status} X\r\nconnection: close\r\n\r\n{body}"
            )
            .unwrap();
            if answers
                .iter()
                .filter(|(request, _)| head[0].starts_with(request))
                .count()
                > 1
            {
                answers.remove(at);
            }
        }
    });
    Engine::find(&EngineHints {
        docker_host: Some(url),
        ..EngineHints::default()
    })
    .await
    .unwrap()
}

async fn real_engine() -> Option<Engine> {
    let hints = EngineHints::default();
    let found = Engine::find(&hints).await;
    if let Err(error) = &found {
        println!("SKIPPED: no container engine: {error:?}");
    }
    found.ok()
}

#[test]
fn progress_counts_layers_and_megabytes() {
    let mut layers = Layers::default();
    let seen: Vec<String> = EVENTS
        .lines()
        .map(|event| {
            layers.note(serde_json::from_str(event).unwrap());
            layers.to_string()
        })
        .collect();
    assert_eq!(seen[3], "1 of 3 layers");
    assert_eq!(seen[4], "1 of 3 layers, 45 of 130 MB");
    assert_eq!(seen[5], "1 of 3 layers, 130 of 130 MB");
}

#[test]
fn another_major_version_is_refused_and_an_unknown_one_is_not() {
    let image = |major| Image {
        reference: "db:1".into(),
        id: String::new(),
        major,
        volumes: Vec::new(),
    };
    let error = image(Some(16)).check_major(Some(17)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "image db:1 contains PostgreSQL 16, but version 17 was requested"
    );
    assert!(image(Some(17)).check_major(Some(17)).is_ok());
    assert!(image(None).check_major(Some(17)).is_ok());
}

#[tokio::test]
async fn a_missing_image_is_pulled() {
    let engine = engine_that_answers(vec![
        ("GET /images/postgres:17/json ", r#"404 {"message":"No such image"}"#),
        ("POST /images/create?fromImage=postgres%3A17", Box::leak(format!("200 {EVENTS}").into_boxed_str())),
        (
            "GET /images/postgres:17/json ",
            r#"200 {"Id":"sha256:1","Config":{"Env":["A=b","PG_MAJOR=17"],"Volumes":{"/b":{},"/a":{}}}}"#,
        ),
    ])
    .await;
    assert_eq!(engine.memory, None, "the description cannot be parsed");
    let image = require(&engine, "postgres:17", &Progress::start("test"))
        .await
        .unwrap();
    let volumes = vec!["/a".to_owned(), "/b".to_owned()];
    let expected = Image {
        reference: "postgres:17".into(),
        id: "sha256:1".into(),
        major: Some(17),
        volumes,
    };
    assert_eq!(image, expected);
}

#[tokio::test]
async fn a_pull_that_fails_midway_reports_the_engines_message() {
    let engine = engine_that_answers(vec![
        ("GET /images/db/json ", r#"404 {"message":"No such image"}"#),
        (
            "POST /images/create?fromImage=db%3Alatest",
            r#"200 {"status":"Pulling fs layer","id":"a"}
{"errorDetail":{"message":"no space left on device"},"error":"no space left on device"}"#,
        ),
        ("GET /images/json", r#"200 [{"RepoTags":["postgres:15","nginx:1"],"Id":"1","ParentId":"","Created":1,"RepoDigests":null,"Size":1,"SharedSize":-1,"Labels":null,"Containers":-1}]"#),
    ])
    .await;
    let error = require(&engine, "db", &Progress::start("test"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImageUnavailable);
    let report = "image db is not on the engine and cannot be pulled\n  caused by: no space left on device\n  \
                  images on the engine:\n    postgres:15\n  help: run `docker pull db` ";
    assert!(format!("{error:?}").starts_with(report), "{error:?}");
    assert_eq!(choose(&engine, None, None).await.unwrap(), "postgres:15");
    assert_eq!(
        choose(&engine, None, Some(16)).await.unwrap(),
        "postgres:16"
    );
}

#[tokio::test]
async fn the_real_engine_refuses_an_image_that_does_not_exist() {
    let Some(engine) = real_engine().await else {
        return;
    };
    // No registry runs at this port, and the request does not leave this machine.
    let reference = "localhost:1/ebbtide/no-such-image:17";
    let error = require(&engine, reference, &Progress::start("test"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImageUnavailable, "{error:?}");
    println!("{error:?}");
}

#[tokio::test]
async fn the_real_engine_lists_its_images() {
    let Some(engine) = real_engine().await else {
        return;
    };
    let chosen = choose(&engine, None, None).await.unwrap();
    match look_up(&engine, &chosen).await.unwrap().unwrap() {
        Some(image) => {
            assert!(image.major.is_some(), "{image:?}");
            assert!(
                image
                    .volumes
                    .iter()
                    .any(|volume| volume.starts_with("/var/lib/postgresql")),
                "{image:?}"
            );
        }
        None => println!("SKIPPED: the engine has no image of PostgreSQL"),
    }
}
