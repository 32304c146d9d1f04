//! The JSON of every report.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    ComparedDatabase, DriftReport, HealthReport, LedgerHealth, ServerReport, TemplateReport,
};
use crate::catalog::{
    Difference, LedgerClaim, ObjectKind, SchemaDiff, SchemaObject, TableSecurity,
};
use crate::clean_up::CleanUpReport;
use crate::config::Backend;
use crate::lane::KeptDatabase;
use crate::names::Fingerprint;
use crate::provision::{
    MigrationReport, PhaseReport, ProvisionReport, ReversibleReport, ReversibleStep, SeedReport,
};

const TOOK: Duration = Duration::from_micros(12_300);

fn assert_json(report: impl Serialize, expected: &Value) {
    let json = serde_json::to_value(report).expect("a report can be written as JSON");
    assert_eq!(json, *expected);
}

fn extensions() -> BTreeMap<String, String> {
    BTreeMap::from([("pg_trgm".into(), "1.6".into())])
}

fn server() -> (ServerReport, Value) {
    let report = ServerReport {
        backend: Backend::Native,
        server_version: "17.6".into(),
        reason: "EBBTIDE_BACKEND".into(),
        reused: true,
        took: TOOK,
    };
    let json = json!({
        "backend": "native", "server_version": "17.6", "reason": "EBBTIDE_BACKEND",
        "reused": true, "took_ms": 12.3,
    });
    (report, json)
}

fn ledger() -> (LedgerClaim, Value) {
    let claim = LedgerClaim {
        table: "_sqlx_migrations".into(),
        latest: Some("7".into()),
        applied: Some(2),
        dirty: None,
    };
    let json = json!({ "table": "_sqlx_migrations", "latest": "7", "applied": 2, "dirty": null });
    (claim, json)
}

fn diff() -> (SchemaDiff, Value) {
    let object = |kind, name: &str| SchemaObject {
        kind,
        name: name.into(),
    };
    let mut diff = SchemaDiff::default();
    diff.missing.push(object(ObjectKind::Table, "rooms"));
    diff.different.push(Difference {
        object: object(ObjectKind::MaterializedView, "totals"),
        expected: "select 1".into(),
        found: "select 2".into(),
    });
    let json = json!({
        "missing": [{ "kind": "table", "name": "rooms" }],
        "extra": [],
        "different": [{
            "kind": "materialized view", "name": "totals",
            "expected": "select 1", "found": "select 2",
        }],
    });
    (diff, json)
}

#[test]
fn the_json_of_a_template_holds_its_build() {
    let (server, server_json) = server();
    assert_json(server, &server_json);
    let provisioned = ProvisionReport {
        extensions: extensions(),
        migrations: vec![MigrationReport {
            version: Some("7".into()),
            description: "names".into(),
            took: TOOK,
        }],
        not_applied: vec!["old/".into()],
        seeds: vec![SeedReport {
            file: "1_users.csv".into(),
            table: "users".into(),
            inserted: 2,
            skipped: 1,
        }],
        rows: BTreeMap::from([("users".into(), 2)]),
        notes: vec!["seeds/2_dump.sql:7: skipped \\echo".into()],
        phases: vec![PhaseReport {
            name: "seeds".into(),
            took: TOOK,
        }],
    };
    let template = TemplateReport {
        fingerprint: Fingerprint::from_hash(&[7; 32]),
        reused: false,
        took: TOOK,
        provisioned: provisioned.clone(),
    };
    let provisioned_json = json!({
        "extensions": { "pg_trgm": "1.6" },
        "migrations": [{ "version": "7", "description": "names", "took_ms": 12.3 }],
        "not_applied": ["old/"],
        "seeds": [{ "file": "1_users.csv", "table": "users", "inserted": 2, "skipped": 1 }],
        "rows": { "users": 2 },
        "notes": ["seeds/2_dump.sql:7: skipped \\echo"],
        "phases": [{ "name": "seeds", "took_ms": 12.3 }],
    });
    assert_json(
        template,
        &json!({
            "fingerprint": "0707070707070707", "reused": false, "took_ms": 12.3,
            "provisioned": provisioned_json,
        }),
    );
    // The comment of a template contains this JSON.
    let read: ProvisionReport =
        serde_json::from_value(provisioned_json).expect("a report can be read back");
    assert_eq!(read, provisioned);
}

#[test]
fn health_and_drift_hold_the_same_claim_of_a_ledger() {
    let ((server, server_json), (ledger, ledger_json)) = (server(), ledger());
    let health = HealthReport {
        server: Some(server),
        extensions: extensions(),
        ledgers: vec![LedgerHealth {
            claim: Some(ledger.clone()),
            expected_latest: Some("7".into()),
        }],
        row_security: vec![TableSecurity {
            table: "orders".into(),
            is_enabled: true,
            is_forced: false,
            policies: 2,
        }],
        policies_bypassed: Some("app owns orders".into()),
        problem: None,
    };
    assert_json(
        health,
        &json!({
            "server": server_json, "extensions": { "pg_trgm": "1.6" },
            "ledgers": [{ "claim": ledger_json, "expected_latest": "7" }],
            "row_security": [
                { "table": "orders", "is_enabled": true, "is_forced": false, "policies": 2 },
            ],
            "policies_bypassed": "app owns orders", "problem": null,
        }),
    );
    let (diff, diff_json) = diff();
    let database = |ledger| ComparedDatabase {
        server_version: "17.6".into(),
        ledger,
    };
    let drift = DriftReport {
        diff,
        expected: database(Some(ledger)),
        found: database(None),
    };
    assert_json(
        drift,
        &json!({
            "diff": diff_json,
            "expected": { "server_version": "17.6", "ledger": ledger_json },
            "found": { "server_version": "17.6", "ledger": null },
        }),
    );
}

#[test]
fn the_json_of_a_check_holds_the_differences_of_each_migration() {
    let (diff, diff_json) = diff();
    let report = ReversibleReport {
        migrations: vec![ReversibleStep {
            version: "7".into(),
            description: "names".into(),
            reversible: true,
            down_refused: None,
            after_down: diff,
            after_up: SchemaDiff::default(),
            up_refused: None,
        }],
        unchecked: 1,
    };
    assert_json(
        report,
        &json!({
            "migrations": [{
                "version": "7", "description": "names", "reversible": true,
                "down_refused": null,
                "after_down": diff_json,
                "after_up": { "missing": [], "extra": [], "different": [] },
                "up_refused": null,
            }],
            "unchecked": 1,
        }),
    );
}

#[test]
fn the_json_of_databases_holds_their_names() {
    let cleaned = CleanUpReport {
        dropped: vec!["ebbtide_t_0".into()],
        held: Vec::new(),
    };
    assert_json(cleaned, &json!({ "dropped": ["ebbtide_t_0"], "held": [] }));
    let kept = KeptDatabase {
        name: "ebbtide_k_0".into(),
        url: "postgres://localhost/ebbtide_k_0".into(),
        expires_in: Duration::from_secs(90),
    };
    assert_json(
        kept,
        &json!({
            "name": "ebbtide_k_0", "url": "postgres://localhost/ebbtide_k_0",
            "expires_in_ms": 90_000.0,
        }),
    );
}
