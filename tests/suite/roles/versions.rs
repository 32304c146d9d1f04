//! Databases at an old version: migrated by the owner, used by the application's role.

use std::sync::{Arc, Mutex};

use ebbtide::{Setup, VersionStep};

use super::{OWNER, code, number, run, text};
use crate::support::Scratch;

#[tokio::test]
async fn the_owner_migrates_and_the_role_gets_its_privileges() {
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_notes.sql",
        "create table notes (id int, body text);",
    );
    scratch.write(
        "migrations/2_tags.sql",
        "create table tags (made_by text default session_user); insert into tags default values;",
    );
    let harness = super::builder(&scratch)
        .build()
        .unwrap()
        .with_setup(Setup::new().migrations_up_to(1));
    let database = harness.database().await.unwrap();
    let mut session = database.pool().acquire().await.unwrap();
    run(&mut session, "insert into notes values (1, 'old')")
        .await
        .unwrap();
    // undefined_table
    assert_eq!(code(run(&mut session, "select from tags").await), "42P01");
    database.migrate().await.unwrap();
    assert_eq!(text(&mut session, "select made_by from tags").await, OWNER);
    assert_eq!(number(&mut session, "select count(*) from notes").await, 1);
    // insufficient_privilege
    assert_eq!(code(run(&mut session, "drop table tags").await), "42501");
    drop(session);
    database.close().await.unwrap();
}

#[tokio::test]
async fn each_version_is_migrated_by_the_owner() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_a.sql", "create table a ();");
    scratch.write("migrations/2_b.sql", "create table b ();");
    let harness = super::builder(&scratch).build().unwrap();
    let owners = "select coalesce(string_agg(distinct pg_get_userbyid(relowner)::text, ', '), 'none') \
        from pg_class where relname in ('a', 'b')";
    let seen = Arc::new(Mutex::new(Vec::new()));
    let for_check = Arc::clone(&seen);
    let check = move |step: VersionStep| {
        let seen = Arc::clone(&for_check);
        async move {
            let mut session = step.pool().acquire().await?;
            let found = text(&mut session, owners).await;
            seen.lock().unwrap().push(found);
            Ok::<(), sqlx::Error>(())
        }
    };
    harness.each_version(check).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), ["none", OWNER, OWNER]);
}
