//! A test that is not run. `.ci/run` asserts it; nobody else runs this.

#[ebbtide::test]
#[ignore = "needs a moon"]
async fn waits_for_the_moon(_: ebbtide::Tx) {
    panic!("it has been run");
}
