//! The key that logins are encrypted with: given, or made and kept in a file of the owner's.
//!
//! Invariant: a key is never replaced, since what it sealed would be lost.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::Generate;
use chacha20poly1305::aead::Key as AeadKey;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::vault::{VaultError, closed, io_error};
use crate::config::TOKEN_KEY;

const FILE: &str = "key";
const LEN: usize = 32;

/// A key.
pub(super) struct Key(Zeroizing<[u8; LEN]>);

/// Where a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Given by a variable or a file that the configuration names.
    Given,
    /// A file beside the logins.
    File,
}

impl Key {
    pub(super) fn bytes(&self) -> &[u8; LEN] {
        &self.0
    }

    /// 32 bytes in base64 or hex.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut bytes = Zeroizing::new([0; LEN]);
        if text.len() == 2 * LEN && text.is_ascii() {
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
            }
        } else {
            let decoded = Zeroizing::new(STANDARD.decode(text).ok()?);
            bytes.copy_from_slice(decoded.get(..LEN).filter(|_| decoded.len() == LEN)?);
        }
        Some(Self(bytes))
    }
}

/// The key that was given, if one was.
pub(super) fn given(text: Option<&SecretString>) -> Result<Option<Key>, VaultError> {
    let Some(text) = text else { return Ok(None) };
    Key::parse(text.expose_secret()).map(Some).ok_or_else(|| VaultError::Key(TOKEN_KEY.into()))
}

/// The key that was given, or the one in the folder, which is made if it is to be.
pub(super) fn find(
    folder: &Path,
    text: Option<&SecretString>,
    create: bool,
) -> Result<Option<(Key, Source)>, VaultError> {
    if let Some(key) = given(text)? {
        return Ok(Some((key, Source::Given)));
    }
    let path = folder.join(FILE);
    if create && !path.exists() {
        make(folder, &path).map_err(io_error(&path))?;
    }
    let text = match fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(&path)(error)),
    };
    let found = fs::metadata(&path).map_err(io_error(&path))?;
    closed(&path, &found.permissions(), 0o600)?;
    let key = Key::parse(&text).ok_or_else(|| VaultError::Key(path.display().to_string()))?;
    Ok(Some((key, Source::File)))
}

/// Two processes may be at it: the first one's key stands.
fn make(folder: &Path, path: &Path) -> io::Result<()> {
    let key = AeadKey::<XChaCha20Poly1305>::generate();
    let text = Zeroizing::new(STANDARD.encode(key));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{}", *text)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}
