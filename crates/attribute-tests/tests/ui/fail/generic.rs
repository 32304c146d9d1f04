#[ebbtide::test]
async fn types<T: ebbtide::TestArg>(_argument: T) {}

#[ebbtide::test]
async fn lifetimes<'a>(_name: &'a str) {}

#[ebbtide::test]
async fn constants<const N: usize>() {}

fn main() {}
