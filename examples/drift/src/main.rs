//! Reports how a database differs from the result of its migrations:
//! `ebbtide-example-drift [--json] [URL]`.
//!
//! It exits with 0 if nothing differs, with 1 if something differs, and with 2 if the comparison
//! fails. Without a URL it creates a copy that has drifted. With `--replay`, it drops that copy's
//! schema and replays the chain before the comparison.

#![expect(clippy::print_stderr, reason = "the program prints its errors")]

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use ebbtide_example_drift::{Drift, harness, replay};

type Error = Box<dyn std::error::Error>;

const USAGE: &str =
    "usage: ebbtide-example-drift [--json] [URL]\n       ebbtide-example-drift [--json] --replay";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(arguments) = Arguments::read(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&arguments).await {
        Ok(drift) if drift.is_none() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::from(2)
        }
    }
}

/// The arguments of the command line.
#[derive(Debug, Default)]
struct Arguments {
    json: bool,
    replay: bool,
    url: Option<String>,
}

impl Arguments {
    fn read(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut read = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--json" => read.json = true,
                "--replay" => read.replay = true,
                option if option.starts_with('-') => return None,
                _ if read.url.is_some() => return None,
                _ => read.url = Some(argument),
            }
        }
        // `--replay` drops a schema, so it never applies to a database of the user.
        (read.url.is_none() || !read.replay).then_some(read)
    }
}

async fn run(arguments: &Arguments) -> Result<Drift, Error> {
    let drift = match &arguments.url {
        Some(url) => Drift::of(&harness()?, url).await?,
        None => of_a_drifted_copy(arguments.replay).await?,
    };
    // The reader of a pipe may close it early, and then `println!` would panic.
    writeln!(
        std::io::stdout(),
        "{}",
        if arguments.json {
            drift.to_json()?
        } else {
            drift.to_string()
        }
    )?;
    Ok(drift)
}

async fn of_a_drifted_copy(repair: bool) -> Result<Drift, Error> {
    let harness = harness()?;
    let database = harness.database().await?;
    let mut connection = database.pool().acquire().await?;
    sqlx::raw_sql(include_str!("../drifted.sql"))
        .execute(&mut *connection)
        .await?;
    if repair {
        replay(
            &mut connection,
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations"),
        )
        .await?;
    }
    drop(connection);
    let drift = Drift::of(&harness, database.url()).await?;
    database.close().await?;
    Ok(drift)
}
