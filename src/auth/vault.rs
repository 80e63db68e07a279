//! Logins on disk: one encrypted file a server.
//!
//! Invariants: a file is replaced as a whole or not at all, so a crash leaves the old login or the
//! new one; what others than the owner could read or write is not used.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::key::{self, Key, Source};
use super::record::Record;
use crate::config::TokenKey;
use crate::sealed;

/// What a file begins with; the nonce and the ciphertext follow.
const MAGIC: &[u8] = b"toolscout login 1\n";
const NONCE: usize = 24;
/// What permissions say of everybody but the owner.
const OTHERS: u32 = 0o077;

/// Why a login can't be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Others could read or write it.
    #[error("{path} is open to other users ({mode:03o}): run `chmod {right:o} {path}`")]
    Open {
        /// The file or folder.
        path: String,
        /// Its permissions.
        mode: u32,
        /// What they should be.
        right: u32,
    },
    /// The key is not a key.
    #[error(
        "{0} is no key: it must be 32 bytes in base64 or hex, as `openssl rand -base64 32` prints"
    )]
    Key(String),
    /// The key is in the keyring, which did not give it.
    #[error(
        "the key of the logins is in the keyring, which can't be read ({0}): unlock it, or give the key as TOOLSCOUT_TOKEN_KEY"
    )]
    Keyring(String),
    /// Another key was used, or the file is damaged.
    #[error(
        "{0} can't be decrypted: it was written with another key, or is damaged; log in again to replace it"
    )]
    Sealed(String),
    /// Another release sealed it.
    #[error("{0} was written by a newer toolscout: run that one, or log in again to replace it")]
    Newer(String),
    /// The system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What it said.
        source: io::Error,
    },
}

/// The folder of logins, and its key.
pub struct Vault {
    folder: PathBuf,
    from: TokenKey,
    key: Mutex<Option<(Key, Source)>>,
}

impl Vault {
    /// The folder need not be there yet. Where it is, it must be closed to others.
    pub fn open(folder: PathBuf, from: TokenKey) -> Result<Self, VaultError> {
        let vault = Self { folder, from, key: Mutex::default() };
        match fs::metadata(&vault.folder) {
            Err(error) if is_absent(&error) => {
                // A key that is none is told now, not at the first login.
                key::given(&vault.from)?;
                return Ok(vault);
            }
            Err(error) => return Err(io_error(&vault.folder)(error)),
            Ok(found) => closed(&vault.folder, &found.permissions(), 0o700)?,
        }
        for entry in fs::read_dir(&vault.folder).map_err(io_error(&vault.folder))? {
            let entry = entry.map_err(io_error(&vault.folder))?;
            let found = entry.metadata().map_err(io_error(&entry.path()))?;
            closed(&entry.path(), &found.permissions(), 0o600)?;
        }
        vault.find_key(false)?;
        Ok(vault)
    }

    /// The login of a server, if there is one.
    pub fn read(&self, server: &str) -> Result<Option<Record>, VaultError> {
        let path = self.path(server, "login");
        let sealed = match fs::read(&path) {
            Ok(sealed) => sealed,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(io_error(&path)(error)),
        };
        let damaged = || VaultError::Sealed(path.display().to_string());
        if is_newer(&sealed) {
            return Err(VaultError::Newer(path.display().to_string()));
        }
        let cipher = self.cipher(false)?.ok_or_else(damaged)?;
        let body = sealed.strip_prefix(MAGIC).filter(|body| body.len() > NONCE);
        let (nonce, sealed) = body.ok_or_else(damaged)?.split_at(NONCE);
        let nonce = XNonce::try_from(nonce).map_err(|_| damaged())?;
        let payload = Payload { msg: sealed, aad: server.as_bytes() };
        let plain = Zeroizing::new(cipher.decrypt(&nonce, payload).map_err(|_| damaged())?);
        serde_json::from_slice(&plain).map(Some).map_err(|_| damaged())
    }

    /// Replaces the login of a server.
    pub fn write(&self, record: &Record) -> Result<(), VaultError> {
        self.make_folder()?;
        let path = self.path(&record.server, "login");
        let damaged = || VaultError::Sealed(path.display().to_string());
        let cipher = self.cipher(true)?.ok_or_else(damaged)?;
        let plain = Zeroizing::new(serde_json::to_vec(record).map_err(|_| damaged())?);
        let nonce = XNonce::generate();
        let payload = Payload { msg: &plain, aad: record.server.as_bytes() };
        let sealed = cipher.encrypt(&nonce, payload).map_err(|_| damaged())?;
        let write = || {
            let mut file = sealed::temporary(&self.folder)?;
            file.write_all(MAGIC)?;
            file.write_all(&nonce)?;
            file.write_all(&sealed)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(io_error(&path))
    }

    /// Removes the login of a server; false where there was none.
    pub fn remove(&self, server: &str) -> Result<bool, VaultError> {
        let path = self.path(server, "login");
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_error(&path)(error)),
        }
    }

    /// Waits until no other process is about to change the login of this server. The lock lasts as
    /// long as the file is open.
    pub fn lock(&self, server: &str) -> Result<File, VaultError> {
        self.make_folder()?;
        let path = self.path(server, "lock");
        sealed::lock(&path).map_err(io_error(&path))
    }

    /// Where the key came from, once there is one.
    pub fn source(&self) -> Option<Source> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|key| key.1)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Changes whenever a login does.
    pub fn stamp(&self) -> Option<SystemTime> {
        fs::metadata(&self.folder).and_then(|found| found.modified()).ok()
    }

    fn cipher(&self, create: bool) -> Result<Option<XChaCha20Poly1305>, VaultError> {
        self.find_key(create)?;
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(key.as_ref().map(|(key, _)| XChaCha20Poly1305::new(key.bytes().into())))
    }

    fn find_key(&self, create: bool) -> Result<(), VaultError> {
        let mut slot = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = key::find(&self.folder, &self.from, create)?;
        }
        Ok(())
    }

    fn make_folder(&self) -> Result<(), VaultError> {
        sealed::folder_of_owner(&self.folder).map_err(io_error(&self.folder))
    }

    fn path(&self, server: &str, kind: &str) -> PathBuf {
        let readable: String = server
            .chars()
            .take(40)
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .collect();
        let hash = blake3::hash(server.as_bytes()).to_hex();
        self.folder.join(format!("{readable}-{}.{kind}", &hash[..16]))
    }
}

/// It begins as [`MAGIC`] does, with a higher number.
fn is_newer(sealed: &[u8]) -> bool {
    let line = sealed.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let number =
        std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix("toolscout login "));
    number.and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| number > 1)
}

pub(super) fn io_error(path: &Path) -> impl Fn(io::Error) -> VaultError {
    let path = path.display().to_string();
    move |source| VaultError::Io { path: path.clone(), source }
}

/// Nobody but the owner gets at it.
pub(super) fn closed(path: &Path, found: &Permissions, right: u32) -> Result<(), VaultError> {
    let mode = found.mode() & 0o777;
    if mode & OTHERS == 0 {
        return Ok(());
    }
    Err(VaultError::Open { path: path.display().to_string(), mode, right })
}

/// There is no such file, nor can there be one where the data folder is none.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests;
