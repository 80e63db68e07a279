//! Which URLs may be asked because a remote document named them (metadata, endpoints, redirects).
//!
//! A document from the internet must not be able to point toolscout at what only toolscout can
//! reach. So a URL has to be https and to lead to a public address, unless it is of the origin that
//! was configured, or the operator has said that private addresses are fine.
//!
//! Invariant: addresses are checked where names are resolved, right before they are connected to,
//! so a name that changes its address between check and use gains nothing. (A configured proxy
//! resolves names itself: then only schemes and literal addresses are checked here.)

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use url::{Host, Url};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: usize = 5;

/// Why a URL is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Neither https nor an excepted http.
    #[error("{0} is not https: a remote document may not name it")]
    Scheme(String),
    /// Not public.
    #[error(
        "{0} is not a public address: a remote document may not name it, unless \
         `allow_private_addresses = true`"
    )]
    Address(String),
    /// No host, or credentials in it.
    #[error("a URL without a host, or with a user in it, is not followed")]
    Form,
}

/// What documents may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    own: Option<Url>,
    allow_private: bool,
}

impl Policy {
    /// Public addresses over https, nothing else.
    pub fn public() -> Self {
        Self::default()
    }

    /// As [`Policy::public`], and the origin of this URL, which somebody configured. Where that is
    /// on this machine, so may be what it names.
    pub fn of(own: &Url) -> Self {
        Self { own: Some(own.clone()), allow_private: false }
    }

    /// Private and loopback addresses are fine too, also over plain http: this is an internal
    /// network. Link-local addresses, where clouds keep their secrets, never are.
    #[must_use]
    pub fn allowing_private(mut self, allow: bool) -> Self {
        self.allow_private = allow;
        self
    }

    /// This URL may be asked, as far as can be told without resolving its name.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        let host = url.host().ok_or(Refused::Form)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Form);
        }
        if self.is_own(url) {
            return Ok(());
        }
        let local = is_loopback(url);
        match url.scheme() {
            "https" => {}
            "http" if self.allow_private || (local && self.is_local()) => {}
            _ => return Err(Refused::Scheme(shown(url))),
        }
        let allowed = match host {
            Host::Domain(_) => !local || self.allows(Ipv4Addr::LOCALHOST.into()),
            Host::Ipv4(address) => self.allows(address.into()),
            Host::Ipv6(address) => self.allows(address.into()),
        };
        if allowed { Ok(()) } else { Err(Refused::Address(shown(url))) }
    }

    /// Resolves names to the addresses that may be connected to.
    pub fn resolver(&self) -> Arc<dyn Resolve> {
        Arc::new(Resolver(Arc::new(self.clone())))
    }

    /// This address may be connected to.
    fn allows(&self, address: IpAddr) -> bool {
        match Reach::of(address) {
            Reach::Public => true,
            Reach::Private => self.allow_private,
            Reach::Loopback => self.allow_private || self.is_local(),
            Reach::Never => false,
        }
    }

    fn is_own(&self, url: &Url) -> bool {
        self.own.as_ref().is_some_and(|own| own.origin() == url.origin())
    }

    fn is_local(&self) -> bool {
        self.own.as_ref().is_some_and(is_loopback)
    }
}

/// [`Policy::check`] as a function.
pub fn check_url(url: &Url, policy: &Policy) -> Result<(), Refused> {
    policy.check(url)
}

/// What a client does when it is sent elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// Goes there, if the policy lets it.
    Follow,
    /// Hands the redirect back.
    Stop,
}

/// A client that asks only what its policy lets it.
#[derive(Debug, Clone)]
pub struct Client {
    policy: Arc<Policy>,
    /// For the origin that was configured, wherever its name leads.
    own: reqwest::Client,
    /// For everything else.
    guarded: reqwest::Client,
}

impl Client {
    /// With what is usual in a client here.
    pub fn new(policy: Policy, redirects: Redirects) -> Result<Self, reqwest::Error> {
        let settings = || {
            let builder = reqwest::Client::builder();
            timed(builder.user_agent(concat!("toolscout/", env!("CARGO_PKG_VERSION"))))
        };
        Self::with(policy, redirects, settings)
    }

    /// With settings (certificates, proxies) of the caller's; resolver and redirects are ours.
    pub fn with(
        policy: Policy,
        redirects: Redirects,
        settings: impl Fn() -> reqwest::ClientBuilder,
    ) -> Result<Self, reqwest::Error> {
        Self::over(policy, redirects, settings(), settings())
    }

    /// As [`Client::with`], with settings of their own for the configured origin and for others.
    pub fn over(
        policy: Policy,
        redirects: Redirects,
        own: reqwest::ClientBuilder,
        others: reqwest::ClientBuilder,
    ) -> Result<Self, reqwest::Error> {
        let policy = Arc::new(policy);
        let resolver = Resolver(Arc::clone(&policy));
        Ok(Self {
            own: own.redirect(within_origin(redirects)).build()?,
            guarded: others
                .dns_resolver(Arc::new(resolver))
                .redirect(guarded(redirects, &policy))
                .build()?,
            policy,
        })
    }

    /// The client to ask this URL with, if it may be asked.
    pub fn for_url(&self, url: &Url) -> Result<&reqwest::Client, Refused> {
        self.policy.check(url)?;
        Ok(if self.policy.is_own(url) { &self.own } else { &self.guarded })
    }

    /// The client for everything but the configured origin. It does not check the URL that it is
    /// given, only where its name leads and where it is sent from there.
    pub fn guarded(&self) -> &reqwest::Client {
        &self.guarded
    }
}

/// The usual times.
pub(super) fn timed(builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    builder.connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT)
}

/// [`Client::guarded`] of a new client that follows redirects.
pub fn client(policy: Policy) -> Result<reqwest::Client, reqwest::Error> {
    Client::new(policy, Redirects::Follow).map(|client| client.guarded)
}

fn guarded(redirects: Redirects, policy: &Arc<Policy>) -> redirect::Policy {
    if redirects == Redirects::Stop {
        return redirect::Policy::none();
    }
    let policy = Arc::clone(policy);
    redirect::Policy::custom(move |attempt| match policy.check(attempt.url()) {
        Err(refused) => attempt.error(refused),
        Ok(()) if attempt.previous().len() > MAX_REDIRECTS => attempt.stop(),
        Ok(()) => attempt.follow(),
    })
}

/// Nobody looks at the addresses of the own client, so it goes nowhere else.
fn within_origin(redirects: Redirects) -> redirect::Policy {
    if redirects == Redirects::Stop {
        return redirect::Policy::none();
    }
    redirect::Policy::custom(|attempt| {
        let first = attempt.previous().first();
        let same = first.is_some_and(|first| first.origin() == attempt.url().origin());
        if same && attempt.previous().len() <= MAX_REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

/// Resolves as the system does, and keeps what the policy allows.
struct Resolver(Arc<Policy>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| policy.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(Refused::Address(name.as_str().to_owned()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// From where an address can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Public,
    /// This network alone.
    Private,
    /// This machine alone.
    Loopback,
    /// Link-local, multicast, reserved: never what a document may mean.
    Never,
}

impl Reach {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127, ..] => Self::Loopback,
            // Private networks, and what providers share among their customers.
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Self::Private,
            // This network, link-local, protocol assignments, documentation, relays, benchmarks,
            // multicast and reserved.
            [0 | 224..=255, ..]
            | [169, 254, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _] => Self::Never,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let embedded = |high: u16, low: u16| {
            Self::of_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        };
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            // IPv4 in other clothes: mapped, translated, 6to4.
            [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                embedded(high, low)
            }
            [0x2002, high, low, ..] => embedded(high, low),
            [0xfc00..=0xfdff, ..] => Self::Private,
            // Protocol assignments (Teredo among them) and documentation.
            [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Self::Never,
            // Global unicast is this eighth, and nothing else is public.
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Never,
        }
    }
}

/// The URL names this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => Reach::of_v4(address) == Reach::Loopback,
        Some(Host::Ipv6(address)) => Reach::of_v6(address) == Reach::Loopback,
        None => false,
    }
}

/// A URL in a message: what is secret in one stands in its path and query.
fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests;
