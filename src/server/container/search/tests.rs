use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::*;

/// A directory that is deleted at the end of the test.
pub(super) struct Dir(TempDir);

impl Dir {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(super) fn hints(&self) -> EngineHints {
        EngineHints {
            config_dir: Some(self.0.path().to_owned()),
            home: Some(self.0.path().to_owned()),
            ..EngineHints::default()
        }
    }
}

pub(super) fn host(url: &str) -> EngineHints {
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
pub(super) const COLIMA: &str = "f24fd3749c1368328e2b149bec149cb6795619f244c5b584e844961215dadd16";

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
