//! Gives tests private copies of a template (lanes): inside guarded transactions, or as whole
//! databases.
//!
//! | file | noun |
//! |---|---|
//! | `pool`, `leased` | the lanes that this process has locked, and one of them |
//! | `request`, `in_use` | a test's request for a lane, and the lane that the test then uses |
//! | `acquire` | the search for a lane that the test can have |
//! | `lane_use`, `wear` | how a test uses a lane, and when a lane is worn |
//! | `admit`, `admission` | a test's wait for the permits of its connections, and the permits |
//! | `prepare`, `returned` | making a lane equal to its template, before a test and after one |
//! | `test_role`, `role_session`, `login` | the role as which tests log in, and its sessions |
//! | `policy_note` | the line that states that no policy applies to the tests |
//! | `prepared_lane` | a lane that is ready for its next test |
//! | `admin_connection` | the connection that copies templates |
//! | `reset` | the messages that undo what a test has committed |
//! | `tx`, `sandbox`, `database` | the three ways in which a test uses a lane |
//! | `open_tx`, `open_sandbox`, `open_database` | the lane behind each of them, its opening and its end |
//! | `held`, `checkout`, `kept` | an open lane while the test has it, and closing or keeping it |
//! | `state_source`, `transfer` | a test's database that is copied, without and with its sessions |
//! | `state_copy`, `fork`, `checkpoint` | the copy, as another database or a state to return to |
//! | `tx_checkpoint` | the states to which a test's transaction can return |
//! | `tx_options`, `relay` | options for a test's transaction, and a savepoint for each statement |
//! | `doorman` | the listener that rejects a second connection of a sandbox |
//! | `reservation` | the permits for several lanes of one test |
//! | `active_tests`, `waits` | which tests have lanes, and reports of their lock waits |
//! | `report` | the report on a failed test |

mod acquire;
mod active_tests;
mod admin_connection;
mod admission;
mod admit;
mod checkout;
mod checkpoint;
mod database;
mod doorman;
mod fork;
mod held;
mod in_use;
mod kept;
mod lane_use;
mod lane_version;
mod leased;
mod login;
mod open_database;
mod open_sandbox;
mod open_tx;
mod policy_note;
mod pool;
mod prepare;
mod prepared_lane;
mod relay;
mod report;
mod request;
mod reservation;
mod reset;
mod returned;
mod role_session;
mod sandbox;
mod state_copy;
mod state_source;
mod test_role;
mod transfer;
mod tx;
mod tx_checkpoint;
mod tx_options;
mod waits;
mod wear;

pub(crate) use checkout::{Checkout, OnDrop};
pub use checkpoint::Checkpoint;
pub use database::Database;
pub use kept::KeptDatabase;
pub(crate) use pool::{LanePool, LaneSetting};
pub(crate) use report::{TestReport, of_plan};
pub(crate) use request::LaneRequest;
pub(crate) use reservation::Reservation;
pub use sandbox::Sandbox;
pub(crate) use test_role::TestRole;
pub use tx::Tx;
pub use tx_checkpoint::TxCheckpoint;
pub use tx_options::TxOptions;
