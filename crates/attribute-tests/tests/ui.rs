//! The compiler's errors for wrong uses of the attribute. `examples/every_option.rs` has the valid
//! uses.

#[test]
fn the_compiler_refuses_wrong_uses() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/fail/*.rs");
}
