//! How much is served, to whom, how fast: what stands before every route beside the guard.
//!
//! Before all layers stands the admission, which refuses at little cost while there is too much to
//! do. Then there are two. The outer one knows the address alone: it refuses who comes too often, or
//! shows wrong credentials too often. The inner one knows the caller: its rate, its body (read here, so
//! that whoever sends one drop by drop takes no seat), its turn for a seat, its calls of the day.
//! Invariant: whether toolscout lives and is ready is told whatever the load; a call that waits for
//! its server takes no seat, and a search never waits for one.

mod admission;
mod bodies;
pub mod metrics;
mod origin;
mod places;
mod queue;
pub mod quota;
mod rates;
mod seats;
mod streams;

use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::metrics::counter;
use axum::extract::{Request, State};
use axum::http::{self, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use self::admission::{Admission, Entered};
use self::bodies::Bodies;
use self::metrics::{LIMITED, SHED};
use self::quota::{Purse, Quotas};
use self::rates::{CallerRates, Failures, Rates};
use self::seats::{Seats, Shed, Waiting};
use self::streams::Streams;
use super::MAX_BODY_BYTES;
use super::admin::evals;
use super::listen::network_of;
use super::observe::{self, Lifted};
use super::problem::Problem;
use crate::access::caller::{Caller, Peer, Proof};
use crate::config::{Config, LimitsConfig, Rate};

pub use self::places::{Place, Places};
pub use self::seats::Seat;

/// Requests more than one a core that are at work where queries wait for something slow.
const WAITING_FOR_OTHERS: usize = 64;
/// What a problem is called where there was too much to do.
pub const OVERLOADED: &str = "overloaded";
/// What tells whether toolscout lives and is ready.
const HEALTH: [&str; 3] = ["/livez", "/readyz", "/health"];
/// What operators look at and do while there is too much to do.
const OPERATIONS: [&str; 2] = ["/metrics", "/v1/admin/"];

/// Where credentials stand.
const SHOWN: [HeaderName; 2] = [header::AUTHORIZATION, HeaderName::from_static("x-api-key")];

/// A request that came to a port on which TLS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTlsPort {
    /// Over TLS.
    Secure,
    /// In the clear.
    Plain,
}

/// Who is counted: a caller who showed who it is, else an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// An address; a /64 in IPv6.
    Address(IpAddr),
    /// Whoever it is, where not even the address is known.
    Anybody,
    /// A caller.
    Caller {
        /// Its tenant.
        tenant: Option<Arc<str>>,
        /// How it showed who it is: names of two kinds are not the same.
        proof: Proof,
        /// Its name.
        name: Arc<str>,
    },
}

impl Who {
    /// Whoever asks so.
    pub fn of(caller: Option<&Caller>, address: Option<IpAddr>) -> Self {
        match (caller, address) {
            (Some(caller), _) if caller.proof != Proof::None => Self::Caller {
                tenant: caller.tenant.clone(),
                proof: caller.proof,
                name: Arc::clone(&caller.name),
            },
            (_, Some(address)) => Self::Address(network_of(address)),
            _ => Self::Anybody,
        }
    }
}

/// The answer to a request that was not let in.
pub struct Refusal {
    /// What is answered.
    pub answer: Response,
    /// After so long.
    pub after: Duration,
}

/// All limits and what they have counted; cheap to clone.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    config: LimitsConfig,
    addresses: Option<Rates<IpAddr>>,
    failures: Option<Failures>,
    callers: CallerRates,
    bodies: Bodies,
    admission: Admission,
    seats: Seats,
    quotas: Quotas,
    streams: Streams,
}

impl Limits {
    /// As it is configured; what was spent today is read.
    pub fn new(config: &Config) -> Self {
        let limits = &config.limits;
        let failed = limits
            .failed_auth_per_minute
            .and_then(|most| Rate::new(f64::from(most.get()) / 60.0, most.get()));
        let waiting = Waiting {
            most: limits.queue,
            most_each: limits.queue_per_caller,
            wait: limits.queue_wait,
            target: limits.queue_target,
        };
        Self(Arc::new(Inner {
            addresses: limits.per_address.map(Rates::of),
            failures: failed.map(Failures::of),
            callers: CallerRates::new(limits.per_caller),
            bodies: Bodies::up_to(limits.max_held_bytes),
            admission: Admission::new(limits.queue_wait, limits.queue_target),
            seats: Seats::new(seats(config), waiting),
            quotas: Quotas::open(&config.data),
            streams: Streams::of(limits.streams_per_caller),
            config: limits.clone(),
        }))
    }

    /// Those that hold without a word in the file, in a folder that is not there.
    #[cfg(test)]
    pub fn none() -> Self {
        let sources =
            crate::config::Sources { data: Some("/nowhere".into()), ..Default::default() };
        let loaded = crate::config::load(&sources, &|_| None);
        Self::new(&loaded.unwrap_or_else(|errors| panic!("{errors}")).config)
    }

    /// As if a request had just been refused for want of time: every seat is taken.
    #[cfg(test)]
    pub async fn press(&self) -> Vec<Seat> {
        self.0.admission.press();
        let mut seats = Vec::new();
        while self.0.seats.are_free() {
            seats.extend(self.0.seats.take(&Who::Anybody).await.ok());
        }
        seats
    }

    /// There is one for whoever comes.
    #[cfg(test)]
    pub fn has_seat(&self) -> bool {
        self.0.seats.are_free()
    }

    /// What callers have spent today.
    pub fn quotas(&self) -> &Quotas {
        &self.0.quotas
    }

    /// The longest that a request may take to the head of its answer.
    pub fn time(&self) -> Duration {
        self.0.config.request_timeout
    }

    /// Lets a request in, or refuses it before any more is done for it. Its caller is not known yet:
    /// what tells it from others is its address and what it shows, unchecked.
    pub fn let_in<B>(
        &self,
        request: &mut http::Request<B>,
        peer: &Peer,
    ) -> Result<(), Box<Refusal>> {
        let path = request.uri().path();
        if is_health(path) || is_operation(path) {
            return Ok(());
        }
        let headers = request.headers();
        let address = origin::origin(peer.address, headers, &self.0.config.trusted_proxies);
        let shown = SHOWN.map(|name| headers.get(name).map(HeaderValue::as_bytes));
        let shown = (peer.certificate.as_deref(), shown);
        let seats = &self.0.seats;
        match self.0.admission.enter(network_of(address), shown, || seats.are_free()) {
            Ok(entered) => {
                request.extensions_mut().insert(entered);
                Ok(())
            }
            Err(after) => Err(Box::new(Refusal {
                answer: observe::refuse(request.method(), headers, &shed("early")),
                after,
            })),
        }
    }

    /// What can be said of a request whose caller is not known yet.
    fn admits(
        &self,
        request: &Request,
        address: Option<IpAddr>,
        is_passed_on: bool,
    ) -> Result<(), Problem> {
        let most = self.0.config.max_uri_bytes;
        let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        if target > most {
            return Err(Problem::new(
                StatusCode::URI_TOO_LONG,
                "uri-too-long",
                format!("a request target may have {most} bytes: send long queries by POST"),
            ));
        }
        if request.extensions().get() == Some(&OnTlsPort::Plain) {
            let is_here = request.extensions().get::<Peer>();
            let is_here = is_here.is_some_and(|peer| peer.address.is_loopback());
            if !(is_here && is_health(request.uri().path())) {
                return Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    "https-needed",
                    "TLS is spoken here: ask again with https://",
                ));
            }
        }
        // Whoever is on this machine is not told apart from others there by an address.
        let counts = |address: &IpAddr| is_passed_on || !address.is_loopback();
        let Some(address) = address.filter(counts) else { return Ok(()) };
        if is_health(request.uri().path()) {
            return Ok(());
        }
        let key = network_of(address);
        if let Some(failures) = &self.0.failures {
            failures.admits(&key).map_err(|wait| {
                let told = "too many credentials from this address were refused: wait, and check \
                            those that you send";
                limited("failed_auth", "too-many-failures", told, wait)
            })?;
        }
        if let Some(addresses) = &self.0.addresses {
            addresses.count(&key).map_err(|wait| {
                let told = "too many requests from this address: wait as long as Retry-After says";
                limited("address", "rate-limited", told, wait)
            })?;
        }
        Ok(())
    }

    /// Notes credentials that were refused.
    fn note_failure(&self, address: Option<IpAddr>, is_passed_on: bool) {
        let address = address.filter(|address| is_passed_on || !address.is_loopback());
        if let (Some(failures), Some(address)) = (&self.0.failures, address) {
            failures.note(network_of(address));
        }
    }
}

/// How many requests are worked on at once. More at once would not be answered sooner; fewer where
/// a query waits for something else would leave cores idle.
fn seats(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let embed = &config.embed;
    let is_slow = (embed.enabled && !embed.is_in_binary()) || config.rerank.is_some();
    let usual = if is_slow { cores + WAITING_FOR_OTHERS } else { cores };
    config.limits.concurrent_requests.map_or(usual, NonZero::get)
}

fn limited(kind: &'static str, code: &'static str, told: &str, wait: Duration) -> Problem {
    counter!(LIMITED, "kind" => kind).increment(1);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, code, told).after(wait)
}

fn shed(reason: &'static str) -> Problem {
    static TOLD: AtomicU64 = AtomicU64::new(0);
    counter!(SHED, "reason" => reason).increment(1);
    // One line a minute.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let minute = since.as_secs() / 60;
    if TOLD.swap(minute, Ordering::Relaxed) != minute {
        tracing::warn!(reason, "requests are refused: there is more to do than can be done soon");
    }
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        OVERLOADED,
        "there is more to do than can be done soon: try again after as long as Retry-After says",
    )
    .after(Duration::from_secs(1))
}

fn is_health(path: &str) -> bool {
    HEALTH.contains(&path)
}

fn is_operation(path: &str) -> bool {
    OPERATIONS.iter().any(|operation| path.starts_with(operation))
}

/// The outer layer: the address. What it finds out of it takes the place of the connection's.
pub async fn admit(State(limits): State<Limits>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>();
    let address = peer.map(|peer| {
        origin::origin(peer.address, request.headers(), &limits.0.config.trusted_proxies)
    });
    // A proxy on this machine whose headers name nobody is counted as itself, not as this machine:
    // else a header that it passes on would free its sender from every limit.
    let is_passed_on = peer.is_some_and(|peer| {
        let proxies = &limits.0.config.trusted_proxies;
        address == Some(peer.address)
            && origin::is_passed_on(peer.address, request.headers(), proxies)
    });
    if let Err(problem) = limits.admits(&request, address, is_passed_on) {
        return problem.into_response();
    }
    if let (Some(peer), Some(address)) = (request.extensions_mut().get_mut::<Peer>(), address) {
        peer.address = address;
    }
    let showed = SHOWN.iter().any(|name| request.headers().contains_key(name));
    let response = next.run(request).await;
    if showed && response.status() == StatusCode::UNAUTHORIZED {
        limits.note_failure(address, is_passed_on);
    }
    response
}

/// The inner layer: the caller.
pub async fn seat(State(limits): State<Limits>, mut request: Request, next: Next) -> Response {
    if is_health(request.uri().path()) {
        return next.run(request).await;
    }
    let address = request.extensions().get::<Peer>().map(|peer| peer.address);
    let caller = request.extensions().get::<Caller>();
    let who = Who::of(caller, address);
    let allowance = caller.map(|caller| caller.allowance).unwrap_or_default();
    if let Err(wait) = limits.0.callers.count(&who, &allowance) {
        let told = "too many requests: wait as long as Retry-After says";
        return limited("caller", "rate-limited", told, wait).into_response();
    }
    if let Some(most) = allowance.calls_per_day.or(limits.0.config.calls_per_day) {
        request.extensions_mut().insert(Purse::of(&limits.0.quotas, &who, most));
    }
    // Who takes their time to send is not on the way.
    let claimant = request.extensions_mut().remove::<Entered>().map(|entered| entered.claimant());
    let most = evals::most_bytes(request.uri().path()).unwrap_or(MAX_BODY_BYTES);
    let (request, _held) = match limits.0.bodies.receive(request, most).await {
        Ok(received) => received,
        Err(problem) => return problem.into_response(),
    };
    if is_operation(request.uri().path()) {
        return next.run(request).await;
    }
    let admission = &limits.0.admission;
    let entered = claimant.map(|claimant| admission.again(claimant));
    let seat = match limits.0.seats.take(&who).await {
        Ok(seat) => seat,
        Err(why) => {
            admission.press();
            let why = if why == Shed::Full { "full" } else { "late" };
            return shed(why).into_response();
        }
    };
    admission.seated();
    drop(entered);
    let lifted = request.extensions().get::<Lifted>().cloned().unwrap_or_default();
    // To the head of the answer, or until it turns out to be a call.
    let _taken = lifted.hold(seat);
    // What was done is told, however many streams are open: of these two nothing is lost.
    let listens = request.headers().get("mcp-method");
    let listens = listens.is_some_and(|method| method == "subscriptions/listen");
    let may_refuse = request.method() == Method::GET || listens;
    let answer = next.run(request).await;
    limits.0.streams.count(&who, answer, may_refuse).unwrap_or_else(|| {
        let told = "too many streams are open: close some that are no longer read";
        limited("streams", "too-many-streams", told, Duration::from_secs(1)).into_response()
    })
}
