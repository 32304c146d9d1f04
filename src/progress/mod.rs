//! Shows on stderr what a long wait is for: a spinner on a terminal, lines elsewhere.

#[cfg(feature = "progress")]
mod display;
#[cfg(not(feature = "progress"))]
mod silent;

#[cfg(feature = "progress")]
pub(crate) use display::Progress;
#[cfg(not(feature = "progress"))]
pub(crate) use silent::Progress;
