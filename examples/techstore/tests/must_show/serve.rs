//! The program `serve`, as in production.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use ebbtide::Database;

use super::Outcome;

fn serve(database: &Database) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebbtide-example-techstore"));
    command
        .arg("serve")
        .env("DATABASE_URL", database.url())
        .env("TECHSTORE_ADDRESS", "127.0.0.1:0");
    command
        .env_remove("TEST_DATABASE_URL")
        .stderr(Stdio::piped());
    command
}

#[ebbtide::test]
fn the_program_serves_until_it_is_interrupted_or_terminated(database: Database) -> Outcome {
    for signal in ["-INT", "-TERM"] {
        serves_until(signal, &database)?;
    }
    Ok(())
}

fn serves_until(signal: &str, database: &Database) -> Outcome {
    let mut program = serve(database).spawn()?;
    let mut log = BufReader::new(program.stderr.take().unwrap()).lines();
    let address = loop {
        let line = log.next().unwrap()?;
        if let Some((_, address)) = line.split_once("serving on ") {
            break address.to_owned();
        }
    };
    let mut connection = TcpStream::connect(&address)?;
    connection
        .write_all(b"GET /health/ready HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    connection.read_to_string(&mut response)?;
    assert!(
        response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("{\"ready\":true}"),
        "{response}"
    );
    let kill = Command::new("kill")
        .args([signal, &program.id().to_string()])
        .status()?;
    assert!(kill.success());
    assert!(program.wait()?.success());
    Ok(())
}

#[ebbtide::test(migrations = false)]
fn the_program_does_not_serve_an_unmigrated_database(database: Database) -> Outcome {
    let output = serve(&database).output()?;
    let stderr = String::from_utf8(output.stderr)?;
    assert!(!output.status.success(), "{stderr}");
    assert!(
        stderr.contains("current none, expected 20250507073000"),
        "{stderr}"
    );
    assert!(stderr.contains("run the command `init` first"), "{stderr}");
    Ok(())
}
