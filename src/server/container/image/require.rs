//! The lookup of an image, with a pull if the engine does not have it.

use std::time::Duration;

use testcontainers::bollard::errors::Error as EngineError;

use super::super::engine::{self, Engine};
use super::answer::{Answer, within};
use super::pull::pull;
use super::{Image, help, tags};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

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
    // The lookup comes first: a pull contacts the registry even for an image that the engine has.
    let (fault, reason) = match look_up(engine, reference).await? {
        Ok(Some(image)) => return Ok(image),
        // The second look reads the image's identifier and volumes, which no event of the pull has.
        Ok(None) => match pull(engine, reference, progress).await? {
            Ok(()) => match look_up(engine, reference).await? {
                Ok(Some(image)) => return Ok(image),
                // Older versions of Podman report a failed pull only in an event's field `error`.
                // bollard does not parse this field, so the pull seems to succeed.
                Ok(None) => (ABSENT, "the pull ended without an image".to_owned()),
                Err(error) => ("cannot be looked up", engine::reason(&error)),
            },
            Err(error) => (ABSENT, engine::reason(&error)),
        },
        Err(error) => ("cannot be looked up", engine::reason(&error)),
    };
    // The other images only help the user to choose one, so the error does not wait for them long.
    let others = tokio::time::timeout(Duration::from_secs(1), tags::list(engine, "")).await;
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

/// Returns the image, or `None` if the engine does not have it.
///
/// The outer error is a timeout, the inner one the engine's own.
pub(super) async fn look_up(engine: &Engine, reference: &str) -> Result<Answer<Option<Image>>> {
    let step = format!("looking up image {reference}");
    let answer = within(&step, engine.docker.inspect_image(reference), || {
        "no answer yet".to_owned()
    })
    .await?;
    Ok(match answer {
        // Only 404 means a missing image. After another error, a pull would probably fail too, and
        // its error would replace the first one.
        Ok(inspected) => Ok(Some(Image::new(reference, inspected))),
        Err(EngineError::DockerResponseServerError {
            status_code: 404, ..
        }) => Ok(None),
        Err(error) => Err(error),
    })
}
