//! The engine, asked past ebbtide: by its socket, one connection for each request.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

/// A container engine.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    /// `unix:///path` or `tcp://host:port`.
    pub(crate) url: String,
}

/// A connection to it, or to a relay.
pub(crate) trait Stream: Read + Write + Send {
    fn another(&self) -> Box<dyn Stream>;
    /// Ends both directions, or only what is sent.
    fn end(&self, how: std::net::Shutdown);
}

/// A container as the engine lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) state: String,
    /// The names of its volumes; of an anonymous one, a long number.
    pub(crate) volumes: Vec<String>,
}

impl Daemon {
    /// The one that ebbtide finds first on most machines.
    pub(crate) fn of_this_machine() -> Self {
        let named = std::env::var("DOCKER_HOST")
            .ok()
            .filter(|url| !url.is_empty());
        Self {
            url: named.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned()),
        }
    }

    pub(crate) fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        match self.url.split_once("://").expect("a URL") {
            ("unix", path) => Ok(Box::new(UnixStream::connect(path)?)),
            (_, address) => Ok(Box::new(TcpStream::connect(address.trim_end_matches('/'))?)),
        }
    }

    /// A request's status and answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let mut stream = self
            .connect()
            .unwrap_or_else(|error| panic!("set DOCKER_HOST: {}: {error}", self.url));
        // The old version, so that the answer ends with the connection.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: engine\r\nContent-Type: application/json\r\n"
        );
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{method} {path}: {answer}"));
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            body.to_owned(),
        )
    }

    /// The answer to a request that must succeed.
    #[track_caller]
    pub(crate) fn must(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.ask(method, path, body);
        assert!(
            (200..400).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        serde_json::from_str(&answer).unwrap_or_default()
    }

    fn list(&self, what: &str, label: &str) -> Value {
        let filters = json!({ "label": [label] }).to_string();
        let filters: String = url::form_urlencoded::byte_serialize(filters.as_bytes()).collect();
        self.must("GET", &format!("/{what}?all=1&filters={filters}"), None)
    }

    /// Containers with this label, in whatever state.
    pub(crate) fn containers(&self, label: &str) -> Vec<Container> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let container = |found: &Value| Container {
            id: text(&found["Id"]),
            state: text(&found["State"]),
            volumes: found["Mounts"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|mount| text(&mount["Name"]))
                .collect(),
        };
        let mut found: Vec<_> = self
            .list("containers/json", label)
            .as_array()
            .unwrap()
            .iter()
            .map(container)
            .collect();
        for container in &mut found {
            container.volumes.retain(|name| !name.is_empty());
        }
        found
    }

    /// Volumes and networks with this label.
    pub(crate) fn others(&self, label: &str) -> Vec<String> {
        let (volumes, networks) = (self.list("volumes", label), self.list("networks", label));
        let all = volumes["Volumes"]
            .as_array()
            .into_iter()
            .chain(networks.as_array())
            .flatten();
        all.map(|found| format!("{found}")).collect()
    }

    pub(crate) fn has_volume(&self, name: &str) -> bool {
        self.ask("GET", &format!("/volumes/{name}"), None).0 != 404
    }

    #[track_caller]
    pub(crate) fn kill(&self, container: &Container, signal: &str) {
        self.must(
            "POST",
            &format!("/containers/{}/kill?signal={signal}", container.id),
            None,
        );
    }

    #[track_caller]
    pub(crate) fn stop(&self, container: &Container) {
        self.must("POST", &format!("/containers/{}/stop", container.id), None);
    }

    /// The image that it was made from.
    #[track_caller]
    pub(crate) fn image_of(&self, container: &Container) -> String {
        let found = self.must("GET", &format!("/containers/{}/json", container.id), None);
        found["Config"]["Image"].as_str().unwrap().to_owned()
    }

    /// Removes it whatever its state. Nobody minds when it is gone.
    pub(crate) fn remove(&self, container: &str) {
        self.ask(
            "DELETE",
            &format!("/containers/{container}?force=true&v=true"),
            None,
        );
    }
}

impl Stream for UnixStream {
    fn another(&self) -> Box<dyn Stream> {
        Box::new(self.try_clone().unwrap())
    }

    fn end(&self, how: std::net::Shutdown) {
        // The other side may have ended it.
        let _ = self.shutdown(how);
    }
}

impl Stream for TcpStream {
    fn another(&self) -> Box<dyn Stream> {
        Box::new(self.try_clone().unwrap())
    }

    fn end(&self, how: std::net::Shutdown) {
        // The other side may have ended it.
        let _ = self.shutdown(how);
    }
}
