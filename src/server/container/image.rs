//! Chooses an image of PostgreSQL, and pulls it if the engine does not have it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt as _;
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::{CreateImageInfo, ImageInspect};
use testcontainers::bollard::query_parameters::{
    CreateImageOptionsBuilder, ListImagesOptionsBuilder,
};

use super::engine::{self, Engine};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

/// The major version if the plan requests none and the engine has no image.
const DEFAULT_MAJOR: u32 = 17;

/// How long the engine may be silent. It gives up on an unreachable registry in less than 30 s.
const ENGINE_SILENCE_TIMEOUT: Duration = Duration::from_mins(1);

/// An image on the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) reference: String,
    pub(crate) id: String,
    /// The value of `PG_MAJOR` in the image's environment. PostgreSQL's official images have it.
    pub(crate) major: Option<u32>,
    /// The paths that the image declares as volumes, sorted.
    pub(crate) volumes: Vec<String>,
}

/// The image that the plan requests, whether or not the engine has it.
pub(crate) fn wanted(image: Option<&str>, postgres: Option<u32>) -> String {
    image.map_or_else(
        || format!("postgres:{}", postgres.unwrap_or(DEFAULT_MAJOR)),
        str::to_owned,
    )
}

/// Like [`wanted`], but prefers an image that the engine already has.
///
/// If the plan requests neither an image nor a version, and the engine lacks the default image, the
/// newest official image on the engine saves a pull.
///
/// # Errors
/// [`ErrorKind::ImageUnavailable`] when the engine's images cannot be listed.
pub(crate) async fn choose(
    engine: &Engine,
    image: Option<&str>,
    postgres: Option<u32>,
) -> Result<String> {
    let wanted = wanted(image, postgres);
    // A request is followed exactly, even if it needs a pull.
    if image.is_some() || postgres.is_some() {
        return Ok(wanted);
    }
    let step = "listing the engine's images";
    let tags = within(step, tags(engine, "postgres"), || {
        "no answer yet".to_owned()
    })
    .await?;
    let tags = tags.map_err(|error| {
        Error::new(
            ErrorKind::ImageUnavailable,
            "could not list the engine's images",
        )
        .with_source(engine::reason(&error))
        .with_help(help(engine, &wanted))
    })?;
    if tags
        .iter()
        .any(|tag| is_official(tag) && tag.rsplit('/').next() == Some(&wanted))
    {
        return Ok(wanted);
    }
    Ok(newest(tags).unwrap_or(wanted))
}

/// Returns the image, and pulls it first if the engine does not have it.
///
/// # Errors
/// [`ErrorKind::ImageUnavailable`] when the engine refuses, [`ErrorKind::Timeout`] when it is
/// silent for a minute.
///
/// # Cancel safety
/// A cancelled pull ends with its connection. The engine keeps the complete layers.
pub(crate) async fn require(
    engine: &Engine,
    reference: &str,
    progress: &Progress,
) -> Result<Image> {
    const ABSENT: &str = "is not on the engine and cannot be pulled";
    let (fault, reason) = match look_up(engine, reference).await? {
        Ok(Some(image)) => return Ok(image),
        // The second look reads the image's identifier and volumes, which no event of the pull has.
        Ok(None) => match pull(engine, reference, progress).await? {
            Ok(()) => match look_up(engine, reference).await? {
                Ok(Some(image)) => return Ok(image),
                Ok(None) => (ABSENT, "the pull ended without an image".to_owned()),
                Err(error) => ("cannot be looked up", engine::reason(&error)),
            },
            Err(error) => (ABSENT, engine::reason(&error)),
        },
        Err(error) => ("cannot be looked up", engine::reason(&error)),
    };
    // The other images only help the user to choose one, so the error does not wait for them long.
    let others = tokio::time::timeout(Duration::from_secs(1), tags(engine, "")).await;
    let others = others.ok().and_then(Result::ok).unwrap_or_default();
    let others: Vec<String> = others
        .into_iter()
        .filter(|tag| tag.contains("postg") || tag.contains("pg"))
        .collect();
    Err(Error::new(
        ErrorKind::ImageUnavailable,
        format!("image {reference} {fault}"),
    )
    .with_source(reason)
    .with_evidence("images on the engine", others.join("\n"))
    .with_help(help(engine, reference)))
}

impl Image {
    /// Checks the image's major version, if the image declares one.
    ///
    /// Otherwise the entrypoint checks it in the container.
    ///
    /// # Errors
    /// [`ErrorKind::ImageUnavailable`] naming both versions.
    pub(crate) fn check_major(&self, wanted: Option<u32>) -> Result<()> {
        match (self.major, wanted) {
            (Some(major), Some(wanted)) if major != wanted => {
                Err(self.other_major_error(major, wanted))
            }
            _ => Ok(()),
        }
    }

    /// The error for an image of another major version.
    pub(super) fn other_major_error(
        &self,
        major: impl fmt::Display,
        wanted: impl fmt::Display,
    ) -> Error {
        let message = format!(
            "image {} contains PostgreSQL {major}, but version {wanted} was requested",
            self.reference
        );
        Error::new(ErrorKind::ImageUnavailable, message).with_help(format!(
            "set EBBTIDE_IMAGE to an image of PostgreSQL {wanted}, or do not set both an image and \
             a version"
        ))
    }

    /// The error for an image that lacks a program which a server in a container needs.
    pub(super) fn unusable_error(&self, reason: &str) -> Error {
        let message = format!("image {} cannot be used: {reason}", self.reference);
        Error::new(ErrorKind::ImageUnavailable, message).with_help(
            "set EBBTIDE_IMAGE to an image with the entrypoint of the official one, such as \
             postgres, postgis/postgis, pgvector/pgvector or timescale/timescaledb; or set \
             EBBTIDE_BACKEND=native",
        )
    }

    fn new(reference: &str, inspected: ImageInspect) -> Self {
        let config = inspected.config.unwrap_or_default();
        let major = config
            .env
            .iter()
            .flatten()
            .find_map(|variable| variable.strip_prefix("PG_MAJOR="));
        // Before PostgreSQL 10, a major version had two numbers, such as 9.6.
        let major = major.and_then(|major| major.split('.').next()?.parse().ok());
        let mut volumes = config.volumes.unwrap_or_default();
        volumes.sort();
        Self {
            reference: reference.to_owned(),
            id: inspected.id.unwrap_or_default(),
            major,
            volumes,
        }
    }
}

fn help(engine: &Engine, reference: &str) -> String {
    format!(
        "run `{} pull {reference}` where there is a network, which also uses your credentials; set \
         EBBTIDE_IMAGE to another image of PostgreSQL; or set EBBTIDE_BACKEND=native",
        engine.kind.command()
    )
}

type Answer<T> = std::result::Result<T, EngineError>;

/// Returns the image, or `None` if the engine does not have it.
///
/// The outer error is a timeout, the inner one the engine's own.
async fn look_up(engine: &Engine, reference: &str) -> Result<Answer<Option<Image>>> {
    let step = format!("looking up image {reference}");
    let answer = within(&step, engine.docker.inspect_image(reference), || {
        "no answer yet".to_owned()
    })
    .await?;
    Ok(match answer {
        Ok(inspected) => Ok(Some(Image::new(reference, inspected))),
        Err(EngineError::DockerResponseServerError {
            status_code: 404, ..
        }) => Ok(None),
        Err(error) => Err(error),
    })
}

async fn pull(engine: &Engine, reference: &str, progress: &Progress) -> Result<Answer<()>> {
    let step = format!("pulling {reference}");
    progress.set_step(&step);
    // Without a tag or a digest, the engine would pull every tag.
    let options = CreateImageOptionsBuilder::default()
        .from_image(&tagged(reference))
        .build();
    let mut events = engine.docker.create_image(Some(options), None, None);
    let mut layers = Layers::default();
    // The limit applies to the silence before each event, because a large image may take long.
    while let Some(event) = within(&step, events.next(), || layers.to_string()).await? {
        match event {
            Ok(event) => layers.note(event),
            // The engine answers with status 200 before the pull, so a failure is an event, too.
            Err(error) => return Ok(Err(error)),
        }
        progress.set_step(&format!("{step}: {layers}"));
    }
    Ok(Ok(()))
}

/// Awaits one answer of the engine, for [`ENGINE_SILENCE_TIMEOUT`].
async fn within<T>(
    step: &str,
    work: impl Future<Output = T>,
    seen: impl Fn() -> String,
) -> Result<T> {
    tokio::time::timeout(ENGINE_SILENCE_TIMEOUT, work)
        .await
        .map_err(|_| {
            let message = format!(
                "{step}: the engine sent nothing for {ENGINE_SILENCE_TIMEOUT:?} ({})",
                seen()
            );
            Error::new(ErrorKind::Timeout, message).with_help(
                "check whether the engine and its network work, or set EBBTIDE_BACKEND=native",
            )
        })
}

/// The names of images, of one repository or of all.
async fn tags(engine: &Engine, repository: &str) -> Answer<Vec<String>> {
    let mut options = ListImagesOptionsBuilder::default();
    if !repository.is_empty() {
        options = options.filters(&HashMap::from([("reference", vec![repository])]));
    }
    let images = engine.docker.list_images(Some(options.build())).await?;
    let mut tags: Vec<String> = images
        .into_iter()
        .flat_map(|image| image.repo_tags)
        .collect();
    tags.sort();
    Ok(tags)
}

/// Whether a tag belongs to PostgreSQL's official image. Podman reports the image's full name,
/// Docker omits its own registry.
fn is_official(tag: &str) -> bool {
    let name = tag.rsplit_once(':').map_or(tag, |(name, _)| name);
    name == "postgres" || name.ends_with("/library/postgres")
}

/// The official image with the highest major version.
///
/// Of several, it prefers one without a variant such as `alpine`, then one with fewer version
/// numbers.
fn newest(tags: Vec<String>) -> Option<String> {
    let version = |tag: &str| {
        let (_, version) = tag.rsplit_once(':')?;
        let (numbers, variant) = version.split_once('-').unwrap_or((version, ""));
        // `latest` and `18beta1` are no numbers: without a request, ebbtide uses no beta version.
        let numbers: Vec<u32> = numbers
            .split('.')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        Some((
            *numbers.first()?,
            variant.is_empty(),
            std::cmp::Reverse(numbers.len()),
            numbers,
        ))
    };
    tags.into_iter()
        .filter(|tag| is_official(tag))
        .filter_map(|tag| Some((version(&tag)?, tag)))
        .max()
        .map(|(_, tag)| tag)
}

fn tagged(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if name.contains([':', '@']) {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

/// The layers of a pull, for its progress.
#[derive(Debug, Default)]
struct Layers {
    by_id: BTreeMap<String, Layer>,
}

#[derive(Debug, Default)]
struct Layer {
    current: i64,
    total: i64,
    complete: bool,
}

impl Layers {
    fn note(&mut self, event: CreateImageInfo) {
        let (Some(id), Some(status)) = (event.id, event.status) else {
            return;
        };
        // This event is about the whole image, and its id is the tag.
        if status.starts_with("Pulling from") {
            return;
        }
        let layer = self.by_id.entry(id).or_default();
        match status.as_str() {
            "Downloading" => {
                let detail = event.progress_detail.unwrap_or_default();
                layer.current = detail.current.unwrap_or(layer.current);
                layer.total = detail.total.unwrap_or(layer.total);
            }
            "Pull complete" | "Already exists" => {
                layer.complete = true;
                layer.current = layer.total;
            }
            "Download complete" | "Extracting" => layer.current = layer.total,
            _ => {}
        }
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MEGABYTE: i64 = 1_000_000;
        let layers = self.by_id.values();
        let complete = layers.clone().filter(|layer| layer.complete).count();
        write!(f, "{complete} of {} layers", self.by_id.len())?;
        let current: i64 = layers.clone().map(|layer| layer.current).sum();
        let total: i64 = layers.map(|layer| layer.total).sum();
        if total >= MEGABYTE {
            write!(f, ", {} of {} MB", current / MEGABYTE, total / MEGABYTE)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::config::EngineHints;

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
    fn an_image_beats_a_version_and_a_version_the_default() {
        assert_eq!(wanted(Some("postgis/postgis"), Some(16)), "postgis/postgis");
        assert_eq!(wanted(None, Some(16)), "postgres:16");
        assert_eq!(wanted(None, None), "postgres:17");
    }

    #[test]
    fn the_newest_official_image_wins_but_no_beta_version() {
        let choose = |tags: &[&str]| newest(tags.iter().map(ToString::to_string).collect());
        let tags = [
            "postgres:9",
            "postgres:16-alpine",
            "postgres:16.4",
            "postgres:16",
            "postgres:18beta1",
            "x/postgres:18",
        ];
        assert_eq!(choose(&tags), Some("postgres:16".to_owned()));
        assert_eq!(
            choose(&["reg.test/library/postgres:15-alpine"]),
            Some("reg.test/library/postgres:15-alpine".to_owned())
        );
        assert_eq!(choose(&["postgres:latest", "ebbtide-true:latest"]), None);
    }

    #[test]
    fn a_pull_requests_one_tag() {
        assert_eq!(tagged("postgres"), "postgres:latest");
        assert_eq!(
            tagged("reg.test:5000/postgres"),
            "reg.test:5000/postgres:latest"
        );
        assert_eq!(
            tagged("reg.test:5000/postgres:17"),
            "reg.test:5000/postgres:17"
        );
        assert_eq!(tagged("postgres@sha256:00"), "postgres@sha256:00");
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
}
