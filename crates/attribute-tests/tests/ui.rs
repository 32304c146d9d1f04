//! What the compiler reports for wrong uses of the attribute. The right ones are compiled in `examples/every_option.rs`.

#[test]
fn the_compiler_refuses_wrong_uses() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/fail/*.rs");
}
