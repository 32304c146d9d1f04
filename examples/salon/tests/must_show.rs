//! The salon's former errors, which are now reported, and the database features that its assistant
//! needs.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use ebbtide::{Error, ErrorKind};

use ebbtide::config::Builder;
use ebbtide_example_salon::{
    Assistant, BookingRequest, Customer, Error as BookingError, FIND_SERVICE, Intent, Scripted,
};
use ebbtide_example_salon::{book, find_service};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use support::{Files, Salon, has_uuid_ossp, paths_in};

/// The migration with the index that needs `pg_trgm`.
const CATALOGUE: &str = "20250303090000_catalogue.up.sql";

fn laura() -> Customer {
    Customer {
        phone: "+34612000001".into(),
        first_name: "Laura".into(),
        last_name: "García".into(),
    }
}

fn request(service: &str, stylist: &str) -> BookingRequest {
    BookingRequest {
        service: service.into(),
        stylist: stylist.into(),
        start: "2026-03-02 10:00".into(),
    }
}

async fn appointments(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from appointments")
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn provision_error(builder: Builder) -> Error {
    builder
        .build()
        .unwrap()
        .provision()
        .await
        .expect_err("provisioning must fail")
}

#[tokio::test]
async fn an_undeclared_pg_trgm_is_an_error_whose_help_is_to_declare_it() {
    let files = Files::copy().await;
    let error = provision_error(files.builder()).await;
    let (message, help) = (error.to_string(), error.help().unwrap());
    assert_eq!(error.kind(), ErrorKind::Migration, "{error:?}");
    assert!(
        message.contains(CATALOGUE) && message.contains("\"gin_trgm_ops\" does not exist"),
        "{message}"
    );
    assert!(
        format!("{error:?}").contains("CREATE INDEX idx_services_name_trgm"),
        "{error:?}"
    );
    assert!(help.contains("extensions = [\"pg_trgm\"]"), "{help}");
}

#[tokio::test]
async fn a_failed_migration_leaves_no_database_behind() {
    let files = Files::copy().await;
    let mark = uuid::Uuid::new_v4().simple().to_string();
    files.write("migrations/2_mark.up.sql", &migration_with_mark(&mark));
    let error = provision_error(files.builder()).await;
    assert!(error.to_string().contains(CATALOGUE), "{error:?}");

    // The control: the query below finds the mark of a database that exists.
    files.write(
        "migrations/2_mark.up.sql",
        &migration_with_mark("a mark that stays"),
    );
    let harness = files.builder().extension("pg_trgm").build().unwrap();
    let mut tx = harness.tx().await.unwrap();
    let marked: Vec<String> = sqlx::query_scalar(
        "select distinct mark from pg_db_role_setting, unnest(setconfig) as mark \
         where mark in ('application_name=a mark that stays', 'application_name=' || $1)",
    )
    .bind(mark)
    .fetch_all(&mut *tx)
    .await
    .unwrap();
    tx.close().await.unwrap();
    assert_eq!(marked, ["application_name=a mark that stays"]);
}

/// A migration that marks its database with a setting. It is committed before the index fails.
///
/// The catalog `pg_db_role_setting` belongs to the whole server, and a database's settings disappear
/// with it: <https://www.postgresql.org/docs/current/catalog-pg-db-role-setting.html>.
fn migration_with_mark(mark: &str) -> String {
    format!(
        "create table marked (id int); do $$ begin execute format( \
         'alter database %I set application_name = ''{mark}''', current_database()); end $$;"
    )
}

#[tokio::test]
async fn the_error_for_a_missing_extension_names_its_package() {
    let files = Files::copy().await;
    let error = provision_error(
        files
            .builder()
            .extension("pg_trgm")
            .extension("no_such_extension"),
    )
    .await;
    assert_eq!(error.kind(), ErrorKind::ExtensionUnavailable, "{error:?}");
    assert!(
        error
            .to_string()
            .ends_with("does not have the extension no_such_extension"),
        "{error}"
    );
    let help = error.help().unwrap();
    assert!(
        help.contains("a package like `postgresql-") && help.contains("-no_such_extension`"),
        "{help}"
    );
}

#[tokio::test]
async fn both_extensions_are_verified_or_the_error_names_the_missing_ones_package() {
    // On a server without uuid-ossp, this function asserts the error's message.
    let has_both = has_uuid_ossp().await;
    match ebbtide::Harness::shared().unwrap().provision().await {
        Ok(template) => {
            let found = template.provisioned.extensions;
            assert_eq!(found["uuid-ossp"], "1.1");
            assert!(found["pg_trgm"].starts_with("1."), "{found:?}");
        }
        Err(error) => assert!(
            !has_both && error.kind() == ErrorKind::ExtensionUnavailable,
            "{error:?}"
        ),
    }
}

#[tokio::test]
async fn migrations_that_create_no_table_are_an_error() {
    let files = Files::copy().await;
    let mut whole = String::new();
    for path in paths_in(&files.path("migrations")) {
        if path.to_string_lossy().ends_with(".up.sql") {
            whole.push_str(&std::fs::read_to_string(&path).unwrap());
        }
        std::fs::remove_file(path).unwrap();
    }
    // The salon's error: the time zone was set outside of the migration's transaction, and only the
    // ledger was committed.
    whole.push_str("\nROLLBACK;\nSET timezone = 'Europe/Madrid';\nBEGIN;\n");
    files.write("migrations/1_salon.sql", &whole);
    let error = provision_error(files.builder().extension("pg_trgm")).await;
    assert_eq!(error.kind(), ErrorKind::NothingMigrated, "{error:?}");
    assert_eq!(
        error.to_string(),
        "the ledger lists 1 as applied, but the database has no table"
    );
    assert!(
        error.help().unwrap().contains("ends its own transaction"),
        "{error:?}"
    );
}

#[tokio::test]
async fn seeds_that_run_twice_add_nothing_and_report_the_skipped_rows() {
    let files = Files::copy().await;
    for path in paths_in(&files.path("seeds")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        // The prefix sorts the copies after all originals, in the same order.
        std::fs::copy(&path, files.path("seeds").join(format!("1{name}"))).unwrap();
    }
    let harness = files.builder().extension("pg_trgm").build().unwrap();
    let built = harness.provision().await.unwrap().provisioned;
    let reports: Vec<String> = built.seeds.iter().map(ToString::to_string).collect();
    assert_eq!(
        reports,
        [
            "seeded 5 stylists, skipped 0",
            "seeded 15 services, skipped 0",
            "seeded 2 packs, skipped 0",
            "seeded 7 policies, skipped 0",
            "seeded 0 stylists, skipped 5",
            "seeded 0 services, skipped 15",
            "seeded 0 packs, skipped 2",
            "seeded 0 policies, skipped 7",
        ]
    );
    assert_eq!(
        (
            built.rows.len(),
            built.rows["services"],
            built.rows["packs"]
        ),
        (7, 15, 2)
    );
}

#[tokio::test]
async fn a_pack_whose_services_are_missing_is_reported_and_not_inserted() {
    let files = Files::copy().await;
    files.remove("seeds/020_services.csv");
    let error = provision_error(files.builder().extension("pg_trgm")).await;
    let report = format!("{error:?}");
    assert_eq!(error.kind(), ErrorKind::Seed, "{report}");
    assert!(
        report.contains("030_packs.sql")
            && report.contains("includes a service that does not exist"),
        "{report}"
    );
    assert!(
        report.contains("Insert the services before the packs"),
        "{report}"
    );
}

#[ebbtide::test]
async fn a_valid_pack_in_a_statement_with_an_invalid_one_is_not_inserted(salon: Salon) {
    let mut transaction = salon.begin().await.unwrap();
    let error = sqlx::query(
        "insert into packs (name, price, included_service_ids) values \
         ('Corte', 20, array(select id from services where name = 'Corte de Caballero')), \
         ('Novia', 90, array[uuid_generate_v4()])",
    )
    .execute(&mut *transaction)
    .await
    .unwrap_err();
    transaction.rollback().await.unwrap();
    assert!(
        error
            .to_string()
            .contains("pack \"Novia\" includes a service that does not exist"),
        "{error}"
    );
    let packs: i64 = sqlx::query_scalar("select count(*) from packs")
        .fetch_one(&*salon)
        .await
        .unwrap();
    assert_eq!(packs, 2);
}

#[ebbtide::test]
async fn a_misspelt_service_is_found_through_the_index(salon: Salon) {
    let mut connection = salon.acquire().await.unwrap();
    let found = find_service(&mut connection, "Corte de Cabalero")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.name.as_str(), found.price.as_str()),
        ("Corte de Caballero", "15.00")
    );
    assert_eq!(
        find_service(&mut connection, "Reparación de coches")
            .await
            .unwrap(),
        None
    );

    // Fifteen rows fit on one page, for which the planner prefers a sequential scan.
    sqlx::raw_sql("set local enable_seqscan = off")
        .execute(&mut *connection)
        .await
        .unwrap();
    let explain = AssertSqlSafe(format!("explain {FIND_SERVICE}"));
    let plan: Vec<String> = sqlx::query_scalar(explain)
        .bind("Corte de Cabalero")
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    assert!(
        plan.iter()
            .any(|line| line.contains("Index Scan on idx_services_name_trgm")),
        "{plan:#?}"
    );
}

#[ebbtide::test]
async fn a_test_books_an_appointment_and_sees_it(salon: Salon) {
    assert_eq!(appointments(&salon).await, 0);
    let mut connection = salon.acquire().await.unwrap();
    let booked = book(
        &mut connection,
        &laura(),
        &request("corte de cabalero", "Marta"),
    )
    .await
    .unwrap();
    drop(connection);
    // In every test, the identity column starts at 1.
    assert_eq!(
        (booked.id, booked.service.name.as_str()),
        (1, "Corte de Caballero")
    );
    assert_eq!(booked.end, "2026-03-02 10:30");
    assert_eq!(appointments(&salon).await, 1);
}

#[ebbtide::test]
async fn another_sandbox_does_not_see_the_appointment(salon: Salon, next: Salon) {
    let mut connection = salon.acquire().await.unwrap();
    book(&mut connection, &laura(), &request("Manicura", "Rosa"))
        .await
        .unwrap();
    drop(connection);
    assert_eq!(
        (appointments(&salon).await, appointments(&next).await),
        (1, 0)
    );
}

#[tokio::test]
async fn an_appointment_is_gone_when_the_same_database_is_used_again() {
    let files = Files::copy().await;
    let harness = files.builder().extension("pg_trgm").build().unwrap();
    for _ in 0..3 {
        let sandbox = harness.sandbox().await.unwrap();
        assert_eq!(appointments(&sandbox).await, 0);
        let mut connection = sandbox.acquire().await.unwrap();
        book(
            &mut connection,
            &laura(),
            &request("Tinte Completo", "Harol"),
        )
        .await
        .unwrap();
        drop(connection);
        assert_eq!(appointments(&sandbox).await, 1);
        sandbox.close().await.unwrap();
    }
}

#[ebbtide::test]
async fn a_taken_slot_and_a_service_of_another_trade_write_nothing(salon: Salon) {
    let mut connection = salon.acquire().await.unwrap();
    book(&mut connection, &laura(), &request("Manicura", "Rosa"))
        .await
        .unwrap();
    let ana = Customer {
        phone: "+34612000002".into(),
        first_name: "Ana".into(),
        last_name: "Ruiz".into(),
    };
    let taken = book(&mut connection, &ana, &request("Pedicura", "Rosa"))
        .await
        .unwrap_err();
    assert!(
        matches!(&taken, BookingError::SlotTaken(stylist) if stylist == "Rosa"),
        "{taken:?}"
    );
    let other = book(&mut connection, &ana, &request("Manicura", "Pilar"))
        .await
        .unwrap_err();
    assert_eq!(other.to_string(), "no stylist Pilar offers Manicura");
    let customers: i64 = sqlx::query_scalar("select count(*) from customers")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(customers, 1, "a failed booking inserts no customer");
}

#[ebbtide::test]
async fn the_assistant_books_with_a_scripted_model_and_needs_no_key(salon: Salon) {
    let model = Scripted::new([
        Intent::Ask {
            service: "manicura semipermanent".into(),
        },
        Intent::Book(request("Manicura Semipermanente", "Rosa")),
        Intent::Book(request("Pedicura", "Rosa")),
    ]);
    let mut assistant = Assistant::new(salon.clone(), model);
    let mut replies = Vec::new();
    for message in [
        "¿Cuánto cuesta?",
        "El lunes a las diez.",
        "Y la pedicura también.",
    ] {
        replies.push(assistant.answer(&laura(), message).await.unwrap());
    }
    assert_eq!(
        replies,
        [
            "Manicura Semipermanente: 24.00 €, 60 minutos.",
            "Reservado: Manicura Semipermanente con Rosa, 2026-03-02 10:00.",
            "No puede ser con Rosa a esa hora. ¿Otra?",
        ]
    );
    assert_eq!(assistant.model().messages().len(), 3);
    let messages: Vec<String> =
        sqlx::query_scalar("select role || ' ' || content from conversation_history order by id")
            .fetch_all(&*salon)
            .await
            .unwrap();
    assert_eq!(messages.len(), 6);
    assert_eq!(messages[0], "user ¿Cuánto cuesta?");
    assert_eq!(
        messages[5],
        "assistant No puede ser con Rosa a esa hora. ¿Otra?"
    );
}

#[ebbtide::test]
async fn a_new_customer_has_spent_nothing_and_has_no_metadata(salon: Salon) {
    let mut connection = salon.acquire().await.unwrap();
    book(
        &mut connection,
        &laura(),
        &request("Corte de Señora", "Pilar"),
    )
    .await
    .unwrap();
    let row = sqlx::query(
        "select phone, first_name, last_name, total_spent::text, metadata::text from customers",
    )
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    let values: Vec<String> = (0..row.len()).map(|column| row.get(column)).collect();
    assert_eq!(values, ["+34612000001", "Laura", "García", "0.00", "{}"]);
}

#[ebbtide::test]
async fn seeds_and_time_zone_are_those_of_the_configuration(salon: Salon) {
    let names = async |query| -> Vec<String> {
        sqlx::query_scalar(query).fetch_all(&*salon).await.unwrap()
    };
    assert_eq!(
        names(
            "select first_name || ' ' || category from stylists order by first_name collate \"C\""
        )
        .await,
        [
            "Harol hairdressing",
            "Marta both",
            "Pilar hairdressing",
            "Rosa aesthetics",
            "Víctor hairdressing"
        ]
    );
    assert_eq!(
        names("select category || ' ' || count(*) from policies group by category order by 1")
            .await,
        ["business_rule 5", "faq 2"]
    );
    assert_eq!(names("show timezone").await, ["Europe/Madrid"]);
}
