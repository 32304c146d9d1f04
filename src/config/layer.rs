//! What one voice says: optional values that remember where they stand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::expect::Expect;
use super::migrations::Migrations;
use super::source::Sourced;
use super::url::ServerUrl;
use super::value::{Backend, Cache, Dedicated, Keep, Storage};

/// The values that one voice gives. Absent means that it says nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    pub(super) backend: Option<Sourced<Backend>>,
    pub(super) postgres: Option<Sourced<u32>>,
    pub(super) image: Option<Sourced<String>>,
    pub(super) url: Option<Sourced<ServerUrl>>,
    pub(super) allow_remote: Option<Sourced<bool>>,
    pub(super) linger: Option<Sourced<Duration>>,
    pub(super) keep: Option<Sourced<Keep>>,
    pub(super) keep_for: Option<Sourced<Duration>>,
    pub(super) log_plans_slower_than: Option<Sourced<Duration>>,
    pub(super) storage: Option<Sourced<Storage>>,
    pub(super) cache: Option<Sourced<Cache>>,
    pub(super) dedicated: Option<Sourced<Dedicated>>,
    /// By name in lower case, since the names of settings ignore case.
    pub(super) settings: BTreeMap<String, Sourced<String>>,
    pub(super) bin: Option<Sourced<PathBuf>>,
    pub(super) state_dir: Option<Sourced<PathBuf>>,
    pub(super) start_timeout: Option<Sourced<Duration>>,
    pub(super) extensions: Option<Sourced<Vec<String>>>,
    pub(super) migrations: Option<Sourced<Migrations>>,
    /// The inner `None` says: no seeds.
    pub(super) seeds: Option<Sourced<Option<PathBuf>>>,
    pub(super) expect: Option<Sourced<Expect>>,
    pub(super) provision_timeout: Option<Sourced<Duration>>,
}

impl Layer {
    /// Lays this layer over a weaker one: values and lists replace, settings and expectations are put
    /// together by name.
    pub(super) fn over(self, weaker: Layer) -> Layer {
        let mut settings = weaker.settings;
        settings.extend(self.settings);
        Layer {
            backend: self.backend.or(weaker.backend),
            postgres: self.postgres.or(weaker.postgres),
            image: self.image.or(weaker.image),
            url: self.url.or(weaker.url),
            allow_remote: self.allow_remote.or(weaker.allow_remote),
            linger: self.linger.or(weaker.linger),
            keep: self.keep.or(weaker.keep),
            keep_for: self.keep_for.or(weaker.keep_for),
            log_plans_slower_than: self.log_plans_slower_than.or(weaker.log_plans_slower_than),
            storage: self.storage.or(weaker.storage),
            cache: self.cache.or(weaker.cache),
            dedicated: self.dedicated.or(weaker.dedicated),
            settings,
            bin: self.bin.or(weaker.bin),
            state_dir: self.state_dir.or(weaker.state_dir),
            start_timeout: self.start_timeout.or(weaker.start_timeout),
            extensions: self.extensions.or(weaker.extensions),
            migrations: self.migrations.or(weaker.migrations),
            seeds: self.seeds.or(weaker.seeds),
            expect: both(self.expect, weaker.expect),
            provision_timeout: self.provision_timeout.or(weaker.provision_timeout),
        }
    }
}

fn both(strong: Option<Sourced<Expect>>, weak: Option<Sourced<Expect>>) -> Option<Sourced<Expect>> {
    match (strong, weak) {
        (Some(strong), Some(weak)) => Some(Sourced::new(
            strong.value.over(weak.value),
            strong.source.and(weak.source),
        )),
        (one, other) => one.or(other),
    }
}
