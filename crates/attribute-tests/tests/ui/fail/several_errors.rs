use ebbtide::Tx;

#[ebbtide::test(
    fixtures("nowhere"),
    migrations = "nowhere",
    pool = "sandbx",
    keep = "sometimes",
    expect(tables(), rows(customers = "two"), enums(mood)),
    worker_threads = 0,
    flavour = "multi_thread",
    keep
)]
async fn test<T>(_tx: Tx, _other: impl Copy) {}

fn main() {}
