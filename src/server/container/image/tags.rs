//! The names of images.

use std::collections::HashMap;

use testcontainers::bollard::query_parameters::ListImagesOptionsBuilder;

use super::super::engine::Engine;
use super::answer::Answer;

/// The names of images, of one repository or of all.
pub(super) async fn list(engine: &Engine, repository: &str) -> Answer<Vec<String>> {
    let mut options = ListImagesOptionsBuilder::default();
    // The filter also excludes untagged images, which Docker may list as `<none>:<none>`.
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
pub(super) fn is_official(tag: &str) -> bool {
    // The last colon: the name of a registry may contain a port.
    let name = tag.rsplit_once(':').map_or(tag, |(name, _)| name);
    name == "postgres" || name.ends_with("/library/postgres")
}

/// The official image with the highest major version.
///
/// Of several, it prefers one without a variant such as `alpine`, then one with fewer version
/// numbers.
pub(super) fn newest(tags: Vec<String>) -> Option<String> {
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

/// The reference with a tag or a digest.
pub(super) fn tagged(reference: &str) -> String {
    // A colon before the last slash separates the port of a registry.
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if name.contains([':', '@']) {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
