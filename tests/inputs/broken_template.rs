//! Many tests whose template cannot be built: one full report, and one line for each other test.

use std::thread;

use ebbtide::{Error, ErrorKind, Harness, Setup};

use crate::support::Scratch;
use crate::support::runtime::current_thread_runtime;

/// Opens a database in tests of these names, one after the other, and returns their errors.
fn errors_of(harness: &Harness, tests: &[&'static str]) -> Vec<Error> {
    let error = |test: &&'static str| {
        let harness = harness.clone();
        let body = move || current_thread_runtime().block_on(harness.tx()).unwrap_err();
        // libtest names each test's thread after the test.
        let thread = thread::Builder::new().name((*test).to_owned()).spawn(body);
        thread.unwrap().join().unwrap()
    };
    tests.iter().map(error).collect()
}

#[test]
fn the_report_of_a_broken_template_appears_once() {
    let scratch = Scratch::new();
    let harness = scratch.harness("1_users.sql", "create table users (id absent);");
    let errors = errors_of(&harness, &["one", "two", "three", "one"]);
    let reports: Vec<String> = errors.iter().map(|error| format!("{error:?}")).collect();
    assert!(
        errors
            .iter()
            .all(|error| error.kind() == ErrorKind::Migration)
    );
    assert!(reports[0].contains("the statement:\n"), "{}", reports[0]);
    assert!(reports[0].contains("help: "), "{}", reports[0]);
    for other in &reports[1..3] {
        let expected = format!(
            "{}\n  the full report is in the output of test one",
            errors[0]
        );
        assert_eq!(*other, expected);
    }
    assert_eq!(
        reports[3], reports[0],
        "the first test reports in full each time"
    );

    // A setup that builds on the broken template has the same error.
    let setup = Setup::new().fixture("laura.sql", "insert into users values (1)");
    let errors = errors_of(&harness.with_setup(setup), &["four", "five"]);
    for error in errors {
        let report = format!("{error:?}");
        assert!(report.ends_with("in the output of test one"), "{report}");
    }
}

#[test]
fn errors_of_different_templates_are_each_reported_in_full() {
    let scratch = Scratch::new();
    let harness = scratch.harness("1_users.sql", "create table users (id int);");
    for (number, test) in ["one", "two"].into_iter().enumerate() {
        let insert = format!("insert into users values ('{number} is no number')");
        let setup = Setup::new().fixture("laura.sql", &insert);
        let [error] = &errors_of(&harness.with_setup(setup), &[test])[..] else {
            unreachable!("one test has one error");
        };
        let report = format!("{error:?}");
        assert!(report.contains("the statement:\n"), "{report}");
    }
}
