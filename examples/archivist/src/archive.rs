//! Searches of old documents, with SQL that SQLite does not have.

use sqlx::postgres::PgConnection;

/// The titles of documents that contain these words, in any case.
///
/// # Errors
/// The query fails.
pub async fn documents_by_title(
    connection: &mut PgConnection,
    words: &str,
) -> Result<Vec<String>, sqlx::Error> {
    // The words are literal text, so the special characters of LIKE are escaped.
    let pattern = format!(
        "%{}%",
        words
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_")
    );
    sqlx::query_scalar("select title from documents where title ilike $1 order by title")
        .bind(pattern)
        .fetch_all(connection)
        .await
}

/// The titles of the documents for a funder, the latest first.
///
/// # Errors
/// The query fails.
pub async fn documents_of(
    connection: &mut PgConnection,
    funder: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select title from documents where metadata @> jsonb_build_object('funder', $1::text) order by fiscal_year desc",
    )
    .bind(funder)
    .fetch_all(connection)
    .await
}

/// The titles of documents that were not awarded and may be submitted again.
///
/// # Errors
/// The query fails.
pub async fn resubmittable(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select title from documents \
         where metadata ? 'resubmit' and metadata #>> '{outcome,awarded}' = 'false' order by title",
    )
    .fetch_all(connection)
    .await
}
