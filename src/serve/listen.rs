//! The connections: taken in, watched over, and let go when the server stops.
//!
//! Invariant: no client can hold a connection for ever by sending nothing, or a request's head
//! drop by drop, or by not taking its answer; there are never more of them than is allowed; and
//! when [`serve`] has returned, none is left.

mod open;
mod patient;
mod tls;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, header};
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt, service_fn};

use self::open::{Connection, Connections};
use self::patient::Patient;
use super::guard::Guard;
use super::held::Held;
use super::layers;
use super::limits::{Limits, OnTlsPort};
use crate::access::caller::Peer;
use crate::config::{Config, LimitsConfig};

pub use self::open::network_of;
pub use self::tls::{Tls, TlsError};

/// A connection on which nothing is heard for so long is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_mins(1);
/// How often then, before it is given up.
const PROBES: u32 = 4;

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the opening of a connection, or the last answer on it, to the end of the next head.
    pub head: Duration,
    /// For a client to take what is ready for it.
    pub write: Duration,
    /// For open requests to end once a shutdown has begun.
    pub drain: Duration,
}

/// How connections are taken in.
#[derive(Clone)]
pub struct Reception {
    patience: Patience,
    connections: Connections,
    max_head_bytes: usize,
    max_headers: usize,
    tls: Option<Tls>,
    limits: Limits,
    guard: Guard,
}

impl Reception {
    /// As it is configured; certificates are read.
    pub fn new(config: &Config, limits: Limits, drain: Duration) -> Result<Self, TlsError> {
        let tls = config.tls.0.as_ref().map(Tls::open).transpose()?;
        let bounds = &config.limits;
        let patience = Patience {
            handshake: Duration::from_secs(10).min(bounds.head_timeout),
            head: bounds.head_timeout,
            write: bounds.write_timeout,
            drain,
        };
        let guard = Guard::new(config.listen, &config.allowed_hosts, &config.allowed_origins);
        Ok(Self::of(bounds, (limits, guard), patience, tls))
    }

    fn of(
        bounds: &LimitsConfig,
        (limits, guard): (Limits, Guard),
        patience: Patience,
        tls: Option<Tls>,
    ) -> Self {
        let proxies = bounds.trusted_proxies.clone();
        Self {
            patience,
            connections: Connections::within(
                bounds.max_connections,
                bounds.max_connections_per_address,
                proxies,
            ),
            max_head_bytes: bounds.max_head_bytes,
            max_headers: bounds.max_headers,
            tls,
            limits,
            guard,
        }
    }

    /// The same for another listener: whoever fills the one keeps nobody out of the other.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { connections: self.connections.anew(), ..self.clone() }
    }

    /// Reads certificates again when they change, until `shutdown`.
    pub async fn follow(self, shutdown: CancellationToken) {
        if let Some(tls) = self.tls {
            tls.follow(shutdown).await;
        }
    }

    // HTTP/1 alone: telling HTTP/2 from it takes a first read that has no time limit, and in the
    // clear nobody speaks it who can't speak HTTP/1. Over TLS no more than that is offered.
    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience.head)
            .max_buf_size(self.max_head_bytes)
            .max_headers(self.max_headers);
        builder
    }
}

/// Serves until `shutdown`, then lets open requests end, within bounds.
pub async fn serve(
    mut listener: TcpListener,
    app: Router,
    reception: Reception,
    shutdown: CancellationToken,
) {
    let open = GracefulShutdown::new();
    let cut = CancellationToken::new();
    let _cut_on_return = cut.clone().drop_guard();
    loop {
        let (stream, from) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            () = shutdown.cancelled() => break,
        };
        let Some(connection) = reception.connections.admit(from.ip()) else {
            tracing::debug!(%from, "a connection was refused: there are too many");
            continue;
        };
        let peer = Peer { address: from.ip().to_canonical(), certificate: None };
        let (given_up, cut) = (connection.cut().clone(), cut.clone());
        let one = One { connection, peer, app: app.clone(), reception: reception.clone() };
        let one = one.run(stream, open.watcher(), shutdown.clone());
        tokio::spawn(async move {
            cut.run_until_cancelled(given_up.run_until_cancelled(one)).await;
        });
    }
    drop(listener);
    if tokio::time::timeout(reception.patience.drain, open.shutdown()).await.is_err() {
        tracing::warn!("requests that were still open have been cut off");
    }
}

/// One connection, from its opening on.
struct One {
    connection: Arc<Connection>,
    peer: Peer,
    app: Router,
    reception: Reception,
}

impl One {
    // What comes next is apart on the heap each time: a task takes no more than where it has got to.
    async fn run(self, stream: TcpStream, watcher: Watcher, shutdown: CancellationToken) {
        // An answer is written at once: waiting to fill a packet only delays it.
        let _ = stream.set_nodelay(true);
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / PROBES);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive.with_retries(PROBES));
        match self.reception.tls.clone() {
            None => Box::pin(self.serve(stream, watcher, None)).await,
            Some(tls) => Box::pin(self.shake(stream, tls, watcher, shutdown)).await,
        }
    }

    async fn shake(
        mut self,
        stream: TcpStream,
        tls: Tls,
        watcher: Watcher,
        shutdown: CancellationToken,
    ) {
        let shaken = Box::pin(async move {
            if begins_tls(&stream).await? {
                return tls.accept(stream).await.map(Ok);
            }
            Ok::<_, std::io::Error>(Err(stream))
        });
        let shaken = tokio::time::timeout(self.reception.patience.handshake, shaken);
        match shutdown.run_until_cancelled(shaken).await {
            Some(Ok(Ok(Ok(stream)))) => {
                self.peer.certificate = tls::client_name(&stream);
                Box::pin(self.serve(stream, watcher, Some(OnTlsPort::Secure))).await;
            }
            Some(Ok(Ok(Err(stream)))) => {
                Box::pin(self.serve(stream, watcher, Some(OnTlsPort::Plain))).await;
            }
            Some(Ok(Err(error))) => {
                tracing::debug!(from = %self.peer.address, %error, "a TLS handshake failed");
            }
            Some(Err(_)) => {
                tracing::debug!(from = %self.peer.address, "a TLS handshake took too long");
            }
            None => {}
        }
    }

    async fn serve<S>(self, stream: S, watcher: Watcher, port: Option<OnTlsPort>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { connection, peer, app, reception } = self;
        let builder = reception.builder();
        let Reception { patience, limits, guard, .. } = reception;
        let service = service_fn(move |mut request: Request<_>| {
            let origin = request.headers().get(header::ORIGIN).cloned();
            let answer = limits.let_in(&mut request, &peer).map(|()| {
                let extensions = request.extensions_mut();
                extensions.insert(peer.clone());
                if let Some(port) = port {
                    extensions.insert(port);
                }
                (connection.work(), app.clone().oneshot(request))
            });
            let guard = guard.clone();
            async move {
                let (answer, working): (Response<Body>, _) = match answer {
                    Ok((working, answer)) => (answer.await?, Some(working)),
                    // As little as can be is done for it.
                    Err(mut refusal) => {
                        layers::let_read(&guard, origin.as_ref(), refusal.answer.headers_mut());
                        tokio::time::sleep(refusal.after).await;
                        (refusal.answer, None)
                    }
                };
                // While it is read its connection is not idle.
                Ok::<_, Infallible>(answer.map(|body| Held::by(body, working)))
            }
        });
        let stream = TokioIo::new(Patient::new(stream, patience.write));
        let connection = builder.serve_connection(stream, TowerToHyperService::new(service));
        if let Err(error) = watcher.watch(connection.into_owned()).await {
            tracing::debug!(%error, "a connection broke off");
        }
    }
}

/// The first byte is that of a TLS handshake. Health checks in the clear are answered, too.
async fn begins_tls(stream: &TcpStream) -> std::io::Result<bool> {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    let count = stream.peek(&mut first).await?;
    Ok(count == 0 || first[0] == HANDSHAKE)
}

#[cfg(test)]
mod tests;
