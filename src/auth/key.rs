//! The key that logins are encrypted with: given, or made and kept in the desktop's keyring, or in a
//! file of the owner's where there is none.
//!
//! Invariants: a key is never replaced, since what it sealed would be lost; the file beside the
//! logins is what says where the key is.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::Generate;
use chacha20poly1305::aead::Key as AeadKey;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::keyring;
use super::vault::{VaultError, closed, io_error};
use crate::config::{TOKEN_KEY, TokenKey};
use crate::sealed::write_new;

const FILE: &str = "key";
/// The file holds this and a name where the key itself is in the keyring.
const ELSEWHERE: &str = "keyring ";
const LEN: usize = 32;

/// A key.
pub(super) struct Key(Zeroizing<[u8; LEN]>);

/// Where a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Given by a variable or a file that the configuration names.
    Given,
    /// The keyring of the desktop.
    Keyring,
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
pub(super) fn given(from: &TokenKey) -> Result<Option<Key>, VaultError> {
    let TokenKey::Given(text) = from else { return Ok(None) };
    Key::parse(text.expose_secret()).map(Some).ok_or_else(|| VaultError::Key(TOKEN_KEY.into()))
}

/// The key that was given, or the one that the folder says, which is made if it is to be.
pub(super) fn find(
    folder: &Path,
    from: &TokenKey,
    create: bool,
) -> Result<Option<(Key, Source)>, VaultError> {
    if let Some(key) = given(from)? {
        return Ok(Some((key, Source::Given)));
    }
    let path = folder.join(FILE);
    if create && !path.exists() {
        make(&path, matches!(from, TokenKey::Keyring)).map_err(io_error(&path))?;
    }
    let text = match fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(&path)(error)),
    };
    let found = fs::metadata(&path).map_err(io_error(&path))?;
    closed(&path, &found.permissions(), 0o600)?;
    let bad = || VaultError::Key(path.display().to_string());
    if let Some(name) = text.strip_prefix(ELSEWHERE) {
        let text = keyring::read(name.trim()).map_err(VaultError::Keyring)?;
        return Ok(Some((Key::parse(&text).ok_or_else(bad)?, Source::Keyring)));
    }
    Ok(Some((Key::parse(&text).ok_or_else(bad)?, Source::File)))
}

/// Two processes may be at it: the first one's key stands.
fn make(path: &Path, in_keyring: bool) -> io::Result<()> {
    let key = AeadKey::<XChaCha20Poly1305>::generate();
    let text = Zeroizing::new(STANDARD.encode(key));
    let name = format!("login key {:016x}", fastrand::u64(..));
    let kept = in_keyring && keyring::write(&name, text.clone()).is_ok();
    let line = if kept { Zeroizing::new(format!("{ELSEWHERE}{name}")) } else { text };
    let written = write_new(path, &line);
    if kept && !matches!(written, Ok(true)) {
        // Nobody will ask for it. Where it can't be removed, it opens nothing.
        let _ = keyring::remove(&name);
    }
    written.map(drop)
}
