//! The archive on a disposable database: the former error, and an output's way from draft to award.

#![expect(clippy::print_stdout, reason = "the program prints its results")]

use std::path::Path;

use ebbtide::{ErrorKind, Harness};

use ebbtide::config::{Builder, Expect};
use ebbtide_example_archivist::{OutputType, Request, before, handle};

type Error = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let harness = plan().build()?;
    print_test_database(&harness).await?;
    print_label_mismatch().await?;
    print_workflow_of_an_output(&harness).await
}

fn plan() -> Builder {
    Harness::builder().config_file(Path::new(env!("CARGO_MANIFEST_DIR")).join("ebbtide.toml"))
}

/// Prints where the tests' database is. `DATABASE_URL` has no effect: it is production's, and
/// ebbtide never reads it.
async fn print_test_database(harness: &Harness) -> Result<(), Error> {
    let database = harness.database().await?;
    let options = database.connect_options();
    let place = match options.get_socket() {
        Some(dir) => format!("a socket in {}", dir.display()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    println!(
        "tests get the database {} of {} at {place}",
        database.name(),
        options.get_username()
    );
    database.close().await?;
    Ok(())
}

async fn print_label_mismatch() -> Result<(), Error> {
    match plan()
        .expect(Expect::new().enum_of::<before::UserRole>())
        .build()?
        .provision()
        .await
    {
        Err(error) if error.kind() == ErrorKind::Expectation => println!("\nbefore:\n{error:?}"),
        other => {
            return Err(
                format!("the labels differ, but ebbtide did not report it: {other:?}").into(),
            );
        }
    }
    Ok(())
}

async fn print_workflow_of_an_output(harness: &Harness) -> Result<(), Error> {
    let sandbox = harness.sandbox().await?;
    let (writer, editor) = ("writer@archive.example", "editor@archive.example");
    let create = Request::Create {
        kind: OutputType::GrantProposal,
        title: "Books for Everyone".into(),
    };
    let output = handle(&sandbox, writer, &create).await?;
    let id = output.id;
    let award = Request::Award {
        id,
        amount: "25000.00".into(),
        decided_on: "2026-03-02".into(),
    };
    println!("\nafter:");
    for (email, request) in [
        (
            writer,
            Request::Edit {
                id,
                content: "Every branch library needs new books.".into(),
            },
        ),
        (writer, award.clone()),
        (writer, Request::Submit { id }),
        (editor, award),
    ] {
        match handle(&sandbox, email, &request).await {
            Ok(output) => println!(
                "{email}: {request:?}\n  200 {:?}, {:?}",
                output.status, output.amount_awarded
            ),
            Err(error) => println!("{email}: {request:?}\n  {} {error}", error.status()),
        }
    }
    sandbox.close().await?;
    Ok(())
}
