//! Where the server comes from: which backend `auto` selects and why, and how to specify another.
//!
//! `cargo run --example choosing_a_backend`. With the variable `EBBTIDE_BACKEND=native`, the same
//! command always uses the backend native, because the variable overrides the code.

#![expect(clippy::print_stdout, reason = "the program prints its results")]

use ebbtide::{Error, ErrorKind, Harness};

use ebbtide::config::{Backend, Builder};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // No backend specified. Ebbtide uses a container if an engine responds and has an image of
    // PostgreSQL or can pull one; otherwise it uses the installed binaries. A URL in `EBBTIDE_URL`
    // or in the section `[server]` of `ebbtide.toml` selects the server of that URL.
    start("no backend specified", Harness::builder()).await?;

    // Specified in code. If the backend is not available, the result is an error with a remedy.
    // Ebbtide does not try another backend.
    start("container", Harness::builder().backend(Backend::Container)).await?;
    start("native", Harness::builder().backend(Backend::Native)).await?;

    // The image, the binaries, and the major version, which applies to every backend:
    //     Harness::builder().backend(Container::new().image("pgvector/pgvector:pg17"))
    //     Harness::builder().backend(Native::new().bin("/opt/postgresql-17/bin"))
    //     Harness::builder().postgres(17)

    // A server that already runs. Only this backend reads `TEST_DATABASE_URL`, so the variable may
    // be in a `.env` file without selecting a backend. `DATABASE_URL` is never read. The role needs
    // the right to create databases.
    if std::env::var("TEST_DATABASE_URL").is_ok_and(|url| !url.is_empty()) {
        start("external", Harness::builder().backend(Backend::External)).await?;
    }

    // Specified for one run: a variable overrides the code, and the code overrides `ebbtide.toml`.
    //     EBBTIDE_BACKEND=native cargo test
    //     EBBTIDE_IMAGE=postgres:17-alpine cargo test
    //     EBBTIDE_URL=postgres://tester:secret@localhost/postgres cargo test
    println!(
        "Every value of the plan, with its source:\n{}",
        Harness::builder().build()?.plan()
    );
    Ok(())
}

async fn start(label: &str, builder: Builder) -> Result<(), Error> {
    let harness = builder.build()?;
    match harness.start().await {
        Ok(server) => {
            println!(
                "{label}: PostgreSQL {} ({}), because {}\n",
                server.server_version, server.backend, server.reason
            );
        }
        // With `{:?}`, an error is printed as a report: what was tried, and the remedy.
        Err(error) if is_unavailable(&error) => println!("{label}: {error:?}\n"),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Whether this machine lacks something that the backend needs.
fn is_unavailable(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BackendUnavailable | ErrorKind::ImageUnavailable | ErrorKind::BinariesNotFound
    )
}
