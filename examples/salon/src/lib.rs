//! A hair salon's booking assistant: it understands what a customer writes, finds the service although its name is
//! misspelt, and books.
//!
//! What understands is a [`LanguageModel`], a trait: production has a client of some vendor's, tests have [`Scripted`].

mod assistant;
mod booking;
mod model;

pub use assistant::Assistant;
pub use booking::{Appointment, Customer, Error, FIND_SERVICE, Service, Wish, book, find_service};
pub use model::{Intent, LanguageModel, Scripted};
