//! `[limits]`.
//!
//! Invariant: every bound has a default that holds without a word in the file, and none of them is
//! met by a host that searches before each of its requests.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::error::{ConfigError, Place, Problem};
use super::load::Section;
use super::server::duration;

/// The longest that is waited for anything here.
const MOST: Duration = Duration::from_hours(24);

/// `[limits]`.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub max_connections: Option<usize>,
    pub max_connections_per_address: Option<usize>,
    pub head_timeout: Option<String>,
    pub request_timeout: Option<String>,
    pub write_timeout: Option<String>,
    pub max_head_bytes: Option<usize>,
    pub max_headers: Option<usize>,
    pub max_uri_bytes: Option<usize>,
    pub max_held_bytes: Option<usize>,
    pub trusted_proxies: Option<Vec<String>>,
    pub rate_per_address: Option<f64>,
    pub burst_per_address: Option<u32>,
    pub rate_per_caller: Option<f64>,
    pub burst_per_caller: Option<u32>,
    pub failed_auth_per_minute: Option<u32>,
    pub concurrent_requests: Option<usize>,
    pub queue: Option<usize>,
    pub queue_per_caller: Option<usize>,
    pub queue_wait: Option<String>,
    pub queue_target: Option<String>,
    pub streams_per_caller: Option<usize>,
    pub calls_per_day: Option<u64>,
}

/// How much is served, to whom, how fast.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsConfig {
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once of one address (of a /64 in IPv6), proxies aside.
    pub max_connections_per_address: usize,
    /// From the opening of a connection, or the last answer on it, to the end of the next head.
    pub head_timeout: Duration,
    /// From a head to the head of its answer, the body between them included.
    pub request_timeout: Duration,
    /// For a client to take what is ready for it.
    pub write_timeout: Duration,
    /// The largest head of a request.
    pub max_head_bytes: usize,
    /// The most headers in it.
    pub max_headers: usize,
    /// The longest request target.
    pub max_uri_bytes: usize,
    /// Bytes of all bodies that are being received.
    pub max_held_bytes: usize,
    /// Whose word on where a request comes from is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Requests of one address; `None` is any number.
    pub per_address: Option<Rate>,
    /// Requests of one caller; `None` is any number.
    pub per_caller: Option<Rate>,
    /// Refused credentials of one address; `None` is any number.
    pub failed_auth_per_minute: Option<NonZeroU32>,
    /// Requests at work at once; `None` goes by the cores.
    pub concurrent_requests: Option<NonZeroUsize>,
    /// Requests that may wait for their turn.
    pub queue: usize,
    /// The same, of one caller.
    pub queue_per_caller: usize,
    /// The longest wait for a turn.
    pub queue_wait: Duration,
    /// The longest wait for a turn while the queue doesn't empty.
    pub queue_target: Duration,
    /// Streams of events at once of one caller.
    pub streams_per_caller: usize,
    /// Calls of tools a day (UTC) of one caller; `None` is any number.
    pub calls_per_day: Option<u64>,
}

/// A rate of requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Requests a second; above 0.
    pub per_second: f64,
    /// Requests at once.
    pub burst: NonZeroU32,
}

impl Rate {
    /// This many a second; a burst of 0 is what comes in a second.
    pub fn new(per_second: f64, burst: u32) -> Option<Self> {
        if !per_second.is_finite() || per_second <= 0.0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let usual = per_second.ceil() as u32;
        let burst = NonZeroU32::new(burst).or(NonZeroU32::new(usual))?;
        Some(Self { per_second, burst })
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_address: 1_000,
            head_timeout: Duration::from_mins(1),
            request_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_mins(1),
            max_head_bytes: 64 << 10,
            max_headers: 100,
            max_uri_bytes: 16 << 10,
            max_held_bytes: 64 << 20,
            trusted_proxies: Vec::new(),
            per_address: None,
            per_caller: None,
            failed_auth_per_minute: NonZeroU32::new(60),
            concurrent_requests: None,
            queue: 2_048,
            queue_per_caller: 512,
            queue_wait: Duration::from_secs(1),
            queue_target: Duration::from_millis(50),
            streams_per_caller: 64,
            calls_per_day: None,
        }
    }
}

/// Checks single values.
struct Check<'a> {
    place: &'a Place,
    errors: &'a mut Vec<ConfigError>,
}

impl Check<'_> {
    fn wrong(&mut self, key: &str, problem: Problem) {
        self.errors.push(self.place.at(key).error(problem));
    }

    fn time(&mut self, key: &str, text: Option<String>, least: u64, usual: Duration) -> Duration {
        let Some(text) = text else { return usual };
        match duration(&text, Duration::from_millis(least)) {
            Ok(time) => time.min(MOST),
            Err(problem) => {
                self.wrong(key, problem);
                usual
            }
        }
    }

    fn count(
        &mut self,
        key: &str,
        value: Option<usize>,
        (least, shown): (usize, &'static str),
        usual: usize,
    ) -> usize {
        if value.is_some_and(|value| value < least) {
            self.wrong(key, Problem::TooSmall { least: shown });
        }
        value.unwrap_or(usual)
    }

    fn rate(&mut self, key: &str, rate: Option<f64>, burst: Option<u32>) -> Option<Rate> {
        let per_second = rate.unwrap_or(0.0);
        if per_second.is_nan() || per_second < 0.0 {
            self.wrong(key, Problem::TooSmall { least: "0, which is no bound," });
        }
        Rate::new(per_second, burst.unwrap_or(0))
    }

    fn networks(&mut self, key: &str, texts: Vec<String>) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for text in texts {
            match text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                Ok(network) => networks.push(network),
                Err(_) => self.wrong(key, Problem::Network(text)),
            }
        }
        networks
    }
}

/// Checks the section.
pub(super) fn resolve(raw: RawLimits, section: &mut Section<'_>) -> LimitsConfig {
    const ONE: (usize, &str) = (1, "1");
    let usual = LimitsConfig::default();
    let place = section.place.at("limits");
    let mut check = Check { place: &place, errors: section.errors };
    let most_each = raw.max_connections_per_address;
    let queue_wait = check.time("queue_wait", raw.queue_wait, 1, usual.queue_wait);
    let queue_target = check.time("queue_target", raw.queue_target, 1, usual.queue_target);
    LimitsConfig {
        max_connections: check.count(
            "max_connections",
            raw.max_connections,
            ONE,
            usual.max_connections,
        ),
        max_connections_per_address: check.count(
            "max_connections_per_address",
            most_each,
            ONE,
            usual.max_connections_per_address,
        ),
        head_timeout: check.time("head_timeout", raw.head_timeout, 1_000, usual.head_timeout),
        request_timeout: check.time(
            "request_timeout",
            raw.request_timeout,
            1_000,
            usual.request_timeout,
        ),
        write_timeout: check.time("write_timeout", raw.write_timeout, 1_000, usual.write_timeout),
        // hyper's own buffers are no smaller.
        max_head_bytes: check.count(
            "max_head_bytes",
            raw.max_head_bytes,
            (8_192, "8192"),
            usual.max_head_bytes,
        ),
        max_headers: check.count("max_headers", raw.max_headers, (16, "16"), usual.max_headers),
        max_uri_bytes: check.count(
            "max_uri_bytes",
            raw.max_uri_bytes,
            (1_024, "1024"),
            usual.max_uri_bytes,
        ),
        // One body of the largest size has to fit.
        max_held_bytes: check.count(
            "max_held_bytes",
            raw.max_held_bytes,
            (1 << 20, "1048576"),
            usual.max_held_bytes,
        ),
        trusted_proxies: check.networks("trusted_proxies", raw.trusted_proxies.unwrap_or_default()),
        per_address: check.rate("rate_per_address", raw.rate_per_address, raw.burst_per_address),
        per_caller: check.rate("rate_per_caller", raw.rate_per_caller, raw.burst_per_caller),
        failed_auth_per_minute: match raw.failed_auth_per_minute {
            None => usual.failed_auth_per_minute,
            Some(most) => NonZeroU32::new(most),
        },
        concurrent_requests: raw.concurrent_requests.and_then(NonZeroUsize::new),
        queue: check.count("queue", raw.queue, ONE, usual.queue),
        queue_per_caller: check.count(
            "queue_per_caller",
            raw.queue_per_caller,
            ONE,
            usual.queue_per_caller,
        ),
        queue_wait,
        queue_target: queue_target.min(queue_wait),
        streams_per_caller: check.count(
            "streams_per_caller",
            raw.streams_per_caller,
            ONE,
            usual.streams_per_caller,
        ),
        calls_per_day: raw.calls_per_day.filter(|most| *most > 0),
    }
}

/// The section as it was resolved, for `config check`: no secret is in it.
pub(super) fn shown(config: &LimitsConfig) -> RawLimits {
    let time = |time: Duration| Some(humantime::format_duration(time).to_string());
    let rate = |rate: Option<Rate>| Some(rate.map_or(0.0, |rate| rate.per_second));
    let burst = |rate: Option<Rate>| Some(rate.map_or(0, |rate| rate.burst.get()));
    RawLimits {
        max_connections: Some(config.max_connections),
        max_connections_per_address: Some(config.max_connections_per_address),
        head_timeout: time(config.head_timeout),
        request_timeout: time(config.request_timeout),
        write_timeout: time(config.write_timeout),
        max_head_bytes: Some(config.max_head_bytes),
        max_headers: Some(config.max_headers),
        max_uri_bytes: Some(config.max_uri_bytes),
        max_held_bytes: Some(config.max_held_bytes),
        trusted_proxies: Some(config.trusted_proxies.iter().map(IpNet::to_string).collect()),
        rate_per_address: rate(config.per_address),
        burst_per_address: burst(config.per_address),
        rate_per_caller: rate(config.per_caller),
        burst_per_caller: burst(config.per_caller),
        failed_auth_per_minute: Some(config.failed_auth_per_minute.map_or(0, NonZeroU32::get)),
        concurrent_requests: Some(config.concurrent_requests.map_or(0, NonZeroUsize::get)),
        queue: Some(config.queue),
        queue_per_caller: Some(config.queue_per_caller),
        queue_wait: time(config.queue_wait),
        queue_target: time(config.queue_target),
        streams_per_caller: Some(config.streams_per_caller),
        calls_per_day: Some(config.calls_per_day.unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{LimitsConfig, Rate, Sources, load};

    fn limits(text: &str) -> Result<LimitsConfig, String> {
        let sources = Sources { text: Some(format!("[limits]\n{text}")), ..Sources::default() };
        let loaded = load(&sources, &|_| None).map_err(|errors| errors.to_string());
        loaded.map(|loaded| loaded.config.limits)
    }

    #[test]
    fn nothing_said_is_the_default_and_zero_is_no_bound() {
        assert_eq!(limits("").unwrap(), LimitsConfig::default());
        let none = limits("rate_per_caller = 0\nfailed_auth_per_minute = 0\ncalls_per_day = 0");
        let none = none.unwrap();
        assert_eq!((none.per_caller, none.calls_per_day), (None, None));
        assert_eq!(none.failed_auth_per_minute, None);
        let some = limits("rate_per_address = 2.5\nrate_per_caller = 7\nburst_per_caller = 3");
        let some = some.unwrap();
        assert_eq!(some.per_address, Rate::new(2.5, 3));
        assert_eq!(some.per_caller, Rate::new(7.0, 3));
        let proxies = limits("trusted_proxies = ['10.0.0.0/8', '::1', '192.0.2.7']").unwrap();
        let proxies: Vec<_> = proxies.trusted_proxies.iter().map(ToString::to_string).collect();
        assert_eq!(proxies, ["10.0.0.0/8", "::1/128", "192.0.2.7/32"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_remedy() {
        let wrong = "rate_per_caller = -1.0\ntrusted_proxies = ['my proxy']\nqueue = 0\n\
                     head_timeout = '1ms'\nmax_head_bytes = 100";
        insta::assert_snapshot!(limits(wrong).unwrap_err());
    }
}
