//! The holes of rollback isolation: one test for each hole and each kind of isolation.
//!
//! The kinds are ebbtide's three, and for comparison `#[sqlx::test]` and a plain transaction. A
//! probe provokes the hole on a real server and returns a [`table::Verdict`]. The expected verdicts
//! are in [`table::TABLE`], and the table in `docs/isolation.md` is generated from them.

mod children;
mod document;
mod leftovers;
mod next_test;
mod roles;
mod server_work;
mod sessions;
mod shared_server;
mod table;
mod transactions;
mod world;

use table::{Kind, TABLE, Verdict};
use world::{Rights, World};

/// Installs `dblink`, unless the server lacks it or the role may not install it.
const DBLINK: &str = "do $$ begin create extension dblink; exception when others then raise notice '%', sqlerrm; end $$;";

/// Probes one hole in one kind of test. Worlds with the same name share their lanes.
async fn probe(hole: u8, kind: Kind, name: &str, rights: Rights) -> Verdict {
    let extra_sql = if hole == 27 { DBLINK } else { "" };
    let world = World::new(kind, name, extra_sql, rights).await;
    let verdict = match hole {
        1 => next_test::sequences(&world).await,
        2 => transactions::deferred_constraints(&world).await,
        3 => server_work::frozen_clock(&world).await,
        4 => server_work::notifications(&world).await,
        5 => next_test::advisory_locks(&world).await,
        6 => next_test::session_state(&world).await,
        7 => sessions::second_connection(&world).await,
        8 => transactions::stray_commit(&world).await,
        9 => transactions::poison(&world).await,
        10 => sessions::interleaved_transactions(&world).await,
        11 => transactions::isolation_level(&world).await,
        12 => sessions::row_locks(&world).await,
        13 => sessions::blocked_by_others(&world).await,
        14 => server_work::outside_transactions(&world).await,
        15 => server_work::new_enum_value(&world).await,
        16 => transactions::on_commit(&world).await,
        17 => transactions::broken_rollback(&world).await,
        18 => next_test::wear(&world).await,
        19 => server_work::write_ahead_log(&world).await,
        20 => next_test::late_work(&world).await,
        21 => shared_server::server_objects(&world).await,
        22 => shared_server::inner_settings(&world).await,
        23 => shared_server::inner_locks(&world).await,
        24 => leftovers::row_order(&world).await,
        25 => leftovers::estimates(&world).await,
        26 => leftovers::custom_settings(&world).await,
        27 => leftovers::loopback(&world).await,
        28 => leftovers::stale_url(&world).await,
        29 => shared_server::same_role(&world).await,
        30 => leftovers::beyond_reset(&world).await,
        _ => panic!("there is no hole {hole}"),
    };
    world.end().await;
    verdict
}

/// Checks one cell of the table. `test` is the path of the calling test, which a child process may
/// run.
async fn assert_expected_verdict(hole: u8, kind: Kind, test: &'static str) {
    if children::run_child_role().await {
        return;
    }
    let verdict = match kind {
        Kind::SqlxTest => children::probe_with_sqlx(hole, test).await,
        _ => {
            children::CURRENT_TEST
                .scope(
                    test,
                    probe(hole, kind, &world_name(hole, kind), Rights::Administrator),
                )
                .await
        }
    };
    let row = TABLE.iter().find(|row| row.number == hole).unwrap();
    if verdict == Verdict::Unsupported {
        crate::support::skip::print_uncaptured(&format!(
            "{} {test}: this server lacks what the probe of hole {hole} needs",
            crate::support::skip::SKIPPED_PREFIX
        ));
        return;
    }
    assert_eq!(
        verdict,
        row.expected[kind.column()],
        "hole {hole} ({}) in {kind}",
        row.hole
    );
}

/// The name of the world in which a probe runs.
///
/// If the harness releases the lane after the first test, a probe that looks for its lane again
/// needs lanes of its own. Otherwise another probe could take the lane. The lane of a `Sandbox` is
/// always released. The lane of another test is released if the test ended its transaction, changed
/// the schema, or reached the limit of uses.
fn world_name(hole: u8, kind: Kind) -> String {
    let is_released = match hole {
        6 | 8 | 11 | 18 | 20 | 24..=28 | 30 => true,
        1 | 5 | 7 | 13 | 17 => kind == Kind::Sandbox,
        _ => false,
    };
    if is_released {
        format!("hole {hole} in {kind}")
    } else {
        "every other hole".to_owned()
    }
}

macro_rules! holes {
    ($($number:literal $name:ident;)*) => {
        $(mod $name {
            holes!(@tests $number
                in_a_tx Tx, in_a_sandbox Sandbox, in_a_database Database,
                in_sqlx_test SqlxTest, in_a_plain_transaction Plain);
        })*
    };
    (@tests $number:literal $($test:ident $kind:ident),*) => {
        $(#[tokio::test]
        async fn $test() {
            $crate::conformance::assert_expected_verdict($number, $crate::conformance::table::Kind::$kind, $crate::support::this_test!()).await;
        })*
    };
}

holes! {
    1 hole_01_sequences;
    2 hole_02_deferred_constraints;
    3 hole_03_frozen_clock;
    4 hole_04_notifications;
    5 hole_05_advisory_locks;
    6 hole_06_session_state;
    7 hole_07_second_connection;
    8 hole_08_stray_commit;
    9 hole_09_poisoned_transaction;
    10 hole_10_interleaved_transactions;
    11 hole_11_isolation_level;
    12 hole_12_row_locks;
    13 hole_13_blocked_by_others;
    14 hole_14_outside_transactions;
    15 hole_15_new_enum_value;
    16 hole_16_on_commit;
    17 hole_17_broken_rollback;
    18 hole_18_wear;
    19 hole_19_write_ahead_log;
    20 hole_20_late_work;
    21 hole_21_server_objects;
    22 hole_22_inner_settings;
    23 hole_23_inner_locks;
    24 hole_24_row_order;
    25 hole_25_estimates;
    26 hole_26_custom_settings;
    27 hole_27_loopback;
    28 hole_28_stale_url;
    29 hole_29_same_role;
    30 hole_30_beyond_reset;
}
