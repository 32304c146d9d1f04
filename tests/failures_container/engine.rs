//! The engine of this machine, an image on it, and what is there of a state directory's containers.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use ebbtide::{Backend, Builder, Cache, Error};
use serde_json::{Value, json};

use crate::children::child;
use crate::daemon::Daemon;
use crate::support::again::role;
use crate::support::{Scratch, only_on, wait_until};

/// What children are told of this machine's engine, beside the one that they are to use.
const REAL_ENGINE: &str = "REAL_ENGINE";
const REAL_IMAGE: &str = "REAL_IMAGE";

/// A socket of the test's own.
pub(crate) const SOCKET: &str = r"unix://\S+/ebbtide-test-\S+/docker\.sock";

pub(crate) struct Engine {
    pub(crate) daemon: Daemon,
    /// An image of PostgreSQL that is there.
    pub(crate) image: String,
}

impl Engine {
    /// The engine, where servers can be started; else the test was skipped, or a child has played all of it.
    pub(crate) fn of_this_machine(test: &str) -> Option<Self> {
        if role().is_some() {
            let variable = |name| std::env::var(name).unwrap();
            return Some(Self {
                daemon: Daemon {
                    url: variable(REAL_ENGINE),
                },
                image: variable(REAL_IMAGE),
            });
        }
        if !only_on(Backend::Container, test) {
            return None;
        }
        let daemon = Daemon::of_this_machine();
        let image = std::env::var("EBBTIDE_IMAGE").unwrap_or_else(|_| image_of_postgres(&daemon));
        Some(Self { daemon, image })
    }

    /// The test again, told of this engine and this image.
    pub(crate) fn child(&self, test: &str) -> Command {
        let mut child = child(test);
        child
            .env(REAL_ENGINE, &self.daemon.url)
            .env(REAL_IMAGE, &self.image);
        child
            .env("DOCKER_HOST", &self.daemon.url)
            .env("EBBTIDE_IMAGE", &self.image);
        child
    }

    /// The version that the image says it is of.
    pub(crate) fn major(&self) -> u32 {
        let image = self
            .daemon
            .must("GET", &format!("/images/{}/json", self.image), None);
        let variables = image["Config"]["Env"].as_array().unwrap();
        let major = variables
            .iter()
            .find_map(|variable| variable.as_str()?.strip_prefix("PG_MAJOR="))
            .unwrap();
        major.split('.').next().unwrap().parse().unwrap()
    }

    /// Whether it is another engine's child to be asked: the same machine has its bridges.
    pub(crate) fn is_local(&self) -> bool {
        self.daemon.url.starts_with("unix://")
    }

    /// The error of a start in a container, once nothing of it is left.
    pub(crate) async fn not_started(&self, scratch: &Scratch) -> Error {
        let error = contained(scratch)
            .build()
            .unwrap()
            .start()
            .await
            .expect_err("the start is refused");
        self.wait_until_deserted(scratch);
        error
    }

    /// Waits until neither a directory nor a container is left of a state directory.
    pub(crate) fn wait_until_deserted(&self, scratch: &Scratch) {
        scratch.wait_until_deserted();
        let label = owner(scratch);
        wait_until("the containers are gone", || {
            self.daemon.containers(&label).is_empty()
        });
    }

    pub(crate) fn containers(&self, scratch: &Scratch) -> Vec<String> {
        self.daemon
            .containers(&owner(scratch))
            .into_iter()
            .map(|container| container.state)
            .collect()
    }

    /// What a snapshot has instead of this machine's image, addresses and the container's own log.
    pub(crate) fn replacements(&self) -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"ebbtide-test-(\w+):\d+", "[IMAGE]-$1");
        settings.add_filter(&self.image.replace('.', r"\."), "[IMAGE]");
        settings.add_filter(&self.daemon.url.replace('.', r"\."), "[ENGINE]");
        settings.add_filter(r"holds PostgreSQL \d+", "holds PostgreSQL [MAJOR]");
        settings.add_filter(SOCKET, "unix://[PLACE]/docker.sock");
        for block in ["images on the engine", "the container's log ends"] {
            let lines = format!(r"(?m)^(    )?  {block}:\n(?:(?:    )?    .*(?:\n|$))+");
            settings.add_filter(&lines, format!("$1  {block}:\n$1    [LINES]\n"));
        }
        settings.add_filter(
            "(?m)(caused by|cannot be pulled): .*(refused|closed|reset|sh).*$",
            "$1: [ITS WORDS]",
        );
        settings.add_filter(r"\b[\d.]+:5432\b", "[ITS ADDRESS]:5432");
        settings.add_filter(r"127\.0\.0\.1:\d{4,}", "127.0.0.1:[PORT]");
        settings.add_filter(r"ebbtide-[0-9a-f]{8}\.[0-9a-f]{8}", "ebbtide-[INSTANCE]");
        settings
    }
}

/// A builder for a container of the test's own, which leaves no prepared data.
pub(crate) fn contained(scratch: &Scratch) -> Builder {
    scratch
        .lonely()
        .backend(Backend::Container)
        .cache(Cache::Never)
}

/// An image from another one, with a variable that is different. It goes with the value.
pub(crate) struct DerivedImage<'a> {
    engine: &'a Engine,
    pub(crate) name: String,
}

impl<'a> DerivedImage<'a> {
    pub(crate) fn new(engine: &'a Engine, name: &str, variable: &str) -> Self {
        let Engine { daemon, image } = engine;
        let (repository, tag) = (format!("ebbtide-test-{name}"), std::process::id());
        let container = daemon.must(
            "POST",
            "/containers/create",
            Some(&json!({ "Image": image, "Cmd": ["true"] })),
        );
        let container = container["Id"].as_str().unwrap();
        let change: String =
            url::form_urlencoded::byte_serialize(format!("ENV {variable}").as_bytes()).collect();
        let path =
            format!("/commit?container={container}&repo={repository}&tag={tag}&changes={change}");
        let made = daemon.ask("POST", &path, Some(&json!({})));
        daemon.remove(container);
        assert_eq!(made.0, 201, "{}", made.1);
        Self {
            engine,
            name: format!("{repository}:{tag}"),
        }
    }
}

impl Drop for DerivedImage<'_> {
    fn drop(&mut self) {
        self.engine
            .daemon
            .ask("DELETE", &format!("/images/{}?force=true", self.name), None);
    }
}

/// The label of the containers of a state directory, and of no others.
fn owner(scratch: &Scratch) -> String {
    let dir = std::fs::metadata(scratch.state_dir()).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    format!(
        "ebbtide.owner={}/{:x}-{:x}",
        boot.split('-').next().unwrap(),
        dir.dev(),
        dir.ino()
    )
}

fn image_of_postgres(daemon: &Daemon) -> String {
    let images = daemon.must("GET", "/images/json", None);
    let tags = images
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|image| image["RepoTags"].as_array().into_iter().flatten());
    let mut tags = tags
        .filter_map(Value::as_str)
        .filter(|tag| tag.starts_with("postgres:"));
    tags.next()
        .expect("the image that a server has just been started from")
        .to_owned()
}
