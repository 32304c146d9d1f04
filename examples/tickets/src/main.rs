//! `migrate` applies the migrations, and `serve` starts the service.

use std::error::Error;
use std::process::ExitCode;

use ebbtide_example_shared::{
    RetryPolicy, exit_code, log_to_stderr, read_dot_env, shutdown_signal, start,
};
use ebbtide_example_tickets::{App, Passwords, Settings, migrate, open};

#[tokio::main]
async fn main() -> ExitCode {
    log_to_stderr();
    exit_code(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    read_dot_env()?;
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    match std::env::args().nth(1).as_deref() {
        Some("migrate") => {
            let state = migrate(&settings.database_url, RetryPolicy::default()).await?;
            tracing::info!("migrated: {state}");
        }
        Some("serve") => {
            let pool = open(&settings.database_url, RetryPolicy::default()).await?;
            let app = App::new(pool, Passwords::new(settings.cost)?);
            let shutdown_signal = shutdown_signal()?;
            let running = start(settings.address, app.router()).await?;
            shutdown_signal.await;
            running.stop().await?;
        }
        _ => return Err("the command must be one of: migrate, serve".into()),
    }
    Ok(())
}
