//! Opens one `Tx` in a new process, prints a line when the first row is there, and ends.
//!
//! `attach DIR`, where `DIR` contains an `ebbtide.toml`. `benches` runs it and measures.

#![expect(
    clippy::print_stdout,
    reason = "the line is the signal that the row is there"
)]

use ebbtide::Harness;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).ok_or("usage: attach DIR")?;
    let harness = Harness::builder()
        .package_root(&dir)
        .config_file(format!("{dir}/ebbtide.toml"))
        .build()?;
    let mut tx = harness.tx().await?;
    sqlx::query("select 1").execute(&mut *tx).await?;
    println!("first row");
    tx.close().await?;
    Ok(())
}
