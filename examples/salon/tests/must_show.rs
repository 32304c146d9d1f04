//! What went wrong in the salon, caught, and what its assistant relies on.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use ebbtide::{Builder, Error, ErrorKind};
use ebbtide_example_salon::{
    Assistant, Customer, Error as NotBooked, FIND_SERVICE, Intent, Scripted, Wish,
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

fn wish(service: &str, stylist: &str) -> Wish {
    Wish {
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

async fn refused(builder: Builder) -> Error {
    builder
        .build()
        .unwrap()
        .provision()
        .await
        .expect_err("it is refused")
}

#[tokio::test]
async fn an_undeclared_pg_trgm_is_an_error_at_the_index_that_says_to_declare_it() {
    let files = Files::copied().await;
    let error = refused(files.builder()).await;
    let (said, help) = (error.to_string(), error.help().unwrap());
    assert_eq!(error.kind(), ErrorKind::Migration, "{error:?}");
    assert!(
        said.contains(CATALOGUE) && said.contains("\"gin_trgm_ops\" does not exist"),
        "{said}"
    );
    assert!(
        format!("{error:?}").contains("CREATE INDEX idx_services_name_trgm"),
        "{error:?}"
    );
    assert!(help.contains("extensions = [\"pg_trgm\"]"), "{help}");
}

#[tokio::test]
async fn nothing_half_built_is_left_behind() {
    let files = Files::copied().await;
    let mark = uuid::Uuid::new_v4().simple().to_string();
    files.write("migrations/2_mark.up.sql", &marking(&mark));
    let error = refused(files.builder()).await;
    assert!(error.to_string().contains(CATALOGUE), "{error:?}");

    // A mark would be seen: this one is.
    files.write("migrations/2_mark.up.sql", &marking("a mark that stays"));
    let harness = files.builder().extensions(["pg_trgm"]).build().unwrap();
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

/// A migration that is committed before the index is refused. A database's settings go with it, and every database shows
/// those of all: <https://www.postgresql.org/docs/current/catalog-pg-db-role-setting.html>.
fn marking(mark: &str) -> String {
    format!(
        "create table marked (id int); do $$ begin execute format( \
         'alter database %I set application_name = ''{mark}''', current_database()); end $$;"
    )
}

#[tokio::test]
async fn an_extension_that_the_server_lacks_names_its_package() {
    let files = Files::copied().await;
    let error = refused(files.builder().extensions(["pg_trgm", "no_such_extension"])).await;
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
async fn both_extensions_are_read_back_or_the_missing_one_names_its_package() {
    // On a server without uuid-ossp, this asserts what the refusal says.
    let is_whole = has_uuid_ossp().await;
    match ebbtide::harness().unwrap().provision().await {
        Ok(template) => {
            let found = template.provisioned.extensions;
            assert_eq!(found["uuid-ossp"], "1.1");
            assert!(found["pg_trgm"].starts_with("1."), "{found:?}");
        }
        Err(error) => assert!(
            !is_whole && error.kind() == ErrorKind::ExtensionUnavailable,
            "{error:?}"
        ),
    }
}

#[tokio::test]
async fn migrated_with_zero_tables_is_an_error() {
    let files = Files::copied().await;
    let mut whole = String::new();
    for path in paths_in(&files.path("migrations")) {
        if path.to_string_lossy().ends_with(".up.sql") {
            whole.push_str(&std::fs::read_to_string(&path).unwrap());
        }
        std::fs::remove_file(path).unwrap();
    }
    // What happened: the zone was set outside of the migration's transaction, and only the ledger was committed.
    whole.push_str("\nROLLBACK;\nSET timezone = 'Europe/Madrid';\nBEGIN;\n");
    files.write("migrations/1_salon.sql", &whole);
    let error = refused(files.builder().extensions(["pg_trgm"])).await;
    assert_eq!(error.kind(), ErrorKind::NothingMigrated, "{error:?}");
    assert_eq!(
        error.to_string(),
        "the ledger says that 1 is applied, but the database has no table"
    );
    assert!(
        error.help().unwrap().contains("ends its own transaction"),
        "{error:?}"
    );
}

#[tokio::test]
async fn seeds_that_run_twice_add_nothing_and_say_so() {
    let files = Files::copied().await;
    for path in paths_in(&files.path("seeds")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        // After the last of the first run, in the same order.
        std::fs::copy(&path, files.path("seeds").join(format!("1{name}"))).unwrap();
    }
    let harness = files.builder().extensions(["pg_trgm"]).build().unwrap();
    let built = harness.provision().await.unwrap().provisioned;
    let said: Vec<String> = built.seeds.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
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
            built.tables.len(),
            built.rows["services"],
            built.rows["packs"]
        ),
        (7, 15, 2)
    );
}

#[tokio::test]
async fn a_pack_whose_services_are_missing_is_reported_and_not_half_inserted() {
    let files = Files::copied().await;
    files.remove("seeds/020_services.csv");
    let error = refused(files.builder().extensions(["pg_trgm"])).await;
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
async fn a_good_pack_beside_a_bad_one_is_not_inserted_either(salon: Salon) {
    let mut transaction = salon.begin().await.unwrap();
    let refusal = sqlx::query(
        "insert into packs (name, price, included_service_ids) values \
         ('Corte', 20, array(select id from services where name = 'Corte de Caballero')), \
         ('Novia', 90, array[uuid_generate_v4()])",
    )
    .execute(&mut *transaction)
    .await
    .unwrap_err();
    transaction.rollback().await.unwrap();
    assert!(
        refusal
            .to_string()
            .contains("pack \"Novia\" includes a service that does not exist"),
        "{refusal}"
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

    // Fifteen rows fit one page, which the planner would rather read whole.
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
        &wish("corte de cabalero", "Marta"),
    )
    .await
    .unwrap();
    drop(connection);
    // An identity column starts where it started in every test.
    assert_eq!(
        (booked.id, booked.service.name.as_str()),
        (1, "Corte de Caballero")
    );
    assert_eq!(booked.end, "2026-03-02 10:30");
    assert_eq!(appointments(&salon).await, 1);
}

#[ebbtide::test]
async fn the_next_test_sees_none(salon: Salon, next: Salon) {
    let mut connection = salon.acquire().await.unwrap();
    book(&mut connection, &laura(), &wish("Manicura", "Rosa"))
        .await
        .unwrap();
    drop(connection);
    assert_eq!(
        (appointments(&salon).await, appointments(&next).await),
        (1, 0)
    );
}

#[tokio::test]
async fn what_one_test_booked_is_gone_in_the_same_database() {
    let files = Files::copied().await;
    let harness = files.builder().extensions(["pg_trgm"]).build().unwrap();
    for _ in 0..3 {
        let sandbox = harness.sandbox().await.unwrap();
        assert_eq!(appointments(&sandbox).await, 0);
        let mut connection = sandbox.acquire().await.unwrap();
        book(&mut connection, &laura(), &wish("Tinte Completo", "Harol"))
            .await
            .unwrap();
        drop(connection);
        assert_eq!(appointments(&sandbox).await, 1);
        sandbox.close().await.unwrap();
    }
}

#[ebbtide::test]
async fn a_taken_slot_and_another_trade_leave_nothing_behind(salon: Salon) {
    let mut connection = salon.acquire().await.unwrap();
    book(&mut connection, &laura(), &wish("Manicura", "Rosa"))
        .await
        .unwrap();
    let ana = Customer {
        phone: "+34612000002".into(),
        first_name: "Ana".into(),
        last_name: "Ruiz".into(),
    };
    let taken = book(&mut connection, &ana, &wish("Pedicura", "Rosa"))
        .await
        .unwrap_err();
    assert!(
        matches!(&taken, NotBooked::Taken(stylist) if stylist == "Rosa"),
        "{taken:?}"
    );
    let other = book(&mut connection, &ana, &wish("Manicura", "Pilar"))
        .await
        .unwrap_err();
    assert_eq!(other.to_string(), "Pilar does not do Manicura");
    let customers: i64 = sqlx::query_scalar("select count(*) from customers")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(customers, 1, "who could not book is not written down");
}

#[ebbtide::test]
async fn the_assistant_books_by_a_scripted_model_without_a_key(salon: Salon) {
    let model = Scripted::new([
        Intent::Ask {
            service: "manicura semipermanent".into(),
        },
        Intent::Book(wish("Manicura Semipermanente", "Rosa")),
        Intent::Book(wish("Pedicura", "Rosa")),
    ]);
    let mut assistant = Assistant::new(salon.clone(), model);
    let mut replies = Vec::new();
    for words in [
        "¿Cuánto cuesta?",
        "El lunes a las diez.",
        "Y la pedicura también.",
    ] {
        replies.push(assistant.answer(&laura(), words).await.unwrap());
    }
    assert_eq!(
        replies,
        [
            "Manicura Semipermanente: 24.00 €, 60 minutos.",
            "Reservado: Manicura Semipermanente con Rosa, 2026-03-02 10:00.",
            "No puede ser con Rosa a esa hora. ¿Otra?",
        ]
    );
    assert_eq!(assistant.model().heard().len(), 3);
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
async fn the_test_customer_has_spent_nothing_and_has_no_metadata(salon: Salon) {
    let mut connection = salon.acquire().await.unwrap();
    book(&mut connection, &laura(), &wish("Corte de Señora", "Pilar"))
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
async fn the_seeds_and_the_time_zone_are_the_salons(salon: Salon) {
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
