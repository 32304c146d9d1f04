//! An application of axum on a real port, over a `Sandbox`.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use ebbtide::{Sandbox, TestArg, TestContext};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The application, which knows nothing of ebbtide.
fn shop(pool: PgPool, stuck: Arc<Notify>) -> Router {
    Router::new()
        .route("/orders", post(order))
        .route("/state", get(state))
        .route("/stuck", get(move |pool| never_done(pool, stuck)))
        .with_state(pool)
}

#[derive(Serialize, Deserialize)]
struct Order {
    customer: String,
    quantity: i32,
}

async fn order(
    State(pool): State<PgPool>,
    Json(order): Json<Order>,
) -> Result<(StatusCode, Json<i32>), Refusal> {
    let mut transaction = pool.begin().await?;
    let insert = "insert into orders (product, customer, quantity)
                  select id, $1, $2 from products where sku = 'TEA-1' returning id";
    let id = sqlx::query_scalar(insert)
        .bind(order.customer)
        .bind(order.quantity)
        .fetch_one(&mut *transaction)
        .await?;
    sqlx::query("update products set stock = stock - $1 where sku = 'TEA-1'")
        .bind(order.quantity)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok((StatusCode::CREATED, Json(id)))
}

/// How many orders there are, and how much green tea.
async fn state(State(pool): State<PgPool>) -> Result<Json<(i64, i32)>, Refusal> {
    let sql = "select (select count(*) from orders), stock from products where sku = 'TEA-1'";
    Ok(Json(sqlx::query_as(sql).fetch_one(&pool).await?))
}

/// Has the connection, and waits for what never comes.
async fn never_done(State(pool): State<PgPool>, stuck: Arc<Notify>) -> Result<(), Refusal> {
    let _transaction = pool.begin().await?;
    stuck.notify_one();
    std::future::pending().await
}

struct Refusal(sqlx::Error);

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let refused = self
            .0
            .as_database_error()
            .is_some_and(sqlx::error::DatabaseError::is_check_violation);
        let status = if refused {
            StatusCode::CONFLICT
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        (status, self.0.to_string()).into_response()
    }
}

/// The application as the tests see it.
struct App {
    address: SocketAddr,
    client: reqwest::Client,
    server: JoinHandle<()>,
    /// A request to `/stuck` has the connection.
    stuck: Arc<Notify>,
    database: Sandbox,
}

impl TestArg for App {
    async fn from_test(context: &TestContext) -> ebbtide::Result<Self> {
        Ok(App::start(Sandbox::from_test(context).await?).await)
    }
}

impl App {
    async fn start(database: Sandbox) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("some port is free");
        let address = listener.local_addr().expect("it is bound");
        let stuck = Arc::new(Notify::new());
        let router = shop(database.clone(), Arc::clone(&stuck));
        let server =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        // Whatever proxy the machine has is not for us.
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("the client has no options that may fail");
        Self {
            address,
            client,
            server,
            stuck,
            database,
        }
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("http://{}{path}", self.address))
    }

    fn order(&self, customer: &str, quantity: i32) -> reqwest::RequestBuilder {
        let order = Order {
            customer: customer.to_owned(),
            quantity,
        };
        self.client
            .post(format!("http://{}/orders", self.address))
            .json(&order)
    }

    async fn state(&self) -> reqwest::Result<(i64, i32)> {
        self.get("/state")
            .send()
            .await?
            .error_for_status()?
            .json()
            .await
    }

    /// Sends a request that has the connection and never ends.
    async fn get_stuck(&self) -> JoinHandle<reqwest::Result<reqwest::Response>> {
        let request = tokio::spawn(self.get("/stuck").send());
        self.stuck.notified().await;
        request
    }
}

/// A test on a database that must be as no other test has touched it: 52 requests, 40 of them at the same time.
async fn a_whole_test(app: &App) -> Outcome {
    assert_eq!(app.state().await?, (0, 100));
    for number in 1..=10 {
        let response = app
            .order(&format!("customer {number}"), 1)
            .send()
            .await?
            .error_for_status()?;
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.json::<i32>().await?, number, "ids begin anew");
    }
    let mut requests = JoinSet::new();
    for number in 11..=50 {
        // Every fourth wants more than there is.
        let quantity = if number % 4 == 0 { 1000 } else { 1 };
        let request = app.order(&format!("customer {number}"), quantity).send();
        requests.spawn(async move { (quantity, request.await) });
    }
    let (mut ordered, mut refused) = (0, 0);
    while let Some(answered) = requests.join_next().await {
        let (quantity, response) = answered?;
        let response = response?;
        let wanted = if quantity == 1 {
            StatusCode::CREATED
        } else {
            StatusCode::CONFLICT
        };
        assert_eq!(response.status(), wanted, "{}", response.text().await?);
        *(if quantity == 1 {
            &mut ordered
        } else {
            &mut refused
        }) += 1;
    }
    assert_eq!((ordered, refused), (30, 10));
    assert_eq!(
        app.state().await?,
        (40, 60),
        "those that were refused have left nothing"
    );
    let orders: i64 = sqlx::query_scalar("select count(*) from orders")
        .fetch_one(&*app.database)
        .await?;
    assert_eq!(orders, 40, "the test sees what the application sees");
    Ok(())
}

#[ebbtide::test]
async fn fifty_requests_are_served(app: App) -> Outcome {
    a_whole_test(&app).await
}

#[ebbtide::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_requests_are_served_on_several_threads(app: App) -> Outcome {
    a_whole_test(&app).await
}

#[ebbtide::test]
async fn the_next_test_sees_nothing_of_it() -> Outcome {
    let mut names = BTreeSet::new();
    for _ in 0..5 {
        let app = App::start(ebbtide::sandbox().await?).await;
        a_whole_test(&app).await?;
        names.insert(
            sqlx::query_scalar::<_, String>("select current_database()")
                .fetch_one(&*app.database)
                .await?,
        );
        // The server is left running.
        app.database.close().await?;
        let late = app
            .client
            .get(format!("http://{}/state", app.address))
            .send()
            .await?;
        assert_eq!(late.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(late.text().await?.contains("closed pool"));
    }
    assert!(names.len() < 5, "none of them was used twice: {names:?}");
    Ok(())
}

#[ebbtide::test]
async fn a_server_that_is_aborted_ends_well(app: App) -> Outcome {
    assert_eq!(
        app.order("Laura", 3).send().await?.status(),
        StatusCode::CREATED
    );
    app.server.abort();
    assert!(
        app.server
            .await
            .expect_err("it serves for ever")
            .is_cancelled()
    );
    assert_eq!(
        sqlx::query_scalar::<_, i64>("select count(*) from orders")
            .fetch_one(&*app.database)
            .await?,
        1
    );
    Ok(())
}

#[ebbtide::test]
async fn a_request_that_its_client_gives_up_ends_well(app: App) -> Outcome {
    let request = app.get_stuck().await;
    request.abort();
    // hyper ends the handler, and the transaction with it.
    assert_eq!(
        app.order("Laura", 3).send().await?.status(),
        StatusCode::CREATED
    );
    assert_eq!(app.state().await?, (1, 97));
    Ok(())
}

// Aborting the server is not enough: axum serves each connection in a task of its own.
#[ebbtide::test]
#[should_panic(expected = "still uses the sandbox's connection")]
async fn a_request_that_never_ends_is_told(app: App) {
    let request = app.get_stuck().await;
    app.server.abort();
    assert!(!request.is_finished());
}
