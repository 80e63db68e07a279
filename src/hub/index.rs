//! Which Python package index is asked.
//!
//! Invariant: it is the one that is named, or pip's own: what pip is set to (a company's mirror, its
//! configuration, its variables) holds here too, and no address of one is written in the program.

use std::process::Command;

use url::Url;

/// The index that pip takes, if there is a pip.
pub fn index_of_pip() -> Option<Url> {
    let told = Command::new("python3")
        .args(["-m", "pip", "help", "download"])
        // Too wide to be broken in the middle of an address.
        .env("COLUMNS", "10000")
        .output()
        .ok()?;
    default_in(&String::from_utf8_lossy(&told.stdout))
}

/// The default of `--index-url` in pip's own help.
fn default_in(help: &str) -> Option<Url> {
    let option = help.split_once("--index-url")?.1;
    let default = option.split_once("(default")?.1.split_once(')')?.0;
    let url: Url = default.trim().parse().ok()?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_of_pips_help_is_its_index() {
        let help = "  -i, --index-url <url>       Base URL (default https://mirror.test/a-b/simple).\n  \
                    --extra-index-url <url>  More (default none).";
        assert_eq!(default_in(help).unwrap().as_str(), "https://mirror.test/a-b/simple");
        for other in ["", "--index-url <url> Base URL", "--index-url <url> (default nothing)"] {
            assert_eq!(default_in(other), None, "{other}");
        }
    }
}
