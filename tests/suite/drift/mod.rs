//! Comparisons of two schemas: what they report, and what they ignore.

mod changes;
mod report;
