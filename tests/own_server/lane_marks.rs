//! What a lane's file records while a test uses the lane, for the case that the process is killed.

use std::fs;
use std::time::Duration;

use ebbtide::TxOptions;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::support::{Scratch, names_in, runs_natively, this_test};

/// The contents of the files of all lanes.
fn lane_files(scratch: &Scratch) -> Vec<String> {
    let servers = scratch.state_dir().join("servers");
    let instances = names_in(&servers);
    let lanes = instances
        .iter()
        .map(|instance| servers.join(instance).join("lanes"));
    let files = lanes.flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    let files = files.filter(|file| {
        let name = file.file_name().to_string_lossy().into_owned();
        !name.starts_with("permit.") && name != "turn"
    });
    files
        .map(|file| fs::read_to_string(file.path()).unwrap())
        .collect()
}

/// Another client drops the database of a lane that no test uses. The next test gets a new copy,
/// which must not count as equal to the template while the test writes to it.
#[tokio::test]
async fn a_lane_that_is_copied_for_a_test_does_not_count_as_equal_while_the_test_uses_it() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_t.sql", "create table t (id int);");
    let harness = scratch
        .own_server()
        .linger(Duration::from_secs(1))
        .build()
        .unwrap();
    let database = harness.database().await.unwrap();
    let elsewhere = database.connect_options().database("template1");
    let mut admin = PgConnection::connect_with(&elsewhere).await.unwrap();
    database.close().await.unwrap();
    for relayed in [false, true] {
        let sandbox = harness.sandbox().await.unwrap();
        let name = "select current_database()";
        let name: String = sqlx::query_scalar(name).fetch_one(&*sandbox).await.unwrap();
        sandbox.close().await.unwrap();
        assert!(
            lane_files(&scratch)
                .iter()
                .any(|text| text.starts_with("equal")),
            "the closed lane equals the template: {:?}",
            lane_files(&scratch)
        );
        let drop = AssertSqlSafe(format!("drop database {name} with (force)"));
        sqlx::raw_sql(drop).execute(&mut admin).await.unwrap();
        let (mut tx, mut sandbox) = (None, None);
        if relayed {
            tx = Some(
                harness
                    .tx_with(TxOptions::new().savepoints())
                    .await
                    .unwrap(),
            );
        } else {
            sandbox = Some(harness.sandbox().await.unwrap());
        }
        let files = lane_files(&scratch);
        assert!(
            !files.iter().any(|text| text.starts_with("equal")),
            "a lane in use counts as equal: {files:?}"
        );
        if let Some(tx) = tx.take() {
            tx.close().await.unwrap();
        }
        if let Some(sandbox) = sandbox.take() {
            sandbox.close().await.unwrap();
        }
    }
    admin.close().await.unwrap();
    drop(harness);
}
