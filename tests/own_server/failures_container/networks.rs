//! Published ports that do not lead to the server.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::process::geteuid;
use serde_json::json;

use crate::failures_container::children::{run_child, without_network};
use crate::failures_container::engine::{Engine, container_builder};
use crate::support::child_process::child_role;
use crate::support::child_process::run_through;
use crate::support::{Scratch, this_test};

#[tokio::test]
async fn an_unreachable_container_is_a_timeout_that_names_every_address() {
    let Some(engine) = Engine::of_this_machine(this_test!()) else {
        return;
    };
    if child_role().is_none() {
        match without_network(&engine.child(this_test!())) {
            Ok(mut child) => run_child(&mut child),
            Err(reason) => println!("note: {}: {reason}", this_test!()),
        }
        return;
    }
    let scratch = Scratch::new();
    let error = engine.start_error(&scratch).await;
    engine.replacements().bind(|| {
        assert_report!(scratch, error, Timeout, @r"
        server start: no client reached the server before the container ended by itself (127.0.0.1:[PORT]: Network is unreachable (os error 101); [ITS ADDRESS]:5432: Network is unreachable (os error 101))
          the container's log ends:
            [LINES]
          help: PostgreSQL listens in its container, and its port cannot be reached from here: look for a firewall or a network between the two; or set EBBTIDE_BACKEND=native
        ");
    });
}

#[tokio::test]
async fn a_client_in_a_container_connects_to_the_address_of_the_servers_container() {
    let Some(engine) = Engine::of_this_machine(this_test!()) else {
        return;
    };
    if child_role().is_none() {
        if let Some(neighbour) = NeighbourContainer::start(&engine, this_test!()) {
            run_child(&mut neighbour.in_its_network(&engine.child(this_test!())));
        }
        return;
    }
    let scratch = Scratch::new();
    let harness = container_builder(&scratch).build().unwrap();
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
    engine.wait_until_servers_end(&scratch);
}

#[tokio::test]
async fn an_engine_behind_a_translated_address_publishes_the_port_on_all_interfaces() {
    // An address for documentation (RFC 5737), which no machine has.
    const ELSEWHERE: &str = "198.51.100.7";
    let Some(engine) = Engine::of_this_machine(this_test!()) else {
        return;
    };
    if child_role().is_none() {
        if let Some(neighbour) = NeighbourContainer::start(&engine, this_test!()) {
            let mut child = engine.child(this_test!());
            child
                .env("DOCKER_HOST", format!("tcp://{ELSEWHERE}:2375"))
                .env(GATEWAY_VARIABLE, &neighbour.gateway);
            run_child(&mut neighbour.in_its_network(&child));
        }
        return;
    }
    let forwarder = forward(engine.daemon.url.strip_prefix("unix://").unwrap()).to_string();
    let gateway = std::env::var(GATEWAY_VARIABLE).unwrap();
    for (port, target) in [("2375", forwarder.as_str()), ("1024:65535", &gateway)] {
        // Only in the network namespace of the neighbour, which ends with the neighbour.
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
    let harness = container_builder(&scratch).build().unwrap();
    let tx = harness.tx().await.unwrap();
    assert!(tx.url().contains(&format!("@{ELSEWHERE}:")), "{}", tx.url());
    tx.close().await.unwrap();
    drop(harness);
    engine.wait_until_servers_end(&scratch);
}

/// The environment variable for the address of the engine's machine as seen from a container.
const GATEWAY_VARIABLE: &str = "GATEWAY";

/// Listens on the loopback interface of this network, and forwards connections to a Unix socket.
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

/// A container that only sleeps. A test can run in its network, as a client in a container would.
/// Dropping it removes the container.
struct NeighbourContainer<'a> {
    engine: &'a Engine,
    container: String,
    pid: String,
    gateway: String,
}

impl<'a> NeighbourContainer<'a> {
    /// Returns `None` if this process cannot enter the container's network.
    fn start(engine: &'a Engine, test: &str) -> Option<Self> {
        if !engine.is_local() || !geteuid().is_root() {
            println!("note: {test} needs root and the engine's own machine");
            return None;
        }
        let body = json!({ "Image": engine.image, "Entrypoint": ["sleep", "100"], "Cmd": [],
            "HostConfig": { "AutoRemove": true } });
        let container = engine
            .daemon
            .request_ok("POST", "/containers/create", Some(&body))["Id"]
            .as_str()
            .unwrap()
            .to_owned();
        // From here on, dropping the value removes the container, also if a later step panics.
        let mut neighbour = Self {
            engine,
            container,
            pid: String::new(),
            gateway: String::new(),
        };
        let path = format!("/containers/{}", neighbour.container);
        engine
            .daemon
            .request_ok("POST", &format!("{path}/start"), None);
        let inspected = engine
            .daemon
            .request_ok("GET", &format!("{path}/json"), None);
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

    fn in_its_network(&self, command: &Command) -> Command {
        run_through(
            &["nsenter", "--target", &self.pid, "--net"],
            command.get_program(),
            command,
        )
    }
}

impl Drop for NeighbourContainer<'_> {
    fn drop(&mut self) {
        self.engine.daemon.remove(&self.container);
    }
}
