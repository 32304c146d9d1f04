//! Leases private copies of a template, and hands them out: inside guarded transactions, or whole.
//!
//! | file | noun |
//! |---|---|
//! | `pool`, `leased` | the lanes that this process holds, and one of them |
//! | `admission` | a test's wait for the connections that it may open |
//! | `copies`, `returned` | what makes a lane equal to its template, before a test and after one |
//! | `guard` | the messages that open and close a guarded transaction |
//! | `reset` | the messages that undo what a test has committed |
//! | `tx`, `sandbox`, `database` | the three ways in which a test gets a lane |
//! | `tx_options`, `relay` | what a test may want of its transaction, and a savepoint for each statement |
//! | `doorman` | who answers when a sandbox is asked for a second connection |
//! | `loan`, `kept` | what happens to it at the test's end |
//! | `tenants`, `waits` | which tests have lanes, and who of them waits for whom |
//! | `report` | what a person wants to know of a test that failed |

mod admission;
mod copier;
mod copies;
mod database;
mod doorman;
mod guard;
mod kept;
mod leased;
mod loan;
mod pool;
mod relay;
mod report;
mod reset;
mod returned;
mod sandbox;
mod tenants;
mod tx;
mod tx_options;
mod waits;

pub use database::Database;
pub use kept::Kept;
pub(crate) use loan::{Ending, Loan};
pub(crate) use pool::{LanePool, LaneSetting, Look};
pub(crate) use report::Story;
pub use sandbox::Sandbox;
pub use tx::Tx;
pub use tx_options::{IsolationLevel, TxOptions};
