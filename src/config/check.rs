//! The checks of single values outside `[servers]`.
//!
//! Invariant: what is wrong is told with its place, and a value that holds the rest together stands in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{ConfigError, Lines, Place, Problem};
use super::load::{Sources, set};
use super::raw::{RawConfig, RawCrawl};
use super::{CrawlConfig, Environment, TokenKey, server};

/// Checks the values outside `[servers]`.
pub(super) struct Check<'a> {
    pub place: &'a Place,
    pub errors: &'a mut Vec<ConfigError>,
}

impl Check<'_> {
    pub(super) fn time(&mut self, key: &str, text: Option<&str>, default: Duration) -> Duration {
        let place = self.place.at("crawl").at(key);
        self.duration(&place, text, Duration::from_secs(1), default)
    }

    fn duration(
        &mut self,
        place: &Place,
        text: Option<&str>,
        least: Duration,
        default: Duration,
    ) -> Duration {
        let parsed = text.map(|text| server::duration(text, least));
        parsed.unwrap_or(Ok(default)).unwrap_or_else(|problem| {
            self.errors.push(place.error(problem));
            default
        })
    }

    pub(super) fn crawl(&mut self, raw: &RawCrawl) -> CrawlConfig {
        let mut count = |key: &str, value: Option<usize>, default: usize| {
            if value == Some(0) {
                let problem = Problem::TooSmall { least: "1" };
                self.errors.push(self.place.at("crawl").at(key).error(problem));
            }
            value.unwrap_or(default)
        };
        CrawlConfig {
            concurrency: count("concurrency", raw.concurrency, 8),
            max_pages: count("max_pages", raw.max_pages, 200),
            max_tools: count("max_tools", raw.max_tools, 20_000),
            max_bytes: count("max_bytes", raw.max_bytes, 64 << 20),
        }
    }

    pub(super) fn listen(
        &mut self,
        raw: &RawConfig,
        sources: &Sources,
        environment: &Environment<'_>,
    ) -> Option<SocketAddr> {
        let variable = || environment("TOOLSCOUT_LISTEN").filter(|value| !value.is_empty());
        let (place, parsed) = if let Some(flag) = sources.listen {
            (Place::new("--listen", Lines::new()), Ok(flag))
        } else if let Some(text) = variable() {
            let place = Place::new("TOOLSCOUT_LISTEN", Lines::new());
            (place, text.parse().map_err(|_| Problem::Address(text)))
        } else {
            let text = raw.listen.as_deref().unwrap_or("127.0.0.1:7420");
            let parsed = text.parse().map_err(|_| Problem::Address(text.into()));
            (self.place.at("listen"), parsed)
        };
        let anonymous = raw.allow_anonymous.unwrap_or(false) || sources.allow_anonymous;
        let open = anonymous || raw.auth.asks();
        let problem = match parsed {
            Err(problem) => problem,
            Ok(address) if sources.listens && !address.ip().is_loopback() && !open => {
                Problem::NotLoopback(address)
            }
            Ok(address) => return Some(address),
        };
        self.errors.push(place.error(problem));
        None
    }

    /// What logins are encrypted with.
    pub(super) fn token_key(
        &mut self,
        file: Option<&str>,
        keyring: Option<bool>,
        base: &Path,
        environment: &Environment<'_>,
    ) -> TokenKey {
        let variable = environment(super::TOKEN_KEY).filter(|key| !key.is_empty());
        if let Some(key) = variable {
            return TokenKey::Given(key.into());
        }
        let Some(file) = file else {
            return if keyring.unwrap_or(true) { TokenKey::Keyring } else { TokenKey::File };
        };
        let path = base.join(file);
        let open = |mode: u32| mode & 0o077 != 0;
        let read = std::fs::metadata(&path).and_then(|found| {
            let text = std::fs::read_to_string(&path)?;
            Ok((open(std::os::unix::fs::PermissionsExt::mode(&found.permissions())), text))
        });
        let problem = match read {
            Ok((false, key)) => return TokenKey::Given(key.trim().to_owned().into()),
            Ok((true, _)) => Problem::OpenKey(path.display().to_string()),
            Err(error) => Problem::Unreadable(error.to_string()),
        };
        self.errors.push(self.place.at("token_key_file").error(problem));
        TokenKey::File
    }

    pub(super) fn data(
        &mut self,
        raw: &RawConfig,
        base: &Path,
        sources: &Sources,
        environment: &Environment<'_>,
    ) -> Option<PathBuf> {
        let outside = (sources.data.clone()).or_else(|| set(environment, "TOOLSCOUT_DATA"));
        let here = sources.folder.join("index-data");
        let data = outside
            .map(|path| sources.folder.join(path))
            .or_else(|| raw.data.as_ref().map(|path| base.join(path)))
            .or_else(|| here.is_dir().then_some(here))
            .or_else(|| {
                let folders = directories::ProjectDirs::from("", "", "toolscout")?;
                Some(folders.data_dir().to_owned())
            });
        if data.is_none() {
            self.errors.push(self.place.at("data").error(Problem::NoDataFolder));
        }
        data
    }
}
