//! The conversation.

use sqlx::postgres::{PgConnection, PgPool};

use crate::booking::{self, Customer, Error};
use crate::model::{Intent, LanguageModel};

/// Answers customers, and stores the conversation.
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

    /// Executes the customer's intent and returns the reply. A failed booking also has a reply.
    ///
    /// # Errors
    /// A statement fails with an error other than a taken slot.
    pub async fn answer(&mut self, customer: &Customer, message: &str) -> Result<String, Error> {
        let intent = self.model.understand(message).await;
        let mut transaction = self.pool.begin().await?;
        let id = booking::upsert_customer(&mut transaction, customer).await?;
        log_message(&mut transaction, &id, "user", message).await?;
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
            Intent::Book(request) => {
                match booking::book(&mut transaction, customer, &request).await {
                    Ok(booked) => {
                        format!(
                            "Reservado: {} con {}, {}.",
                            booked.service.name, request.stylist, request.start
                        )
                    }
                    Err(Error::Database(error)) => return Err(error.into()),
                    Err(_) => format!("No puede ser con {} a esa hora. ¿Otra?", request.stylist),
                }
            }
        };
        log_message(&mut transaction, &id, "assistant", &reply).await?;
        transaction.commit().await?;
        Ok(reply)
    }
}

async fn log_message(
    connection: &mut PgConnection,
    customer: &str,
    role: &str,
    message: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into conversation_history (customer_id, role, content) \
         values ($1::text::uuid, $2::text::message_role, $3)",
    )
    .bind(customer)
    .bind(role)
    .bind(message)
    .execute(connection)
    .await?;
    Ok(())
}
