//! Password hashes with Argon2id.

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use ebbtide_example_shared::ErrorResponse;

/// The cost of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// The memory in KiB, at least 8.
    pub memory_kib: u32,
    /// The number of passes over the memory, at least 1.
    pub passes: u32,
}

impl Default for PasswordCost {
    /// The defaults of the `argon2` crate.
    fn default() -> Self {
        Self {
            memory_kib: Params::DEFAULT_M_COST,
            passes: Params::DEFAULT_T_COST,
        }
    }
}

/// Creates and verifies hashes.
#[derive(Debug, Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    /// A hash to verify if there is no account, so that the response takes as long as with one.
    dummy_hash: String,
}

impl Passwords {
    /// Uses this cost for new hashes. An existing hash contains its own cost.
    ///
    /// # Errors
    /// The cost is outside of Argon2's range.
    pub fn new(cost: PasswordCost) -> Result<Self, argon2::password_hash::Error> {
        let params = Params::new(cost.memory_kib, cost.passes, Params::DEFAULT_P_COST, None)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let dummy_hash = hash(&argon2, "dummy password")?;
        Ok(Self { argon2, dummy_hash })
    }

    // In `spawn_blocking`, because a hash takes so long that it would delay all other requests on
    // the same thread.
    pub(crate) async fn hash(&self, password: String) -> Result<String, ErrorResponse> {
        let argon2 = self.argon2.clone();
        let hashing = tokio::task::spawn_blocking(move || hash(&argon2, &password)).await;
        hashing
            .map_err(|error| ErrorResponse::internal(&error))?
            .map_err(|error| ErrorResponse::internal(&error))
    }

    pub(crate) async fn verify(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, ErrorResponse> {
        let argon2 = self.argon2.clone();
        let has_account = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy_hash.clone());
        let verifying = tokio::task::spawn_blocking(move || {
            match argon2.verify_password(password.as_bytes(), &PasswordHash::new(&hash)?) {
                Err(argon2::password_hash::Error::Password) => Ok(false),
                verified => verified.map(|()| true),
            }
        });
        let matches = verifying
            .await
            .map_err(|error| ErrorResponse::internal(&error))?;
        matches
            .map(|matches| matches && has_account)
            .map_err(|error| ErrorResponse::internal(&error))
    }
}

fn hash(argon2: &Argon2<'_>, password: &str) -> Result<String, argon2::password_hash::Error> {
    let salt = SaltString::generate(&mut OsRng);
    Ok(argon2
        .hash_password(password.as_bytes(), &salt)?
        .to_string())
}
