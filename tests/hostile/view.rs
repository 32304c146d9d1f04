//! What a test finds: everything that another test could have left.

use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgPoolOptions};

use crate::body::run;
use crate::given::{Given, Kind};
use crate::world::Seeded;

/// One part of what a test finds, and its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) lines: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View(pub(crate) Vec<Part>);

const STATE: &str = include_str!("view.sql");
const PLANS: &str = include_str!("plans.sql");

/// Rows of varying length, in three messages: where they go shows what was there before.
const INSERTS: [&str; 7] = [
    "insert into notes select n, repeat('n', n * 37 % 700) from generate_series(1, 100) n",
    "insert into entries select n, n % 4, repeat('e', n * 53 % 700) from generate_series(1, 100) n",
    "insert into notes select n, repeat('n', n * 37 % 700) from generate_series(101, 200) n",
    "insert into entries select n, n % 4, repeat('e', n * 53 % 700) from generate_series(101, 200) n",
    "insert into counted select n, repeat('c', n % 90) from generate_series(501, 550) n",
    "insert into notes select n, repeat('n', n * 37 % 700) from generate_series(201, 300) n",
    "insert into entries select n, n % 4, repeat('e', n * 53 % 700) from generate_series(201, 300) n",
];

const ORDERS: [(&str, &str); 5] = [
    ("notes by scan", "by_scan('notes')"),
    ("entries by scan", "by_scan('entries')"),
    ("entries by index", "by_index('entries where shelf = 2')"),
    (
        "entries by index, all",
        "by_index('entries where shelf >= 0')",
    ),
    ("counted by scan", "by_scan('counted')"),
];

/// What a test sees that does not know of the others.
pub(crate) async fn view(
    given: &mut Given,
    kind: Kind,
    seeded: &Seeded,
) -> Result<View, sqlx::Error> {
    let mut session = given.session().await?;
    let connection = session.get();
    let mut parts = Vec::new();
    for row in sqlx::raw_sql(STATE).fetch_all(&mut *connection).await? {
        let (name, lines) = (
            row.try_get_unchecked::<String, _>(0)?,
            row.try_get_unchecked::<String, _>(1)?,
        );
        parts.push(Part { name, lines });
    }
    parts.sort_by(|one, other| one.name.cmp(&other.name));
    parts.push(Part {
        name: "plans".into(),
        lines: plans(connection).await?,
    });
    let random = texts(
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
        run(connection, insert).await?;
    }
    let mut orders = Vec::new();
    for (name, call) in ORDERS {
        orders.push(format!(
            "{name}: {}",
            texts(connection, &format!("select {call}")).await?.concat()
        ));
    }
    parts.push(Part {
        name: "order".into(),
        lines: orders.join("\n"),
    });
    parts.push(Part {
        name: "plans with rows".into(),
        lines: plans(connection).await?,
    });
    if kind == Kind::Tx {
        parts.push(Part {
            name: "driver".into(),
            lines: types(connection).await?.join("\n"),
        });
    }
    Ok(View(parts))
}

/// What the planner expects: each node's rows, width and costs, in one line for each query.
async fn plans(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let plans = texts(connection, PLANS).await?;
    Ok(plans
        .iter()
        .map(|plan| estimates(plan))
        .collect::<Vec<_>>()
        .join("\n"))
}

fn estimates(explained: &str) -> String {
    let (query, plan) = explained.split_once(" => ").unwrap_or((explained, ""));
    let mut nodes = Vec::new();
    match serde_json::from_str::<Value>(plan) {
        Ok(plan) => gather(&plan[0]["Plan"], &mut nodes),
        // An SQLSTATE.
        Err(_) => nodes.push(plan.to_owned()),
    }
    format!("{query} => {}", nodes.join(", "))
}

fn gather(node: &Value, nodes: &mut Vec<String>) {
    let text = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
    let on = [text("Relation Name"), text("Index Name")].concat();
    let (rows, width) = (&node["Plan Rows"], &node["Plan Width"]);
    let (startup, total) = (&node["Startup Cost"], &node["Total Cost"]);
    nodes.push(format!(
        "{} {on} {rows} rows of {width} for {startup}..{total}",
        text("Node Type")
    ));
    for inner in node["Plans"].as_array().into_iter().flatten() {
        gather(inner, nodes);
    }
}

pub(crate) async fn texts(
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

/// A type of the test's own, which the driver knows by name.
#[derive(Debug)]
pub(crate) struct Weather(pub(crate) &'static str);

impl sqlx::Type<sqlx::Postgres> for Weather {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        sqlx::postgres::PgTypeInfo::with_name("weather")
    }
}

impl sqlx::Encode<'_, sqlx::Postgres> for Weather {
    fn encode_by_ref(
        &self,
        buffer: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        <&str as sqlx::Encode<sqlx::Postgres>>::encode_by_ref(&self.0, buffer)
    }
}

/// What a value of a new type, and of one that another test may have had by this name, comes back as.
pub(crate) async fn types(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    run(connection, "create type weather as enum ('sun', 'rain')").await?;
    let back = sqlx::query("select ($1)::text")
        .bind(Weather("rain"))
        .fetch_one(connection)
        .await?;
    Ok(vec![back.try_get::<String, _>(0)?])
}

/// Everything in which a view differs from that of a new copy, by part.
pub(crate) fn differences(wanted: &View, found: &View) -> Vec<(String, String)> {
    let mut differences = Vec::new();
    for part in &wanted.0 {
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

/// The lines that one of two texts has alone.
fn difference(wanted: &str, found: &str) -> String {
    let only = |one: &str, other: &str, mark: &str| {
        let lines = one
            .lines()
            .filter(|line| !other.lines().any(|its| its == *line));
        lines
            .map(|line| format!("{mark} {line}"))
            .collect::<Vec<_>>()
    };
    [
        only(wanted, found, "missing:"),
        only(found, wanted, "extra:"),
    ]
    .concat()
    .join("\n")
}

/// Options for a pool of one connection that is made when it is needed.
pub(crate) fn lazily(options: sqlx::postgres::PgConnectOptions) -> sqlx::PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(options)
}
