//! One argument of a test.

use std::pin::{Pin, pin};

use crate::error::Result;
use crate::test_arg::{TestArg, TestContext, poll_during};

/// An argument that is made when this is polled. Boxed, because for a type that does not implement
/// [`TestArg`] an `async fn` would report the compiler's error twice.
pub type MadeArgument<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// Makes one argument, and announces what it needs.
#[must_use]
pub fn argument<'a, T: TestArg + 'a>(context: &'a TestContext) -> MadeArgument<'a, T> {
    context.announce(T::NEED);
    Box::pin(T::from_test(context))
}

/// Makes one argument from the databases of a named plan, and announces what it needs.
#[must_use]
pub fn argument_of_plan<'a, T: TestArg + 'a>(
    context: &'a TestContext,
    plan: &'static str,
) -> MadeArgument<'a, T> {
    let context = context.on_plan(Some(plan));
    context.announce(T::NEED);
    Box::pin(async move {
        // Functions such as `ebbtide::tx()` follow the plan, too, while the argument is made.
        poll_during(&context, pin!(T::from_test(&context))).await
    })
}
