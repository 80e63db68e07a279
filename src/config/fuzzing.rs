//! Files of configuration, as a fuzzer has them.

use std::path::Path;

use super::client::{self, Told};
use super::{Sources, load};

/// Reads `text` as a `toolscout.toml`, and as a client's file of each syntax.
pub(crate) fn read(text: &str) {
    let variable = |name: &str| (name != "UNSET").then(|| "a value".to_owned());
    let sources = Sources { text: Some(text.to_owned()), ..Sources::default() };
    match load(&sources, &variable) {
        Ok(loaded) => drop(loaded.shown()),
        Err(errors) => assert!(!errors.0.is_empty(), "refused without a reason"),
    }
    for name in ["mcp.json", "config.toml", "config.yaml"] {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let mut told = Told { errors: &mut errors, warnings: &mut warnings };
        let read = client::read(name, Path::new(name), text, &mut told);
        assert!(read.format.is_some() || read.servers.is_empty());
    }
}
