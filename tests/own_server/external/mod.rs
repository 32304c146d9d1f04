//! External servers: servers that ebbtide has not started. Every test starts one of its own, with
//! roles, passwords and limits.

mod candidates;
mod crowds;
mod dedicated;
mod environment;
mod external_server;
mod forks;
mod leftovers;
mod machines;
mod refusals;
mod rights;
mod statements;
#[cfg(feature = "tls")]
mod tls;
mod url_forms;
mod waits;
