//! Every form of a URL that the documentation shows, as the server's URL and for a comparison.

use std::process::Command;

use super::external_server::{ExternalServer, PASSWORD};
use crate::support::program::program;
use crate::support::this_test;

#[tokio::test]
async fn every_form_of_a_url_reaches_the_server_as_it_does_with_psql() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    external.create_role("app", "superuser").await;
    let (port, socket) = (external.port(), external.scratch.path("outside"));
    let socket = socket.display().to_string();
    let encoded = socket.replace('/', "%2F");
    for url in [
        format!("postgres://app:{PASSWORD}@127.0.0.1:{port}/postgres?sslmode=disable"),
        format!("postgresql://app:{PASSWORD}@:{port}/postgres?host=127.0.0.1"),
        format!("postgres://postgres@{encoded}:{port}/postgres"),
        format!("postgresql://postgres@/postgres?host={socket}&port={port}"),
        format!("postgresql://postgres@:{port}/postgres?host={encoded}"),
        format!("postgresql://?host={socket}&port={port}&user=postgres&dbname=postgres"),
        format!("postgresql+psycopg://postgres@/postgres?host={socket}&port={port}"),
    ] {
        let builder = external.builder(&url);
        let harness = builder
            .build()
            .unwrap_or_else(|error| panic!("{url}: {error:?}"));
        let mut tx = harness
            .tx()
            .await
            .unwrap_or_else(|error| panic!("{url}: {error:?}"));
        let own: String = sqlx::query_scalar("select current_database()::text")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        tx.close().await.unwrap();
        // psql knows every form except SQLAlchemy's.
        let database = harness.database().await.unwrap();
        assert_ne!(database.url(), own);
        if !url.contains('+') {
            for url in [&url, database.url()] {
                let output = Command::new(program("psql"))
                    .args(["-XAtc", "select 1", url])
                    .output()
                    .unwrap();
                assert_eq!(output.stdout, b"1\n", "{url}: {output:?}");
            }
        }
        database.close().await.unwrap();

        let report = harness
            .diff(&url)
            .await
            .unwrap_or_else(|error| panic!("{url}: {error:?}"));
        assert!(!report.is_clean(), "the database postgres has no table");
    }
}
