//! The archive on a disposable database: what went wrong, and the way of an output from draft to award.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::path::Path;

use ebbtide::{Builder, ErrorKind, Harness};
use ebbtide_example_archivist::{OutputType, Request, before, handle};

type Error = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let harness = plan().build()?;
    show_where(&harness).await?;
    show_the_failure().await?;
    show_the_way_of_an_output(&harness).await
}

fn plan() -> Builder {
    Harness::builder().config_file(Path::new(env!("CARGO_MANIFEST_DIR")).join("ebbtide.toml"))
}

/// Whatever `DATABASE_URL` says: it is production's, and never read here.
async fn show_where(harness: &Harness) -> Result<(), Error> {
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

async fn show_the_failure() -> Result<(), Error> {
    match plan()
        .expect_enum_of::<before::UserRole>()
        .build()?
        .provision()
        .await
    {
        Err(error) if error.kind() == ErrorKind::Expectation => println!("\nbefore:\n{error:?}"),
        other => {
            return Err(format!("the labels differ, and that was not found: {other:?}").into());
        }
    }
    Ok(())
}

async fn show_the_way_of_an_output(harness: &Harness) -> Result<(), Error> {
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
    for (who, request) in [
        (
            writer,
            Request::Edit {
                id,
                content: "Every branch library lends books.".into(),
            },
        ),
        (writer, award.clone()),
        (writer, Request::Submit { id }),
        (editor, award),
    ] {
        match handle(&sandbox, who, &request).await {
            Ok(output) => println!(
                "{who}: {request:?}\n  200 {:?}, {:?}",
                output.status, output.amount_awarded
            ),
            Err(refusal) => println!("{who}: {request:?}\n  {} {refusal}", refusal.status()),
        }
    }
    sandbox.close().await?;
    Ok(())
}
