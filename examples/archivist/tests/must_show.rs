//! The error that SQLite did not detect, and the database features that the archive needs.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::TcpListener;
use std::process::Command;

use ebbtide::config::Expect;
use ebbtide::{Database, ErrorKind, Harness, PgEnum as _, Sandbox, Setup, Tx};
use ebbtide_example_archivist::{
    Output, OutputStatus, OutputType, Request, RequestError, StyleType, UserRole,
};
use ebbtide_example_archivist::{
    act_as, before, begin_conversation, documents_by_title, documents_of, handle, messages,
    resubmittable,
};
use sqlx::PgPool;

const WRITER: &str = "writer@archive.example";
const SECOND_WRITER: &str = "second.writer@archive.example";
const EDITOR: &str = "editor@archive.example";
const ADMIN: &str = "admin@archive.example";

const TABLES: [&str; 13] = [
    "alembic_version",
    "audit_log",
    "conversations",
    "document_programs",
    "document_tags",
    "documents",
    "messages",
    "outputs",
    "prompt_templates",
    "system_config",
    "user_sessions",
    "users",
    "writing_styles",
];

async fn drafted(pool: &PgPool) -> Output {
    let create = Request::Create {
        kind: OutputType::GrantProposal,
        title: "Books for Everyone".into(),
    };
    handle(pool, WRITER, &create).await.unwrap()
}

async fn submitted(pool: &PgPool) -> Output {
    let draft = drafted(pool).await;
    handle(pool, WRITER, &Request::Submit { id: draft.id })
        .await
        .unwrap()
}

fn edit(output: &Output) -> Request {
    Request::Edit {
        id: output.id,
        content: "Every branch library needs new books.".into(),
    }
}

fn award(output: &Output) -> Request {
    Request::Award {
        id: output.id,
        amount: "25000.00".into(),
        decided_on: "2026-03-02".into(),
    }
}

/// The status code of the response.
async fn status(pool: &PgPool, email: &str, request: &Request) -> u16 {
    handle(pool, email, request)
        .await
        .map_or_else(|error| error.status(), |_| 200)
}

#[ebbtide::test(savepoints)]
async fn the_database_rejects_a_role_that_is_sent_as_its_variants_name(mut tx: Tx) {
    let insert = "insert into users (email, role) values ('new@archive.example', $1)";
    let error = sqlx::query(insert)
        .bind(before::UserRole::Admin)
        .execute(&mut *tx)
        .await
        .unwrap_err();
    let message = error.as_database_error().unwrap().message();
    assert_eq!(message, "invalid input value for enum userrole: \"ADMIN\"");
    sqlx::query(insert)
        .bind(UserRole::Admin)
        .execute(&mut *tx)
        .await
        .unwrap();
}

#[tokio::test]
async fn different_labels_are_reported_with_both_lists_before_any_test_runs() {
    let harness = Harness::builder()
        .expect(Expect::new().enum_of::<before::UserRole>())
        .build()
        .unwrap();
    // No kind of test gets a database.
    let error = harness.tx().await.expect_err("the labels differ");
    assert_eq!(
        harness
            .database()
            .await
            .expect_err("the labels differ")
            .kind(),
        ErrorKind::Expectation
    );
    assert_eq!(error.kind(), ErrorKind::Expectation);
    let report = format!("{error:?}");
    for line in [
        "enum userrole and ebbtide_example_archivist::before::UserRole have different labels",
        "Rust has: WRITER, EDITOR, ADMIN",
        "the database has: writer, editor, admin",
        "spelt differently: WRITER / writer, EDITOR / editor, ADMIN / admin",
    ] {
        assert!(
            report.lines().any(|found| found.trim() == line),
            "{line}: {report}"
        );
    }
}

#[ebbtide::test(expect(enums(before::UserRole)))]
#[should_panic(expected = "the test has not begun")]
async fn a_test_that_expects_the_wrong_labels_does_not_begin(_tx: Tx) {
    // If the body ran, it would not panic, and `should_panic` would fail the test.
}

#[ebbtide::test(expect(enums(UserRole, OutputType, OutputStatus, StyleType)))]
async fn the_four_rust_enums_have_the_databases_labels(mut tx: Tx) {
    for (name, labels) in [
        (UserRole::NAME, UserRole::LABELS),
        (OutputType::NAME, OutputType::LABELS),
        (OutputStatus::NAME, OutputStatus::LABELS),
        (StyleType::NAME, StyleType::LABELS),
    ] {
        let found: Vec<String> = sqlx::query_scalar(
            "select enumlabel::text from pg_enum where enumtypid = $1::regtype order by enumsortorder",
        )
        .bind(name)
        .fetch_all(&mut *tx)
        .await
        .unwrap();
        assert_eq!(found, labels, "{name}");
    }
    let enums: i64 = sqlx::query_scalar("select count(*) from pg_type where typtype = 'e'")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(enums, 4);
}

#[tokio::test]
async fn enums_are_created_once_even_if_their_migration_runs_repeatedly() {
    let enums = include_str!("../migrations/20251002090000_enums.sql");
    let harness = ebbtide::Harness::shared()
        .unwrap()
        // The application's role may not create types.
        .as_role("archive_owner")
        .with_setup(Setup::new().without_migrations());
    let database = harness.database().await.unwrap();
    let pool = database.pool();
    // A partially restored database: one enum exists and must keep its labels.
    sqlx::raw_sql("create type userrole as enum ('writer', 'editor', 'admin')")
        .execute(&pool)
        .await
        .unwrap();
    for _ in 0..3 {
        sqlx::raw_sql(enums).execute(&pool).await.unwrap();
    }
    let labels: Vec<String> = sqlx::query_scalar(
        "select typname || ' ' || string_agg(enumlabel, ',' order by enumsortorder) \
         from pg_enum join pg_type on pg_type.oid = enumtypid group by typname order by typname",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(
        labels,
        [
            "outputstatus draft,submitted,pending,awarded,not_awarded",
            "outputtype grant_proposal,letter_of_inquiry,grant_report,other",
            "styletype narrative,technical,persuasive,academic,other",
            "userrole writer,editor,admin",
        ]
    );
    let versions: i64 = sqlx::query_scalar("select count(*) from alembic_version")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(versions, 1);
    database.close().await.unwrap();
}

#[ebbtide::test]
async fn the_thirteen_tables_exist_and_alembics_revision_is_recorded(mut tx: Tx) {
    let tables: Vec<String> = sqlx::query_scalar(
        "select tablename::text from pg_tables where schemaname = 'public' and tablename <> '_sqlx_migrations' order by 1",
    )
    .fetch_all(&mut *tx)
    .await
    .unwrap();
    assert_eq!(tables, TABLES);
    let revision: String = sqlx::query_scalar("select version_num from alembic_version")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(revision, "c41f77d02e9b");
}

#[ebbtide::test]
async fn searches_ignore_the_case_of_titles_and_find_funders_in_jsonb(mut tx: Tx) {
    assert_eq!(
        documents_by_title(&mut tx, "wAtEr").await.unwrap(),
        ["Letter to the Water Trust"]
    );
    assert_eq!(documents_by_title(&mut tx, "%").await.unwrap(), [""; 0]);
    let found = documents_of(&mut tx, "Water Trust").await.unwrap();
    assert_eq!(
        found,
        ["Letter to the Water Trust", "River Clean-up Proposal"]
    );
    assert_eq!(
        resubmittable(&mut tx).await.unwrap(),
        ["River Clean-up Proposal"]
    );
}

#[ebbtide::test(savepoints)]
async fn a_fiscal_year_after_the_next_one_violates_the_check(mut tx: Tx) {
    let insert = "insert into documents (title, fiscal_year, received_at) values ($1, $2, '2025-06-01 12:00+00')";
    sqlx::query(insert)
        .bind("Next year's")
        .bind(2026)
        .execute(&mut *tx)
        .await
        .unwrap();
    let error = sqlx::query(insert)
        .bind("Too early")
        .bind(2027)
        .execute(&mut *tx)
        .await
        .unwrap_err();
    assert_eq!(
        error.as_database_error().unwrap().constraint(),
        Some("documents_fiscal_year_check")
    );
}

#[ebbtide::test]
async fn an_output_is_created_edited_and_awarded(sandbox: Sandbox) {
    let draft = drafted(&sandbox).await;
    assert_eq!(
        (draft.id, draft.owner.as_str(), draft.status),
        (1, WRITER, OutputStatus::Draft)
    );
    assert_eq!(draft.kind, OutputType::GrantProposal);
    let edited = handle(&sandbox, WRITER, &edit(&draft)).await.unwrap();
    assert_eq!(edited.content, "Every branch library needs new books.");
    let sent = handle(&sandbox, WRITER, &Request::Submit { id: draft.id })
        .await
        .unwrap();
    assert_eq!(sent.status, OutputStatus::Submitted);
    let awarded = handle(&sandbox, EDITOR, &award(&draft)).await.unwrap();
    assert_eq!(
        (awarded.status, awarded.amount_awarded.as_deref()),
        (OutputStatus::Awarded, Some("25000.00"))
    );

    let log: Vec<String> = sqlx::query_scalar(
        "select action || ' ' || (details ->> 'output') from audit_log order by id",
    )
    .fetch_all(&*sandbox)
    .await
    .unwrap();
    assert_eq!(log, ["create 1", "edit 1", "submit 1", "award 1"]);
}

#[ebbtide::test]
async fn who_may_edit_depends_on_role_and_owner(sandbox: Sandbox) {
    let draft = drafted(&sandbox).await;
    for (email, expected) in [
        (WRITER, 200),
        (SECOND_WRITER, 403),
        (EDITOR, 200),
        (ADMIN, 200),
        ("unknown@archive.example", 401),
    ] {
        assert_eq!(
            status(&sandbox, email, &edit(&draft)).await,
            expected,
            "{email}"
        );
    }
    let error = handle(&sandbox, SECOND_WRITER, &edit(&draft))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the role Writer does not permit this request"
    );
}

#[ebbtide::test]
async fn who_may_award_depends_on_the_role_alone(sandbox: Sandbox) {
    for (email, expected) in [
        (WRITER, 403),
        (SECOND_WRITER, 403),
        (EDITOR, 200),
        (ADMIN, 200),
    ] {
        let output = submitted(&sandbox).await;
        assert_eq!(
            status(&sandbox, email, &award(&output)).await,
            expected,
            "{email}"
        );
    }
}

#[ebbtide::test]
async fn a_submitted_output_cannot_be_edited_and_a_draft_cannot_be_awarded(sandbox: Sandbox) {
    let draft = drafted(&sandbox).await;
    assert_eq!(status(&sandbox, EDITOR, &award(&draft)).await, 409);
    let sent = submitted(&sandbox).await;
    assert_eq!(status(&sandbox, WRITER, &edit(&sent)).await, 409);
    assert_eq!(
        status(&sandbox, EDITOR, &Request::Submit { id: 999 }).await,
        404
    );
}

#[ebbtide::test]
async fn an_award_decided_at_a_weekend_is_rejected_and_writes_nothing(sandbox: Sandbox) {
    let sent = submitted(&sandbox).await;
    let sunday = Request::Award {
        id: sent.id,
        amount: "25000.00".into(),
        decided_on: "2026-03-01".into(),
    };
    let error = handle(&sandbox, EDITOR, &sunday).await.unwrap_err();
    assert!(
        matches!(&error, RequestError::Invalid(rule) if rule == "outputs_decided_on_check"),
        "{error:?}"
    );
    assert_eq!(error.status(), 422);
    let row: (OutputStatus, i64) = sqlx::query_as(
        "select status, (select count(*) from audit_log where action = 'award') from outputs where id = $1",
    )
    .bind(sent.id)
    .fetch_one(&*sandbox)
    .await
    .unwrap();
    assert_eq!(row, (OutputStatus::Submitted, 0));
}

#[tokio::test]
async fn each_test_is_rolled_back() {
    let harness = ebbtide::Harness::shared().unwrap();
    for _ in 0..3 {
        let sandbox = harness.sandbox().await.unwrap();
        let outputs: i64 = sqlx::query_scalar("select count(*) from outputs")
            .fetch_one(&*sandbox)
            .await
            .unwrap();
        assert_eq!(outputs, 0);
        // The application commits, and yet the next sandbox has the first id again.
        assert_eq!(submitted(&sandbox).await.id, 1);
        sandbox.close().await.unwrap();
    }
}

/// Two users begin a conversation each.
async fn two_conversations(tx: &mut Tx) {
    for email in [WRITER, EDITOR] {
        act_as(tx, email).await.unwrap();
        begin_conversation(tx, email).await.unwrap();
    }
}

#[ebbtide::test]
async fn a_user_sees_only_their_own_conversations(mut tx: Tx) {
    two_conversations(&mut tx).await;
    assert_eq!(messages(&mut tx).await.unwrap(), [EDITOR]);
    act_as(&mut tx, WRITER).await.unwrap();
    assert_eq!(messages(&mut tx).await.unwrap(), [WRITER]);
}

/// A test of code that forgets the user: it expects that all messages can be listed.
async fn list_without_user(mut tx: Tx) {
    two_conversations(&mut tx).await;
    sqlx::query("select set_config('archive.user', '', true)")
        .execute(&mut *tx)
        .await
        .unwrap();
    assert_eq!(
        messages(&mut tx).await.unwrap(),
        [WRITER, EDITOR],
        "all messages are listed"
    );
}

#[ebbtide::test]
#[should_panic(expected = "all messages are listed")]
async fn code_that_forgets_the_user_fails_as_the_application(tx: Tx) {
    list_without_user(tx).await;
}

// The same test is green for a superuser, to whom no policy applies.
#[ebbtide::test(role = "postgres")]
async fn code_that_forgets_the_user_passes_as_a_superuser(tx: Tx) {
    list_without_user(tx).await;
}

#[test]
fn production_gets_no_connection_and_its_credentials_are_not_used() {
    // The listener is in place of production's server, and would accept any connection.
    let production = TcpListener::bind("127.0.0.1:0").unwrap();
    production.set_nonblocking(true).unwrap();
    let port = production.local_addr().unwrap().port();
    let output = Command::new(env!("CARGO_BIN_EXE_ebbtide-example-archivist"))
        .env(
            "DATABASE_URL",
            format!("postgres://archivist:pr0duction@127.0.0.1:{port}/archive"),
        )
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{stdout}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let place = stdout.lines().next().unwrap();
    assert!(
        place.starts_with("tests get the database ebbtide_"),
        "{place}"
    );
    assert!(
        !place.contains(" archivist ") && !place.contains(&format!(":{port}")),
        "{place}"
    );
    assert!(
        !stdout.contains("pr0duction") && !stdout.contains("/archive"),
        "{stdout}"
    );
    assert_eq!(
        production.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
}

#[ebbtide::test]
async fn a_test_database_does_not_have_productions_name_or_credentials(database: Database) {
    let production =
        url::Url::parse("postgres://archivist:pr0duction@127.0.0.1:5432/archive").unwrap();
    let test = url::Url::parse(database.url()).unwrap();
    assert!(test.path().starts_with("/ebbtide_"), "{test}");
    assert_ne!(test.path(), production.path());
    assert_ne!(
        (test.username(), test.password()),
        (production.username(), production.password())
    );
}
