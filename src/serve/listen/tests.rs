//! Over real sockets; who waits is told of what happens, and never of the time.

use std::net::SocketAddr;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

const LONG: Duration = Duration::from_hours(1);
const SHORT: Duration = Duration::from_millis(50);

fn patience(drain: Duration) -> Patience {
    Patience { handshake: LONG, head: LONG, write: LONG, drain }
}

fn reception(bounds: &LimitsConfig, limits: Limits, patience: Patience) -> Reception {
    let guard = Guard::new(([127, 0, 0, 1], 0).into(), &[], &[]);
    Reception::of(bounds, (limits, guard), patience, None)
}

async fn start_with(
    app: Router,
    reception: Reception,
) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve(listener, app, reception, shutdown.clone()));
    (address, shutdown, task)
}

async fn start(app: Router, patience: Patience) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    start_with(app, reception(&LimitsConfig::default(), Limits::none(), patience)).await
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
    let patience = Patience { head: SHORT, ..patience(LONG) };
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

/// Tells when it is dropped.
struct Told(Arc<Notify>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// An answer without end, and what tells that nobody writes it any more.
fn endless() -> (Router, Arc<Notify>) {
    let ended = Arc::new(Notify::new());
    let told = Arc::clone(&ended);
    let answer = move || {
        let held = Told(Arc::clone(&told));
        async move {
            let chunks = futures::stream::repeat_with(move || {
                let _held = &held;
                Ok::<_, Infallible>(vec![0_u8; 1 << 16])
            });
            Body::from_stream(chunks)
        }
    };
    (Router::new().route("/", get(answer)), ended)
}

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn who_does_not_take_its_answer_is_let_go() {
    let (app, ended) = endless();
    let (address, _shutdown, _task) = start(app, Patience { write: SHORT, ..patience(LONG) }).await;
    // Nothing is read, and nothing is closed, on this side.
    let socket = send(address, REQUEST).await;
    ended.notified().await;
    drop(socket);
}

#[tokio::test]
async fn who_takes_it_byte_by_byte_is_let_go_as_well() {
    let (app, ended) = endless();
    let (address, _shutdown, _task) = start(app, Patience { write: SHORT, ..patience(LONG) }).await;
    let mut socket = send(address, REQUEST).await;
    let reading = async {
        while socket.read_u8().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = reading => {}
        () = ended.notified() => {}
    }
    ended.notify_one();
    ended.notified().await;
}

#[tokio::test]
async fn who_takes_it_all_gets_it_however_long_it_is() {
    const CHUNKS: usize = 400;
    let answer = async || {
        let chunks = (0..CHUNKS).map(|_| Ok::<_, Infallible>(vec![7_u8; 1 << 16]));
        Body::from_stream(futures::stream::iter(chunks))
    };
    let app = Router::new().route("/", get(answer));
    let (address, _shutdown, _task) =
        start(app, Patience { write: Duration::from_secs(10), ..patience(LONG) }).await;
    let request = "GET / HTTP/1.0\r\nhost: x\r\n\r\n";
    let mut socket = send(address, request).await;
    let mut all = Vec::new();
    socket.read_to_end(&mut all).await.unwrap();
    // The body is the rest.
    assert_eq!(all[all.len() - (CHUNKS << 16)..], vec![7; CHUNKS << 16]);
    assert_eq!(all[all.len() - (CHUNKS << 16) - 1], b'\n');
}

#[tokio::test]
async fn a_full_house_lets_in_one_for_one_that_is_idle_and_none_for_one_at_work() {
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let gates = (Arc::clone(&arrived), Arc::clone(&go));
    let wait = async move || {
        gates.0.notify_one();
        gates.1.notified().await;
        "answered"
    };
    let app = Router::new().route("/", get(async || "at once")).route("/wait", get(wait));
    let limits = LimitsConfig { max_connections: 1, ..LimitsConfig::default() };
    let reception = reception(&limits, Limits::none(), patience(LONG));
    let (address, _shutdown, _task) = start_with(app, reception).await;
    // The first is idle, and gives way.
    let first = send(address, "").await;
    let second = send(address, "GET /wait HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!(rest(first).await, "");
    arrived.notified().await;
    // Who works does not.
    assert_eq!(rest(send(address, REQUEST).await).await, "");
    go.notify_one();
    assert!(rest(second).await.ends_with("answered"));
}

#[tokio::test]
async fn heads_are_bounded() {
    let app = Router::new().route("/", get(async || "read"));
    let limits = LimitsConfig { max_head_bytes: 8_192, max_headers: 16, ..LimitsConfig::default() };
    let reception = reception(&limits, Limits::none(), patience(LONG));
    let (address, _shutdown, _task) = start_with(app, reception).await;
    let status = async |headers: String| {
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        let answer = rest(send(address, &head).await).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(status(String::new()).await, "200");
    assert_eq!(status(format!("x: {}\r\n", "y".repeat(4_000))).await, "200");
    assert_eq!(status(format!("x: {}\r\n", "y".repeat(20_000))).await, "431");
    assert_eq!(status("x: y\r\n".repeat(20)).await, "431");
}

#[tokio::test]
async fn while_there_is_too_much_to_do_the_rest_is_told_so_at_the_entrance() {
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(tokio::sync::Semaphore::new(0)));
    let (told, wait) = (Arc::clone(&arrived), Arc::clone(&go));
    let work = async move |_still_there: Request| {
        told.notify_one();
        let _ = wait.acquire().await;
        "done"
    };
    let app = Router::new().route("/v1/search", get(work)).route("/livez", get(async || "lives"));
    let limits = Limits::none();
    let _seats = limits.press().await;
    let reception = reception(&LimitsConfig::default(), limits, patience(LONG));
    let (address, _shutdown, _task) = start_with(app, reception).await;
    let ask = async |path: &str, more: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n");
        send(address, &head).await
    };

    let mut at_work = Vec::new();
    for _ in 0..8 {
        at_work.push(ask("/v1/search", "").await);
        arrived.notified().await;
    }
    let page = "x-request-id: mine\r\norigin: http://localhost:3000\r\n";
    let refused = rest(ask("/v1/search", page).await).await;
    let lives = rest(ask("/livez", "").await).await;
    let other = ask("/v1/search", "authorization: Bearer another\r\n").await;
    arrived.notified().await;

    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    let head: Vec<_> = head.lines().filter(|line| !line.starts_with("date: ")).collect();
    insta::assert_snapshot!(format!("{}\n\n{body}", head.join("\n")));
    assert!(lives.ends_with("lives"), "{lives}");
    // And who was let in is answered.
    go.add_permits(9);
    for socket in at_work.into_iter().chain([other]) {
        let answer = rest(socket).await;
        assert!(answer.ends_with("done"), "{answer}");
    }
}
