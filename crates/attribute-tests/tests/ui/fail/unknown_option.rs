#[ebbtide::test(fixture("laura"))]
async fn nearly(_tx: ebbtide::Tx) {}

#[ebbtide::test(retries = 3)]
async fn not_at_all(_tx: ebbtide::Tx) {}

fn main() {}
