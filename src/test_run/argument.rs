//! One argument of a test.

use std::pin::Pin;

use crate::error::Result;
use crate::test_arg::{TestArg, TestContext};

/// Makes one argument. Boxed, because for a type that does not implement [`TestArg`] an `async fn`
/// would report the compiler's error twice.
#[must_use]
pub fn argument<'a, T: TestArg + 'a>(
    context: &'a TestContext,
) -> Pin<Box<dyn Future<Output = Result<T>> + 'a>> {
    Box::pin(T::from_test(context))
}
