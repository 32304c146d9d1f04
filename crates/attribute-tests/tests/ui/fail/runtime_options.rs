#[ebbtide::test(worker_threads = 2)]
async fn threads_without_a_flavor(_tx: ebbtide::Tx) {}

#[ebbtide::test(flavor = "current_thread", worker_threads = 2)]
async fn threads_of_one_thread(_tx: ebbtide::Tx) {}

#[ebbtide::test(flavor = "multi_thread", start_paused = true)]
async fn a_clock_of_many_threads(_tx: ebbtide::Tx) {}

#[ebbtide::test(flavor = "multi_thread", worker_threads = 2)]
fn not_async(_database: ebbtide::Database) {}

fn main() {}
