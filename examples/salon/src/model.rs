//! What understands a customer's words.

use std::collections::VecDeque;

use crate::Wish;

/// What a customer wants, as far as the model understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// To know a service's price, under whatever name.
    Ask {
        /// The service as the customer wrote it.
        service: String,
    },
    /// To book.
    Book(Wish),
    /// Something else, which the model answers by itself.
    Chat {
        /// What to say.
        reply: String,
    },
}

/// A model that makes an intent of words.
pub trait LanguageModel {
    /// What these words want.
    fn understand(&mut self, words: &str) -> impl Future<Output = Intent> + Send;
}

/// A model that understands one thing after the other, whatever is said. It needs no key and no network.
#[derive(Debug, Clone, Default)]
pub struct Scripted {
    intents: VecDeque<Intent>,
    heard: Vec<String>,
}

impl Scripted {
    /// A model for a conversation of so many turns.
    pub fn new(intents: impl IntoIterator<Item = Intent>) -> Self {
        Self {
            intents: intents.into_iter().collect(),
            heard: Vec::new(),
        }
    }

    /// What was said to it.
    #[must_use]
    pub fn heard(&self) -> &[String] {
        &self.heard
    }
}

impl LanguageModel for Scripted {
    async fn understand(&mut self, words: &str) -> Intent {
        self.heard.push(words.to_owned());
        self.intents.pop_front().unwrap_or_else(|| Intent::Chat {
            reply: "¿Algo más?".to_owned(),
        })
    }
}
