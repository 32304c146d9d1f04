//! What one test costs in a process with many: its database, one INSERT, and the end.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ebbtide::Harness;
use ebbtide::config::Backend;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::Error;
use crate::account::Account;
use crate::binaries::PlainServer;
use crate::scratch::Scratch;
use crate::table::Table;

const ROUNDS: usize = 5;
/// The number of tests of one side in one round.
const TEST_COUNT: u32 = 20;
/// The settings that developers give a server for tests.
pub(super) const SETTINGS: &str = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off";

pub(super) async fn run(name: &str, tables: usize, scratch: &Scratch) -> Result<(), Error> {
    let account = Account::for_servers()?;
    let dir = scratch.dir(name)?;
    write_migrations(&dir, tables)?;
    let data = scratch.dir(&format!("{name}-data"))?;
    account.own(&data)?;
    let port = free_port()?;
    let options = format!("-c port={port} -c listen_addresses=127.0.0.1 {SETTINGS}");
    let server = PlainServer::start(&data, account, &options)?;
    let mut by_hand = ByHand::new(server.options(port), &dir).await?;
    let harness = Harness::builder()
        .backend(Backend::Native)
        .package_root(&dir)
        .config_file(dir.join("ebbtide.toml"))
        .build()?;
    with_tx(&harness).await?;
    with_database(&harness).await?;
    let mut table = Table::new("bare connection");
    for _ in 0..ROUNDS {
        let reference = many(async || by_hand.bare().await).await?;
        let time = many(async || with_tx(&harness).await).await?;
        table.add("ebbtide, Tx", time, reference);
        let time = many(async || with_database(&harness).await).await?;
        table.add("ebbtide, Database", time, reference);
        let time = many(async || by_hand.copy().await).await?;
        table.add("CREATE DATABASE with a template, DROP", time, reference);
        #[cfg(feature = "others")]
        {
            let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
            let time = many(async || with_sqlx_db_tester(&url, &dir).await).await?;
            table.add("sqlx-db-tester", time, reference);
        }
    }
    table.print(name);
    by_hand.close().await
}

pub(super) async fn many(
    mut test: impl AsyncFnMut() -> Result<(), Error>,
) -> Result<Duration, Error> {
    let began = Instant::now();
    for _ in 0..TEST_COUNT {
        test().await?;
    }
    Ok(began.elapsed())
}

async fn with_tx(harness: &Harness) -> Result<(), Error> {
    let mut tx = harness.tx().await?;
    insert(&mut tx).await?;
    tx.close().await?;
    Ok(())
}

async fn with_database(harness: &Harness) -> Result<(), Error> {
    let database = harness.database().await?;
    let mut connection = PgConnection::connect_with(&database.connect_options()).await?;
    insert(&mut connection).await?;
    connection.close().await?;
    database.close().await?;
    Ok(())
}

#[cfg(feature = "others")]
async fn with_sqlx_db_tester(url: &str, dir: &Path) -> Result<(), Error> {
    let database = sqlx_db_tester::TestPg::new(url.to_owned(), dir.join("migrations"));
    let mut connection = PgConnection::connect(&database.url()).await?;
    insert(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

pub(super) async fn insert(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query("insert into t1 (id, note) values (1, 'tide')")
        .execute(connection)
        .await?;
    Ok(())
}

/// Databases on a plain server, as a developer would write it.
pub(super) struct ByHand {
    /// The options for the database `migrated`, which has the tables.
    options: PgConnectOptions,
    admin: PgConnection,
}

impl ByHand {
    pub(super) async fn new(options: PgConnectOptions, dir: &Path) -> Result<Self, Error> {
        let mut admin = PgConnection::connect_with(&options).await?;
        sqlx::query("create database migrated")
            .execute(&mut admin)
            .await?;
        let options = options.database("migrated");
        let mut connection = PgConnection::connect_with(&options).await?;
        migrate(&mut connection, dir).await?;
        connection.close().await?;
        Ok(Self { options, admin })
    }

    /// A copy of the migrated database, which is dropped at the end.
    pub(super) async fn copy(&mut self) -> Result<(), Error> {
        sqlx::query("create database copy template migrated strategy file_copy")
            .execute(&mut self.admin)
            .await?;
        let options = self.options.clone().database("copy");
        let mut connection = PgConnection::connect_with(&options).await?;
        insert(&mut connection).await?;
        connection.close().await?;
        sqlx::query("drop database copy with (force)")
            .execute(&mut self.admin)
            .await?;
        Ok(())
    }

    pub(super) async fn close(self) -> Result<(), Error> {
        self.admin.close().await?;
        Ok(())
    }

    /// A new connection, BEGIN, the INSERT and ROLLBACK.
    pub(super) async fn bare(&self) -> Result<(), Error> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        let mut transaction = connection.begin().await?;
        insert(&mut transaction).await?;
        transaction.rollback().await?;
        connection.close().await?;
        Ok(())
    }
}

pub(super) async fn migrate(connection: &mut PgConnection, dir: &Path) -> Result<(), Error> {
    for file in migrations(dir)? {
        sqlx::raw_sql(AssertSqlSafe(std::fs::read_to_string(file)?))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) fn write_migrations(dir: &Path, tables: usize) -> Result<(), Error> {
    std::fs::create_dir(dir.join("migrations"))?;
    std::fs::write(dir.join("ebbtide.toml"), "")?;
    for number in 1..=tables {
        let sql = format!("create table t{number} (id bigint primary key, note text not null);\n");
        std::fs::write(dir.join(format!("migrations/{number:04}_table.sql")), sql)?;
    }
    Ok(())
}

fn migrations(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(dir.join("migrations"))?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, std::io::Error>>()?;
    files.sort();
    Ok(files)
}

pub(super) fn free_port() -> Result<u16, Error> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}
