//! Directories of 500 and of 2,000 migration files.

use std::time::{Duration, Instant};

use ebbtide::report::ProvisionReport;
use sqlx::migrate::Migrator;

use crate::support::Scratch;
use crate::support::reports::provision_report;
use crate::support::skip::print_uncaptured;

/// A directory of so many files. Every tenth file creates a table, the others add a column to it.
fn directory(count: usize, name: fn(usize) -> String) -> Scratch {
    let scratch = Scratch::new();
    // Unique content: an existing template would not be built.
    let id = uuid::Uuid::new_v4();
    for number in 0..count {
        let table = number / 10;
        let text = match number % 10 {
            0 => format!("create table t{table} (id int); comment on table t{table} is '{id}';\n"),
            column => format!("alter table t{table} add column c{column} int;\n"),
        };
        scratch.write(&format!("migrations/{}", name(number)), &text);
    }
    scratch
}

/// The time of migrating and verifying, without the time in which the server executed the files.
fn own_time(report: &ProvisionReport) -> Duration {
    let phases = ["migrations", "verification"];
    let all: Duration = report
        .phases
        .iter()
        .filter(|phase| phases.contains(&phase.name.as_str()))
        .map(|phase| phase.took)
        .sum();
    let files: Duration = report.migrations.iter().map(|it| it.took).sum();
    all.saturating_sub(files)
}

/// Four times as many files take four times as long, not sixteen times.
#[tokio::test]
async fn the_time_for_a_file_does_not_grow_with_the_number_of_files() {
    for (layout, name) in [
        (
            "sqlx",
            (|number| format!("{number:05}_x.sql")) as fn(usize) -> String,
        ),
        ("diesel", |number| format!("{number:05}_x/up.sql")),
        ("refinery", |number| format!("V{number}__x.sql")),
    ] {
        let mut times = Vec::new();
        for count in [500, 2000] {
            let scratch = directory(count, name);
            let report = provision_report(scratch.builder()).await;
            assert_eq!(report.migrations.len(), count);
            assert_eq!(report.rows.len(), count / 10);
            times.push(own_time(&report));
        }
        // The constant is for a machine that does other work at the same time.
        let limit = times[0] * 8 + Duration::from_millis(500);
        assert!(times[1] < limit, "{layout}: {times:?}");
    }
}

#[tokio::test]
async fn two_thousand_files_take_about_as_long_as_with_sqlx() {
    let scratch = directory(2000, |number| format!("{number:05}_x.sql"));
    let report = provision_report(scratch.builder()).await;
    let ours = report
        .phases
        .iter()
        .find(|phase| phase.name == "migrations");
    let ours = ours.unwrap().took;

    let other = Scratch::new();
    let database = other.builder().build().unwrap().database().await.unwrap();
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let began = Instant::now();
    let migrator = Migrator::new(scratch.path("migrations").as_path())
        .await
        .unwrap();
    migrator.run(&pool).await.unwrap();
    let theirs = began.elapsed();
    pool.close().await;
    database.close().await.unwrap();

    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    print_uncaptured(&format!(
        "2,000 migrations: {ours:.2?}, sqlx {theirs:.2?}, ratio {ratio:.2}"
    ));
    // Much more than what differs between two runs on a busy machine.
    assert!(ratio < 5.0, "{ours:?} is much more than {theirs:?}");
}
