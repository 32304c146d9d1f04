//! Code that the services `tickets` and `techstore` share. It waits for the server, compares the
//! ledger with the program's migrations, reports health, builds error responses, and serves on a
//! port.

mod connect;
mod error_response;
mod health;
mod program;
mod schema;
mod serve;
#[cfg(feature = "testing")]
pub mod testing;

pub use connect::{ConnectError, RetryPolicy, connect};
pub use error_response::ErrorResponse;
pub use health::{Health, Status};
pub use program::{
    SettingError, exit_code, log_to_stderr, read_dot_env, shutdown_signal, variable,
};
pub use schema::{Problem, SchemaMismatch, SchemaState};
pub use serve::{RunningServer, start};
