//! Hostile tests, alone and one after another, in each way to be isolated: the next test finds what a new copy of the
//! template shows, whatever another left in its session, its database or its server.
//!
//! `EBBTIDE_SEQUENCES` is the number of random orders (60 unless given), `EBBTIDE_SEED` the first one's seed: from a fixed
//! one unless given. A failure prints the seed, what was played, and the difference.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::print_stdout, reason = "what was played, and what came of it")]

mod alone;
mod bodies;
mod body;
mod given;
mod haunt;
mod killed;
mod orders;
mod server_wide;
#[path = "../support/mod.rs"]
mod support;
mod view;
mod world;
