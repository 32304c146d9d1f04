//! An axum application on a real port that uses a `Sandbox`.

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

/// The application, which has no code for ebbtide.
fn shop(pool: PgPool, stuck: Arc<Notify>) -> Router {
    Router::new()
        .route("/orders", post(order))
        .route("/state", get(state))
        .route("/stuck", get(move |pool| never_respond(pool, stuck)))
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
) -> Result<(StatusCode, Json<i32>), RequestError> {
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

/// The number of orders, and the stock of green tea.
async fn state(State(pool): State<PgPool>) -> Result<Json<(i64, i32)>, RequestError> {
    let sql = "select (select count(*) from orders), stock from products where sku = 'TEA-1'";
    Ok(Json(sqlx::query_as(sql).fetch_one(&pool).await?))
}

/// Holds the connection and never responds.
async fn never_respond(State(pool): State<PgPool>, stuck: Arc<Notify>) -> Result<(), RequestError> {
    let _transaction = pool.begin().await?;
    stuck.notify_one();
    std::future::pending().await
}

struct RequestError(sqlx::Error);

impl From<sqlx::Error> for RequestError {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        let is_conflict = self
            .0
            .as_database_error()
            .is_some_and(sqlx::error::DatabaseError::is_check_violation);
        let status = if is_conflict {
            StatusCode::CONFLICT
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        (status, self.0.to_string()).into_response()
    }
}

/// The running application with its client and its database.
struct App {
    address: SocketAddr,
    client: reqwest::Client,
    server: JoinHandle<()>,
    /// Notified when a request to `/stuck` holds the connection.
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
            .expect("a port is free");
        let address = listener.local_addr().expect("the listener is bound");
        let stuck = Arc::new(Notify::new());
        let router = shop(database.clone(), Arc::clone(&stuck));
        let server = tokio::spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("axum never returns an error");
        });
        // A proxy that the environment configures must not get these requests.
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

    /// Sends a request that holds the connection and never ends.
    async fn get_stuck(&self) -> JoinHandle<reqwest::Result<reqwest::Response>> {
        let request = tokio::spawn(self.get("/stuck").send());
        self.stuck.notified().await;
        request
    }
}

/// Sends fifty orders, ten sequentially and forty concurrently, and asserts their effects. The
/// database must be in its initial state.
async fn send_fifty_requests(app: &App) -> Outcome {
    assert_eq!(app.state().await?, (0, 100));
    for number in 1..=10 {
        let response = app
            .order(&format!("customer {number}"), 1)
            .send()
            .await?
            .error_for_status()?;
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.json::<i32>().await?, number, "ids start at 1");
    }
    let mut requests = JoinSet::new();
    for number in 11..=50 {
        // Every fourth orders more than the stock.
        let quantity = if number % 4 == 0 { 1000 } else { 1 };
        let request = app.order(&format!("customer {number}"), quantity).send();
        requests.spawn(async move { (quantity, request.await) });
    }
    let (mut accepted, mut rejected) = (0, 0);
    while let Some(joined) = requests.join_next().await {
        let (quantity, response) = joined?;
        let response = response?;
        let expected = if quantity == 1 {
            StatusCode::CREATED
        } else {
            StatusCode::CONFLICT
        };
        assert_eq!(response.status(), expected, "{}", response.text().await?);
        *(if quantity == 1 {
            &mut accepted
        } else {
            &mut rejected
        }) += 1;
    }
    assert_eq!((accepted, rejected), (30, 10));
    assert_eq!(
        app.state().await?,
        (40, 60),
        "the rejected orders changed nothing"
    );
    let orders: i64 = sqlx::query_scalar("select count(*) from orders")
        .fetch_one(&*app.database)
        .await?;
    assert_eq!(orders, 40, "the test sees what the application sees");
    Ok(())
}

#[ebbtide::test]
async fn fifty_requests_are_served(app: App) -> Outcome {
    send_fifty_requests(&app).await
}

#[ebbtide::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_requests_are_served_on_several_threads(app: App) -> Outcome {
    send_fifty_requests(&app).await
}

#[ebbtide::test]
async fn the_next_test_does_not_see_the_orders() -> Outcome {
    let mut names = BTreeSet::new();
    for _ in 0..5 {
        let app = App::start(ebbtide::sandbox().await?).await;
        send_fifty_requests(&app).await?;
        names.insert(
            sqlx::query_scalar::<_, String>("select current_database()")
                .fetch_one(&*app.database)
                .await?,
        );
        // The application's server keeps running.
        app.database.close().await?;
        let late = app
            .client
            .get(format!("http://{}/state", app.address))
            .send()
            .await?;
        assert_eq!(late.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(late.text().await?.contains("closed pool"));
    }
    assert!(names.len() < 5, "no lane was used twice: {names:?}");
    Ok(())
}

#[ebbtide::test]
async fn a_test_that_aborts_the_applications_server_passes(app: App) -> Outcome {
    assert_eq!(
        app.order("Laura", 3).send().await?.status(),
        StatusCode::CREATED
    );
    app.server.abort();
    assert!(
        app.server
            .await
            .expect_err("the server never ends by itself")
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
async fn a_request_that_its_client_abandons_releases_the_connection(app: App) -> Outcome {
    let request = app.get_stuck().await;
    request.abort();
    // hyper drops the handler's future when the client disconnects, and with it the transaction.
    assert_eq!(
        app.order("Laura", 3).send().await?.status(),
        StatusCode::CREATED
    );
    assert_eq!(app.state().await?, (1, 97));
    Ok(())
}

// To abort the server is not enough, because axum serves each connection in a separate task.
#[ebbtide::test]
#[should_panic(expected = "still uses the sandbox's connection")]
async fn a_request_that_never_ends_fails_the_test(app: App) {
    let request = app.get_stuck().await;
    app.server.abort();
    assert!(!request.is_finished());
}
