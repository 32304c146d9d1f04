//! The lines on stderr about a directory of migrations, written while a template is built.

use ebbtide::Harness;

use crate::support::Scratch;
use crate::support::child_process::{child_role, test_command_as, this_test};

/// A child process builds the template, because the lines do not go through the test's capture.
#[tokio::test]
async fn what_is_not_applied_and_what_looks_like_a_space_is_reported_once_while_building() {
    if let Some(dir) = child_role() {
        let builder = Harness::builder().config_file(format!("{dir}/ebbtide.toml"));
        let builder = builder
            .migrations(format!("{dir}/migrations"))
            .without_seeds();
        builder.build().unwrap().provision().await.unwrap();
        return;
    }
    let scratch = Scratch::new();
    // Unique content: an existing template would not be built.
    let id = uuid::Uuid::new_v4();
    scratch.write(
        "migrations/1_users.sql",
        &format!("create table users (id int,\n  name\u{a0} text);\n-- {id}\n"),
    );
    scratch.write("migrations/2_pets.sql.bak", "no sql");
    let root = scratch.path("").display().to_string();
    let lines = || {
        let child = test_command_as(root.trim_end_matches('/'), this_test!())
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        let lines = String::from_utf8(child.stderr).unwrap();
        let lines = lines.lines().filter(|line| line.contains("/migrations"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let dir = scratch.path("migrations").display().to_string();
    let naming =
        "sqlx migrations are named VERSION_description.sql, or .up.sql and .down.sql in pairs";
    assert_eq!(
        lines(),
        [
            format!("ebbtide: {dir} has entries that are not applied: 2_pets.sql.bak ({naming})"),
            format!(
                "ebbtide: a no-break space (U+00A0) at {dir}/1_users.sql:2:7 is a part of a name, \
                 because PostgreSQL does not read it as white space"
            ),
        ]
    );
    assert!(lines().is_empty(), "the template is built once");
    scratch.write("migrations/old/0_a.sql", "no sql");
    assert_eq!(lines().len(), 2, "a new entry is reported");
}
