//! `postgres-test-harness`, which requires PostgreSQL 18.

use std::path::PathBuf;

use postgres_test_harness::{
    DatabaseTemplate, FingerprintBuilder, HarnessConfig, PostgresHarness, TemplateSpec,
};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::per_test::{ByHand, SETTINGS, free_port, insert, many, migrate, write_migrations};
use crate::Error;
use crate::account::Account;
use crate::binaries::PlainServer;
use crate::scratch::Scratch;
use crate::table::Table;

const ROUNDS: usize = 5;
const TABLE_COUNT: usize = 5;
/// The variable with the directory of the server programs of PostgreSQL 18.
const BIN_VARIABLE: &str = "EBBTIDE_BENCHES_PG18_BIN";

#[expect(clippy::print_stdout, reason = "the program prints its results")]
pub(super) async fn run(name: &str, scratch: &Scratch) -> Result<(), Error> {
    let Some(binaries) = std::env::var_os(BIN_VARIABLE) else {
        println!("{name:<22} SKIPPED: postgres-test-harness: {BIN_VARIABLE} is not set");
        return Ok(());
    };
    let account = Account::for_servers()?;
    let dir = scratch.dir(name)?;
    write_migrations(&dir, TABLE_COUNT)?;
    let data = scratch.dir(&format!("{name}-data"))?;
    account.own(&data)?;
    let port = free_port()?;
    let options = format!("-c port={port} -c listen_addresses=127.0.0.1 {SETTINGS}");
    let server = PlainServer::start_with(PathBuf::from(binaries), &data, account, &options)?;
    let mut by_hand = ByHand::new(server.options(port), &dir).await?;
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    let config = HarnessConfig::new("benches")?.with_admin_database_url(url);
    let harness = PostgresHarness::start(config).await?;
    let spec = TemplateSpec::new(FingerprintBuilder::new("benches").finish());
    let template = harness
        .template(spec, async |url: String| {
            let mut connection = PgConnection::connect(&url).await?;
            migrate(&mut connection, &dir).await?;
            Ok(connection.close().await?)
        })
        .await?;
    with_database(&template).await?;
    let mut table = Table::new("bare connection");
    for _ in 0..ROUNDS {
        let reference = many(async || by_hand.bare().await).await?;
        let time = many(async || by_hand.copy().await).await?;
        table.add("CREATE DATABASE with a template, DROP", time, reference);
        let time = many(async || with_database(&template).await).await?;
        table.add("postgres-test-harness", time, reference);
    }
    table.print(name);
    drop(template);
    harness.drain_deferred_cleanup().await?;
    by_hand.close().await
}

async fn with_database(template: &DatabaseTemplate) -> Result<(), Error> {
    let database = template.database().await?;
    let mut connection = PgConnection::connect(database.database_url()).await?;
    insert(&mut connection).await?;
    connection.close().await?;
    database.cleanup().await?;
    Ok(())
}
