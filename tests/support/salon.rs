//! The salon's database, also from a server that lacks the extension its keys come from.
//!
//! PostgreSQL can be built without uuid-ossp. Such a server must be refused with the extension's name; then a function
//! of the same name takes its place, because most tests of the salon are not about the extension.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;

use ebbtide::{Error, ErrorKind, Harness, Result, Tx};
use tokio::sync::OnceCell;

use super::{Scratch, names_in};

const SUBSTITUTE: &str =
    "create function uuid_generate_v4() returns uuid language sql as 'select gen_random_uuid()';";

/// A transaction on the salon's database, as [`ebbtide::tx`] gives it wherever it can.
pub async fn salon() -> Result<Tx> {
    match ebbtide::tx().await {
        Err(error) if error.kind() == ErrorKind::ExtensionUnavailable => {
            assert_lacks_uuid_ossp(&format!("{error:?}")).await?;
            substitute().await?.tx().await
        }
        other => other,
    }
}

/// The transaction of a fixture. None where the server lacks uuid-ossp, of which the fixture's panic has told.
pub async fn given(fixture: impl Future<Output = Tx>) -> Option<Tx> {
    let mut fixture = pin!(fixture);
    let awaited = std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| fixture.as_mut().poll(context)));
        polled.map_or_else(
            |panic| std::task::Poll::Ready(Err(panic)),
            |polled| polled.map(Ok),
        )
    });
    match awaited.await {
        Ok(tx) => Some(tx),
        Err(panic) => {
            let report = panic
                .downcast_ref::<String>()
                .expect("the panic has a report");
            assert_lacks_uuid_ossp(report).await.unwrap();
            None
        }
    }
}

/// Asserts that this is what is said of a missing uuid-ossp, and that it is true.
pub async fn assert_lacks_uuid_ossp(report: &str) -> Result<()> {
    assert!(
        report.contains(" does not have the extension uuid-ossp\n"),
        "{report}"
    );
    assert!(report.contains("\n  help: uuid-ossp: "), "{report}");
    let mut tx = substitute().await?.tx().await?;
    let known: bool = sqlx::query_scalar(
        "select exists (select from pg_available_extensions where name = 'uuid-ossp')",
    )
    .fetch_one(&mut *tx)
    .await?;
    assert!(!known, "the server has it: {report}");
    tx.close().await
}

/// The salon on a server without uuid-ossp.
async fn substitute() -> Result<&'static Harness, Error> {
    static HARNESS: OnceCell<Harness> = OnceCell::const_new();
    let provisioned = async || {
        let scratch = Scratch::new();
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        scratch.write("migrations/1_uuid.up.sql", SUBSTITUTE);
        for name in names_in(&migrations) {
            std::fs::copy(
                migrations.join(&name),
                scratch.path("migrations").join(&name),
            )
            .unwrap();
        }
        let harness = Harness::builder()
            .extensions(["pg_trgm"])
            .migrations(scratch.path("migrations"))
            .build()?;
        // The directory is read here, and not needed any more.
        harness.provision().await?;
        Ok(harness)
    };
    HARNESS.get_or_try_init(provisioned).await
}
