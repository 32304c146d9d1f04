//! The server's own client programs.

use std::path::Path;
use std::process::Command;

use ebbtide::Database;

/// A command that runs a program from the server's directory of binaries, whose version fits.
pub async fn server_program(database: &Database, name: &str) -> Command {
    let find = "select setting from pg_config where name = 'BINDIR'";
    let dir: String = sqlx::query_scalar(find)
        .fetch_one(&database.pool())
        .await
        .unwrap();
    Command::new(Path::new(&dir).join(name))
}

/// The output of `pg_dump` with these options, without the parts that differ in each dump.
pub async fn pg_dump(database: &Database, options: &[&str]) -> String {
    let mut command = server_program(database, "pg_dump").await;
    command.args(options).arg("--dbname").arg(database.url());
    // Two servers may have different time zones.
    command.env("PGTZ", "UTC");
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    // The key of `\restrict` differs in each dump. It prevents a dumped name from injecting psql
    // commands.
    text.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}
