//! What the services `tickets` and `techstore` have in common: waiting for the server, comparing the ledger with the
//! migrations that are shipped, answers about health, refusals, and serving on a port.

mod connect;
mod health;
mod program;
mod refusal;
mod schema;
mod serve;
#[cfg(feature = "testing")]
pub mod testing;

pub use connect::{ConnectError, Patience, connect};
pub use health::{Health, Status};
pub use program::{SettingError, exit_code, interruption, log_to_stderr, read_dot_env, variable};
pub use refusal::Refusal;
pub use schema::{OutOfDate, Problem, SchemaState};
pub use serve::{Running, start};
