//! The pull of an image.

use futures_util::StreamExt as _;
use testcontainers::bollard::query_parameters::CreateImageOptionsBuilder;

use super::super::engine::Engine;
use super::answer::{Answer, within};
use super::layers::Layers;
use super::tags::tagged;
use crate::error::Result;
use crate::progress::Progress;

pub(super) async fn pull(
    engine: &Engine,
    reference: &str,
    progress: &Progress,
) -> Result<Answer<()>> {
    let step = format!("pulling {reference}");
    progress.set_step(&step);
    // Without a tag or a digest, the engine would pull every tag.
    let options = CreateImageOptionsBuilder::default()
        .from_image(&tagged(reference))
        .build();
    // Without credentials: Docker's engine stores none. Its command-line program reads the user's
    // from files or credential helpers and sends them, so the error's help names that command.
    let mut events = engine.docker.create_image(Some(options), None, None);
    let mut layers = Layers::default();
    // The limit applies to the silence before each event, because a large image may take long.
    while let Some(event) = within(&step, events.next(), || layers.to_string()).await? {
        match event {
            Ok(event) => layers.note(event),
            // A failure before the first event has its own status. Later, the engine has already
            // sent status 200, and can report a failure only as an event.
            Err(error) => return Ok(Err(error)),
        }
        progress.set_step(&format!("{step}: {layers}"));
    }
    Ok(Ok(()))
}
