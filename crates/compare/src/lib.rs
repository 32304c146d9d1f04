//! No code: the package exists for its tests, which `benches` runs and measures. Every test does the
//! same with `#[sqlx::test]`, with ebbtide, or in a bare transaction.
