//! The salon, provisioned and tried: `cargo run --example quickstart`, or with `-- --json` for one JSON object.
//!
//! `migrations/`, `seeds/` and `ebbtide.toml` of this repository describe the database of a hair salon's booking
//! assistant.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::time::{Duration, Instant};

use ebbtide::{Harness, ServerReport, TemplateReport};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Row as _};

type Error = Box<dyn std::error::Error>;

/// Transactions that are timed, of each kind.
const ROUNDS: usize = 200;

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
        version,
        reused,
        milliseconds,
        ..
    } = server;
    let how = if *reused { "reused, found" } else { "started" };
    println!("server      PostgreSQL {version} ({backend}), {how} in {milliseconds:.1} ms");
    let how = if template.reused {
        "reused, found"
    } else {
        "built"
    };
    println!(
        "template    {} {how} in {:.1} ms",
        template.fingerprint, template.milliseconds
    );
    let built = &template.provisioned;
    if template.reused {
        println!("            when it was built:");
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
            "verification" => format!("ledger and catalog agree, {} tables", built.tables.len()),
            "seeds" => built
                .seeds
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
            "expectations" => "tables, row counts and enums as declared".to_owned(),
            other => other.to_owned(),
        };
        println!("  {:<14}{:>7.1} ms  {what}", phase.name, phase.milliseconds);
    }
}

/// What a test may rely on, shown.
struct Demonstrations {
    booked: i64,
    seen_by_the_next: i64,
    found: String,
    plan_uses_index: bool,
    refusal: String,
}

impl Demonstrations {
    async fn run(harness: &Harness) -> Result<Self, Error> {
        let (booked, seen_by_the_next) = book_and_look_again(harness).await?;
        let (found, plan_uses_index) = find_misspelt(harness).await?;
        let refusal = try_to_commit(harness).await?;
        Ok(Self {
            booked,
            seen_by_the_next,
            found,
            plan_uses_index,
            refusal,
        })
    }

    fn print(&self) {
        println!(
            "\nA test books an appointment and sees {}; the next test sees {}.",
            self.booked, self.seen_by_the_next
        );
        let how = if self.plan_uses_index {
            "through idx_services_name_trgm"
        } else {
            "without the index"
        };
        println!("\"Corte de Cabalero\" finds \"{}\" {how}.", self.found);
        println!("COMMIT inside a test: {}", self.refusal);
    }
}

async fn book_and_look_again(harness: &Harness) -> Result<(i64, i64), Error> {
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
    let booked = sqlx::query_scalar(count).fetch_one(&mut *tx).await?;
    tx.close().await?;

    let mut next = harness.tx().await?;
    let seen = sqlx::query_scalar(count).fetch_one(&mut *next).await?;
    next.close().await?;
    Ok((booked, seen))
}

async fn find_misspelt(harness: &Harness) -> Result<(String, bool), Error> {
    let search = "select id, name from services where name % 'Corte de Cabalero' order by similarity(name, 'Corte de Cabalero') desc";
    let mut tx = harness.tx().await?;
    let found: String = sqlx::query(search)
        .fetch_one(&mut *tx)
        .await?
        .try_get("name")?;
    // Fifteen rows fit one page, which the planner would rather read whole.
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
    let refusal = match sqlx::raw_sql("commit").execute(&mut *tx).await {
        Ok(_) => "was accepted".to_owned(),
        Err(error) => error
            .as_database_error()
            .map_or(error.to_string(), |error| error.message().to_owned()),
    };
    // The test is told a second time when it closes a transaction that it ended by itself.
    match tx.close().await {
        Err(error) if error.kind() == ebbtide::ErrorKind::TransactionEscaped => Ok(refusal),
        other => Err(format!("a test that tried to commit was not told: {other:?}").into()),
    }
}

/// Medians of one run, in microseconds.
struct Timing {
    guarded: f64,
    bare: f64,
}

impl Timing {
    async fn measure(harness: &Harness) -> Result<Self, Error> {
        // A database of its own: the URL of a transaction leads nowhere after it.
        let database = harness.database().await?;
        let mut bare = connect_elsewhere(database.url().parse()?).await?;
        // Warm both before either is timed.
        for _ in 0..20 {
            harness.tx().await?.close().await?;
            sqlx::raw_sql("begin; rollback").execute(&mut bare).await?;
        }
        let (mut guarded_times, mut bare_times) = (Vec::new(), Vec::new());
        // In turns, so that both see the same noise.
        for _ in 0..ROUNDS {
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
            "\nMedians of {ROUNDS}: a guarded transaction opened, checked and closed takes {guarded:.0} µs,"
        );
        println!(
            "a bare BEGIN and ROLLBACK {bare:.0} µs: {:.2} times as long.",
            guarded / bare
        );
    }
}

/// Connects on a runtime in another thread, as ebbtide does, so that both kinds are woken the same way.
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
            // Nobody waits any more when the other side has gone.
            drop(sender.send(PgConnection::connect_with(&options).await));
            std::future::pending::<()>().await;
        });
    });
    Ok(receiver.await??)
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn as_json(server: &ServerReport, template: &TemplateReport, timing: &Timing) -> serde_json::Value {
    let built = &template.provisioned;
    serde_json::json!({
        "backend": server.backend.to_string(),
        "server_version": server.version,
        "server_reused": server.reused,
        "template_reused": template.reused,
        "extensions": built.extensions,
        "migrations_applied": built.migrations.len(),
        "tables": built.tables,
        "rows": built.rows,
        "seeds": built.seeds,
        "fingerprint": template.fingerprint.as_str(),
        "server_ms": server.milliseconds,
        "provision_ms": template.milliseconds,
        "tx_open_close_us_median": timing.guarded,
        "bare_begin_rollback_us_median": timing.bare,
    })
}
