//! Hashing passwords with Argon2id.

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use ebbtide_example_shared::Refusal;

/// What a hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// At least 8.
    pub memory_kib: u32,
    /// Passes over that memory, at least one.
    pub passes: u32,
}

impl Default for PasswordCost {
    /// What the `argon2` crate recommends.
    fn default() -> Self {
        Self {
            memory_kib: Params::DEFAULT_M_COST,
            passes: Params::DEFAULT_T_COST,
        }
    }
}

/// Makes and checks hashes.
#[derive(Debug, Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    /// Checked where there is no account, so that the answer takes as long as with one.
    nobodys: String,
}

impl Passwords {
    /// New hashes cost this. Old ones say themselves what they cost.
    ///
    /// # Errors
    /// The cost is out of Argon2's range.
    pub fn new(cost: PasswordCost) -> Result<Self, argon2::password_hash::Error> {
        let params = Params::new(cost.memory_kib, cost.passes, Params::DEFAULT_P_COST, None)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobodys = hash(&argon2, "nobody has this password")?;
        Ok(Self { argon2, nobodys })
    }

    // On tokio's threads for blocking work: a hash takes long enough to hold up every other request of its thread.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Refusal> {
        let argon2 = self.argon2.clone();
        let hashing = tokio::task::spawn_blocking(move || hash(&argon2, &password)).await;
        hashing
            .map_err(|error| Refusal::internal(&error))?
            .map_err(|error| Refusal::internal(&error))
    }

    pub(crate) async fn verify(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Refusal> {
        let argon2 = self.argon2.clone();
        let is_anybodys = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobodys.clone());
        let verifying = tokio::task::spawn_blocking(move || {
            match argon2.verify_password(password.as_bytes(), &PasswordHash::new(&hash)?) {
                Err(argon2::password_hash::Error::Password) => Ok(false),
                verified => verified.map(|()| true),
            }
        });
        let matches = verifying.await.map_err(|error| Refusal::internal(&error))?;
        matches
            .map(|matches| matches && is_anybodys)
            .map_err(|error| Refusal::internal(&error))
    }
}

fn hash(argon2: &Argon2<'_>, password: &str) -> Result<String, argon2::password_hash::Error> {
    let salt = SaltString::generate(&mut OsRng);
    Ok(argon2
        .hash_password(password.as_bytes(), &salt)?
        .to_string())
}
