//! The view of a test: everything in its session, database and server that an earlier test could
//! have changed, as sorted text. Two views are equal if nothing was left behind.
//!
//! `view.sql` reads the state, and `plans.sql` the planner's estimates. The view then inserts rows
//! and reads their physical order, which shows whether earlier rows left free space in the pages.

use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgPoolOptions};

use crate::hostile::body::execute;
use crate::hostile::test_database::{Kind, TestDatabase};
use crate::hostile::test_server::SeededNumbers;
use crate::support::difference::difference;

/// One part of a view, such as `catalog`, and its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) lines: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View(pub(crate) Vec<Part>);

const STATE_SQL: &str = include_str!("view.sql");
const PLANS_SQL: &str = include_str!("plans.sql");

/// Inserts rows of varying length into three tables in turn. PostgreSQL puts a row where a page has
/// room, so the rows' physical order shows whether earlier rows left free space.
const INSERTS: [&str; 7] = [
    "insert into notes select n, repeat('n', n * 37 % 700) from generate_series(1, 100) n",
    "insert into entries select n, n % 4, repeat('e', n * 53 % 700) from generate_series(1, 100) n",
    "insert into notes select n, repeat('n', n * 37 % 700) from generate_series(101, 200) n",
    "insert into entries select n, n % 4, repeat('e', n * 53 % 700) from generate_series(101, 200) n",
    "insert into counted select n, repeat('c', n % 90) from generate_series(501, 550) n",
    "insert into notes select n, repeat('n', n * 37 % 700) from generate_series(201, 300) n",
    "insert into entries select n, n % 4, repeat('e', n * 53 % 700) from generate_series(201, 300) n",
];

/// Reads the physical order of rows, through a sequential scan or an index (see `migration.sql`).
const ROW_ORDERS: [(&str, &str); 5] = [
    ("notes by scan", "by_scan('notes')"),
    ("entries by scan", "by_scan('entries')"),
    ("entries by index", "by_index('entries where shelf = 2')"),
    (
        "entries by index, all",
        "by_index('entries where shelf >= 0')",
    ),
    ("counted by scan", "by_scan('counted')"),
];

/// Reads the view of a test through the same connection that a body's statements would use.
///
/// The state is read first, because every later step changes the session or the database.
pub(crate) async fn read_view(
    test_database: &mut TestDatabase,
    kind: Kind,
    seeded: &SeededNumbers,
) -> Result<View, sqlx::Error> {
    let mut session = test_database.session().await?;
    let connection = session.get();
    let mut parts = Vec::new();
    for row in sqlx::raw_sql(STATE_SQL).fetch_all(&mut *connection).await? {
        let (name, lines) = (
            row.try_get_unchecked::<String, _>(0)?,
            row.try_get_unchecked::<String, _>(1)?,
        );
        parts.push(Part { name, lines });
    }
    parts.sort_by(|one, other| one.name.cmp(&other.name));
    parts.push(Part {
        name: "plans".into(),
        lines: read_plans(connection).await?,
    });
    let random = read_texts(
        connection,
        "select random()::text from generate_series(1, 3)",
    )
    .await?;
    let repeated: Vec<String> = random
        .into_iter()
        .filter(|number| seeded.contains(number))
        .collect();
    parts.push(Part {
        name: "random".into(),
        lines: repeated.join("\n"),
    });
    for insert in INSERTS {
        execute(connection, insert).await?;
    }
    let mut orders = Vec::new();
    for (name, call) in ROW_ORDERS {
        orders.push(format!(
            "{name}: {}",
            read_texts(connection, &format!("select {call}"))
                .await?
                .concat()
        ));
    }
    parts.push(Part {
        name: "order".into(),
        lines: orders.join("\n"),
    });
    parts.push(Part {
        name: "plans with rows".into(),
        lines: read_plans(connection).await?,
    });
    // Only a `Tx` can reuse the session of an earlier test, with the driver's cache of types.
    if kind == Kind::Tx {
        parts.push(Part {
            name: "driver".into(),
            lines: read_back_new_enum(connection).await?.join("\n"),
        });
    }
    Ok(View(parts))
}

/// Reads the planner's estimates: rows, width and costs of each node, in one line per query.
async fn read_plans(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let plans = read_texts(connection, PLANS_SQL).await?;
    Ok(plans
        .iter()
        .map(|plan| format_estimates(plan))
        .collect::<Vec<_>>()
        .join("\n"))
}

fn format_estimates(explained: &str) -> String {
    let (query, plan) = explained.split_once(" => ").unwrap_or((explained, ""));
    let mut nodes = Vec::new();
    match serde_json::from_str::<Value>(plan) {
        Ok(plan) => collect_nodes(&plan[0]["Plan"], &mut nodes),
        // `EXPLAIN` failed, and the text is its SQLSTATE.
        Err(_) => nodes.push(plan.to_owned()),
    }
    format!("{query} => {}", nodes.join(", "))
}

fn collect_nodes(node: &Value, nodes: &mut Vec<String>) {
    let text = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
    let on = [text("Relation Name"), text("Index Name")].concat();
    let (rows, width) = (&node["Plan Rows"], &node["Plan Width"]);
    let (startup, total) = (&node["Startup Cost"], &node["Total Cost"]);
    nodes.push(format!(
        "{} {on} {rows} rows of {width} for {startup}..{total}",
        text("Node Type")
    ));
    for inner in node["Plans"].as_array().into_iter().flatten() {
        collect_nodes(inner, nodes);
    }
}

/// The first column of a query's rows as text. NULL becomes the empty text.
pub(crate) async fn read_texts(
    connection: &mut PgConnection,
    sql: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(row
                .try_get_unchecked::<Option<String>, _>(0)?
                .unwrap_or_default())
        })
        .collect()
}

/// A value of the PostgreSQL enum `weather`, which the driver looks up by its name.
#[derive(Debug)]
pub(crate) struct WeatherEnum(pub(crate) &'static str);

impl sqlx::Type<sqlx::Postgres> for WeatherEnum {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        sqlx::postgres::PgTypeInfo::with_name("weather")
    }
}

impl sqlx::Encode<'_, sqlx::Postgres> for WeatherEnum {
    fn encode_by_ref(
        &self,
        buffer: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        <&str as sqlx::Encode<sqlx::Postgres>>::encode_by_ref(&self.0, buffer)
    }
}

/// Creates the enum `weather`, sends a value of it, and returns the value's text.
///
/// A body may have created another enum with the same name. The driver caches a type's OID per
/// connection, so a stale entry makes this query fail.
pub(crate) async fn read_back_new_enum(
    connection: &mut PgConnection,
) -> Result<Vec<String>, sqlx::Error> {
    execute(connection, "create type weather as enum ('sun', 'rain')").await?;
    let row = sqlx::query("select ($1)::text")
        .bind(WeatherEnum("rain"))
        .fetch_one(connection)
        .await?;
    Ok(vec![row.try_get::<String, _>(0)?])
}

/// The parts in which a view differs from the reference, each with its different lines.
pub(crate) fn differences(reference: &View, found: &View) -> Vec<(String, String)> {
    let mut differences = Vec::new();
    for part in &reference.0 {
        let lines = found
            .0
            .iter()
            .find(|other| other.name == part.name)
            .map_or("", |other| other.lines.as_str());
        if lines != part.lines {
            differences.push((part.name.clone(), difference(&part.lines, lines)));
        }
    }
    differences
}

/// A pool of at most one connection, which the pool opens at the first use.
pub(crate) fn lazy_pool(options: sqlx::postgres::PgConnectOptions) -> sqlx::PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(options)
}
