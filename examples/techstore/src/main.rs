//! `init` creates and migrates the databases, `serve` starts the service, and `down VERSION`
//! reverts the migrations after a version.

use std::error::Error;
use std::process::ExitCode;

use ebbtide_example_shared::{
    RetryPolicy, SchemaState, exit_code, log_to_stderr, read_dot_env, shutdown_signal, start,
};
use ebbtide_example_techstore::{self as techstore, App, MIGRATOR, Settings, down, init, open};

#[tokio::main]
async fn main() -> ExitCode {
    log_to_stderr();
    exit_code(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    read_dot_env()?;
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["init"] => {
            init(&settings, RetryPolicy::default()).await?;
        }
        ["serve"] => {
            let pool = open(&settings.database, settings.pool, RetryPolicy::default()).await?;
            SchemaState::read(&pool, &MIGRATOR)
                .await?
                .ensure_current()
                .map_err(techstore::Error::from)?;
            let shutdown_signal = shutdown_signal()?;
            let running = start(settings.address, App::new(pool).router()).await?;
            shutdown_signal.await;
            running.stop().await?;
        }
        ["down", version] => {
            let pool = open(&settings.database, settings.pool, RetryPolicy::default()).await?;
            let state = down(&pool, version.parse()?).await?;
            tracing::info!("reverted: {state}");
        }
        _ => return Err("the command must be one of: init, serve, down VERSION".into()),
    }
    Ok(())
}
