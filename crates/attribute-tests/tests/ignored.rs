//! A test with `#[ignore]`. Only `.ci/run` runs this binary, and asserts that libtest ignores the test.

#[ebbtide::test]
#[ignore = "needs a moon"]
async fn waits_for_the_moon(_: ebbtide::Tx) {
    panic!("it has been run");
}
