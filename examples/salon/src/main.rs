//! A conversation with the salon's assistant on a disposable database. The next sandbox does not
//! contain its appointments.

#![expect(clippy::print_stdout, reason = "the program prints its results")]

use std::path::Path;

use ebbtide::Harness;
use ebbtide_example_salon::{Assistant, BookingRequest, Customer, Intent, Scripted};
use sqlx::PgPool;

type Error = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("ebbtide.toml");
    let harness = Harness::builder().config_file(config).build()?;
    let built = harness.provision().await?.provisioned;
    println!(
        "{} tables, after {} migrations",
        built.rows.len(),
        built.migrations.len()
    );
    for seeds in &built.seeds {
        println!("{seeds}");
    }

    let sandbox = harness.sandbox().await?;
    run_conversation(&sandbox).await?;
    println!(
        "\nappointments in this sandbox: {}",
        appointments(&sandbox).await?
    );
    sandbox.close().await?;

    let next = harness.sandbox().await?;
    println!(
        "appointments in the next sandbox: {}",
        appointments(&next).await?
    );
    next.close().await?;
    Ok(())
}

async fn run_conversation(pool: &PgPool) -> Result<(), Error> {
    let laura = Customer {
        phone: "+34612000001".into(),
        first_name: "Laura".into(),
        last_name: "García".into(),
    };
    let cut = "Corte de Cabalero";
    let request = BookingRequest {
        service: cut.into(),
        stylist: "Marta".into(),
        start: "2026-03-02 10:00".into(),
    };
    let model = Scripted::new([
        Intent::Ask {
            service: cut.into(),
        },
        Intent::Book(request.clone()),
        Intent::Book(request),
    ]);
    let mut assistant = Assistant::new(pool.clone(), model);
    for message in [
        "¿Cuánto cuesta un corte de cabalero?",
        "El lunes a las diez, con Marta.",
        "Y otro a la misma hora, con ella.",
    ] {
        println!(
            "\nLaura: {message}\nsalon: {}",
            assistant.answer(&laura, message).await?
        );
    }
    Ok(())
}

async fn appointments(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select count(*) from appointments")
        .fetch_one(pool)
        .await
}
