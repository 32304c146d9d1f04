//! Containers that were created and never ran.

use serde_json::json;

use super::stage::{Stage, contained};
use super::support::{here, wait_until};

/// A container as ebbtide labels it, made in the name of a process. Returns its number.
fn made_by(stage: &Stage, client: &str, owner: &str, image: &str) -> String {
    let (name, value) = owner.split_once('=').unwrap();
    let labels = json!({ "ebbtide.role": "server", name: value, "ebbtide.client": client });
    let body = json!({ "Image": image, "Labels": labels });
    stage.daemon.must("POST", "/containers/create", Some(&body))["Id"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// This process, as pid and start time.
fn own_mark() -> String {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_command) = stat.rsplit_once(')').unwrap();
    format!(
        "{}.{}",
        std::process::id(),
        after_command.split_whitespace().nth(19).unwrap()
    )
}

#[test]
fn the_next_start_removes_what_a_dead_client_created_and_nothing_of_a_living_one_or_of_others() {
    if !contained(here!()) {
        return;
    }
    let (stage, others) = (Stage::new(), Stage::new());
    let mut first = stage.puppet();
    first.ask("start");
    let image = &stage.daemon.image_of(&stage.container());
    first.end();
    stage.wait_until_nothing_is_left();

    // A number that a process of another time had.
    let dead = own_mark() + "0";
    let forgotten = [
        made_by(&stage, &dead, &stage.label, image),
        made_by(&stage, "nonsense", &stage.label, image),
    ];
    let living = made_by(&stage, &own_mark(), &stage.label, image);
    let of_others = made_by(&others, &dead, &others.label, image);
    let mut next = stage.puppet();
    assert_eq!(next.ask("start"), "started");
    let left: Vec<String> = stage
        .containers()
        .into_iter()
        .map(|container| container.id)
        .collect();
    assert!(!forgotten.iter().any(|id| left.contains(id)), "{left:?}");
    assert!(left.contains(&living), "{left:?}");
    assert_eq!(others.containers()[0].id, of_others);

    next.end();
    stage.daemon.remove(&living);
    others.daemon.remove(&of_others);
    wait_until("nothing is left", || others.left().is_empty());
    stage.wait_until_nothing_is_left();
}
