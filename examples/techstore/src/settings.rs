//! Settings from environment variables.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use ebbtide_example_shared::{SettingError, variable};

use crate::{DatabaseUrl, Error, PoolSettings};

/// The service's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `DATABASE_URL`. If it is not set: `POSTGRES_USER`, `POSTGRES_PASSWORD`, `POSTGRES_SERVER`
    /// (default `localhost`), `POSTGRES_PORT` (default 5432) and `POSTGRES_DB`.
    pub database: DatabaseUrl,
    /// `TEST_DATABASE_URL`. If it is not set: the shop's URL with `test_` before the database name.
    pub test_database: DatabaseUrl,
    /// The size and the timeout of the pool.
    pub pool: PoolSettings,
    /// `TECHSTORE_ADDRESS`; by default `127.0.0.1:8080`.
    pub address: SocketAddr,
}

const A_URL: &str = "a URL such as postgres://user:password@server:5432/database";

impl Settings {
    /// Reads the settings from variables. The argument returns the value of a variable.
    ///
    /// # Errors
    /// A variable is missing or invalid, or the tests' database is the shop's database.
    pub fn read(variables: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let database = match variable(&variables, "DATABASE_URL", A_URL)? {
            Some(url) => url,
            None => assemble(&variables)?,
        };
        let test_database = variable(&variables, "TEST_DATABASE_URL", A_URL)?
            .unwrap_or_else(|| database.with_name(&format!("test_{}", database.name())));
        if test_database.is_same_database(&database) {
            return Err(Error::SameDatabase(database.name()));
        }
        let default = PoolSettings::default();
        let timeout = variable(
            &variables,
            "POSTGRES_POOL_TIMEOUT",
            "a whole number of seconds",
        )?;
        Ok(Self {
            database,
            test_database,
            pool: PoolSettings {
                size: variable(
                    &variables,
                    "POSTGRES_POOL_SIZE",
                    "a whole number of at least 1",
                )?
                .map_or(default.size, NonZeroU32::get),
                overflow: variable(&variables, "POSTGRES_MAX_OVERFLOW", "a whole number")?
                    .unwrap_or(default.overflow),
                timeout: timeout.map_or(default.timeout, Duration::from_secs),
            },
            address: variable(
                &variables,
                "TECHSTORE_ADDRESS",
                "an address with a port, such as 127.0.0.1:8080",
            )?
            .unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
        })
    }
}

fn assemble(variables: &impl Fn(&str) -> Option<String>) -> Result<DatabaseUrl, SettingError> {
    let required = |name| variables(name).ok_or(SettingError::Missing(name));
    let server = variables("POSTGRES_SERVER").unwrap_or_else(|| "localhost".to_owned());
    let port = variable(variables, "POSTGRES_PORT", "a port number")?.unwrap_or(5432);
    let password = variables("POSTGRES_PASSWORD");
    let (user, name) = (required("POSTGRES_USER")?, required("POSTGRES_DB")?);
    DatabaseUrl::assemble(&user, password.as_deref(), &server, port, &name).map_err(|_| {
        SettingError::Invalid {
            name: "POSTGRES_SERVER",
            value: server,
            expected: "the name or address of a server, or the directory of a socket",
        }
    })
}
