//! An API key as its holder has it: `ts_ID_SECRET`, and eight characters that tell a typing error.
//!
//! Invariant: it can't be printed or logged by accident; comparing hashes takes the same time
//! wherever they differ.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::KeyError;

/// Scanners for leaked secrets know it by this.
pub const PREFIX: &str = "ts_";
const ID: usize = 12;
const SECRET: usize = 64;
const CHECK: usize = 8;

/// A key, whole.
#[derive(Debug)]
pub struct Secret {
    id: String,
    text: SecretString,
}

/// What is kept of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hash(#[serde(with = "as_hex")] blake3::Hash);

impl Secret {
    /// A new one, of a new key or of this one.
    pub fn random(id: Option<&str>) -> Result<Self, KeyError> {
        let mut bytes = [[0; 32]; 2];
        getrandom::fill(bytes.as_flattened_mut()).map_err(|_| KeyError::NoRandom)?;
        let [secret, more] = &bytes;
        let id = id.map_or_else(|| hex(more)[..ID].to_owned(), str::to_owned);
        let body = format!("{PREFIX}{id}_{}", hex(secret));
        let text = format!("{body}{}", check(&body)).into();
        Ok(Self { id, text })
    }

    /// The key that somebody shows; `None` where it is none.
    pub fn parse(said: &str) -> Option<Self> {
        let (id, rest) = said.strip_prefix(PREFIX)?.split_once('_')?;
        let is_hex =
            |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let sound = id.len() == ID && rest.len() == SECRET + CHECK && is_hex(id) && is_hex(rest);
        let body = sound.then(|| said.split_at(said.len() - CHECK))?;
        (check(body.0) == body.1).then(|| Self { id: id.to_owned(), text: said.into() })
    }

    /// The id in it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is kept of it.
    pub fn hash(&self) -> Hash {
        let text = self.text.expose_secret().as_bytes();
        let key = blake3::derive_key("toolscout 2026 hash of an API key", text);
        Hash(key.into())
    }

    /// For the one who made it, once.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl Hash {
    /// The hash of nothing that anybody could show.
    pub(super) fn never() -> Self {
        Self([0; 32].into())
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash")
    }
}

/// Of 32 bytes.
fn hex(bytes: &[u8; 32]) -> String {
    blake3::Hash::from(*bytes).to_hex().to_string()
}

fn check(body: &str) -> String {
    blake3::hash(body.as_bytes()).to_hex()[..CHECK].to_owned()
}

mod as_hex {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(hash: &blake3::Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hash.to_hex())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<blake3::Hash, D::Error> {
        blake3::Hash::from_hex(String::deserialize(from)?).map_err(de::Error::custom)
    }
}
