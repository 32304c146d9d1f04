//! The possible container engines, in the order in which they are tried.
//!
//! ```text
//! DOCKER_HOST          set: the only candidate
//! DOCKER_CONTEXT       set and not `default`: the only candidate
//! current context      of Docker's config.json, if DOCKER_CONTEXT is not set
//! CONTAINER_HOST       Podman's variable
//! usual sockets        those of Docker, its desktop variants, and Podman
//! ```

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::SystemInfo;
use testcontainers::bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};

use super::engine::{Endpoint, Engine, EngineKind, authority, causes, reason};
use crate::config::EngineHints;
use crate::error::{Error, ErrorKind, Result};

/// How long a candidate may take to answer the first two requests.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How many seconds the answer to a later request may take to begin.
const REQUEST_TIMEOUT_SECONDS: u64 = 120;

impl Engine {
    /// Tries the possible engines in order, until one answers.
    ///
    /// An engine named by `DOCKER_HOST` or `DOCKER_CONTEXT` is the only one tried.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when one of the two variables is not valid, and
    /// [`ErrorKind::BackendUnavailable`] with every engine that was tried and the reason why it
    /// cannot be used.
    pub(crate) async fn find(hints: &EngineHints) -> Result<Self> {
        let search = Search::new(hints)?;
        let mut tried = String::new();
        // One after the other: an engine that answers sooner must not win over a preferred one.
        for place in search.places {
            let reason = match place {
                Ok(candidate) => match candidate.connect().await {
                    Ok(engine) => return Ok(engine),
                    Err(reason) => format!("{}: {reason}", candidate.endpoint),
                },
                Err(reason) => reason,
            };
            writeln!(tried, "{reason}").expect("writing to a string does not fail");
        }
        let (message, help) = match search.only {
            Some(variable) => (
                format!("the container engine that {variable} names does not answer"),
                format!("start it, correct or unset {variable}, or set EBBTIDE_BACKEND=native"),
            ),
            None => (
                "no container engine answers".to_owned(),
                "start Docker or Podman, set DOCKER_HOST to the address of an engine, or set \
                 EBBTIDE_BACKEND=native"
                    .to_owned(),
            ),
        };
        Err(Error::new(ErrorKind::BackendUnavailable, message)
            .with_evidence("tried", tried)
            .with_help(help))
    }
}

/// The engines to try, in order.
pub(super) struct Search {
    /// A candidate, or the reason why a possible place has none.
    pub(super) places: Vec<Result<Candidate, String>>,
    /// The variable that excludes every other candidate.
    pub(super) only: Option<&'static str>,
}

impl Search {
    /// Collects the candidates without connecting to them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when `DOCKER_HOST` or `DOCKER_CONTEXT` is not valid.
    pub(super) fn new(hints: &EngineHints) -> Result<Self> {
        // Docker's own tools, too, give DOCKER_HOST precedence over DOCKER_CONTEXT.
        if let Some(host) = &hints.docker_host {
            return Ok(Self {
                places: vec![Ok(Candidate::of_docker_host(host, hints)?)],
                only: Some("DOCKER_HOST"),
            });
        }
        let mut places = Vec::new();
        if let Some(name) = &hints.context {
            if name != "default" {
                let found = Candidate::of_context(name, hints).map_err(|reason| {
                    let message = format!("DOCKER_CONTEXT={name:?} cannot be used: {reason}");
                    Error::new(ErrorKind::Config, message).with_help(
                        "`docker context ls` lists the contexts; correct DOCKER_CONTEXT or unset it",
                    )
                })?;
                return Ok(Self {
                    places: vec![Ok(found)],
                    only: Some("DOCKER_CONTEXT"),
                });
            }
        } else {
            // The user did not name this context for the tests. If it cannot be used, the search
            // continues, and its reason is only reported when no engine answers.
            match current_context(hints) {
                Ok(Some(name)) => places.push(
                    Candidate::of_context(&name, hints)
                        .map_err(|reason| format!("Docker's current context {name}: {reason}")),
                ),
                Ok(None) => {}
                Err(reason) => places.push(Err(reason)),
            }
        }
        if let Some(host) = &hints.container_host {
            let found = Candidate::new(host, "CONTAINER_HOST".to_owned(), None);
            places.push(found.map_err(|reason| format!("CONTAINER_HOST={host:?} {reason}")));
        }
        add_usual_sockets(hints, &mut places);
        Ok(Self { places, only: None })
    }
}

/// An engine to try.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) endpoint: Endpoint,
    address: Address,
    /// The directory with `ca.pem`, `cert.pem` and `key.pem`, if the connection must be encrypted.
    certificates: Option<PathBuf>,
}

/// How an engine is reached.
#[derive(Debug, PartialEq, Eq)]
enum Address {
    Socket(PathBuf),
    /// A host, and its port unless the scheme implies one.
    Tcp(String),
    /// A protocol that ebbtide does not support, with the remedy.
    Unsupported(String),
}

impl Candidate {
    fn new(url: &str, origin: String, certificates: Option<PathBuf>) -> Result<Self, String> {
        // The ports that are registered for Docker's API, with TLS and without.
        let address = Address::parse(url, if certificates.is_some() { 2376 } else { 2375 })?;
        Ok(Self {
            endpoint: Endpoint {
                url: url.to_owned(),
                origin,
            },
            address,
            certificates,
        })
    }

    fn of_docker_host(host: &str, hints: &EngineHints) -> Result<Self> {
        // Docker's own tools, too, look in the configuration directory if DOCKER_CERT_PATH is not
        // set.
        let certificates = (hints.tls_verify || host.starts_with("https://")).then(|| {
            hints
                .cert_path
                .clone()
                .or_else(|| hints.config_dir.clone())
                .unwrap_or_default()
        });
        Self::new(host, "DOCKER_HOST".to_owned(), certificates).map_err(|reason| {
            Error::new(ErrorKind::Config, format!("DOCKER_HOST={host:?} {reason}")).with_help(
                "correct DOCKER_HOST, or unset it so that ebbtide tries the usual sockets",
            )
        })
    }

    /// The engine of a context.
    fn of_context(name: &str, hints: &EngineHints) -> Result<Self, String> {
        let dir = hints
            .config_dir
            .as_ref()
            .ok_or("neither DOCKER_CONFIG nor HOME is set to find it")?
            .join("contexts");
        // Docker names the directory of a context by the SHA-256 hash of the context's name.
        let id = hex::encode(Sha256::digest(name));
        let missing = || format!("there is no such context below {}", dir.display());
        let meta = read_json(&dir.join("meta").join(&id).join("meta.json"))?.ok_or_else(missing)?;
        let docker = meta
            .pointer("/Endpoints/docker")
            .ok_or("it has no endpoint for Docker")?;
        let host = docker
            .get("Host")
            .and_then(Value::as_str)
            .ok_or("its endpoint has no Host")?;
        let certificates =
            Some(dir.join("tls").join(&id).join("docker")).filter(|dir| dir.is_dir());
        if docker.get("SkipTLSVerify").and_then(Value::as_bool) == Some(true) {
            return Err(format!(
                "it sets SkipTLSVerify for {host}, which ebbtide does not support"
            ));
        }
        Self::new(host, format!("Docker's context {name}"), certificates)
            .map_err(|reason| format!("its Host {host:?} {reason}"))
    }

    /// Connects to the engine and reads its version and its memory.
    ///
    /// # Errors
    /// The reason why the engine cannot be used, with the remedy.
    pub(super) async fn connect(&self) -> Result<Engine, String> {
        let docker = self.client(API_DEFAULT_VERSION)?;
        // Both requests run concurrently, because Podman starts programs for each answer, which
        // takes half a second.
        let answers = tokio::time::timeout(
            CONNECT_TIMEOUT,
            future::try_join(docker.version(), readable_info(&docker)),
        );
        let (version, info) = match answers.await {
            Ok(Ok(answers)) => answers,
            Ok(Err(error)) => return Err(self.diagnose(&error)),
            Err(_) => return Err(format!("no answer within {CONNECT_TIMEOUT:?}")),
        };
        let docker = self.client(&common_version(version.api_version.as_deref()))?;
        Ok(Engine {
            endpoint: self.endpoint.clone(),
            kind: EngineKind::of(&version),
            version: version.version.unwrap_or_default(),
            memory: info
                .mem_total
                .and_then(|bytes| u64::try_from(bytes).ok())
                .filter(|bytes| *bytes > 0),
            docker,
        })
    }

    fn client(&self, api: &ClientVersion) -> Result<Docker, String> {
        let made = match (&self.address, &self.certificates) {
            (Address::Socket(path), _) => {
                // The client reports a socket without permission as a missing one.
                std::fs::metadata(path)
                    .map_err(|error| self.io_reason(error.kind(), &error.to_string()))?;
                Docker::connect_with_unix(&path.to_string_lossy(), REQUEST_TIMEOUT_SECONDS, api)
            }
            (Address::Tcp(host), Some(certificates)) => return encrypted(host, certificates, api),
            (Address::Tcp(_), None) if self.endpoint.url.starts_with("https://") => {
                let reason = "an https address needs certificates, and none are configured";
                return Err(reason.to_owned());
            }
            (Address::Tcp(host), None) => {
                Docker::connect_with_http(host, REQUEST_TIMEOUT_SECONDS, api)
            }
            (Address::Unsupported(remedy), _) => return Err(remedy.clone()),
        };
        made.map_err(|error| reason(&error))
    }

    fn diagnose(&self, error: &EngineError) -> String {
        let io = causes(error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .last();
        io.map_or_else(
            || reason(error),
            |io| self.io_reason(io.kind(), &io.to_string()),
        )
    }

    /// A reason with a remedy, or `text` if the kind of error has no known remedy.
    fn io_reason(&self, kind: io::ErrorKind, text: &str) -> String {
        let local = matches!(self.address, Address::Socket(_));
        let podman = self.endpoint.url.contains("podman");
        let reason = match kind {
            io::ErrorKind::PermissionDenied if local && podman => {
                "permission denied: use an engine of your own, `systemctl --user start \
                 podman.socket`"
            }
            io::ErrorKind::PermissionDenied if local => {
                "permission denied: add yourself to the engine's group, `sudo usermod -aG docker \
                 $USER`, and log in again; or use a rootless engine"
            }
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused if podman => {
                "nothing answers: start Podman's service, `systemctl --user start podman.socket`"
            }
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused if local => {
                "nothing answers: start Docker, `sudo systemctl start docker` or its desktop \
                 application"
            }
            io::ErrorKind::ConnectionRefused => {
                "nothing answers: start the engine there, or correct the port"
            }
            _ => text,
        };
        reason.to_owned()
    }
}

impl Address {
    /// `port` is used if the URL has none.
    ///
    /// # Errors
    /// The end of a sentence that begins with the URL.
    fn parse(url: &str, port: u16) -> Result<Self, String> {
        const INVALID: &str = "is not of the form unix:///path, tcp://host:port, http://host:port \
                               or https://host:port";
        let (scheme, rest) = url.split_once("://").ok_or(INVALID)?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Socket(PathBuf::from(rest))),
            "tcp" | "http" | "https" if !authority(rest).is_empty() => {
                let host = authority(rest);
                // The schemes of HTTP imply their own ports.
                let complete =
                    scheme != "tcp" || host.rsplit(']').next().is_some_and(|end| end.contains(':'));
                Ok(Self::Tcp(if complete {
                    host.to_owned()
                } else {
                    format!("{host}:{port}")
                }))
            }
            // ssh would forward the requests, but not the published ports of the servers.
            "ssh" => Ok(Self::Unsupported(
                "ssh is not supported: let the engine listen on tcp:// with certificates, or run \
                 the tests on that machine"
                    .to_owned(),
            )),
            "npipe" => Ok(Self::Unsupported(
                "named pipes are not supported: set DOCKER_HOST to a socket".to_owned(),
            )),
            _ => Err(INVALID.to_owned()),
        }
    }
}

/// Reads the engine's description. It is empty if it cannot be parsed.
async fn readable_info(docker: &Docker) -> Result<SystemInfo, EngineError> {
    match docker.info().await {
        // Podman and later versions of Docker may send values that our client cannot parse. ebbtide
        // can do without them: it reads only the memory.
        Err(EngineError::JsonDataError { .. }) => Ok(SystemInfo::default()),
        answer => answer,
    }
}

/// The latest version of the API that both the engine and our client support.
fn common_version(engine: Option<&str>) -> ClientVersion {
    let client = *API_DEFAULT_VERSION;
    let numbers = engine.and_then(|version| version.split_once('.'));
    let numbers =
        numbers.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let engine = numbers.map(|(major_version, minor_version)| ClientVersion {
        major_version,
        minor_version,
    });
    engine.filter(|engine| *engine < client).unwrap_or(client)
}

fn encrypted(host: &str, certificates: &Path, api: &ClientVersion) -> Result<Docker, String> {
    if !cfg!(feature = "tls") {
        return Err(
            "an encrypted connection needs ebbtide's feature `tls`: enable it in Cargo.toml"
                .to_owned(),
        );
    }
    let [authority, certificate, key] =
        ["ca.pem", "cert.pem", "key.pem"].map(|name| certificates.join(name));
    for file in [&authority, &certificate, &key] {
        std::fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Docker::connect_with_ssl(
        host,
        &key,
        &certificate,
        &authority,
        REQUEST_TIMEOUT_SECONDS,
        api,
    )
    .map_err(|error| reason(&error))
}

/// The context that Docker's own tools use by default, unless it is `default`.
fn current_context(hints: &EngineHints) -> Result<Option<String>, String> {
    let Some(dir) = &hints.config_dir else {
        return Ok(None);
    };
    let config = read_json(&dir.join("config.json"))?;
    let name = config
        .as_ref()
        .and_then(|config| config.get("currentContext"))
        .and_then(Value::as_str);
    Ok(name
        .filter(|name| !matches!(*name, "" | "default"))
        .map(str::to_owned))
}

/// Parses a JSON file. Returns `None` if the file does not exist.
fn read_json(path: &Path) -> Result<Option<Value>, String> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn add_usual_sockets(hints: &EngineHints, places: &mut Vec<Result<Candidate, String>>) {
    let runtime = |path: &str| hints.runtime_dir.as_ref().map(|dir| dir.join(path));
    let home = |path: &str| hints.home.as_ref().map(|dir| dir.join(path));
    let usual = [
        (
            "the default socket",
            Some(PathBuf::from("/var/run/docker.sock")),
        ),
        ("rootless Docker", runtime("docker.sock")),
        ("Docker Desktop", home(".docker/run/docker.sock")),
        ("Docker Desktop", home(".docker/desktop/docker.sock")),
        ("Colima", home(".colima/default/docker.sock")),
        ("OrbStack", home(".orbstack/run/docker.sock")),
        ("Rancher Desktop", home(".rd/docker.sock")),
        ("rootless Podman", runtime("podman/podman.sock")),
        ("Podman", Some(PathBuf::from("/run/podman/podman.sock"))),
    ];
    let mut missing = Vec::new();
    for (origin, path) in usual
        .into_iter()
        .filter_map(|(origin, path)| Some((origin, path?)))
    {
        let address = Address::Socket(path.clone());
        // A context or CONTAINER_HOST often names one of these. A second attempt would only repeat
        // the reason, and the wait for an engine that does not answer.
        if places
            .iter()
            .flatten()
            .any(|candidate| candidate.address == address)
        {
            continue;
        }
        // If the check itself fails, the socket may exist: connecting gives the reason.
        if path.try_exists().unwrap_or(true) {
            places.push(Candidate::new(
                &format!("unix://{}", path.display()),
                origin.to_owned(),
                None,
            ));
        } else {
            missing.push(path.display().to_string());
        }
    }
    // In one line, because most of these sockets are missing on every machine.
    if !missing.is_empty() {
        places.push(Err(format!("no socket at {}", missing.join(", "))));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use tempfile::TempDir;

    use super::*;

    /// A directory that is deleted at the end of the test.
    struct Dir(TempDir);

    impl Dir {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn hints(&self) -> EngineHints {
            EngineHints {
                config_dir: Some(self.0.path().to_owned()),
                home: Some(self.0.path().to_owned()),
                ..EngineHints::default()
            }
        }
    }

    fn host(url: &str) -> EngineHints {
        EngineHints {
            docker_host: Some(url.to_owned()),
            ..EngineHints::default()
        }
    }

    /// The candidates, and the reasons of the places without one.
    fn lines_of(search: &Search) -> Vec<String> {
        let line = |place: &Result<Candidate, String>| match place {
            Ok(candidate) => candidate.endpoint.to_string(),
            Err(reason) => reason.clone(),
        };
        search.places.iter().map(line).collect()
    }

    // `printf colima | sha256sum`
    const COLIMA: &str = "f24fd3749c1368328e2b149bec149cb6795619f244c5b584e844961215dadd16";

    #[test]
    fn an_address_gets_a_default_port_and_nonsense_is_refused() {
        let parse = |url| Address::parse(url, 2375);
        assert_eq!(
            parse("unix:///a b.sock"),
            Ok(Address::Socket("/a b.sock".into()))
        );
        assert_eq!(
            parse("tcp://docker"),
            Ok(Address::Tcp("docker:2375".into()))
        );
        assert_eq!(parse("tcp://[::1]/"), Ok(Address::Tcp("[::1]:2375".into())));
        assert_eq!(parse("tcp://[::1]:1"), Ok(Address::Tcp("[::1]:1".into())));
        assert_eq!(
            parse("http://docker:1/path"),
            Ok(Address::Tcp("docker:1".into()))
        );
        assert!(
            matches!(parse("ssh://me@far:22"), Ok(Address::Unsupported(_))),
            "ssh is a URL"
        );
        for nonsense in [
            "docker.sock",
            "localhost:2375",
            "unix://docker.sock",
            "tcp://",
            "fd://",
            "",
        ] {
            assert!(parse(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_docker_host_that_is_not_a_url_is_a_configuration_error() {
        let error = Search::new(&host("localhost:2375")).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error
                .to_string()
                .starts_with("DOCKER_HOST=\"localhost:2375\" is not of the form unix:///path, ")
        );
    }

    #[test]
    fn the_current_context_comes_before_podmans_variable_and_the_sockets() {
        let dir = Dir::new();
        let socket = dir
            .0
            .path()
            .join(".colima/default/docker.sock")
            .display()
            .to_string();
        dir.write("config.json", r#"{"currentContext":"colima"}"#);
        let meta =
            format!(r#"{{"Name":"colima","Endpoints":{{"docker":{{"Host":"unix://{socket}"}}}}}}"#);
        dir.write(&format!("contexts/meta/{COLIMA}/meta.json"), &meta);
        dir.write(".colima/default/docker.sock", "");
        dir.write(".rd/docker.sock", "");
        let hints = EngineHints {
            container_host: Some("tcp://pod:1".into()),
            ..dir.hints()
        };
        let seen = lines_of(&Search::new(&hints).unwrap());
        assert_eq!(
            seen[0],
            format!("unix://{socket} (Docker's context colima)")
        );
        assert_eq!(seen[1], "tcp://pod:1 (CONTAINER_HOST)");
        assert!(
            seen.contains(&format!(
                "unix://{}/.rd/docker.sock (Rancher Desktop)",
                dir.0.path().display()
            )),
            "{seen:?}"
        );
        assert_eq!(
            seen.iter().filter(|line| line.contains(&socket)).count(),
            1,
            "{seen:?}"
        );
        assert!(
            seen.last().unwrap().starts_with("no socket at "),
            "{seen:?}"
        );
        // Docker's own tools treat the name `default` as no context.
        let seen = lines_of(
            &Search::new(&EngineHints {
                context: Some("default".into()),
                ..hints
            })
            .unwrap(),
        );
        assert_eq!(seen[0], "tcp://pod:1 (CONTAINER_HOST)");
    }

    #[test]
    fn a_missing_context_is_an_error_only_if_docker_context_names_it() {
        let dir = Dir::new();
        dir.write("config.json", r#"{"currentContext":"gone"}"#);
        let seen = lines_of(&Search::new(&dir.hints()).unwrap());
        assert!(
            seen[0].starts_with("Docker's current context gone: there is no such context below "),
            "{seen:?}"
        );
        dir.write("config.json", "{");
        let seen = lines_of(&Search::new(&dir.hints()).unwrap());
        assert!(
            seen[0].contains("config.json: EOF while parsing"),
            "{seen:?}"
        );
        let hints = EngineHints {
            context: Some("gone".into()),
            ..dir.hints()
        };
        let error = Search::new(&hints).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error
                .to_string()
                .starts_with("DOCKER_CONTEXT=\"gone\" cannot be used: there is no such context")
        );
    }

    #[test]
    fn the_older_side_determines_the_version_of_the_api() {
        let common = |engine| common_version(engine).to_string();
        assert_eq!(common(Some("1.41")), "1.41");
        assert_eq!(common(Some("1.9")), "1.9");
        for later in [Some("1.999"), Some("new"), None] {
            assert_eq!(common(later), API_DEFAULT_VERSION.to_string());
        }
    }

    #[tokio::test]
    async fn certificates_of_a_context_or_a_variable_encrypt_the_connection() {
        let dir = Dir::new();
        dir.write(
            &format!("contexts/meta/{COLIMA}/meta.json"),
            r#"{"Endpoints":{"docker":{"Host":"tcp://far"}}}"#,
        );
        dir.write(&format!("contexts/tls/{COLIMA}/docker/ca.pem"), "");
        let by_context = EngineHints {
            context: Some("colima".into()),
            ..dir.hints()
        };
        let by_variable = EngineHints {
            tls_verify: true,
            cert_path: Some("/nowhere".into()),
            ..host("tcp://far")
        };
        for hints in [by_context, by_variable] {
            let search = Search::new(&hints).unwrap();
            assert_eq!(
                search.places[0].as_ref().unwrap().address,
                Address::Tcp("far:2376".into())
            );
            let report = format!("{:?}", Engine::find(&hints).await.unwrap_err());
            let expected = if cfg!(feature = "tls") {
                ".pem: No such file"
            } else {
                "feature `tls`"
            };
            assert!(report.contains(expected), "{report}");
        }
    }

    #[tokio::test]
    async fn a_socket_without_a_listener_and_one_without_an_answer_have_different_reasons() {
        let dir = Dir::new();
        let path = dir.0.path().join("docker.sock");
        let url = format!("unix://{}", path.display());
        let listener = UnixListener::bind(&path).unwrap();
        let silent = Engine::find(&host(&url)).await.unwrap_err();
        drop(listener);
        let refused = Engine::find(&host(&url)).await.unwrap_err();
        std::fs::remove_file(&path).unwrap();
        let missing = Engine::find(&host(&url)).await.unwrap_err();
        for (error, reason) in [
            (silent, "no answer within 2s"),
            (
                refused,
                "nothing answers: start Docker, `sudo systemctl start docker` or its desktop application",
            ),
            (
                missing,
                "nothing answers: start Docker, `sudo systemctl start docker` or its desktop application",
            ),
        ] {
            assert_eq!(error.kind(), ErrorKind::BackendUnavailable);
            let report = format!(
                "the container engine that DOCKER_HOST names does not answer\n  tried:\n    {url} (DOCKER_HOST): {reason}\n  help: "
            );
            assert!(format!("{error:?}").starts_with(&report), "{error:?}");
        }
    }

    #[test]
    fn a_socket_without_permission_has_its_own_remedy() {
        let diagnose = |url: &str, kind| {
            Candidate::new(url, String::new(), None)
                .unwrap()
                .io_reason(kind, "text")
        };
        let denied = diagnose("unix:///run/docker.sock", io::ErrorKind::PermissionDenied);
        assert!(
            denied.starts_with("permission denied: add yourself to the engine's group"),
            "{denied}"
        );
        assert!(
            diagnose(
                "unix:///run/podman/podman.sock",
                io::ErrorKind::PermissionDenied
            )
            .contains("systemctl --user")
        );
        assert_eq!(
            diagnose("tcp://docker:1", io::ErrorKind::PermissionDenied),
            "text"
        );
    }

    #[tokio::test]
    async fn the_engine_of_this_machine_is_found() {
        match Engine::find(&EngineHints::default()).await {
            Ok(engine) => {
                assert!(
                    engine.docker.client_version().to_string().starts_with("1."),
                    "{engine:?}"
                );
                assert!(
                    engine.memory.is_some_and(|bytes| bytes > 1 << 20),
                    "{engine:?}"
                );
                assert_eq!(engine.endpoint.remote_host(), None);
                println!("{} {} at {}", engine.kind, engine.version, engine.endpoint);
            }
            Err(error) => println!("SKIPPED: no container engine: {error:?}"),
        }
    }
}
