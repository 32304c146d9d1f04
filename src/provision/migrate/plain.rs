//! Plain SQL files, without a ledger.

use super::Site;
use super::step::{Record, Step, Transaction, Way};
use crate::error::Result;
use crate::provision::report::MigrationReport;

/// What a file begins with that runs outside of a transaction, as in sqlx.
const OUTSIDE: &str = "-- no-transaction";

/// Applies every file in the order of the names.
pub(super) async fn migrate(site: &mut Site<'_>) -> Result<Vec<MigrationReport>> {
    let scripts = site.scripts;
    let steps: Vec<Step<'_>> = scripts
        .iter()
        .map(|script| Step {
            way: Way::Up,
            version: script
                .name()
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned(),
            description: String::new(),
            script: Some(script),
            text: script.text(),
            transaction: if script.text().starts_with(OUTSIDE) {
                Transaction::None
            } else {
                Transaction::Own
            },
            record: Record::Nothing,
        })
        .collect();
    site.apply_all(&steps).await
}
