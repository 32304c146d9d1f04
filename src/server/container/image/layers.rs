//! The progress of a pull.

use std::collections::BTreeMap;
use std::fmt;

use testcontainers::bollard::models::CreateImageInfo;

/// The layers of a pull, for its progress.
#[derive(Debug, Default)]
pub(super) struct Layers {
    by_id: BTreeMap<String, Layer>,
}

#[derive(Debug, Default)]
struct Layer {
    current: i64,
    total: i64,
    complete: bool,
}

impl Layers {
    pub(super) fn note(&mut self, event: CreateImageInfo) {
        let (Some(id), Some(status)) = (event.id, event.status) else {
            return;
        };
        // This event is about the whole image, and its id is the tag.
        if status.starts_with("Pulling from") {
            return;
        }
        let layer = self.by_id.entry(id).or_default();
        // The API specifies no list of these texts, so an unknown one changes no number.
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
            // The extraction counts the same bytes again from 0, and its detail would undo the
            // progress of the download.
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
