//! Mistakes in seeds and expectations, and their reports.

use crate::support::reports::{assert_report_contains, provision_error, provision_report};
use crate::support::{Scratch, current_thread_runtime};
use ebbtide::ErrorKind;

const USERS: &str = "create table users (id int primary key, name text not null);\n";

/// A directory with a migration that creates the table `users`, and one seed.
fn seeded(file: &str, text: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("migrations/1_users.sql", USERS);
    scratch.write(&format!("seeds/{file}"), text);
    scratch
}

#[tokio::test]
async fn a_refused_statement_of_a_seed_is_reported_with_its_line_and_constraint() {
    let text = "insert into users values (1, 'Laura');\n\n-- again\ninsert into users values (1, 'Ana');\n";
    let scratch = seeded("010_people.sql", text);
    let error = provision_error(scratch.builder()).await;
    assert_report_contains(
        &error,
        ErrorKind::Seed,
        &["010_people.sql:4:1", "constraint: users_pkey"],
    );
    assert_report!(scratch, error, Seed, @r#"
    a seed failed at [SCRATCH]/seeds/010_people.sql:4:1: duplicate key value violates unique constraint "users_pkey"
      the statement:
        [SCRATCH]/seeds/010_people.sql:4:1
         3 | -- again
         4 | insert into users values (1, 'Ana');
           | ^
      server error:
        SQLSTATE 23505: duplicate key value violates unique constraint "users_pkey"
        detail: Key (id)=(1) already exists.
        constraint: users_pkey
      help: correct the file and run the tests again; nothing of this database was kept
    "#);
}

#[tokio::test]
async fn an_unknown_table_in_a_seed_is_reported_with_its_place_in_the_file() {
    let scratch = seeded(
        "010_people.sql",
        "insert into users values (1, 'Laura');\ninsert into usres values (2);\n",
    );
    let error = provision_error(scratch.builder()).await;
    assert_report!(scratch, error, Seed, @r#"
    a seed failed at [SCRATCH]/seeds/010_people.sql:2:13: relation "usres" does not exist
      the statement:
        [SCRATCH]/seeds/010_people.sql:2:13
         1 | insert into users values (1, 'Laura');
         2 | insert into usres values (2);
           |             ^
      server error:
        SQLSTATE 42P01: relation "usres" does not exist
      help: a migration must create it: check the spelling of its name, and its schema
    "#);
}

#[tokio::test]
async fn a_refused_row_of_a_csv_seed_is_reported_with_file_and_constraint() {
    let scratch = seeded("010_users.csv", "id,name\n1,Laura\n2,\n");
    let error = provision_error(scratch.builder()).await;
    assert_report_contains(&error, ErrorKind::Seed, &["010_users.csv"]);
    assert_report!(scratch, error, Seed, @r#"
    seed [SCRATCH]/seeds/010_users.csv failed for table users: null value in column "name" of relation "users" violates not-null constraint
      server error:
        SQLSTATE 23502: null value in column "name" of relation "users" violates not-null constraint
        detail: Failing row contains (2, null).
      help: correct the data; nothing of this file was kept
    "#);
}

#[tokio::test]
async fn an_invalid_value_of_a_csv_seed_is_reported_with_line_and_column() {
    let scratch = seeded("010_users.csv", "id,name\n1,Laura\ntwo,Ana\n");
    let error = provision_error(scratch.builder()).await;
    assert_report_contains(
        &error,
        ErrorKind::Seed,
        &["010_users.csv", "line 3, column id: \"two\""],
    );
    assert_report!(scratch, error, Seed, @r#"
    seed [SCRATCH]/seeds/010_users.csv failed while COPY read it: invalid input syntax for type integer: "two"
      server error:
        SQLSTATE 22P02: invalid input syntax for type integer: "two"
        where: COPY ebbtide_stage, line 3, column id: "two"
      help: correct the data; nothing of this file was kept
    "#);
}

#[tokio::test]
async fn a_csv_seed_for_an_unknown_table_is_reported_with_the_naming_rule() {
    let scratch = seeded("010_guests.csv", "id,name\n1,Laura\n");
    assert_report!(scratch, provision_error(scratch.builder()).await, Seed, @r#"
    seed [SCRATCH]/seeds/010_guests.csv is for the table guests, which does not exist
      help: name the file after its table, with a number and _ in front for the order: 010_services.csv; a migration must create the table
    "#);
}

#[tokio::test]
async fn an_unknown_column_of_a_csv_seed_is_reported() {
    let scratch = seeded("010_users.csv", "id,nmae\n1,Laura\n");
    assert_report!(scratch, provision_error(scratch.builder()).await, Seed, @r#"
    seed [SCRATCH]/seeds/010_users.csv failed in line 1, for table users: column "nmae" does not exist
      server error:
        SQLSTATE 42703: column "nmae" does not exist
        hint: Perhaps you meant to reference the column "users.name".
      help: every name in the header and every key must be a column of the table
    "#);
}

#[tokio::test]
async fn a_row_of_a_csv_seed_with_too_many_or_too_few_values_is_reported_with_its_line() {
    for (row, words) in [
        ("2,Ana,Eva", "extra data after last expected column"),
        ("2", "missing data for column"),
    ] {
        let scratch = seeded("010_users.csv", &format!("id,name\n1,Laura\n{row}\n"));
        let error = provision_error(scratch.builder()).await;
        assert_report_contains(
            &error,
            ErrorKind::Seed,
            &["010_users.csv failed while COPY read it", words, "line 3"],
        );
    }
}

#[tokio::test]
async fn a_csv_seed_without_a_header_is_an_error() {
    let scratch = seeded("010_users.csv", "");
    assert_report!(scratch, provision_error(scratch.builder()).await, Seed, @r"
    a CSV file must begin with a header of column names, but [SCRATCH]/seeds/010_users.csv has none or an empty name
      help: write the column names in the first line, for example: first_name,category
    ");
}

#[tokio::test]
async fn a_refused_row_of_a_json_seed_is_reported_with_file_and_constraint() {
    let scratch = seeded(
        "010_users.json",
        r#"[{"id": 1, "name": "Laura"}, {"id": 2, "name": null}]"#,
    );
    let error = provision_error(scratch.builder()).await;
    assert_report_contains(&error, ErrorKind::Seed, &["010_users.json", "rows 1 to 2"]);
    assert_report!(scratch, error, Seed, @r#"
    seed [SCRATCH]/seeds/010_users.json failed for table users, rows 1 to 2: null value in column "name" of relation "users" violates not-null constraint
      server error:
        SQLSTATE 23502: null value in column "name" of relation "users" violates not-null constraint
        detail: Failing row contains (2, null).
      help: correct the data; nothing of this file was kept
    "#);
}

#[tokio::test]
async fn a_value_of_a_json_seed_that_does_not_fit_its_column_is_reported_with_its_row() {
    let rows = r#"[{"id": 1, "name": "Laura"}, {"id": 2, "name": "Ana"}, {"id": "three", "name": "Eva"}, {"id": 4, "name": "Pia"}]"#;
    let scratch = seeded("010_users.json", rows);
    assert_report!(scratch, provision_error(scratch.builder()).await, Seed, @r#"
    seed [SCRATCH]/seeds/010_users.json failed for table users, row 3: invalid input syntax for type integer: "three"
      server error:
        SQLSTATE 22P02: invalid input syntax for type integer: "three"
      help: correct the data; nothing of this file was kept
    "#);
}

#[tokio::test]
async fn a_syntax_error_in_a_json_seed_is_reported_with_its_place() {
    let scratch = seeded(
        "010_users.json",
        "[\n  {\"id\": 1, \"name\": \"Laura\"},\n]\n",
    );
    assert_report!(scratch, provision_error(scratch.builder()).await, Seed, @r"
    [SCRATCH]/seeds/010_users.json:3:1 is not JSON
      caused by: trailing comma at line 3 column 1
      help: correct the file there; JSON has no comments, no comma before a closing bracket, and no single quotes
    ");
}

#[tokio::test]
async fn a_json_seed_of_another_form_is_reported_with_the_legal_forms() {
    let scratch = seeded("010_users.json", r#"{"users": {"id": 1}}"#);
    assert_report!(scratch, provision_error(scratch.builder()).await, Seed, @r#"
    [SCRATCH]/seeds/010_users.json is not a valid JSON seed: expected an array of rows under "users"
      help: write an array of objects for the table in the file's name, or an object that maps tables to such arrays
    "#);
}

#[tokio::test]
async fn a_deferred_constraint_is_checked_at_the_end_of_the_seed() {
    let scratch = seeded("010_people.sql", "insert into visits values (1, 2);\n");
    let visits = "create table visits (id int, user_id int references users deferrable initially deferred);\n";
    scratch.write("migrations/2_visits.sql", visits);
    assert_report!(scratch, provision_error(scratch.builder()).await, Seed, @r#"
    seed [SCRATCH]/seeds/010_people.sql failed at its commit: insert or update on table "visits" violates foreign key constraint "visits_user_id_fkey"
      server error:
        SQLSTATE 23503: insert or update on table "visits" violates foreign key constraint "visits_user_id_fkey"
        detail: Key (user_id)=(2) is not present in table "users".
        constraint: visits_user_id_fkey
      help: a deferred constraint does not hold when the file's transaction commits: correct the rows or the constraint
    "#);
}

#[tokio::test]
async fn a_seed_that_is_not_utf8_is_reported_with_its_line() {
    let scratch = seeded("010_people.sql", "");
    let text =
        b"insert into users values (1, 'Laura');\ninsert into users values (2, 'Garc\xeda');\n";
    std::fs::write(scratch.path("seeds/010_people.sql"), text).unwrap();
    assert_report!(scratch, provision_error(scratch.builder()).await, Seed, @r"
    [SCRATCH]/seeds/010_people.sql is not UTF-8
      caused by: byte 0xed at line 2, column 35
      help: save the file with UTF-8 encoding
    ");
}

#[tokio::test]
async fn a_csv_seed_that_is_not_utf8_is_refused() {
    let scratch = seeded("010_users.csv", "");
    std::fs::write(
        scratch.path("seeds/010_users.csv"),
        b"id,name\n1,Garc\xeda\n",
    )
    .unwrap();
    let error = provision_error(scratch.builder()).await;
    assert_report!(scratch, error, Seed, @r#"
    seed [SCRATCH]/seeds/010_users.csv:2:7 is not UTF-8
      help: save the file with UTF-8 encoding
    "#);
}

#[tokio::test]
async fn an_error_far_into_a_sql_seed_is_reported_with_its_line() {
    let many = "select 'Laura;'; -- é;\n".repeat(20_000);
    let scratch = seeded(
        "010_users.sql",
        &format!("\u{feff}{many}/* now */ insert into users\n  values (1, Laura);\n"),
    );
    assert_report!(scratch, provision_error(scratch.builder()).await, Seed, @r#"
    a seed failed at [SCRATCH]/seeds/010_users.sql:20002:14: column "laura" does not exist
      the statement:
        [SCRATCH]/seeds/010_users.sql:20002:14
         20001 | /* now */ insert into users
         20002 |   values (1, Laura);
               |              ^
      server error:
        SQLSTATE 42703: column "laura" does not exist
      help: correct the file and run the tests again; nothing of this database was kept
    "#);
}

#[test]
fn a_csv_seed_of_fifty_megabytes_needs_little_memory() {
    assert_needs_little_memory(
        crate::support::this_test!(),
        "010_users.csv",
        |file, name| {
            writeln!(file, "id,name").unwrap();
            (0..ROWS).for_each(|id| writeln!(file, "{id:06},{name}").unwrap());
        },
    );
}

#[test]
fn a_sql_seed_of_fifty_megabytes_needs_little_memory() {
    assert_needs_little_memory(
        crate::support::this_test!(),
        "010_users.sql",
        |file, name| {
            for start in (0..ROWS).step_by(500) {
                writeln!(file, "insert into users values").unwrap();
                (start..start + 499).for_each(|id| writeln!(file, "({id:06}, '{name}'),").unwrap());
                writeln!(file, "({}, '{name}') on conflict do nothing;", start + 499).unwrap();
            }
        },
    );
}

#[test]
fn the_data_of_a_copy_of_fifty_megabytes_need_little_memory() {
    assert_needs_little_memory(
        crate::support::this_test!(),
        "010_users.sql",
        |file, name| {
            writeln!(file, "copy users from stdin;").unwrap();
            // A row that looks like a statement about the whole server.
            writeln!(file, "-1\t\\\\N; create role app;").unwrap();
            (1..ROWS).for_each(|id| writeln!(file, "{id:06}\t{name}").unwrap());
            writeln!(file, "\\.").unwrap();
        },
    );
}

const ROWS: u64 = 500_000;

/// Asserts that the process's peak memory grows by less than 16 MB while it loads a seed of 50 MB.
///
/// `test` is `this_test!()`. `write` writes [`ROWS`] rows with the given name.
#[expect(
    clippy::print_stdout,
    reason = "the child passes the figure to its parent, and the parent prints it for the log"
)]
fn assert_needs_little_memory(test: &str, seed: &str, write: fn(&mut dyn std::io::Write, &str)) {
    let provision = |dir: &std::path::Path, seeds: bool| {
        let builder = ebbtide::Harness::builder().config_file(dir.join("ebbtide.toml"));
        let builder = builder.migrations(dir.join("migrations"));
        let builder = if seeds {
            builder.seeds(dir.join("seeds"))
        } else {
            builder.without_seeds()
        };
        let runtime = current_thread_runtime();
        runtime.block_on(provision_report(builder))
    };
    // In a child process, because the peak is measured for the whole process.
    if let Some(dir) = crate::support::child_process::child_role() {
        let dir = std::path::PathBuf::from(dir);
        provision(&dir, false);
        let before = peak_kilobytes();
        let report = provision(&dir, true);
        assert_eq!(report.rows["users"], ROWS);
        return println!("grown by {} kB", peak_kilobytes() - before);
    }
    let scratch = seeded(seed, "");
    // Different contents in each run, so that no template exists yet.
    let name = format!("{}-{}", std::process::id(), "x".repeat(85));
    let path = scratch.path("seeds").join(seed);
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    write(&mut file, &name);
    drop(file);
    let megabytes = std::fs::metadata(&path).unwrap().len() / 1_000_000;
    assert!((48..60).contains(&megabytes), "{megabytes} MB");
    let child =
        crate::support::child_process::test_command_as(scratch.path("").to_str().unwrap(), test)
            .output()
            .unwrap();
    let stdout = crate::support::child_process::assert_passed(&child);
    let (_, grown) = stdout.split_once("grown by ").unwrap();
    let kilobytes: u64 = grown.split(' ').next().unwrap().parse().unwrap();
    println!("a seed of {megabytes} MB: the process's peak memory has grown by {kilobytes} kB");
    assert!(kilobytes < 16_000, "{kilobytes} kB for {megabytes} MB");
}

/// The peak of this process's resident memory.
fn peak_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_seed_that_is_loaded_twice_inserts_its_rows_once() {
    let csv = "id,name\n1,Laura\n2,Ana\n3,Eva\n";
    let sql =
        "insert into users values (1, 'Laura'), (2, 'Ana'), (3, 'Eva') on conflict do nothing;\n";
    let json =
        r#"[{"id": 1, "name": "Laura"}, {"id": 2, "name": "Ana"}, {"id": 3, "name": "Eva"}]"#;
    for (name, text) in [("users.csv", csv), ("users.sql", sql), ("users.json", json)] {
        let scratch = seeded(&format!("010_{name}"), text);
        scratch.write(&format!("seeds/020_{name}"), text);
        let report = provision_report(scratch.builder()).await;
        let outcomes: Vec<String> = report
            .seeds
            .iter()
            .map(|seed| format!("{}: {seed}", seed.file))
            .collect();
        let first = format!("010_{name}: seeded 3 users, skipped 0");
        assert_eq!(
            outcomes,
            [first, format!("020_{name}: seeded 0 users, skipped 3")]
        );
        assert_eq!(report.rows["users"], 3);
    }
}

#[tokio::test]
async fn all_differences_from_the_expectations_are_reported_at_once() {
    let scratch = seeded("010_users.csv", "id,name\n1,Laura\n2,Ana\n");
    scratch.write(
        "migrations/2_mood.sql",
        "create type mood as enum ('calm', 'merry');\n",
    );
    let expecting = "[provision.expect]\ntables = [\"users\", \"visits\"]\nrows = { users = 3, packs = 2 }\n\
                     enums = { mood = [\"merry\", \"calm\"], size = [\"s\", \"m\"] }\n";
    scratch.write("ebbtide.toml", expecting);
    assert_report!(scratch, provision_error(scratch.builder()).await, Expectation, @r"
    the provisioned database differs from the expectations in 5 points
      differences:
        table visits is missing
        table packs is missing, expected with 2 rows
        table users has 2 rows, expected 3
        enum mood is (calm, merry), expected (merry, calm)
        enum size is missing, expected (s, m)
      help: correct the migrations or seeds; if the database is right, correct the expectations: [provision.expect] in ebbtide.toml, `expect(...)` at the test, `rename_all` on a Rust enum
    ");
}
