//! The token of those who may change things: made at the first start, kept in the data folder.
//!
//! Invariant: its file is its owner's alone, or nothing is served; it is compared in constant time
//! and never shown.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::sealed::write_new;

/// The token's name in the data folder.
const FILE: &str = "admin.token";
/// Shorter ones can be guessed.
const LEAST: usize = 32;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Others could read it.
    #[error("others than its owner can read {0}: `chmod 600` it, or remove it to get a new one")]
    Open(PathBuf),
    /// It is empty or short.
    #[error("{0} holds no token of {LEAST} characters or more: remove it to get a new one")]
    Short(PathBuf),
    /// It can't be read or made.
    #[error("can't read or make {0}: {1}")]
    Io(PathBuf, #[source] std::io::Error),
    /// No service has made one.
    #[error("no token in {0}: start `toolscout serve` with that data folder, or name it by --data")]
    None(PathBuf),
}

/// The token.
#[derive(Clone)]
pub struct AdminToken(SecretString);

impl AdminToken {
    /// The token in this data folder, made if there is none.
    pub fn open(data: &Path) -> Result<Self, TokenError> {
        match Self::read(data) {
            Err(TokenError::None(path)) => {
                make(&path).map_err(|error| TokenError::Io(path, error))?;
                Self::read(data)
            }
            read => read,
        }
    }

    /// The token in this data folder.
    pub fn read(data: &Path) -> Result<Self, TokenError> {
        let path = data.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => SecretString::from(text.trim()),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Err(TokenError::None(path));
            }
            Err(error) => return Err(TokenError::Io(path, error)),
        };
        let meta = std::fs::metadata(&path);
        let mode = meta.map_err(|error| TokenError::Io(path.clone(), error))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(TokenError::Open(path));
        }
        if text.expose_secret().len() < LEAST {
            return Err(TokenError::Short(path));
        }
        Ok(Self(text))
    }

    /// `said` is this token.
    pub fn is(&self, said: &str) -> bool {
        // Hashes compare in constant time.
        blake3::hash(said.as_bytes()) == blake3::hash(self.0.expose_secret().as_bytes())
    }

    /// For the header of a request.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Of two processes that start at once, one makes it and both read it.
fn make(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    let token = blake3::Hash::from(bytes).to_hex();
    write_new(path, &token).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_for_its_owner() {
        let data = tempfile::tempdir().unwrap();
        assert!(matches!(AdminToken::read(data.path()), Err(TokenError::None(_))));
        let token = AdminToken::open(data.path()).unwrap();
        let again = AdminToken::open(data.path()).unwrap();
        assert!(again.is(token.expose()) && !again.is("") && !again.is(&"0".repeat(64)));
        let path = data.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn many_that_start_at_once_have_the_same() {
        for _ in 0..50 {
            let data = tempfile::tempdir().unwrap();
            let start = std::sync::Barrier::new(8);
            let open = || {
                start.wait();
                AdminToken::open(data.path()).unwrap()
            };
            let tokens: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(tokens.iter().all(|token| token.is(tokens[0].expose())));
        }
    }

    #[test]
    fn one_that_others_can_read_or_guess_is_refused() {
        let data = tempfile::tempdir().unwrap();
        AdminToken::open(data.path()).unwrap();
        let path = data.path().join(FILE);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(AdminToken::open(data.path()), Err(TokenError::Open(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(AdminToken::open(data.path()), Err(TokenError::Short(_))));
    }
}
