//! The conversation.

use sqlx::postgres::{PgConnection, PgPool};

use crate::booking::{self, Customer, Error};
use crate::model::{Intent, LanguageModel};

/// Answers customers, and writes down what was said.
#[derive(Debug)]
pub struct Assistant<M> {
    pool: PgPool,
    model: M,
}

impl<M: LanguageModel> Assistant<M> {
    /// An assistant with a database and a model.
    pub fn new(pool: PgPool, model: M) -> Self {
        Self { pool, model }
    }

    /// The model.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// Does what the customer wants and says so. What cannot be booked is an answer as well.
    ///
    /// # Errors
    /// The database is not what it should be.
    pub async fn answer(&mut self, customer: &Customer, words: &str) -> Result<String, Error> {
        let intent = self.model.understand(words).await;
        let mut transaction = self.pool.begin().await?;
        let id = booking::remember(&mut transaction, customer).await?;
        write_down(&mut transaction, &id, "user", words).await?;
        let reply = match intent {
            Intent::Chat { reply } => reply,
            Intent::Ask { service } => {
                match booking::find_service(&mut transaction, &service).await? {
                    Some(found) => format!(
                        "{}: {} €, {} minutos.",
                        found.name, found.price, found.duration_minutes
                    ),
                    None => format!("No tenemos nada como «{service}»."),
                }
            }
            Intent::Book(wish) => match booking::book(&mut transaction, customer, &wish).await {
                Ok(booked) => {
                    format!(
                        "Reservado: {} con {}, {}.",
                        booked.service.name, wish.stylist, wish.start
                    )
                }
                Err(Error::Database(error)) => return Err(error.into()),
                Err(_) => format!("No puede ser con {} a esa hora. ¿Otra?", wish.stylist),
            },
        };
        write_down(&mut transaction, &id, "assistant", &reply).await?;
        transaction.commit().await?;
        Ok(reply)
    }
}

async fn write_down(
    connection: &mut PgConnection,
    customer: &str,
    role: &str,
    words: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into conversation_history (customer_id, role, content) \
         values ($1::text::uuid, $2::text::message_role, $3)",
    )
    .bind(customer)
    .bind(role)
    .bind(words)
    .execute(connection)
    .await?;
    Ok(())
}
