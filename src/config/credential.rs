//! Knows the credentials of a server again without keeping them.
//!
//! Invariant: nothing of a credential can be read from a mark; two marks of one credential differ.

use secrecy::ExposeSecret;

use super::{Auth, ServerConfig, Transport};
use crate::catalog::ServerInfo;

impl ServerConfig {
    /// A mark of who we are to this server: whatever of its entry decides what it shows us, and
    /// `who` logged in there.
    pub fn mark(&self, who: &str) -> String {
        self.marked_with(&format!("{:032x}", fastrand::u128(..)), who)
    }

    /// We are to this server who we were when it was marked.
    pub fn is_marked(&self, mark: &str, who: &str) -> bool {
        mark.split_once(':').is_some_and(|(salt, _)| self.marked_with(salt, who) == mark)
    }

    /// A listing with this in it may be served to whoever we serve: it is for everybody, or was
    /// shown to who we are now.
    pub fn was_shown(&self, info: &ServerInfo, who: impl FnOnce() -> String) -> bool {
        info.private_to.as_deref().is_none_or(|mark| self.is_marked(mark, &who()))
    }

    fn marked_with(&self, salt: &str, who: &str) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("toolscout 2026 mark of credentials");
        let mut add = |part: &str| {
            hasher.update(&part.len().to_le_bytes());
            hasher.update(part.as_bytes());
        };
        add(salt);
        add(who);
        let pairs = match &self.transport {
            // The program is how we ask, not who.
            Transport::Stdio { args, env, .. } => {
                for arg in args {
                    add(arg);
                }
                env
            }
            Transport::Http { url, headers } => {
                add(url.as_str());
                if let Some(client) = &self.network.client {
                    add(&client.certificate.to_string_lossy());
                }
                if let Auth::OAuth(config) = &self.auth {
                    add(config.client_id.as_deref().unwrap_or_default());
                }
                headers
            }
            Transport::Catalog { path, .. } => {
                add(&path.to_string_lossy());
                &Vec::new()
            }
        };
        for (name, value) in pairs {
            add(name);
            add(value.expose_secret());
        }
        format!("{salt}:{}", hasher.finalize().to_hex())
    }
}
