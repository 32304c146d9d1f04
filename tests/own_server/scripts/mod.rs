//! The functions of the shell scripts, one by one, on real files and processes.
//!
//! `processes` and `containers` run the scripts as a whole, but cannot produce every moment that a
//! script must handle. Examples are a pid that the system has given to another process, and a lease
//! that is written between two commands. Here, each test calls one function in such a moment.
//!
//! Where a test replaces a function or a program, the replacement records its call or ends a wait.
// The scripts' functions are called with marks that the tests read from `/proc`.
#![cfg(target_os = "linux")]

mod ci_leftovers;
mod ci_run;
mod container;
mod entrypoint;
mod group;
mod instance_dir;
mod leases;
mod native;
mod retirement;
mod saved;
mod shell;
mod succession;
