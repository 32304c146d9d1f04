//! Services and appointments.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

/// The search behind [`find_service`]: `%` is `pg_trgm`'s, and answered from `idx_services_name_trgm`
/// (<https://www.postgresql.org/docs/current/pgtrgm.html>).
pub const FIND_SERVICE: &str = "select name, price::text, duration_minutes from services \
     where is_active and name % $1 order by similarity(name, $1) desc, name limit 1";

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// In E.164.
    pub phone: String,
    /// The first name.
    pub first_name: String,
    /// The last name.
    pub last_name: String,
}

/// What the salon offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The name, as the salon writes it.
    pub name: String,
    /// In euros, with two decimals.
    pub price: String,
    /// How long it takes, in minutes.
    pub duration_minutes: i32,
}

/// What a customer wants to book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The service as the customer wrote it.
    pub service: String,
    /// The stylist's first name.
    pub stylist: String,
    /// When it shall begin on Madrid's clocks, such as `2026-03-02 10:00`.
    pub start: String,
}

/// What was booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appointment {
    /// Its number.
    pub id: i64,
    /// What is booked.
    pub service: Service,
    /// When it ends on Madrid's clocks.
    pub end: String,
}

/// Why there is no appointment.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing has a name like this.
    #[error("no service is called anything like {0:?}")]
    NoSuchService(String),
    /// There is no such stylist, or it is not the stylist's trade.
    #[error("{stylist} does not do {service}")]
    NotTheirTrade {
        /// Who was asked for.
        stylist: String,
        /// The service, as the salon writes it.
        service: String,
    },
    /// Somebody was faster.
    #[error("{0} is taken at that time")]
    Taken(String),
    /// The database refused something else.
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
}

/// The service whose name is most like what was asked for.
///
/// # Errors
/// The database refuses the search.
pub async fn find_service(
    connection: &mut PgConnection,
    asked: &str,
) -> Result<Option<Service>, sqlx::Error> {
    let row = sqlx::query(FIND_SERVICE)
        .bind(asked)
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        Ok(Service {
            name: row.try_get(0)?,
            price: row.try_get(1)?,
            duration_minutes: row.try_get(2)?,
        })
    })
    .transpose()
}

/// Books all of it or nothing, in a transaction of its own.
///
/// # Errors
/// Nobody can do that, or not then; nothing was written.
pub async fn book(
    connection: &mut PgConnection,
    customer: &Customer,
    wish: &Wish,
) -> Result<Appointment, Error> {
    let mut transaction = connection.begin().await?;
    let service = find_service(&mut transaction, &wish.service)
        .await?
        .ok_or_else(|| Error::NoSuchService(wish.service.clone()))?;
    let customer = remember(&mut transaction, customer).await?;
    let booked = sqlx::query(
        "insert into appointments (customer_id, stylist_id, service_id, start_at, end_at) \
         select $1::text::uuid, stylists.id, services.id, wanted.at, \
                wanted.at + make_interval(mins => services.duration_minutes) \
         from stylists, services, (select $4::text::timestamp at time zone 'Europe/Madrid') as wanted (at) \
         where stylists.first_name = $2 and stylists.is_active and services.name = $3 \
           and stylists.category in (services.category, 'both') \
         returning id, to_char(end_at at time zone 'Europe/Madrid', 'YYYY-MM-DD HH24:MI')",
    )
    .bind(customer)
    .bind(&wish.stylist)
    .bind(&service.name)
    .bind(&wish.start)
    .fetch_optional(&mut *transaction)
    .await
    .map_err(|error| refused(error, &wish.stylist))?;
    let Some(row) = booked else {
        return Err(Error::NotTheirTrade {
            stylist: wish.stylist.clone(),
            service: service.name,
        });
    };
    let appointment = Appointment {
        id: row.try_get(0)?,
        service,
        end: row.try_get(1)?,
    };
    transaction.commit().await?;
    Ok(appointment)
}

/// The customer's id. Who is known by their phone is not written down twice.
pub(crate) async fn remember(
    connection: &mut PgConnection,
    customer: &Customer,
) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(
        "insert into customers (phone, first_name, last_name) values ($1, $2, $3) \
         on conflict (phone) do update set first_name = excluded.first_name, last_name = excluded.last_name \
         returning id::text",
    )
    .bind(&customer.phone)
    .bind(&customer.first_name)
    .bind(&customer.last_name)
    .fetch_one(connection)
    .await
}

fn refused(error: sqlx::Error, stylist: &str) -> Error {
    match error
        .as_database_error()
        .and_then(|refusal| refusal.constraint())
    {
        Some("appointments_stylist_slot_key") => Error::Taken(stylist.to_owned()),
        _ => Error::Database(error),
    }
}
