//! An image of PostgreSQL: which one is used, and its pull if the engine does not have it.
//!
//! ```text
//! plan: image or version? --- yes ---> that one
//!         | no
//!         v
//! the default is on the engine? --- yes ---> the default
//!         | no
//!         v
//! the newest official image on the engine, or else the default        (`choose`, `tags`)
//!
//! on the engine? --- no ---> pull ---> on the engine?                 (`require`, `pull`)
//! ```
//!
//! A pull may take minutes and needs a network, so the choice avoids one where the user has not
//! requested an image. Its progress is shown (`layers`), and each answer of the engine has a time
//! limit (`answer`).

mod answer;
mod choose;
mod layers;
mod pull;
mod require;
mod tags;

#[cfg(test)]
mod tests;

use std::fmt;

use testcontainers::bollard::models::ImageInspect;

use super::engine::Engine;
use crate::error::{Error, ErrorKind, Result};

pub(super) use choose::choose;
pub(super) use require::require;

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
        // An image that is built on the official one inherits this variable.
        let major = config
            .env
            .iter()
            .flatten()
            .find_map(|variable| variable.strip_prefix("PG_MAJOR="));
        // Before PostgreSQL 10, a major version had two numbers, such as 9.6.
        let major = major.and_then(|major| major.split('.').next()?.parse().ok());
        // bollard reads the paths from a HashMap, whose order changes from one process to another.
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

/// The remedies for an image that is not available.
fn help(engine: &Engine, reference: &str) -> String {
    format!(
        "run `{} pull {reference}` where there is a network, which also uses your credentials; set \
         EBBTIDE_IMAGE to another image of PostgreSQL; or set EBBTIDE_BACKEND=native",
        engine.kind.command()
    )
}
