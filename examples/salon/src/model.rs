//! The interpretation of a customer's message.

use std::collections::VecDeque;

use crate::BookingRequest;

/// The model's interpretation of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// The customer asks for a service's price.
    Ask {
        /// The service as the customer wrote it.
        service: String,
    },
    /// The customer wants to book an appointment.
    Book(BookingRequest),
    /// Anything else. The model itself replies.
    Chat {
        /// The reply.
        reply: String,
    },
}

/// A model that interprets messages.
pub trait LanguageModel {
    /// The intent of a message.
    fn understand(&mut self, message: &str) -> impl Future<Output = Intent> + Send;
}

/// A model that returns a given sequence of intents, independently of the messages. It needs no key
/// and no network.
#[derive(Debug, Clone, Default)]
pub struct Scripted {
    intents: VecDeque<Intent>,
    messages: Vec<String>,
}

impl Scripted {
    /// A model that returns these intents in their order.
    pub fn new(intents: impl IntoIterator<Item = Intent>) -> Self {
        Self {
            intents: intents.into_iter().collect(),
            messages: Vec::new(),
        }
    }

    /// The messages that it has received.
    #[must_use]
    pub fn messages(&self) -> &[String] {
        &self.messages
    }
}

impl LanguageModel for Scripted {
    async fn understand(&mut self, message: &str) -> Intent {
        self.messages.push(message.to_owned());
        self.intents.pop_front().unwrap_or_else(|| Intent::Chat {
            reply: "¿Algo más?".to_owned(),
        })
    }
}
