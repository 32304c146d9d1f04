// The second error is needed: else the `include_str!` is in the test, which is dropped here.
#[ebbtide::test(savepoints, savepoints, fixtures("nowhere"))]
async fn by_name(_tx: ebbtide::Tx) {}

#[ebbtide::test(savepoints, savepoints, fixtures("../nowhere/else.sql"))]
async fn by_path(_tx: ebbtide::Tx) {}

#[ebbtide::test(savepoints, savepoints, fixtures(path = "elsewhere", scripts("nothing")))]
async fn by_dir(_tx: ebbtide::Tx) {}

fn main() {}
