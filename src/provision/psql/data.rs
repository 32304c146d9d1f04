//! The data of COPY: from the file to the server, and from the server to nowhere.

use futures_util::TryStreamExt as _;
use sqlx::postgres::PgConnection;

use super::reader::Reader;
use crate::error::Error;

/// Why data were not loaded.
pub(super) enum DataError {
    /// The server refused the statement.
    Statement(sqlx::Error),
    /// The server refused the data, which begin at this byte of the file.
    Data(sqlx::Error, usize),
    /// The file cannot be read.
    File(Error),
}

/// Sends the data that follow the statement in the file, chunk by chunk.
pub(super) async fn copy_in(
    connection: &mut PgConnection,
    statement: &str,
    reader: &mut Reader<'_>,
    mut on_chunk: impl FnMut(usize),
) -> Result<(), DataError> {
    let mut sink = connection
        .copy_in_raw(statement)
        .await
        .map_err(DataError::Statement)?;
    let offset = reader.start_data().map_err(DataError::File)?;
    let refused = |error| DataError::Data(error, offset);
    let mut chunk = Vec::new();
    loop {
        let may_go_on = reader.read_data(&mut chunk).map_err(DataError::File)?;
        if !chunk.is_empty() {
            sink.send(chunk.as_slice()).await.map_err(refused)?;
            on_chunk(reader.position());
        }
        if !may_go_on {
            break;
        }
    }
    sink.finish().await.map(drop).map_err(refused)
}

/// Reads what the server returns. psql would print it.
pub(super) async fn copy_out(
    connection: &mut PgConnection,
    statement: &str,
) -> Result<(), sqlx::Error> {
    let mut data = connection.copy_out_raw(statement).await?;
    while data.try_next().await?.is_some() {}
    Ok(())
}
