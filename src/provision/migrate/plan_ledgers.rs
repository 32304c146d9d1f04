//! The ledgers of a plan: what its sources require, and what a database claims.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::tool::ToolLedger;
use super::tools;
use crate::catalog::{LedgerClaim, LedgerLayout};
use crate::error::Result;
use crate::provision::inputs::Inputs;
use crate::sql_error;

/// A ledger that the plan's sources fill.
pub(crate) struct PlanLedger {
    /// The ledger, as the files require it.
    pub(crate) expected: Box<dyn ToolLedger>,
    pub(crate) layout: &'static LedgerLayout,
}

/// The ledger of each source whose tool has one.
pub(crate) async fn plan_ledgers(inputs: &Inputs) -> Result<Vec<PlanLedger>> {
    let mut ledgers = Vec::new();
    for source in &inputs.migrations {
        let Some(tool) = source.source.tool() else {
            continue;
        };
        if let (Some(ledger), Some(layout)) = (tool.ledger, tools::ledger_of(tool.layout)) {
            let expected = ledger(source, &source.scripts()?).await?;
            ledgers.push(PlanLedger { expected, layout });
        }
    }
    Ok(ledgers)
}

/// The claim of the ledger that holds the rows.
pub(in crate::provision) async fn ledger_claim(
    connection: &mut PgConnection,
) -> Result<Option<LedgerClaim>> {
    let reading = |error| sql_error::failed("reading the migration ledger", error);
    let mut transaction = connection.begin().await.map_err(reading)?;
    let claim = LedgerClaim::read(&mut transaction, &tools::ledgers()).await;
    let claim = claim.map_err(reading)?;
    transaction.rollback().await.map_err(reading)?;
    Ok(claim)
}
