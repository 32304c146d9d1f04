//! Holes that affect the next test: what a session and a table keep after a rollback.

use sqlx::{Connection as _, PgConnection};

use crate::conformance::next_test::{next_test_verdict, on_a_new_copy};
use crate::conformance::table::{Kind, Verdict};
use crate::conformance::world::{ProbeTest, World};
use crate::support::sql::{code, number, run, text};

/// Hole 24.
pub(crate) async fn row_order(world: &World) -> Verdict {
    const NAMES: &str = "select string_agg(substr(name, 1, 3), ' ') from parents";
    let mut test = first_test(world).await;
    let database = test.database().await;
    // Leaves dead rows of different sizes on every page.
    let writes = "insert into parents (name) select n || repeat('x', 300 + n % 200) from generate_series(1, 600) n; \
                  delete from parents where id % 3 <> 0";
    test.run(writes).await.unwrap();
    test.end().await.unwrap();

    let mut next = world.next_on(&database).await;
    let is_same = next.database().await == database;
    let mut expected = Vec::new();
    for hundred in 1..=3 {
        let numbers = (hundred * 100)..((hundred + 1) * 100);
        let insert =
            "insert into parents (name) select n || repeat('y', n * 37 % 700) from generate_series";
        next.run(&format!(
            "{insert}({}, {}) n",
            numbers.start,
            numbers.end - 1
        ))
        .await
        .unwrap();
        expected.extend(numbers.map(|number| number.to_string()));
    }
    let found = text(&mut *next.session().await, NAMES).await;
    next.end().await.unwrap();
    next_test_verdict(found != expected.join(" "), is_same)
}

/// Hole 25.
pub(crate) async fn estimates(world: &World) -> Verdict {
    let mut test = first_test(world).await;
    let database = test.database().await;
    let before = plans(&mut *test.session().await).await;
    let writes = "insert into parents (name) select n::text from generate_series(1, 5000) n; analyze parents";
    test.run(writes).await.unwrap();
    test.end().await.unwrap();

    let mut next = world.next_on(&database).await;
    let is_same = next.database().await == database;
    let after = plans(&mut *next.session().await).await;
    next.end().await.unwrap();
    next_test_verdict(after != before, is_same)
}

/// The plans of three queries, with the planner's estimates.
async fn plans(session: &mut PgConnection) -> Vec<String> {
    let queries = [
        "select * from parents",
        "select * from parents where name = 'a'",
        "select distinct parent from children",
    ];
    let mut plans = Vec::new();
    for query in queries {
        let explain = sqlx::AssertSqlSafe(format!("explain {query}"));
        plans.extend(
            sqlx::query_scalar::<_, String>(explain)
                .persistent(false)
                .fetch_all(&mut *session)
                .await
                .unwrap(),
        );
    }
    plans
}

/// Starts a test that is the first one on its database. A plain transaction has no such database.
async fn first_test(world: &World) -> ProbeTest {
    match world.kind {
        Kind::Tx | Kind::Sandbox | Kind::Database => on_a_new_copy(world).await,
        Kind::SqlxTest | Kind::Plain => world.next().await,
    }
}

/// Hole 26.
pub(crate) async fn custom_settings(world: &World) -> Verdict {
    let mut test = world.next().await;
    let database = test.database().await;
    test.run("select set_config('app.tenant', '1', true)")
        .await
        .unwrap();
    test.end().await.unwrap();

    let mut next = world.next_on(&database).await;
    let is_same = next.database().await == database;
    let is_left = number(
        &mut *next.session().await,
        "select (current_setting('app.tenant', true) is not null)::int::int8",
    )
    .await;
    next.end().await.unwrap();
    match is_left {
        // A statement of the simple protocol leaves no trace in the session except the setting
        // itself.
        1 => world.kind.difference(),
        _ => next_test_verdict(false, is_same),
    }
}

/// Hole 27. Its world has the extension `dblink`, unless the server lacks it or the role may not
/// install it.
pub(crate) async fn loopback(world: &World) -> Verdict {
    const LINK: &str = "select dblink_exec(format('host=%s port=%s dbname=%s user=%s', \
        trim('\"' from split_part(current_setting('unix_socket_directories'), ',', 1)), current_setting('port'), current_database(), session_user), \
        'insert into parents (name) values (''by a link'')')";
    let mut test = world.next().await;
    let database = test.database().await;
    if number(
        &mut *test.session().await,
        "select count(*) from pg_extension where extname = 'dblink'",
    )
    .await
        == 0
    {
        test.end().await.unwrap();
        return Verdict::Unsupported;
    }
    let linked = test.run(LINK).await;
    let ended = test.end().await;
    match linked {
        // sqlclient_unable_to_establish_sqlconnection, or prohibited_sql_statement_attempted, which
        // dblink raises when a role without superuser rights connects without a password.
        Err(error) if matches!(&*code(&error), "08001" | "2F003") => return Verdict::Unsupported,
        linked => linked.unwrap(),
    }
    if let Err(error) = ended {
        assert!(error.help().is_some(), "{error:?}");
    }
    let mut next = world.next_on(&database).await;
    let is_same = next.database().await == database;
    let is_left = number(&mut *next.session().await, "select count(*) from parents").await > 0;
    next.end().await.unwrap();
    next_test_verdict(is_left, is_same)
}

/// Hole 28.
pub(crate) async fn stale_url(world: &World) -> Verdict {
    let mut test = world.next().await;
    let (database, options) = (test.database().await, test.second_options());
    test.end().await.unwrap();
    // Connects between two tests. `read write` overrides the session's default.
    if let Ok(mut late) = PgConnection::connect_with(&options).await {
        // May fail: the next test checks what is left.
        let _ = run(
            &mut late,
            "begin read write; insert into parents (name) values ('late'); commit",
        )
        .await;
        // Fails if the session has been terminated.
        let _ = late.close().await;
    }

    let mut next = world.next_on(&database).await;
    let (is_same, oid) = (next.database().await == database, next.oid().await);
    let is_left = number(&mut *next.session().await, "select count(*) from parents").await > 0;
    let reaches_next_test = match PgConnection::connect_with(&options).await {
        Err(_) => false,
        Ok(mut stale) => {
            let query = "select oid::int8 from pg_database where datname = current_database()";
            let stale_oid: Result<i64, sqlx::Error> =
                sqlx::query_scalar(query).fetch_one(&mut stale).await;
            // See above.
            let _ = stale.close().await;
            stale_oid.is_ok_and(|stale_oid| stale_oid == oid)
        }
    };
    next.end().await.unwrap();
    match world.kind {
        // Such a session is read-only by default, and the next test's rows are not committed.
        Kind::Tx | Kind::Sandbox if reaches_next_test && !is_left => world.kind.difference(),
        _ => next_test_verdict(is_left || reaches_next_test, is_same),
    }
}

/// Hole 30.
pub(crate) async fn beyond_reset(world: &World) -> Verdict {
    let mut test = world.next().await;
    let database = test.database().await;
    let repeated: Vec<String> = {
        let mut session = test.session().await;
        // Without superuser rights, LOAD accepts only libraries in `$libdir/plugins`.
        let begun = session.begin().await;
        let mut loading = begun.unwrap();
        match run(&mut loading, "load 'auto_explain'").await {
            Ok(()) => loading.commit().await.unwrap(),
            Err(_) => loading.rollback().await.unwrap(),
        }
        run(&mut session, "select setseed(0.42)").await.unwrap();
        let random = "select random()::text from generate_series(1, 100)";
        let repeated = sqlx::query_scalar(random)
            .fetch_all(&mut *session)
            .await
            .unwrap();
        run(&mut session, "select setseed(0.42)").await.unwrap();
        repeated
    };
    test.end().await.unwrap();

    let mut next = world.next_on(&database).await;
    let is_same = next.database().await == database;
    let random = text(&mut *next.session().await, "select random()::text").await;
    let libraries = "select count(*) from pg_settings where name like 'auto\\_explain.%'";
    let is_loaded = number(&mut *next.session().await, libraries).await > 0;
    next.end().await.unwrap();
    next_test_verdict(repeated.contains(&random) || is_loaded, is_same)
}
