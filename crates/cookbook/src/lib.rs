//! The recipes of `docs/cookbook.md`. They are in `tests/recipes`, and
//! `tests/recipes/page.rs` compares them with the page.
