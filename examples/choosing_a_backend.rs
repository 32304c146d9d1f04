//! Where the server comes from: what `auto` chooses and why, and how to choose instead of it.
//!
//! `cargo run --example choosing_a_backend`, and the same after `EBBTIDE_BACKEND=native`, which beats what is said here.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use ebbtide::{Backend, Builder, Error, ErrorKind, Harness};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // Nothing said. A container, if an engine answers and has an image of PostgreSQL or can pull one; else the binaries
    // of this machine. A URL in `EBBTIDE_URL` or below `[server]` in `ebbtide.toml` chooses the server that it names.
    tell("nothing said", Harness::builder()).await?;

    // Said in code. What cannot be had is now an error, with what would mend it, and nothing else is tried.
    tell("container", Harness::builder().backend(Backend::Container)).await?;
    tell("native", Harness::builder().backend(Backend::Native)).await?;

    // Which image, and which binaries. A version is asked of all of them:
    //     Harness::builder().backend(Backend::Container).image("pgvector/pgvector:pg17")
    //     Harness::builder().backend(Backend::Native).bin("/opt/postgresql-17/bin")
    //     Harness::builder().postgres(17)

    // A server that runs already. `TEST_DATABASE_URL` counts for this backend alone, so that it may stand in everybody's
    // `.env` without choosing anything; `DATABASE_URL` is never read. The role needs the right to create databases.
    if std::env::var("TEST_DATABASE_URL").is_ok_and(|url| !url.is_empty()) {
        tell("external", Harness::builder().backend(Backend::External)).await?;
    }

    // Said from outside, for one run: a variable beats the code, and the code beats `ebbtide.toml`.
    //     EBBTIDE_BACKEND=native cargo test
    //     EBBTIDE_IMAGE=postgres:17-alpine cargo test
    //     EBBTIDE_URL=postgres://tester:secret@localhost/postgres cargo test
    println!(
        "Every value of the plan, and where it comes from:\n{}",
        Harness::builder().build()?.plan()
    );
    Ok(())
}

async fn tell(said: &str, builder: Builder) -> Result<(), Error> {
    let harness = builder.build()?;
    match harness.start().await {
        Ok(server) => {
            println!(
                "{said}: PostgreSQL {} ({}), because {}\n",
                server.version, server.backend, server.reason
            );
        }
        // Printed with `{:?}`, an error is a report: what was tried, and what would help.
        Err(error) if is_absence(&error) => println!("{said}: {error:?}\n"),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Whether this machine lacks what the backend needs.
fn is_absence(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BackendUnavailable | ErrorKind::ImageUnavailable | ErrorKind::BinariesNotFound
    )
}
