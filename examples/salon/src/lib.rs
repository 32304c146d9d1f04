//! A hair salon's booking assistant. It interprets a customer's messages, finds services by
//! misspelt names, and books appointments.
//!
//! The trait [`LanguageModel`] interprets the messages. In production its implementation is a
//! client of a vendor's API; in tests it is [`Scripted`].

mod assistant;
mod booking;
mod model;

pub use assistant::Assistant;
pub use booking::{
    Appointment, BookingRequest, Customer, Error, FIND_SERVICE, Service, book, find_service,
};
pub use model::{Intent, LanguageModel, Scripted};
