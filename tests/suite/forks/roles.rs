//! Forks and checkpoints of a database whose sessions log in as the application's role.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::roles::{APP, OWNER, builder};
use crate::support::Scratch;
use crate::support::pool_sql::{number, run};

const MIGRATION: &str = "
    create table notes (id bigint generated always as identity primary key, body text not null);
    do $$ begin
        execute format('alter database %I set work_mem = ''5MB''', current_database());
    end $$;
";

const LOGIN: &str = "select concat_ws(' ', session_user, current_setting('work_mem'), \
    pg_get_userbyid(datdba)) from pg_database where datname = current_database()";

#[tokio::test]
async fn sessions_of_a_fork_log_in_as_those_of_its_source() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_notes.sql", MIGRATION);
    let harness = builder(&scratch).build().unwrap();
    let source = harness.database().await.unwrap();
    let insert = "insert into notes (body) values ('x')";
    run(&source.pool(), insert).await;
    let checkpoint = source.checkpoint().await.unwrap();
    let fork = source.fork().await.unwrap();
    run(&source.pool(), insert).await;
    source.rewind_to(&checkpoint).await.unwrap();
    for database in [&source, &fork] {
        let mut session = PgConnection::connect(database.url()).await.unwrap();
        let login: String = sqlx::query_scalar(LOGIN)
            .fetch_one(&mut session)
            .await
            .unwrap();
        assert_eq!(login, format!("{APP} 5MB {OWNER}"));
        session.close().await.unwrap();
        assert_eq!(
            number(&database.pool(), "select count(*) from notes").await,
            1
        );
        run(&database.pool(), insert).await;
        assert_eq!(
            number(&database.pool(), "select max(id) from notes").await,
            2
        );
        let refused = sqlx::raw_sql("drop table notes")
            .execute(&database.pool())
            .await;
        assert_eq!(crate::support::sql::code(&refused.unwrap_err()), "42501");
    }
}
