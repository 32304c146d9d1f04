//! The choice of an image.

use super::super::engine::{self, Engine};
use super::answer::within;
use super::help;
use super::tags::{self, is_official, newest};
use crate::error::{Error, ErrorKind, Result};

/// The major version if the plan requests none and the engine has no image.
const DEFAULT_MAJOR: u32 = 17;

/// The image that the plan requests, whether or not the engine has it.
fn wanted(image: Option<&str>, postgres: Option<u32>) -> String {
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
    let tags = within(step, tags::list(engine, "postgres"), || {
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
    // Only the end of the name: Podman lists `docker.io/library/postgres:17`.
    if tags
        .iter()
        .any(|tag| is_official(tag) && tag.rsplit('/').next() == Some(&wanted))
    {
        return Ok(wanted);
    }
    Ok(newest(tags).unwrap_or(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_beats_a_version_and_a_version_the_default() {
        assert_eq!(wanted(Some("postgis/postgis"), Some(16)), "postgis/postgis");
        assert_eq!(wanted(None, Some(16)), "postgres:16");
        assert_eq!(wanted(None, None), "postgres:17");
    }
}
