//! Settings from environment variables.

use std::net::{Ipv4Addr, SocketAddr};

use ebbtide_example_shared::{SettingError, variable};

use crate::PasswordCost;

/// The service's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `DATABASE_URL`.
    pub database_url: String,
    /// `TICKETS_ADDRESS`; by default `127.0.0.1:8080`.
    pub address: SocketAddr,
    /// `TICKETS_ARGON2_MEMORY_KIB` and `TICKETS_ARGON2_PASSES`.
    pub cost: PasswordCost,
}

impl Settings {
    /// Reads the settings from variables. The argument returns the value of a variable.
    ///
    /// # Errors
    /// A variable is missing or invalid.
    pub fn read(variables: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let default = PasswordCost::default();
        Ok(Self {
            database_url: variables("DATABASE_URL").ok_or(SettingError::Missing("DATABASE_URL"))?,
            address: variable(
                &variables,
                "TICKETS_ADDRESS",
                "an address with a port, such as 127.0.0.1:8080",
            )?
            .unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            cost: PasswordCost {
                memory_kib: variable(
                    &variables,
                    "TICKETS_ARGON2_MEMORY_KIB",
                    "a whole number of KiB",
                )?
                .unwrap_or(default.memory_kib),
                passes: variable(&variables, "TICKETS_ARGON2_PASSES", "a whole number")?
                    .unwrap_or(default.passes),
            },
        })
    }
}
