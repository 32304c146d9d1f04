//! Everything that can be wrong with a container engine or its images, and how ebbtide reports it.
//!
//! Variables take precedence over the builder, and a process cannot change its own variables
//! safely. So each test runs in a child process.
#![cfg(all(target_os = "linux", feature = "container"))]

mod addresses;
mod children;
mod engine;
mod images;
mod networks;
mod starts;
