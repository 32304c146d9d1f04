//! The salon's database, also on a server that lacks the extension uuid-ossp.
//!
//! The salon's keys come from uuid-ossp, and PostgreSQL can be built without it. On such a server,
//! provisioning must fail with the extension's name. Most tests of the salon are not about the
//! extension, so they get a substitute for its function.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;

use ebbtide::{Error, ErrorKind, Harness, Result, Tx};
use tokio::sync::OnceCell;

use super::{Scratch, names_in};

const SUBSTITUTE: &str =
    "create function uuid_generate_v4() returns uuid language sql as 'select gen_random_uuid()';";

/// A transaction on the salon's database: that of [`ebbtide::tx`] if the server has uuid-ossp, else
/// one with the substitute.
pub async fn salon() -> Result<Tx> {
    match ebbtide::tx().await {
        Err(error) if error.kind() == ErrorKind::ExtensionUnavailable => {
            assert_lacks_uuid_ossp(&format!("{error:?}")).await?;
            with_substitute().await?.tx().await
        }
        other => other,
    }
}

/// The transaction of a fixture for `rstest`, or `None` if the server lacks uuid-ossp.
///
/// A fixture cannot return an error, so it panics with the report.
pub async fn fixture_tx(fixture: impl Future<Output = Tx>) -> Option<Tx> {
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
                .expect("a fixture panics with a report");
            assert_lacks_uuid_ossp(report).await.unwrap();
            None
        }
    }
}

/// Asserts that the report is that of a missing uuid-ossp, and that the server really lacks it.
pub async fn assert_lacks_uuid_ossp(report: &str) -> Result<()> {
    // Another test of this process may have the full report.
    let first_line = report.lines().next().unwrap_or_default();
    assert!(
        first_line.ends_with(" does not have the extension uuid-ossp"),
        "{report}"
    );
    let rest = [
        "\n  help: uuid-ossp: ",
        "\n  the full report is in the output of test ",
    ];
    assert!(rest.iter().any(|text| report.contains(text)), "{report}");
    let mut tx = with_substitute().await?.tx().await?;
    let has_uuid_ossp: bool = sqlx::query_scalar(
        "select exists (select from pg_available_extensions where name = 'uuid-ossp')",
    )
    .fetch_one(&mut *tx)
    .await?;
    assert!(!has_uuid_ossp, "the server has uuid-ossp: {report}");
    tx.close().await
}

/// The salon with a substitute for the function of uuid-ossp.
async fn with_substitute() -> Result<&'static Harness, Error> {
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
            .extension("pg_trgm")
            .migrations(scratch.path("migrations"))
            .build()?;
        // Provisions before `scratch` is dropped, which deletes the migrations.
        harness.provision().await?;
        Ok(harness)
    };
    HARNESS.get_or_try_init(provisioned).await
}
