//! What the environment says.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use ebbtide_example_shared::{SettingError, variable};

use crate::{DatabaseUrl, Error, PoolSettings};

/// The service's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `DATABASE_URL`, else `POSTGRES_USER`, `POSTGRES_PASSWORD`, `POSTGRES_SERVER` (`localhost`), `POSTGRES_PORT`
    /// (5432) and `POSTGRES_DB` together.
    pub database: DatabaseUrl,
    /// `TEST_DATABASE_URL`, else the database with `test_` before its name.
    pub test_database: DatabaseUrl,
    /// Sizes and limits.
    pub pool: PoolSettings,
    /// `TECHSTORE_ADDRESS`; `127.0.0.1:8080` when absent.
    pub address: SocketAddr,
}

const A_URL: &str = "a URL such as postgres://user:password@server:5432/database";

impl Settings {
    /// From variables, wherever they come from.
    ///
    /// # Errors
    /// A variable is missing or not legal, or the tests would run on the shop's own database.
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
        let timeout = variable(&variables, "POSTGRES_POOL_TIMEOUT", "a number of seconds")?;
        Ok(Self {
            database,
            test_database,
            pool: PoolSettings {
                size: variable(&variables, "POSTGRES_POOL_SIZE", "a number from 1")?
                    .map_or(default.size, NonZeroU32::get),
                overflow: variable(&variables, "POSTGRES_MAX_OVERFLOW", "a number")?
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
    let needed = |name| variables(name).ok_or(SettingError::Missing(name));
    let server = variables("POSTGRES_SERVER").unwrap_or_else(|| "localhost".to_owned());
    let port = variable(variables, "POSTGRES_PORT", "a port")?.unwrap_or(5432);
    let password = variables("POSTGRES_PASSWORD");
    let (user, name) = (needed("POSTGRES_USER")?, needed("POSTGRES_DB")?);
    DatabaseUrl::assemble(&user, password.as_deref(), &server, port, &name).map_err(|_| {
        SettingError::Illegal {
            name: "POSTGRES_SERVER",
            value: server,
            wanted: "the name or address of a server, or the directory of a socket",
        }
    })
}
