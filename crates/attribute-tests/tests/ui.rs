//! What the compiler says about the attribute.

#[test]
fn the_compiler_accepts_and_refuses() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
