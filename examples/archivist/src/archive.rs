//! Searches of old documents, in SQL that SQLite does not have.

use sqlx::postgres::PgConnection;

/// Documents with these words in their title, in any case.
///
/// # Errors
/// The database refuses the search.
pub async fn documents_by_title(
    connection: &mut PgConnection,
    words: &str,
) -> Result<Vec<String>, sqlx::Error> {
    // What the reader typed is no pattern.
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

/// Documents for a funder, the latest first.
///
/// # Errors
/// The database refuses the search.
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

/// Documents that were not awarded and may be sent again.
///
/// # Errors
/// The database refuses the search.
pub async fn resubmittable(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select title from documents \
         where metadata ? 'resubmit' and metadata #>> '{outcome,awarded}' = 'false' order by title",
    )
    .fetch_all(connection)
    .await
}
