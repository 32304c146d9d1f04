//! Whether a test has failed by its output.

/// A test's output, whatever its type. `failed` is true for an `Err`.
///
/// Method resolution prefers [`OfResult`], which needs one reference less, to [`OfAny`]. So the
/// macro distinguishes a `Result` from other types without specialisation.
#[derive(Debug)]
pub struct Outcome<'a, T>(pub &'a T);

/// For a `Result`.
pub trait OfResult {
    /// Whether the test has failed.
    fn failed(&self) -> bool;
}

impl<T, E> OfResult for Outcome<'_, std::result::Result<T, E>> {
    fn failed(&self) -> bool {
        self.0.is_err()
    }
}

/// For every other output.
pub trait OfAny {
    /// Whether the test has failed.
    fn failed(&self) -> bool;
}

impl<T> OfAny for &Outcome<'_, T> {
    fn failed(&self) -> bool {
        false
    }
}
