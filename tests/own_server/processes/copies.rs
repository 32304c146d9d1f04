//! How the server copies a template.

use crate::support::{Scratch, names_in, runs_natively, this_test};

#[tokio::test]
async fn from_version_18_on_a_copy_may_share_its_blocks_with_the_template() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_t.sql", "create table t (id int)");
    let builder = scratch.own_server().setting("log_statement", "all");
    let harness = builder.build().unwrap();
    let server = harness.start().await.unwrap();
    let database = harness.database().await.unwrap();
    let servers = scratch.state_dir().join("servers");
    let log = names_in(&servers)
        .iter()
        .find_map(|name| std::fs::read_to_string(servers.join(name).join("log")).ok())
        .unwrap();
    let major: u32 = server
        .server_version
        .split('.')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let (clone, copy) = (
        log.find("statement: set file_copy_method = clone"),
        log.find("strategy file_copy"),
    );
    assert_eq!(clone.is_some(), major >= 18, "{log}");
    assert!(clone < copy, "{log}");
    // Where files cannot be cloned, an error would come between the two.
    assert!(!log.contains("ERROR"), "{log}");
    database.close().await.unwrap();
}
