//! The connections: taken in, watched over, and let go when the server stops.
//!
//! Invariant: no client can hold a connection for ever by sending nothing, or a request's head
//! drop by drop; and when [`serve`] has returned, none is left.

use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From the opening of a connection, or the last answer on it, to the end of the next head.
    pub head: Duration,
    /// For open requests to end once a shutdown has begun.
    pub drain: Duration,
}

/// Serves until `shutdown`, then lets open requests end, within bounds.
pub async fn serve(
    mut listener: TcpListener,
    app: Router,
    patience: Patience,
    shutdown: CancellationToken,
) {
    // HTTP/1 alone: telling HTTP/2 from it takes a first read that has no time limit, and in the
    // clear nobody speaks it who can't speak HTTP/1.
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience.head);
    let open = GracefulShutdown::new();
    let cut = CancellationToken::new();
    let _cut_on_return = cut.clone().drop_guard();
    loop {
        let stream = tokio::select! {
            (stream, _) = Listener::accept(&mut listener) => stream,
            () = shutdown.cancelled() => break,
        };
        // An answer is written at once: waiting to fill a packet only delays it.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(app.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = open.watch(connection.into_owned());
        let cut = cut.clone();
        tokio::spawn(async move {
            if let Some(Err(error)) = cut.run_until_cancelled(connection).await {
                tracing::debug!(%error, "a connection broke off");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(patience.drain, open.shutdown()).await.is_err() {
        tracing::warn!("requests that were still open have been cut off");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);
    const SHORT: Duration = Duration::from_millis(50);

    async fn start(
        app: Router,
        patience: Patience,
    ) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(listener, app, patience, shutdown.clone()));
        (address, shutdown, task)
    }

    async fn send(address: SocketAddr, text: &str) -> TcpStream {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(text.as_bytes()).await.unwrap();
        socket
    }

    async fn rest(mut socket: TcpStream) -> String {
        let mut text = String::new();
        let _ = socket.read_to_string(&mut text).await;
        text
    }

    #[tokio::test]
    async fn who_sends_no_whole_head_is_let_go() {
        let app = Router::new().route("/", get(|| async { "whole" }));
        let patience = Patience { head: SHORT, drain: LONG };
        let (address, _shutdown, _task) = start(app, patience).await;
        for head in ["", "G", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost: x\r\nx-"] {
            // The socket stays open on this side: only the server can end it.
            let answer = rest(send(address, head).await).await;
            assert!(!answer.contains("200 OK"), "{head:?}: {answer}");
        }
        let idle = rest(send(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
        assert!(idle.contains("200 OK") && idle.ends_with("whole"), "{idle}");
    }

    #[tokio::test]
    async fn a_shutdown_answers_what_is_open_first_and_cuts_what_stays() {
        let (arrived, go) = (Notify::new(), Notify::new());
        let gates: &'static _ = Box::leak(Box::new((arrived, go)));
        let app = Router::new().route(
            "/",
            get(|| async {
                gates.0.notify_one();
                gates.1.notified().await;
                "answered"
            }),
        );
        let patience = |drain| Patience { head: LONG, drain };
        let request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

        let (address, shutdown, task) = start(app.clone(), patience(LONG)).await;
        let open = send(address, request).await;
        gates.0.notified().await;
        shutdown.cancel();
        gates.1.notify_one();
        let answer = rest(open).await;
        assert!(answer.ends_with("answered"), "{answer}");
        task.await.unwrap();

        let (address, shutdown, task) = start(app, patience(SHORT)).await;
        let open = send(address, request).await;
        gates.0.notified().await;
        shutdown.cancel();
        task.await.unwrap();
        assert_eq!(rest(open).await, "");
    }
}
