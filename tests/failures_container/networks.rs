//! Ports that are published and do not lead to the server.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::process::geteuid;
use serde_json::json;

use crate::children::{cut_off, play, through};
use crate::engine::{Engine, contained};
use crate::support::again::role;
use crate::support::{Scratch, here};

#[tokio::test]
async fn a_container_that_cannot_be_reached_is_a_timeout_with_every_address_that_was_tried() {
    let Some(engine) = Engine::of_this_machine(here!()) else {
        return;
    };
    if role().is_none() {
        match cut_off(&engine.child(here!())) {
            Ok(mut child) => play(&mut child),
            Err(reason) => println!("note: {}: {reason}", here!()),
        }
        return;
    }
    let scratch = Scratch::new();
    let error = engine.not_started(&scratch).await;
    engine.replacements().bind(|| {
        assert_report!(scratch, error, Timeout, @r"
        server start: no answer until the container ended, because nobody used it (127.0.0.1:[PORT]: Network is unreachable (os error 101); [ITS ADDRESS]:5432: Network is unreachable (os error 101))
          the container's log ends:
            [LINES]
          help: PostgreSQL listens in its container, and its port cannot be reached from here: look for a firewall or a network between the two; or set EBBTIDE_BACKEND=native
        ");
    });
}

#[tokio::test]
async fn beside_the_engine_the_containers_own_address_serves() {
    let Some(engine) = Engine::of_this_machine(here!()) else {
        return;
    };
    if role().is_none() {
        if let Some(neighbour) = Neighbour::start(&engine, here!()) {
            play(&mut neighbour.within(&engine.child(here!())));
        }
        return;
    }
    let scratch = Scratch::new();
    let harness = contained(&scratch).build().unwrap();
    let mut tx = harness.tx().await.unwrap();
    let address: String = sqlx::query_scalar("select host(inet_server_addr())")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert!(
        tx.url().contains(&format!("@{address}:5432/")),
        "{address} is not in {}",
        tx.url()
    );
    tx.close().await.unwrap();
    drop(harness);
    engine.wait_until_deserted(&scratch);
}

#[tokio::test]
async fn an_engine_behind_an_address_that_it_does_not_have_publishes_on_all_of_its_own() {
    // Of a network that is meant for documentation (RFC 5737).
    const ELSEWHERE: &str = "198.51.100.7";
    let Some(engine) = Engine::of_this_machine(here!()) else {
        return;
    };
    if role().is_none() {
        if let Some(neighbour) = Neighbour::start(&engine, here!()) {
            let mut child = engine.child(here!());
            child
                .env("DOCKER_HOST", format!("tcp://{ELSEWHERE}:2375"))
                .env(GATEWAY, &neighbour.gateway);
            play(&mut neighbour.within(&child));
        }
        return;
    }
    let relay = forward(engine.daemon.url.strip_prefix("unix://").unwrap()).to_string();
    let gateway = std::env::var(GATEWAY).unwrap();
    for (port, target) in [("2375", relay.as_str()), ("1024:65535", &gateway)] {
        // In the neighbour's network alone, with which it goes.
        let mut rule = Command::new("iptables");
        rule.args([
            "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", ELSEWHERE, "--dport", port, "-j",
            "DNAT",
        ]);
        assert!(
            rule.args(["--to-destination", target])
                .status()
                .unwrap()
                .success(),
            "{rule:?}"
        );
    }
    let scratch = Scratch::new();
    let harness = contained(&scratch).build().unwrap();
    let tx = harness.tx().await.unwrap();
    assert!(tx.url().contains(&format!("@{ELSEWHERE}:")), "{}", tx.url());
    tx.close().await.unwrap();
    drop(harness);
    engine.wait_until_deserted(&scratch);
}

/// Tells the child where the engine's machine is for its neighbours.
const GATEWAY: &str = "GATEWAY";

/// Hands connections to a port of this network's loopback on to a socket.
fn forward(socket: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, socket) = (listener.local_addr().unwrap(), socket.to_owned());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut engine) = (client.unwrap(), UnixStream::connect(&socket).unwrap());
            let (mut back, mut answers) =
                (client.try_clone().unwrap(), engine.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut client, &mut engine));
            std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
        }
    });
    address
}

/// A container that does nothing, in whose network a test can play. It goes with the value.
struct Neighbour<'a> {
    engine: &'a Engine,
    container: String,
    pid: String,
    gateway: String,
}

impl<'a> Neighbour<'a> {
    /// None where its network cannot be entered.
    fn start(engine: &'a Engine, test: &str) -> Option<Self> {
        if !engine.is_local() || !geteuid().is_root() {
            println!("note: {test} needs root and the engine's own machine");
            return None;
        }
        let body = json!({ "Image": engine.image, "Entrypoint": ["sleep", "100"], "Cmd": [],
            "HostConfig": { "AutoRemove": true } });
        let container = engine
            .daemon
            .must("POST", "/containers/create", Some(&body))["Id"]
            .as_str()
            .unwrap()
            .to_owned();
        // From here on, it goes with the value.
        let mut neighbour = Self {
            engine,
            container,
            pid: String::new(),
            gateway: String::new(),
        };
        let path = format!("/containers/{}", neighbour.container);
        engine.daemon.must("POST", &format!("{path}/start"), None);
        let inspected = engine.daemon.must("GET", &format!("{path}/json"), None);
        let network = inspected["NetworkSettings"]["Networks"]
            .as_object()
            .and_then(|all| all.values().next())
            .unwrap();
        network["Gateway"]
            .as_str()
            .unwrap()
            .clone_into(&mut neighbour.gateway);
        neighbour.pid = inspected["State"]["Pid"].to_string();
        Some(neighbour)
    }

    fn within(&self, command: &Command) -> Command {
        through(
            &["nsenter", "--target", &self.pid, "--net"],
            command.get_program(),
            command,
        )
    }
}

impl Drop for Neighbour<'_> {
    fn drop(&mut self) {
        self.engine.daemon.remove(&self.container);
    }
}
