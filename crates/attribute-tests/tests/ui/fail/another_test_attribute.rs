#[ebbtide::test]
#[tokio::test]
async fn below(_tx: ebbtide::Tx) {}

#[ebbtide::test]
#[test]
fn plain() {}

fn main() {}
