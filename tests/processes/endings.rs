//! The ways in which a process ends while it uses a server through its static harness.

use super::puppet::Puppet;
use super::scene::Scene;
use super::support::{here, natively};

fn told_to(order: &str, mut puppet: Puppet) -> Option<i32> {
    puppet.tell(order);
    puppet.end().code()
}

#[test]
fn nothing_is_left_whichever_way_processes_end_within_a_transaction() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new();
    let within = || {
        let mut puppet = scene.puppet();
        puppet.ask("open");
        puppet.ask("run insert into things (name) values ('one')");
        puppet
    };
    let (returns, panics, aborts, interrupted) = (within(), within(), within(), within());
    let server = scene.server();
    assert_eq!(returns.end().code(), Some(0));
    assert_eq!(told_to("panic", panics), Some(101));
    assert_eq!(told_to("abort", aborts), None);
    assert!(server.lives());
    interrupted.interrupt();
    assert_eq!(interrupted.end().code(), None);
    server.wait_until_gone();
    scene.wait_until_nothing_is_left();
}
