//! Hostile tests: scripts and code ("bodies") that leave something behind in their session, their
//! database or their server. The next test on the same database must find what a new copy of the
//! template shows.
//!
//! ```text
//!  test server starts: read the reference view of each kind on new copies
//!      |
//!  open a test, note its database, run the body, end the test
//!      |
//!  open further tests until one has the same database or lane (at most three others)
//!      |
//!  read its view and compare it with the reference: every difference is a finding
//! ```
//!
//! `alone` runs every body by itself, and `orders` runs random sequences of bodies. `killed` ends
//! the process in the middle of a test. `server_wide` runs bodies whose effects outlive the test.
//!
//! `EBBTIDE_SEQUENCES` is the number of random orders (default 60), and `EBBTIDE_SEED` the seed of
//! the first order (default 0). A failure prints the seed, the bodies and the difference.

mod alone;
mod bodies;
mod body;
mod killed;
mod orders;
mod reconnecting_thread;
mod server_wide;
mod test_database;
mod test_server;
mod view;
