//! A client of the container engine that does not use ebbtide: HTTP on the engine's socket, with
//! one connection for each request.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

/// A container engine.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    /// `unix:///path` or `tcp://host:port`.
    pub(crate) url: String,
}

/// A connection to the engine or to a proxy of it.
pub(crate) trait Stream: Read + Write + Send {
    /// A second handle of the same connection.
    fn another(&self) -> Box<dyn Stream>;
    /// Closes both directions, or one of them.
    fn end(&self, how: std::net::Shutdown);
}

/// The label by which ebbtide marks the containers of a state directory.
pub(crate) fn owner_label(state: &Path) -> String {
    let dir = std::fs::metadata(state).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let boot = boot.split('-').next().unwrap();
    format!("ebbtide.owner={boot}/{:x}-{:x}", dir.dev(), dir.ino())
}

/// A container as the engine lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) state: String,
    /// The names of its volumes. The engine chooses the name of an anonymous one.
    pub(crate) volumes: Vec<String>,
}

impl Daemon {
    /// The engine that ebbtide finds first on most machines.
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

    /// Sends a request, and returns the status and the body of the response.
    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let mut stream = self
            .connect()
            .unwrap_or_else(|error| panic!("set DOCKER_HOST: {}: {error}", self.url));
        // HTTP/1.0: the response ends with the connection, so it is read without parsing its
        // length.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: engine\r\nContent-Type: application/json\r\n"
        );
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        let response = String::from_utf8_lossy(&response);
        let (head, body) = response
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{method} {path}: {response}"));
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            body.to_owned(),
        )
    }

    /// Sends a request that must succeed, and returns the body. It is `null` if it is not JSON.
    #[track_caller]
    pub(crate) fn request_ok(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, body) = self.request(method, path, body);
        assert!(
            (200..400).contains(&status),
            "{method} {path}: {status} {body}"
        );
        serde_json::from_str(&body).unwrap_or_default()
    }

    /// Lists all containers, volumes or networks with a label.
    fn list(&self, what: &str, label: &str) -> Value {
        let filters = json!({ "label": [label] }).to_string();
        let filters: String = url::form_urlencoded::byte_serialize(filters.as_bytes()).collect();
        self.request_ok("GET", &format!("/{what}?all=1&filters={filters}"), None)
    }

    /// Containers with this label, in any state.
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
        self.request("GET", &format!("/volumes/{name}"), None).0 != 404
    }

    #[track_caller]
    pub(crate) fn kill(&self, container: &Container, signal: &str) {
        self.request_ok(
            "POST",
            &format!("/containers/{}/kill?signal={signal}", container.id),
            None,
        );
    }

    #[track_caller]
    pub(crate) fn stop(&self, container: &Container) {
        self.request_ok("POST", &format!("/containers/{}/stop", container.id), None);
    }

    /// The image that a container was created from.
    #[track_caller]
    pub(crate) fn image_of(&self, container: &Container) -> String {
        let found = self.request_ok("GET", &format!("/containers/{}/json", container.id), None);
        found["Config"]["Image"].as_str().unwrap().to_owned()
    }

    /// Removes a container in any state. A container that does not exist is no failure.
    pub(crate) fn remove(&self, container: &str) {
        self.request(
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
