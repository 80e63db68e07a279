//! What lies on the way to an HTTP server: proxies, TLS with authorities and certificates of one's
//! own, HTTP/2, compression, redirects; and how many connections it takes.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use toolscout::catalog::Outcome;
use toolscout::config::{ClientCertificate, NetworkConfig, Proxy, ServerConfig, Transport};
use toolscout::crawl::crawl_once;
use url::Url;

use crate::support::crawling::{
    Crawls, failure, http, limits, listing, names, outcome, page, server,
};
use crate::support::front::{self, Authority, Flaw};
use crate::support::mock_http::{Answer, MockHttp, Speaks};

async fn crawled(server: &ServerConfig) -> Outcome {
    crawl_once(server, &limits(), None).await.remove(0).outcome
}

fn at(url: &Url, network: NetworkConfig) -> ServerConfig {
    ServerConfig { network, ..server("srv", http(url)) }
}

fn one_tool() -> Answer {
    Answer::Result(page(&["a"], None))
}

/// Passes `CONNECT` on to `to`, whatever host was asked for, and notes what was asked.
async fn tunnel(to: u16) -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://ada:hunter22@{}", listener.local_addr().unwrap()).parse().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    stream.read_line(&mut head).await.unwrap();
                }
                noted.lock().unwrap().push(head);
                let mut target = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut target).await;
            });
        }
    });
    (url, heads)
}

#[tokio::test]
async fn a_proxy_is_gone_through() {
    let mock = MockHttp::start(Speaks::Stateless, false, |_| one_tool()).await;
    // No name server knows this host: only the proxy, which is the mock itself, can.
    let url = "http://tools.invalid/mcp".parse().unwrap();
    let mut proxy = mock.url.clone();
    proxy.set_username("ada").unwrap();
    proxy.set_password(Some("hunter22")).unwrap();
    let network = NetworkConfig { proxy: Proxy::Through(proxy), ..NetworkConfig::default() };
    assert_eq!(names(&listing(crawled(&at(&url, network)).await)), ["a"]);
    for request in mock.seen() {
        assert_eq!(request.headers["host"], "tools.invalid");
        assert_eq!(request.headers["proxy-authorization"], "Basic YWRhOmh1bnRlcjIy");
    }
}

#[tokio::test]
async fn a_proxy_that_wants_credentials_is_told_from_the_server() {
    let mock = MockHttp::start(Speaks::Nothing(407, None), false, |_| Answer::Hang).await;
    let proxy = Proxy::Through(mock.url.clone());
    let network = NetworkConfig { proxy, ..NetworkConfig::default() };
    let error = failure(crawled(&at(&"http://tools.invalid/mcp".parse().unwrap(), network)).await);
    assert!(error.contains("the proxy wants credentials"), "{error}");
}

#[tokio::test]
async fn tls_goes_through_a_proxy_and_trusts_the_named_authority() {
    let authority = Authority::new();
    let tls = authority.server("tools.invalid", Flaw::None, false);
    let mock = MockHttp::over(Some(tls), Speaks::Stateless, false, |_| one_tool()).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let (proxy, heads) = tunnel(mock.url.port().unwrap()).await;
    let network =
        NetworkConfig { proxy: Proxy::Through(proxy), ca: Some(ca), ..NetworkConfig::default() };
    let url = "https://tools.invalid/mcp".parse().unwrap();
    assert_eq!(names(&listing(crawled(&at(&url, network)).await)), ["a"]);
    let heads = heads.lock().unwrap();
    assert!(heads[0].starts_with("CONNECT tools.invalid:443 "), "{heads:?}");
    assert!(heads[0].to_lowercase().contains("proxy-authorization: basic "), "{heads:?}");
}

#[tokio::test]
async fn http_2_is_spoken_where_the_server_does() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    for (protocols, version) in
        [(&["h2", "http/1.1"][..], Version::HTTP_2), (&["http/1.1"], Version::HTTP_11)]
    {
        let mut tls = authority.server("localhost", Flaw::None, false);
        tls.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mock = MockHttp::over(Some(tls), Speaks::Stateless, true, |_| one_tool()).await;
        let network = NetworkConfig { ca: Some(ca.clone()), ..NetworkConfig::direct() };
        assert_eq!(names(&listing(crawled(&at(&mock.url, network)).await)), ["a"]);
        assert!(mock.seen().iter().all(|request| request.version == version));
        assert_eq!(mock.connections(), 1, "{version:?}");
    }
}

#[tokio::test]
async fn a_server_that_asks_who_we_are_is_told() {
    let authority = Authority::new();
    let tls = authority.server("localhost", Flaw::None, true);
    let mock = MockHttp::over(Some(tls), Speaks::Stateless, false, |_| one_tool()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ours = authority.issue("toolscout", Flaw::None);
    let ca = Some(file("ca.pem", &authority.pem()));
    let apart = ClientCertificate {
        certificate: file("client.pem", &ours.certificate),
        key: Some(file("client.key", &ours.key)),
    };
    let in_one = ClientCertificate {
        certificate: file("both.pem", &format!("{}{}", ours.certificate, ours.key)),
        key: None,
    };
    for client in [apart, in_one] {
        let network =
            NetworkConfig { ca: ca.clone(), client: Some(client), ..NetworkConfig::direct() };
        assert_eq!(names(&listing(crawled(&at(&mock.url, network)).await)), ["a"]);
    }
    let network = NetworkConfig { ca, ..NetworkConfig::direct() };
    let error = failure(crawled(&at(&mock.url, network)).await);
    assert!(error.contains("`client_cert_file`"), "{error}");
}

/// Certificates are renewed in place, and a service runs for months.
#[tokio::test]
async fn a_renewed_authority_is_trusted_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let tls = new.server("localhost", Flaw::None, false);
    let mock = MockHttp::over(Some(tls), Speaks::Stateless, false, |_| one_tool()).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, old.pem()).unwrap();
    let network = NetworkConfig { ca: Some(ca.clone()), ..NetworkConfig::direct() };
    let mut crawls = Crawls::start(vec![at(&mock.url, network)], [].into());
    loop {
        if let Outcome::Failed { error } = crawls.next().await.outcome {
            assert!(error.contains("`ca_file`"), "{error}");
            break;
        }
    }
    std::fs::write(&ca, new.pem()).unwrap();
    assert_eq!(names(&crawls.listing_of("srv").await), ["a"]);
    crawls.stop().await;
}

#[tokio::test]
async fn compressed_listings_are_read_and_bounded_by_what_they_unfold_to() {
    for (coding, events) in [("gzip", false), ("gzip", true), ("deflate", false)] {
        let mock = MockHttp::start(Speaks::Stateless, events, move |_| {
            Answer::Encoded(coding, page(&["a"], None))
        })
        .await;
        assert_eq!(names(&listing(outcome(http(&mock.url)).await)), ["a"], "{coding}");
        let asked = mock.seen()[0].headers["accept-encoding"].to_str().unwrap().to_owned();
        assert!(asked.contains("gzip") && asked.contains("deflate"), "{asked}");
        // Some kilobytes on the wire.
        let bomb = format!(r#"{{"tools":[],"x":"{}"}}"#, " ".repeat(limits().max_bytes * 8));
        let mock = MockHttp::start(Speaks::Stateless, events, move |_| {
            Answer::Encoded(coding, bomb.clone())
        })
        .await;
        let error = failure(outcome(http(&mock.url)).await);
        assert!(error.contains("crawl.max_bytes"), "{coding}: {error}");
    }
}

/// Redirects to `{code}/…` by that status, to wherever the server says.
async fn redirecting(target: impl Fn(&str) -> String + Clone + Send + Sync + 'static) -> String {
    let seen = move |Path((code, rest)): Path<(u16, String)>, _: HeaderMap, _: Bytes| {
        let target = target(&rest);
        async move {
            let headers = [("location", target)];
            (StatusCode::from_u16(code).unwrap(), headers).into_response()
        }
    };
    let app: Router = Router::new().route("/{code}/{rest}", any(seen)).fallback(any(
        // What a redirect within the origin leads to: the end of the way.
        async || -> Response { StatusCode::IM_A_TEAPOT.into_response() },
    ));
    // Aborted with the runtime of the test.
    front::serve(app, None).await.0
}

#[tokio::test]
async fn only_redirects_that_keep_body_and_origin_are_followed() {
    let elsewhere = MockHttp::start(Speaks::Stateless, false, |_| one_tool()).await;
    let port = elsewhere.url.port().unwrap();
    let origin = redirecting(move |rest| match rest {
        "port" => format!("http://127.0.0.1:{port}/mcp"),
        "host" => format!("http://localhost:{port}/mcp"),
        "loop" => "loop".to_owned(),
        _ => "/here".to_owned(),
    })
    .await;
    let credentials = vec![("authorization".to_owned(), "Bearer token-123".into())];
    for code in [301, 302, 303, 307, 308] {
        for way in ["port", "host", "loop", "here"] {
            let url = format!("{origin}/{code}/{way}").parse().unwrap();
            let transport = Transport::Http { url, headers: credentials.clone() };
            let error = failure(outcome(transport).await);
            // The others would turn a POST into a GET, and lose what it says.
            let followed = way == "here" && matches!(code, 307 | 308);
            let expected = if followed { "HTTP 418".to_owned() } else { format!("HTTP {code}") };
            assert!(error.contains(&expected), "{code} {way}: {error}");
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn one_connection_does_for_every_page_and_every_crawl() {
    for events in [false, true] {
        let mock = MockHttp::start(Speaks::Stateless, events, |request| {
            Answer::Result(match request.cursor.as_deref() {
                None => page(&["a"], Some("2")),
                Some("2") => page(&["b"], Some("3")),
                Some(_) => page(&["c"], None),
            })
        })
        .await;
        let mut config = server("srv", http(&mock.url));
        config.refresh = std::time::Duration::from_millis(50);
        let mut crawls = Crawls::start(vec![config], [].into());
        for _ in 0..3 {
            assert_eq!(names(&crawls.listing_of("srv").await), ["a", "b", "c"]);
        }
        // The stream of changes has one of its own.
        assert_eq!(mock.connections(), 2, "by events: {events}");
        crawls.stop().await;
    }
}
