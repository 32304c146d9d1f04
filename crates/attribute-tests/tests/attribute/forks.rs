//! Forks and checkpoints that a test still has at its end.

use ebbtide::{Database, Result};

#[ebbtide::test]
async fn forks_and_checkpoints_may_be_open_at_the_end_of_a_test(source: Database) -> Result<()> {
    let fork = source.fork().await?;
    let _checkpoint = fork.checkpoint().await?;
    let _of_fork = fork.fork().await?;
    drop(source);
    Ok(())
}
