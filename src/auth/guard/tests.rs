use std::net::TcpListener;

use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn refused(policy: &Policy, text: &str) -> bool {
    policy.check(&url(text)).is_err()
}

#[test]
fn only_public_https_may_be_named() {
    let public = Policy::public();
    for fine in [
        "https://example.com/.well-known/oauth-authorization-server",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "https://172.32.0.1/",
        "https://100.128.0.1/",
    ] {
        assert_eq!(public.check(&url(fine)), Ok(()), "{fine}");
    }
    for wrong in [
        "http://example.com/",
        "ftp://example.com/",
        "https://user@example.com/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://127.0.0.1/",
        // The same address, written otherwise.
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://0.0.0.0/",
        "https://10.1.2.3/",
        "https://172.16.0.1/",
        "https://172.31.255.255/",
        "https://192.168.1.1/",
        "https://100.64.0.1/",
        "https://100.127.255.255/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[fd00:ec2::254]/",
        "https://[fe80::1]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://[::]/",
        "https://[::127.0.0.1]/",
        "https://[2001:0:1::1]/",
        "https://[2001:db8::1]/",
        "https://[64:ff9b:1::1]/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://198.18.0.1/",
    ] {
        assert!(refused(&public, wrong), "{wrong}");
    }
}

#[test]
fn a_configured_origin_is_fine_and_its_neighbours_are_not() {
    let own = Policy::of(&url("http://10.0.0.5:8080/mcp"));
    assert!(!refused(&own, "http://10.0.0.5:8080/.well-known/oauth-protected-resource"));
    assert!(refused(&own, "http://10.0.0.5:9090/"));
    assert!(refused(&own, "https://10.0.0.5:9090/"));
    assert!(refused(&own, "https://10.0.0.6/"));
    assert!(refused(&own, "http://127.0.0.1:8080/"));
    let internal = own.allowing_private(true);
    assert!(!refused(&internal, "http://10.0.0.6/"));
    assert!(!refused(&internal, "https://[fd12::1]/"));
    assert!(refused(&internal, "https://169.254.169.254/"));
    assert!(refused(&internal, "https://[fe80::1]/"));
}

#[test]
fn a_local_server_may_name_local_ones() {
    let local = Policy::of(&url("http://localhost:3000/mcp"));
    for fine in ["http://127.0.0.1:9000/token", "http://localhost:9000/", "https://[::1]:1/"] {
        assert!(!refused(&local, fine), "{fine}");
    }
    assert!(refused(&local, "http://10.0.0.1/"));
    assert!(refused(&local, "http://example.com/"));
}

/// A listener that nobody may reach: the guard refuses before a byte is sent.
fn trap() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// The innermost cause, as text.
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}

#[tokio::test]
async fn names_are_checked_where_they_are_resolved() {
    let (listener, port) = trap();
    // Past the look at the URL, as a name is that anybody may point anywhere.
    let client = client(Policy::public()).unwrap();
    let error = client.get(format!("http://localhost:{port}/")).send().await.unwrap_err();
    assert!(cause(&error).contains("not a public address"), "{error:?}");
    assert!(listener.accept().is_err());

    let own = Policy::of(&url("http://localhost:1/"));
    let own = Client::new(own, Redirects::Stop).unwrap();
    let local = url(&format!("http://localhost:{port}/"));
    let asked = own.for_url(&local).unwrap().get(local).timeout(Duration::from_millis(300));
    let (_, accepted) = tokio::join!(asked.send(), async {
        for _ in 0..100 {
            if listener.accept().is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    });
    assert!(accepted);
}

#[tokio::test]
async fn redirects_are_checked_too() {
    use axum::response::Redirect;
    use axum::routing::get;

    let (listener, port) = trap();
    let app = axum::Router::new()
        .route(
            "/away",
            get(move || async move { Redirect::temporary(&format!("http://127.0.0.1:{port}/x")) }),
        )
        .route("/near", get(|| async { Redirect::temporary("/here") }))
        .route("/here", get(|| async { "here" }));
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = url(&format!("http://{}/", server.local_addr().unwrap()));
    tokio::spawn(async move { axum::serve(server, app).await });

    let client = Client::new(Policy::of(&base), Redirects::Follow).unwrap();
    let away = base.join("away").unwrap();
    let response = client.for_url(&away).unwrap().get(away).send().await.unwrap();
    assert!(response.status().is_redirection());
    let near = base.join("near").unwrap();
    let text = client.for_url(&near).unwrap().get(near).send().await.unwrap().text().await;
    assert_eq!(text.unwrap(), "here");

    // As a public server that sends its callers to this machine. The literal address of the server
    // itself is not resolved, so only the redirect is looked at.
    let strict = super::client(Policy::public()).unwrap();
    let error = strict.get(base.join("away").unwrap()).send().await.unwrap_err();
    assert!(cause(&error).contains("not https"), "{error:?}");
    assert!(listener.accept().is_err());
}

#[test]
fn this_machine_has_many_names() {
    for name in
        ["localhost", "LOCALHOST.", "a.localhost.", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"]
    {
        assert!(is_loopback(&format!("http://{name}:1/").parse().unwrap()), "{name}");
    }
    for name in ["localhost.example.com", "10.0.0.1", "[::]", "[::ffff:10.0.0.1]"] {
        assert!(!is_loopback(&format!("http://{name}:1/").parse().unwrap()), "{name}");
    }
}
