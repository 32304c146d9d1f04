//! Services and appointments.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

/// The query of [`find_service`]. The operator `%` is `pg_trgm`'s and uses the index
/// `idx_services_name_trgm` (<https://www.postgresql.org/docs/current/pgtrgm.html>).
pub const FIND_SERVICE: &str = "select name, price::text, duration_minutes from services \
     where is_active and name % $1 order by similarity(name, $1) desc, name limit 1";

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// The phone number, in E.164 format.
    pub phone: String,
    /// The first name.
    pub first_name: String,
    /// The last name.
    pub last_name: String,
}

/// A service that the salon offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The name in the salon's catalogue.
    pub name: String,
    /// The price in euros, with two decimals.
    pub price: String,
    /// The duration in minutes.
    pub duration_minutes: i32,
}

/// What a customer wants to book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookingRequest {
    /// The service as the customer wrote it.
    pub service: String,
    /// The stylist's first name.
    pub stylist: String,
    /// The start in Madrid's time zone, such as `2026-03-02 10:00`.
    pub start: String,
}

/// A booked appointment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appointment {
    /// Its id.
    pub id: i64,
    /// The booked service.
    pub service: Service,
    /// The end in Madrid's time zone.
    pub end: String,
}

/// Why a booking fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No service has a similar name.
    #[error("no service has a name similar to {0:?}")]
    NoSuchService(String),
    /// There is no such stylist, or the service is not in the stylist's category.
    #[error("no stylist {stylist} offers {service}")]
    ServiceNotOffered {
        /// The stylist's first name.
        stylist: String,
        /// The service's name in the salon's catalogue.
        service: String,
    },
    /// Another appointment of the stylist has this start.
    #[error("{0} has another appointment at that time")]
    SlotTaken(String),
    /// Another error of the database.
    #[error("a statement failed")]
    Database(#[from] sqlx::Error),
}

/// The service whose name is most similar to this text.
///
/// # Errors
/// The query fails.
pub async fn find_service(
    connection: &mut PgConnection,
    text: &str,
) -> Result<Option<Service>, sqlx::Error> {
    let row = sqlx::query(FIND_SERVICE)
        .bind(text)
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

/// Books an appointment in a transaction of its own.
///
/// # Errors
/// See [`Error`]. After an error, nothing was written.
pub async fn book(
    connection: &mut PgConnection,
    customer: &Customer,
    request: &BookingRequest,
) -> Result<Appointment, Error> {
    let mut transaction = connection.begin().await?;
    let service = find_service(&mut transaction, &request.service)
        .await?
        .ok_or_else(|| Error::NoSuchService(request.service.clone()))?;
    let customer = upsert_customer(&mut transaction, customer).await?;
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
    .bind(&request.stylist)
    .bind(&service.name)
    .bind(&request.start)
    .fetch_optional(&mut *transaction)
    .await
    .map_err(|error| booking_error(error, &request.stylist))?;
    let Some(row) = booked else {
        return Err(Error::ServiceNotOffered {
            stylist: request.stylist.clone(),
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

/// Inserts a customer, or updates the one with this phone number. Returns the id.
pub(crate) async fn upsert_customer(
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

fn booking_error(error: sqlx::Error, stylist: &str) -> Error {
    match error
        .as_database_error()
        .and_then(|error| error.constraint())
    {
        Some("appointments_stylist_slot_key") => Error::SlotTaken(stylist.to_owned()),
        _ => Error::Database(error),
    }
}
