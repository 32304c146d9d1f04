//! Finds the ledger that holds the rows.
//!
//! A migration can move the ledger, copy it to another schema, or change the `search_path`, so that
//! the tool writes its next rows elsewhere. Then several tables have the ledger's name. The tool
//! reads the one that the session's `search_path` finds.

use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnection;

use super::step::ledger_unreadable;
use super::tool::ToolLedger;
use crate::catalog::{self, RelationName};
use crate::error::Result;

/// How a ledger compares with the files.
#[derive(Debug)]
pub(super) enum Comparison {
    /// The ledger that has exactly the rows of the files, or all ledgers that have them together.
    Equal(String),
    /// The differences between the files and the ledger with the fewest of them.
    Different(Vec<String>),
}

/// A ledger as the files require it.
pub(super) trait Ledger: ToolLedger {
    /// A row, as the ledger has it.
    type Row: Send;

    /// Reads the rows of one table that can be the ledger.
    fn read<'c>(
        &'c self,
        connection: &'c mut PgConnection,
        place: &'c RelationName,
    ) -> BoxFuture<'c, Result<Vec<Self::Row>, sqlx::Error>>;

    /// How the rows differ from the files, one line for each difference.
    fn differences(&self, rows: &[Self::Row]) -> Vec<String>;
}

/// Compares each table that can be the ledger with the files, first those that a new session finds.
///
/// The rows count together if no table has all of them: the tool has recorded every migration, and
/// a migration changed the place for later rows.
pub(super) async fn compare(
    connection: &mut PgConnection,
    ledger: &impl Ledger,
) -> Result<Comparison> {
    let table = ledger.table();
    let places = catalog::places(&mut *connection, table).await;
    let places = places.map_err(|error| ledger_unreadable(table, error))?;
    let mut least: Option<Vec<String>> = None;
    let (mut all, mut names) = (Vec::new(), Vec::new());
    let mut unreadable = None;
    for place in places {
        let rows = match ledger.read(&mut *connection, &place).await {
            Ok(rows) => rows,
            // A table of that name need not be a ledger, and the role need not be allowed to read
            // it.
            Err(error) => {
                unreadable = Some(error);
                continue;
            }
        };
        let found = ledger.differences(&rows);
        if found.is_empty() {
            return Ok(Comparison::Equal(place.to_string()));
        }
        if least.as_ref().is_none_or(|least| found.len() < least.len()) {
            least = Some(found);
        }
        if !rows.is_empty() {
            names.push(place.to_string());
        }
        all.extend(rows);
    }
    let Some(least) = least else {
        let error = unreadable
            .unwrap_or_else(|| sqlx::Error::Io(std::io::Error::other("no table has this name")));
        return Err(ledger_unreadable(table, error));
    };
    if ledger.differences(&all).is_empty() {
        return Ok(Comparison::Equal(names.join(" with ")));
    }
    Ok(Comparison::Different(least))
}
