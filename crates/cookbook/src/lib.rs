//! The recipes of `docs/cookbook.md`. They are in `tests/recipes` and `benches`, and
//! `tests/recipes/page.rs` compares them with the page.
