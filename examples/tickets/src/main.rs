//! `migrate` runs the migrations, `serve` serves.

use std::error::Error;
use std::process::ExitCode;

use ebbtide_example_shared::{
    Patience, exit_code, interruption, log_to_stderr, read_dot_env, start,
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
            let state = migrate(&settings.database_url, Patience::default()).await?;
            tracing::info!("migrated: {state}");
        }
        Some("serve") => {
            let pool = open(&settings.database_url, Patience::default()).await?;
            let app = App::new(pool, Passwords::new(settings.cost)?);
            let interruption = interruption()?;
            let running = start(settings.address, app.router()).await?;
            interruption.await;
            running.stop().await?;
        }
        _ => return Err("one of: migrate, serve".into()),
    }
    Ok(())
}
