//! The keyring of the desktop, where there is one: Secret Service, Keychain.
//!
//! Invariant: nobody waits longer for it than [`PATIENCE`], whoever may have to unlock it first.

use std::sync::mpsc;
use std::time::Duration;

use keyring::Entry;
use zeroize::Zeroizing;

/// What our entries are called there.
const SERVICE: &str = "toolscout";
/// Somebody may be asked to unlock it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A text that was kept there. The error says why there is none.
pub(super) fn read(name: &str) -> Result<Zeroizing<String>, String> {
    let name = name.to_owned();
    ask(move || Entry::new(SERVICE, &name)?.get_password().map(Zeroizing::new))
}

/// Keeps a text there.
pub(super) fn write(name: &str, text: Zeroizing<String>) -> Result<(), String> {
    let name = name.to_owned();
    ask(move || Entry::new(SERVICE, &name)?.set_password(&text))
}

/// Forgets a text.
pub(super) fn remove(name: &str) -> Result<(), String> {
    let name = name.to_owned();
    ask(move || Entry::new(SERVICE, &name)?.delete_credential())
}

/// On a thread of its own: the client blocks, and waits for as long as a prompt is open.
fn ask<T: Send + 'static>(
    question: impl FnOnce() -> keyring::Result<T> + Send + 'static,
) -> Result<T, String> {
    let (sender, answer) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("keyring".into())
        .spawn(move || sender.send(question().map_err(|error| error.to_string())))
        .map_err(|error| error.to_string())?;
    match answer.recv_timeout(PATIENCE) {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {PATIENCE:?}: it may be locked")),
    }
}
