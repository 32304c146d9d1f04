const AUDIT: &str = "audit";

#[ebbtide::test]
async fn not_a_literal(#[plan(AUDIT)] _: ebbtide::Tx, #[plan] _: ebbtide::Tx) {}

#[ebbtide::test]
async fn two_plans(
    #[plan("audit")]
    #[plan("billing")]
    _: ebbtide::Tx,
) {
}

#[ebbtide::test]
async fn not_a_name(#[plan("audit.log")] _: ebbtide::Tx) {}

#[ebbtide::test(expect(tables("customers")))]
async fn options_without_an_argument(#[plan("audit")] _: ebbtide::Tx) {}

#[ebbtide::test]
#[plan("audit")]
async fn before_the_function(_: ebbtide::Tx) {}

fn main() {}
