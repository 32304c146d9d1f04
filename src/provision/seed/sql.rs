//! SQL files, which run as under psql.

use sqlx::postgres::PgConnection;

use super::loading::Loader;
use crate::error::{ErrorKind, Result};
use crate::provision::input_file::InputFile;
use crate::provision::psql::{Executed, PsqlFile};

/// Executes a file, which controls its own transactions or runs in one.
pub(super) async fn run(
    connection: &mut PgConnection,
    file: &InputFile,
    loader: &Loader<'_>,
) -> Result<Executed> {
    let psql_file = PsqlFile {
        file,
        kind: ErrorKind::Seed,
        step: &format!("a {}", file.noun),
        migrations: &[],
        target: loader.target,
        timeout: loader.timeout,
        on_megabyte: loader.on_megabyte,
    };
    psql_file.execute(connection).await
}
