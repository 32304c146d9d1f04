//! An engine that is reached by an address, and the way to it cut.

use super::relay::Relay;
use super::stage::{Stage, contained};
use super::support::here;

#[test]
fn an_engine_behind_an_address_serves_and_its_loss_disturbs_only_who_needs_it() {
    if !contained(here!()) {
        return;
    }
    let relay = Relay::on_port();
    let stage = Stage::new().with("DOCKER_HOST", &relay.daemon.url);
    let mut first = stage.puppet();
    assert_eq!(
        [first.ask("start"), first.ask("provision")],
        ["started", "built"]
    );
    first.ask("open");
    first.ask("run insert into things (name) values ('the one')");
    stage.container();

    relay.cut();
    // A running test talks to PostgreSQL alone.
    assert_eq!(first.ask("query select name from things"), "the one");
    first.ask("close");
    first.ask("open");
    assert_eq!(first.ask("query select count(*)::text from things"), "0");
    // So does a new process that finds the server in the registry.
    let mut second = stage.puppet();
    assert_eq!(
        [second.ask("start"), second.ask("provision")],
        ["reused", "reused"]
    );
    second.ask("open");
    // One that wants another server is told.
    let config = stage
        .scene
        .write("other.toml", "[server]\nsettings = { work_mem = \"5MB\" }");
    let mut third = stage.puppet_with(&[("EBBTIDE_CONFIG", config)]);
    third.tell("start");
    let refusal = third.answer().unwrap_err();
    let beginning = "the container engine that DOCKER_HOST names does not answer |   tried: |     ";
    assert!(
        refusal.starts_with(beginning) && refusal.contains(&relay.daemon.url),
        "{refusal}"
    );
    // The container sees for itself that nobody uses it, and the keeper that nobody leases it.
    drop((first, second, third));
    stage.wait_until_nothing_is_left();
}

#[test]
fn a_kept_database_behind_an_address_is_read_by_its_url_and_needs_no_command_of_the_engine() {
    if !contained(here!()) {
        return;
    }
    let relay = Relay::on_port();
    let stage = Stage::new()
        .without_commands()
        .with("DOCKER_HOST", &relay.daemon.url);
    let mut keeper = stage.puppet();
    keeper.ask("open");
    keeper.ask("run insert into things (name) values ('a thing to look at')");
    let url = keeper.ask("keep");
    keeper.end();
    let mut reader = stage.puppet();
    assert_eq!(
        reader.ask(&format!("read {url} select name from things")),
        "a thing to look at"
    );
    reader.end();
    stage.daemon.stop(&stage.container());
    stage.wait_until_nothing_is_left();
}
