//! The remedy for statements that PostgreSQL refuses for a reason that its message does not name.

use ebbtide::ErrorKind;

use crate::support::Scratch;
use crate::support::reports::provision_error;

#[tokio::test]
async fn a_refused_statement_comes_with_a_remedy_in_one_sentence() {
    for (migration, remedy) in [
        (
            "create table t (); grant connect on database shop to public;",
            "a test's database has a name of its own: use current_database()",
        ),
        (
            "create table t (); alter database shop set jit = off;",
            "a test's database has a name of its own: use current_database()",
        ),
        (
            "create table t (); select * from shop.public.t;",
            "write schema.table, without a database",
        ),
        (
            "create table t (); alter table t owner to absent_role;",
            "create the role absent_role in a file of the bootstrap",
        ),
        (
            "create table t (); grant select on t to absent_role;",
            "pg_dump --no-owner --no-privileges",
        ),
        (
            "create table absent_schema.t ();",
            "create the schema absent_schema in an earlier migration",
        ),
        (
            "select set_config('search_path', '', true); create table t ();",
            "a statement before this one has emptied search_path",
        ),
        (
            "alter type mood add value 'wild'; create table t (m mood);\n\
             insert into t values ('wild');",
            "move ALTER TYPE .. ADD VALUE into an earlier migration of its own",
        ),
        (
            "create table t (a int); create index concurrently on t (a);",
            "put this statement alone into a file that runs outside of a transaction",
        ),
        (
            "-- no-transaction\ncreate table t (a int); create index concurrently on t (a);",
            "put this statement alone into a file that runs outside of a transaction",
        ),
        (
            "create table t (); vacuum;",
            "put this statement alone into a file that runs outside of a transaction",
        ),
    ] {
        let scratch = Scratch::new();
        scratch.write(
            "migrations/0_mood.sql",
            "create type mood as enum ('calm');",
        );
        scratch.write("migrations/1_t.sql", migration);
        let error = provision_error(scratch.builder()).await;
        assert_eq!(error.kind(), ErrorKind::Migration, "{migration}: {error:?}");
        let help = error.help().unwrap();
        assert!(help.contains(remedy), "{migration}: {error:?}");
        assert!(
            error.to_string().contains("1_t.sql:"),
            "{migration}: {error:?}"
        );
    }
}
