//! What HTTP and MCP add to a search: round trips over loopback on one connection kept open.
//!
//! | name | one iteration |
//! |---|---|
//! | `bare` | `GET /livez`: the sockets, the routing and the middleware, and nothing else |
//! | `search` | `POST /v1/search` with another query each time, ten definitions returned |
//! | `repeated` | the same query each time |
//! | `mcp` | `tools/call` of `search_tools`, another query each time, ten definitions |
//! | `mcp-repeated` | the same query each time |
//!
//! The server and the one client are threads of this process, on 28k tools. After the times comes
//! a line for each kind with the median of what is beyond ranking: the round trip less `took_us`,
//! which the answer itself reports, in microseconds (`mcp`: less that of `search`'s median).
//!
//! Not measured: several clients at once (`scripts/load.sh`), TLS, new connections, compression
//! (no client asks for it here), and the time of a client that reads the answer.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench without its data has nothing to measure, and prints what it measured"
)]

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/running.rs"]
mod running;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use corpus::Corpus;
use criterion::Criterion;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use toolscout::config::{self, Sources};
use toolscout::serve;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let corpus = Corpus::load();
    let plain: Vec<&String> =
        corpus.queries.iter().filter(|text| text.split_whitespace().count() <= 14).collect();
    let catalog = corpus.sized(28_000);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let running = runtime.block_on(running::start(Some(&catalog), None));
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let nothing = Sources { folder: std::env::temp_dir(), no_file: true, ..Sources::default() };
    let config = config::load(&nothing, &|_| None).expect("the defaults").config;
    let live = running.live.clone();
    runtime
        .spawn(async move { serve::run(listener, live, &config, CancellationToken::new()).await });
    let mut client = Client::to(address);

    // Each time another query, so that no answer is one that was kept.
    let mut number = 0;
    let mut other = || {
        number += 1;
        format!("{} {number}", plain[number % plain.len()])
    };
    let search = |query: &str| json!({"query": query, "limit": 10}).to_string();
    let call = |query: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "search_tools", "arguments": {"query": query, "limit": 10}}})
        .to_string()
    };
    let mut group = criterion.benchmark_group("serve");
    group.bench_function("bare", |b| b.iter(|| client.ask("GET /livez", "")));
    group.bench_function("search", |b| b.iter(|| client.ask("POST /v1/search", &search(&other()))));
    group.bench_function("repeated", |b| b.iter(|| client.ask("POST /v1/search", &search("a"))));
    group.bench_function("mcp", |b| b.iter(|| client.ask("POST /mcp", &call(&other()))));
    group.bench_function("mcp-repeated", |b| b.iter(|| client.ask("POST /mcp", &call("a"))));
    group.finish();
    criterion.final_summary();

    let mut beyond = Vec::new();
    let mut ranking = Vec::new();
    let mut mcp = Vec::new();
    for _ in 0..2_000 {
        let (round, body) = client.timed("POST /v1/search", &search(&other()));
        let took = body["took_us"].as_f64().expect("a time");
        beyond.push(round - took);
        ranking.push(took);
        assert_eq!(body["tools"].as_array().map(Vec::len), Some(10));
        let (round, body) = client.timed("POST /mcp", &call(&other()));
        mcp.push(round);
        assert_eq!(body["result"]["structuredContent"]["tools"].as_array().map(Vec::len), Some(10));
    }
    let ranked = median(&mut ranking);
    println!("ranking, median: {ranked:.0} µs");
    println!("http beyond ranking, median: {:.0} µs", median(&mut beyond));
    println!("mcp beyond ranking, median: {:.0} µs", median(&mut mcp) - ranked);
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A connection that is kept open.
struct Client {
    stream: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Client {
    fn to(address: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Self { stream: BufReader::new(stream), body: Vec::new() }
    }

    /// The length of the answer's body.
    fn ask(&mut self, what: &str, body: &str) -> usize {
        let request = format!(
            "{what} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).expect("sent");
        let mut length = 0;
        let mut line = String::new();
        for at in 0.. {
            line.clear();
            self.stream.read_line(&mut line).expect("a head");
            assert!(at > 0 || line.contains(" 200 "), "{line}");
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().expect("a length");
                }
                None if line == "\r\n" => break,
                _ => {}
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body).expect("a body");
        length
    }

    /// Microseconds of a round trip, and the body.
    fn timed(&mut self, what: &str, body: &str) -> (f64, Value) {
        let begun = Instant::now();
        self.ask(what, body);
        let took = begun.elapsed().as_secs_f64() * 1e6;
        (took, serde_json::from_slice(&self.body).expect("json"))
    }
}
