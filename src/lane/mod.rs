//! Leases private copies of a template, and hands them out: inside guarded transactions, or whole.
//!
//! | file | noun |
//! |---|---|
//! | `pool`, `leased` | the lanes that this process holds, and one of them |
//! | `admission` | a test's wait for the connections that it may open |
//! | `prepare`, `returned` | what makes a lane equal to its template, before a test and after one |
//! | `guard` | the messages that open and close a guarded transaction |
//! | `reset` | the messages that undo what a test has committed |
//! | `tx`, `sandbox`, `database` | the three ways in which a test gets a lane |
//! | `tx_options`, `relay` | what a test may want of its transaction, and a savepoint for each statement |
//! | `doorman` | who answers when a sandbox is asked for a second connection |
//! | `checkout`, `kept` | what happens to it at the test's end |
//! | `active_tests`, `waits` | which tests have lanes, and who of them waits for whom |
//! | `report` | what a person wants to know of a test that failed |

mod active_tests;
mod admin_connection;
mod admission;
mod checkout;
mod database;
mod doorman;
mod guard;
mod kept;
mod leased;
mod pool;
mod prepare;
mod relay;
mod report;
mod reset;
mod returned;
mod sandbox;
mod tx;
mod tx_options;
mod waits;

pub(crate) use checkout::{Checkout, Ending};
pub use database::Database;
pub use kept::KeptDatabase;
pub(crate) use pool::{Freshness, LanePool, LaneSetting};
pub(crate) use report::TestReport;
pub use sandbox::Sandbox;
pub use tx::Tx;
pub use tx_options::{IsolationLevel, TxOptions};
