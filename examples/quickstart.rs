//! Provisions the salon's database and demonstrates it: `cargo run --example quickstart`, or with
//! `-- --json` for a JSON object.
//!
//! `migrations/`, `seeds/` and `ebbtide.toml` of this repository describe the database of a hair
//! salon's booking assistant.

#![expect(clippy::print_stdout, reason = "the program prints its results")]

use std::time::{Duration, Instant};

use ebbtide::Harness;

use ebbtide::report::{ServerReport, TemplateReport};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Row as _};

type Error = Box<dyn std::error::Error>;

/// The number of timed transactions of each kind.
const SAMPLES: usize = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let json = std::env::args().any(|argument| argument == "--json");
    let harness = Harness::builder().build()?;
    let server = harness.start().await?;
    let template = harness.provision().await?;
    if !json {
        print_phases(&server, &template);
    }
    let demonstrations = Demonstrations::run(&harness).await?;
    let timing = Timing::measure(&harness).await?;
    if json {
        println!("{:#}", as_json(&server, &template, &timing));
    } else {
        demonstrations.print();
        timing.print();
    }
    Ok(())
}

fn print_phases(server: &ServerReport, template: &TemplateReport) {
    let ServerReport {
        backend,
        server_version,
        reused,
        took,
        ..
    } = server;
    let how = if *reused { "reused, found" } else { "started" };
    println!(
        "server      PostgreSQL {server_version} ({backend}), {how} in {:.1} ms",
        milliseconds(*took)
    );
    let how = if template.reused {
        "reused, found"
    } else {
        "built"
    };
    println!(
        "template    {} {how} in {:.1} ms",
        template.fingerprint,
        milliseconds(template.took)
    );
    let built = &template.provisioned;
    if template.reused {
        println!("            the phases of its build:");
    }
    for phase in &built.phases {
        let what = match phase.name.as_str() {
            "extensions" => {
                let list: Vec<String> = built
                    .extensions
                    .iter()
                    .map(|(name, version)| format!("{name} {version}"))
                    .collect();
                list.join(", ")
            }
            "migrations" => format!("{} applied", built.migrations.len()),
            "verification" => format!("ledger and catalog agree, {} tables", built.rows.len()),
            "seeds" => built
                .seeds
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
            "expectations" => "tables, row counts and enums as declared".to_owned(),
            other => other.to_owned(),
        };
        println!(
            "  {:<14}{:>7.1} ms  {what}",
            phase.name,
            milliseconds(phase.took)
        );
    }
}

/// The results of three demonstrations of a test's guarantees.
struct Demonstrations {
    count_in_test: i64,
    count_in_next_test: i64,
    found: String,
    plan_uses_index: bool,
    commit_error: String,
}

impl Demonstrations {
    async fn run(harness: &Harness) -> Result<Self, Error> {
        let (count_in_test, count_in_next_test) = book_and_count(harness).await?;
        let (found, plan_uses_index) = find_misspelt(harness).await?;
        let commit_error = try_to_commit(harness).await?;
        Ok(Self {
            count_in_test,
            count_in_next_test,
            found,
            plan_uses_index,
            commit_error,
        })
    }

    fn print(&self) {
        println!(
            "\nA test books an appointment and sees {}; the next test sees {}.",
            self.count_in_test, self.count_in_next_test
        );
        let how = if self.plan_uses_index {
            "with the index idx_services_name_trgm"
        } else {
            "without the index"
        };
        println!("\"Corte de Cabalero\" finds \"{}\" {how}.", self.found);
        println!("COMMIT in a test: {}", self.commit_error);
    }
}

async fn book_and_count(harness: &Harness) -> Result<(i64, i64), Error> {
    let count = "select count(*) from appointments";
    let mut tx = harness.tx().await?;
    sqlx::query(
        "with laura as (insert into customers (phone, first_name, last_name) values ('+34612000001', 'Laura', 'García') returning id) \
         insert into appointments (customer_id, stylist_id, service_id, start_at, end_at) \
         select laura.id, stylists.id, services.id, '2026-03-02 10:00+01', '2026-03-02 10:40+01' \
         from laura, stylists, services where stylists.first_name = 'Marta' and services.name = 'Corte de Caballero'",
    )
    .execute(&mut *tx)
    .await?;
    let count_in_test = sqlx::query_scalar(count).fetch_one(&mut *tx).await?;
    tx.close().await?;

    let mut next = harness.tx().await?;
    let count_in_next_test = sqlx::query_scalar(count).fetch_one(&mut *next).await?;
    next.close().await?;
    Ok((count_in_test, count_in_next_test))
}

async fn find_misspelt(harness: &Harness) -> Result<(String, bool), Error> {
    let search = "select id, name from services where name % 'Corte de Cabalero' order by similarity(name, 'Corte de Cabalero') desc";
    let mut tx = harness.tx().await?;
    let found: String = sqlx::query(search)
        .fetch_one(&mut *tx)
        .await?
        .try_get("name")?;
    // Fifteen rows fit on one page, for which the planner prefers a sequential scan.
    sqlx::raw_sql("set local enable_seqscan = off")
        .execute(&mut *tx)
        .await?;
    let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("explain {search}")))
        .fetch_all(&mut *tx)
        .await?;
    tx.close().await?;
    Ok((
        found,
        plan.iter()
            .any(|line| line.contains("idx_services_name_trgm")),
    ))
}

async fn try_to_commit(harness: &Harness) -> Result<String, Error> {
    let mut tx = harness.tx().await?;
    sqlx::query("delete from services where name = 'Corte de Caballero'")
        .execute(&mut *tx)
        .await?;
    let commit_error = match sqlx::raw_sql("commit").execute(&mut *tx).await {
        Ok(_) => "was accepted".to_owned(),
        Err(error) => error
            .as_database_error()
            .map_or(error.to_string(), |error| error.message().to_owned()),
    };
    // `close` also fails, because the test ended the transaction.
    match tx.close().await {
        Err(error) if error.kind() == ebbtide::ErrorKind::TransactionEscaped => Ok(commit_error),
        other => Err(format!("close must fail after a COMMIT, but returned: {other:?}").into()),
    }
}

/// Medians of one run, in microseconds.
struct Timing {
    guarded: f64,
    bare: f64,
}

impl Timing {
    async fn measure(harness: &Harness) -> Result<Self, Error> {
        // A separate database, because the URL of a Tx is not valid after its end.
        let database = harness.database().await?;
        let mut bare = connect_elsewhere(database.url().parse()?).await?;
        // Warms up both kinds before the measurement.
        for _ in 0..20 {
            harness.tx().await?.close().await?;
            sqlx::raw_sql("begin; rollback").execute(&mut bare).await?;
        }
        let (mut guarded_times, mut bare_times) = (Vec::new(), Vec::new());
        // Alternates between the kinds, so that both are measured under the same load.
        for _ in 0..SAMPLES {
            let began = Instant::now();
            harness.tx().await?.close().await?;
            guarded_times.push(began.elapsed());
            let began = Instant::now();
            bare.begin().await?.rollback().await?;
            bare_times.push(began.elapsed());
        }
        bare.close().await?;
        database.close().await?;
        Ok(Self {
            guarded: median(guarded_times),
            bare: median(bare_times),
        })
    }

    fn print(&self) {
        let Self { guarded, bare } = self;
        println!(
            "\nMedians of {SAMPLES}: to open, check and close a guarded transaction takes {guarded:.0} µs,"
        );
        println!(
            "a bare BEGIN and ROLLBACK {bare:.0} µs. The ratio is {:.2}.",
            guarded / bare
        );
    }
}

/// Connects on a runtime in another thread, as ebbtide does, so that both kinds have the same cost
/// of waking a task.
async fn connect_elsewhere(options: PgConnectOptions) -> Result<PgConnection, Error> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return drop(sender.send(Err(error.into()))),
        };
        runtime.block_on(async {
            // An error means that the caller has stopped waiting, and there is nothing to do.
            drop(sender.send(PgConnection::connect_with(&options).await));
            std::future::pending::<()>().await;
        });
    });
    Ok(receiver.await??)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn as_json(server: &ServerReport, template: &TemplateReport, timing: &Timing) -> serde_json::Value {
    let built = &template.provisioned;
    serde_json::json!({
        "backend": server.backend.to_string(),
        "server_version": server.server_version,
        "server_reused": server.reused,
        "template_reused": template.reused,
        "extensions": built.extensions,
        "migrations_applied": built.migrations.len(),
        "tables": built.rows.keys().collect::<Vec<_>>(),
        "rows": built.rows,
        "seeds": built.seeds,
        "fingerprint": template.fingerprint.as_str(),
        "server_ms": milliseconds(server.took),
        "provision_ms": milliseconds(template.took),
        "tx_open_close_us_median": timing.guarded,
        "bare_begin_rollback_us_median": timing.bare,
    })
}
