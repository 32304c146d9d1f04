//! The engine of this machine, an image on it, and the containers of a state directory.

use std::process::Command;

use ebbtide::Error;

use ebbtide::config::{Backend, Builder, Container};
use serde_json::{Value, json};

use crate::daemon::{Daemon, owner_label};
use crate::failures_container::children::{child, run_child};
use crate::support::backend::runs_on;
use crate::support::child_process::child_role;
use crate::support::reports::literal;
use crate::support::{Scratch, wait_until};

/// Environment variables by which a child gets this machine's engine and image, in addition to the
/// ones that ebbtide uses in it.
const REAL_ENGINE_VARIABLE: &str = "REAL_ENGINE";
const REAL_IMAGE_VARIABLE: &str = "REAL_IMAGE";

/// A pattern for the URL of a socket in a scratch directory.
pub(crate) const SOCKET_PATTERN: &str = r"unix://\S+/ebbtide-test-\S+/docker\.sock";

pub(crate) struct Engine {
    pub(crate) daemon: Daemon,
    /// An image of PostgreSQL that the engine has.
    pub(crate) image: String,
}

impl Engine {
    /// The engine, if it can start servers. Returns `None` if the test was skipped, or if a child
    /// has run all of it.
    pub(crate) fn of_this_machine(test: &str) -> Option<Self> {
        if child_role().is_some() {
            let variable = |name| std::env::var(name).unwrap();
            return Some(Self {
                daemon: Daemon {
                    url: variable(REAL_ENGINE_VARIABLE),
                },
                image: variable(REAL_IMAGE_VARIABLE),
            });
        }
        if !runs_on(Backend::Container, test) {
            return None;
        }
        let daemon = Daemon::of_this_machine();
        let image = std::env::var("EBBTIDE_IMAGE").unwrap_or_else(|_| image_of_postgres(&daemon));
        Some(Self { daemon, image })
    }

    /// The engine, in a child that runs the test with these variables.
    ///
    /// Returns `None` in the parent, after the child has run, and if the test was skipped.
    pub(crate) fn in_child(test: &str, variables: &[(&str, &str)]) -> Option<Self> {
        let engine = Self::of_this_machine(test)?;
        if child_role().is_some() {
            return Some(engine);
        }
        run_child(engine.child(test).envs(variables.iter().copied()));
        None
    }

    /// Like [`in_child`](Self::in_child). The child's image is a [`DerivedImage`] with this name and
    /// this variable.
    pub(crate) fn in_child_with_image(
        test: &str,
        (name, variable): (&str, &str),
        variables: &[(&str, &str)],
    ) -> Option<Self> {
        let engine = Self::of_this_machine(test)?;
        if child_role().is_some() {
            return Some(engine);
        }
        let image = DerivedImage::new(&engine, name, variable);
        run_child(
            engine
                .child(test)
                .env("EBBTIDE_IMAGE", &image.name)
                .envs(variables.iter().copied()),
        );
        None
    }

    /// A command that runs a test in a child, with this engine and this image.
    pub(crate) fn child(&self, test: &str) -> Command {
        let mut child = child(test);
        child
            .env(REAL_ENGINE_VARIABLE, &self.daemon.url)
            .env(REAL_IMAGE_VARIABLE, &self.image);
        child
            .env("DOCKER_HOST", &self.daemon.url)
            .env("EBBTIDE_IMAGE", &self.image);
        child
    }

    /// The major version of PostgreSQL in the image's variable `PG_MAJOR`.
    pub(crate) fn major(&self) -> u32 {
        let image = self
            .daemon
            .request_ok("GET", &format!("/images/{}/json", self.image), None);
        let variables = image["Config"]["Env"].as_array().unwrap();
        let major = variables
            .iter()
            .find_map(|variable| variable.as_str()?.strip_prefix("PG_MAJOR="))
            .unwrap();
        major.split('.').next().unwrap().parse().unwrap()
    }

    /// Whether the engine is on this machine, so that its networks are too.
    pub(crate) fn is_local(&self) -> bool {
        self.daemon.url.starts_with("unix://")
    }

    /// The error of a start in a container, after the container and the instance directory are
    /// gone.
    pub(crate) async fn start_error(&self, scratch: &Scratch) -> Error {
        let error = container_builder(scratch)
            .build()
            .unwrap()
            .start()
            .await
            .expect_err("the start is refused");
        self.wait_until_servers_end(scratch);
        error
    }

    /// Waits until a state directory has no instance and no container.
    pub(crate) fn wait_until_servers_end(&self, scratch: &Scratch) {
        scratch.wait_until_servers_end();
        let label = owner_label(&scratch.state_dir());
        wait_until("the containers are gone", || {
            self.daemon.containers(&label).is_empty()
        });
    }

    pub(crate) fn containers(&self, scratch: &Scratch) -> Vec<String> {
        self.daemon
            .containers(&owner_label(&scratch.state_dir()))
            .into_iter()
            .map(|container| container.state)
            .collect()
    }

    /// Filters for snapshots that replace what differs between machines: the image, addresses and
    /// the container's log.
    pub(crate) fn replacements(&self) -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"ebbtide-test-(\w+):\d+", "[IMAGE]-$1");
        settings.add_filter(&literal(&self.image), "[IMAGE]");
        settings.add_filter(&literal(&self.daemon.url), "[ENGINE]");
        settings.add_filter(r"contains PostgreSQL \d+", "contains PostgreSQL [MAJOR]");
        settings.add_filter(SOCKET_PATTERN, "unix://[PLACE]/docker.sock");
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

/// A builder for a container of the test's own, which saves no templates.
pub(crate) fn container_builder(scratch: &Scratch) -> Builder {
    scratch.own_server().backend(Container::new())
}

/// An image that differs from the engine's image in one environment variable. Dropping it removes
/// it.
struct DerivedImage<'a> {
    engine: &'a Engine,
    name: String,
}

impl<'a> DerivedImage<'a> {
    fn new(engine: &'a Engine, name: &str, variable: &str) -> Self {
        let Engine { daemon, image } = engine;
        let (repository, tag) = (format!("ebbtide-test-{name}"), std::process::id());
        let container = daemon.request_ok(
            "POST",
            "/containers/create",
            Some(&json!({ "Image": image, "Cmd": ["true"] })),
        );
        let container = container["Id"].as_str().unwrap();
        let change: String =
            url::form_urlencoded::byte_serialize(format!("ENV {variable}").as_bytes()).collect();
        let path =
            format!("/commit?container={container}&repo={repository}&tag={tag}&changes={change}");
        let made = daemon.request("POST", &path, Some(&json!({})));
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
            .request("DELETE", &format!("/images/{}?force=true", self.name), None);
    }
}

fn image_of_postgres(daemon: &Daemon) -> String {
    let images = daemon.request_ok("GET", "/images/json", None);
    let tags = images
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|image| image["RepoTags"].as_array().into_iter().flatten());
    let mut tags = tags
        .filter_map(Value::as_str)
        .filter(|tag| tag.starts_with("postgres:"));
    tags.next()
        .expect("the engine has the image of the server that was just started")
        .to_owned()
}
