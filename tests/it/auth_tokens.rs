//! Access tokens of authorization servers: which count, for whom, and what clients are told.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Method, header};
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use toolscout::config::{Config, Defaults, NetworkConfig, Sources, load};
use toolscout::live::Live;
use toolscout::serve::Rooms;
use toolscout::serve::door::Door;

use crate::auth_scopes::callable;
use crate::support::app::{Reply, SERVERS, TestApp, catalog, config, profiles};
use crate::support::issuer::{Issuer, Signer, now};
use crate::support::oauth::{Browser, Site};

const RESOURCE: &str = "https://tools.test/mcp";
const PROFILES: &str = "[profiles.mail]\nservers = ['post/office']\n";

/// A configuration with this `[auth]`.
fn configured(auth: &str) -> Config {
    let secret = |name: &str| (name == "SECRET").then(|| "s3 cret".to_owned());
    let sources = Sources { text: Some(format!("{auth}\n{PROFILES}")), ..Sources::default() };
    let loaded = load(&sources, &secret).map_err(|errors| errors.to_string()).unwrap();
    let defaults = Defaults { network: NetworkConfig::direct(), ..Defaults::default() };
    Config { auth: loaded.config.auth, defaults, ..config() }
}

async fn app(auth: &str) -> TestApp {
    let config = configured(auth);
    let live = Live::from_catalog_with(catalog(SERVERS), &profiles(PROFILES));
    let door = Door::open(&config, None).unwrap();
    TestApp::of(Rooms { door, ..Rooms::from(live) }, &config).await
}

fn trusting(issuer: &Issuer, more: &str) -> String {
    format!(
        "[auth]\nresource = '{RESOURCE}'\n[[auth.issuers]]\nurl = '{}'\nleeway = '1s'\n{more}",
        issuer.url()
    )
}

async fn ask(app: &TestApp, path: &str, token: &str) -> Reply {
    app.send(app.request(Method::GET, path).bearer_auth(token)).await
}

async fn status(app: &TestApp, token: &str) -> u16 {
    ask(app, "/v1/status", token).await.status.as_u16()
}

fn challenge(reply: &Reply) -> &str {
    reply.headers[header::WWW_AUTHENTICATE].to_str().unwrap()
}

/// Claims that count.
fn claims(issuer: &Issuer) -> Value {
    json!({
        "iss": issuer.url(), "aud": RESOURCE, "sub": "somebody", "exp": now() + 600,
        "scope": "openid search",
    })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

#[tokio::test]
async fn only_a_token_of_the_issuer_for_this_service_now_counts() {
    let (issuer, signer) = (Issuer::start().await, Signer::new("one"));
    issuer.publish(&[&signer]);
    let app = app(&trusting(&issuer, "")).await;
    let good = claims(&issuer);
    assert_eq!(status(&app, &signer.sign(&good)).await, 200);
    // Several audiences, and a key that is not named where there is only one.
    let several = with(good.clone(), "aud", json!(["other", RESOURCE]));
    assert_eq!(status(&app, &signer.sign_as(&several, None)).await, 200);

    let stranger = Signer::new("one");
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = |alg: &str| {
        format!("{}.{}.", text(&json!({ "alg": alg, "typ": "JWT", "kid": "one" })), text(&good))
    };
    // A public key that is used as a shared secret.
    let public = EncodingKey::from_secret(signer.jwk.to_string().as_bytes()).unwrap();
    let hmac = |kid: &str| Header { kid: Some(kid.into()), ..Header::new(Algorithm::HS256) };
    let shared = EncodingKey::from_secret(b"shared").unwrap();
    let signed = signer.sign(&good);
    let mut tampered: Vec<&str> = signed.split('.').collect();
    let admin = text(&with(good.clone(), "scope", json!("admin search")));
    tampered[1] = &admin;
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        signer.sign(&claims)
    };
    let wrong = [
        ("for another", signer.sign(&with(good.clone(), "aud", json!("https://other.test/mcp")))),
        ("for none", without("aud")),
        ("of another issuer", signer.sign(&with(good.clone(), "iss", json!("https://evil.test")))),
        ("of no issuer", without("iss")),
        ("of before", signer.sign(&with(good.clone(), "exp", json!(now() - 60)))),
        ("without an end", without("exp")),
        ("of later", signer.sign(&with(good.clone(), "nbf", json!(now() + 600)))),
        ("of another key", stranger.sign(&good)),
        ("unsigned", unsigned("none")),
        ("unsigned, in the name of one", unsigned("ES256")),
        ("by the public key", encode(&hmac("one"), &good, &public).unwrap()),
        ("by a shared secret", encode(&hmac("shared"), &good, &shared).unwrap()),
        ("changed", tampered.join(".")),
        ("too long", format!("{}.a.b", "a".repeat(20_000))),
        ("nothing", "a.b.c".into()),
    ];
    let first = ask(&app, "/v1/status", &wrong[0].1).await;
    let place = "https://tools.test/.well-known/oauth-protected-resource/mcp";
    assert_eq!(
        challenge(&first),
        format!("Bearer error=\"invalid_token\", scope=\"search\", resource_metadata=\"{place}\"")
    );
    for (what, token) in &wrong {
        let reply = ask(&app, "/v1/status", token).await;
        assert_eq!(
            (reply.status.as_u16(), reply.problem()),
            (401, "unauthorized".into()),
            "{what}"
        );
        assert_eq!(challenge(&reply), challenge(&first), "{what}");
        assert_eq!(reply.json()["detail"], first.json()["detail"], "{what}");
    }
    let missing = app.get("/v1/status").await;
    assert_eq!(
        challenge(&missing),
        format!("Bearer scope=\"search\", resource_metadata=\"{place}\"")
    );
    // The same document for the service, and for a path of it.
    let metadata = app.get("/.well-known/oauth-protected-resource").await;
    assert_eq!(
        metadata.json(),
        json!({
            "resource": RESOURCE, "authorization_servers": [issuer.url()],
            "scopes_supported": ["search", "call"], "bearer_methods_supported": ["header"],
            "resource_name": "toolscout",
        })
    );
    let below = app.get("/.well-known/oauth-protected-resource/mcp").await;
    assert_eq!(below.text, metadata.text);
}

#[tokio::test]
async fn claims_say_scopes_profile_and_nothing_that_is_not_mapped() {
    let (issuer, signer) = (Issuer::start().await, Signer::new("one"));
    issuer.publish(&[&signer]);
    let mapped = "scopes = { 'tools:find' = 'search', 'tools:run' = 'call', 'tools:all' = 'admin' }\n\
                  profile_claim = '/realm/teams'\nprofiles = { helpdesk = 'mail' }";
    let app = app(&trusting(&issuer, mapped)).await;
    let of = |scope: Value, teams: Value| {
        let claims = with(claims(&issuer), "realm", json!({ "teams": teams }));
        signer.sign(&with(claims, "scope", scope))
    };
    let teams = json!(["staff", "helpdesk"]);
    let token = of(json!("tools:find"), teams.clone());
    let seen = ask(&app, "/v1/tools", &token).await;
    assert!(seen.text.contains("post/office") && !seen.text.contains("calendar"), "{}", seen.text);
    assert_eq!(ask(&app, "/p/mail/v1/status", &token).await.status, 200);
    // What is called `search` there is no scope of ours.
    let other = ask(&app, "/v1/tools", &of(json!("search admin"), teams.clone())).await;
    assert_eq!((other.status.as_u16(), other.problem()), (403, "insufficient-scope".into()));
    let told = challenge(&other);
    assert!(
        told.contains("error=\"insufficient_scope\"") && told.contains("scope=\"tools:find\""),
        "{told}"
    );
    // More is asked for together with what is there already.
    let call = app.request(Method::POST, "/v1/call").bearer_auth(&token).json(&json!({}));
    let call = app.send(call).await;
    assert!(challenge(&call).contains("scope=\"tools:find tools:run\""), "{}", challenge(&call));
    // Who is kept to one view does not administer all, whatever a token says.
    let all = of(json!("tools:find tools:all"), teams);
    assert_eq!(ask(&app, "/metrics", &all).await.status, 403);
    // No team, an unknown one, or one of two to choose from: nobody is let in by chance.
    for teams in [json!(null), json!([]), json!(["staff"]), json!("mail"), json!({})] {
        let reply = ask(&app, "/v1/status", &of(json!("tools:find"), teams.clone())).await;
        assert_eq!((reply.status.as_u16(), reply.problem()), (403, "no-place".into()), "{teams}");
    }
}

#[tokio::test]
async fn keys_are_renewed_and_strangers_have_the_issuer_asked_few_times() {
    let issuer = Issuer::start().await;
    let (one, two) = (Signer::new("one"), Signer::new("two"));
    issuer.publish(&[&one]);
    issuer.set_down(true);
    let app = app(&trusting(&issuer, "")).await;
    // While nobody can tell, a token is not called wrong.
    let token = one.sign(&claims(&issuer));
    let reply = ask(&app, "/v1/status", &token).await;
    assert_eq!((reply.status.as_u16(), reply.problem()), (503, "issuer-unreachable".into()));
    assert!(reply.headers.contains_key(header::RETRY_AFTER));
    issuer.set_down(false);
    assert_eq!(status(&app, &token).await, 200);
    assert_eq!(issuer.fetched(), 1);
    for _ in 0..20 {
        assert_eq!(status(&app, &token).await, 200);
    }
    assert_eq!(issuer.fetched(), 1);
    // It signs with another key: that is asked for, and the old one is gone with the set.
    issuer.publish(&[&two]);
    assert_eq!(status(&app, &two.sign(&claims(&issuer))).await, 200);
    assert_eq!((status(&app, &token).await, issuer.fetched()), (401, 3));
    // A flood of keys that nobody has: the issuer hears of it a few times.
    let flood = (0..200).map(|at| {
        let token = one.sign_as(&claims(&issuer), Some(&format!("flood-{at}")));
        let app = &app;
        async move { assert_eq!(status(app, &token).await, 401) }
    });
    futures::future::join_all(flood).await;
    assert!(issuer.fetched() <= 5, "{}", issuer.fetched());
    // And with the issuer gone, the keys that are known go on counting.
    issuer.set_down(true);
    assert_eq!(status(&app, &two.sign(&claims(&issuer))).await, 200);
}

#[tokio::test]
async fn metadata_of_another_issuer_are_not_taken() {
    let (issuer, signer) = (Issuer::start().await, Signer::new("one"));
    issuer.publish(&[&signer]);
    // The same server by another name, which its metadata do not have.
    let other = issuer.url().replace("127.0.0.1", "localhost");
    let text = trusting(&issuer, "").replace(issuer.url(), &other);
    let app = app(&text).await;
    let token = signer.sign(&with(claims(&issuer), "iss", json!(other)));
    assert_eq!(status(&app, &token).await, 503);
    assert_eq!(issuer.fetched(), 0);
}

#[tokio::test]
async fn opaque_tokens_are_asked_about_and_remembered_for_a_while() {
    let issuer = Issuer::start().await;
    let introspection = format!(
        "introspection = {{ url = '{}/introspect', client_id = 'us', client_secret_env = 'SECRET' }}",
        issuer.url()
    );
    let app = app(&trusting(&issuer, &introspection)).await;
    let active = |claims: Value| with(claims, "active", json!(true));
    issuer.knows("opaque+1", active(claims(&issuer)));
    assert_eq!(status(&app, "opaque+1").await, 200);
    assert_eq!(status(&app, "opaque+1").await, 200);
    assert_eq!(issuer.introspected(), 1);
    let (authorization, body) = issuer.shown();
    assert_eq!(authorization, "Basic dXM6czMrY3JldA==");
    assert_eq!(body, "token=opaque%2B1&token_type_hint=access_token");
    for (at, wrong) in [
        json!({ "active": false }),
        json!({ "active": "true" }),
        active(with(claims(&issuer), "aud", json!("other"))),
        active(with(claims(&issuer), "aud", json!(null))),
        active(with(claims(&issuer), "exp", json!(now() - 60))),
        active(with(claims(&issuer), "nbf", json!(now() + 60))),
        active(with(claims(&issuer), "iss", json!("https://evil.test"))),
        json!([]),
    ]
    .into_iter()
    .enumerate()
    {
        let token = format!("wrong-{at}");
        issuer.knows(&token, wrong.clone());
        assert_eq!(status(&app, &token).await, 401, "{wrong}");
        let asked = issuer.introspected();
        assert_eq!((status(&app, &token).await, issuer.introspected()), (401, asked), "{wrong}");
    }
    issuer.set_down(true);
    assert_eq!(status(&app, "another").await, 503);
}

/// A client that has got itself a token by what the challenge says.
async fn authorized(url: &str, challenge: &str) -> AuthClient<reqwest::Client> {
    let scopes = challenge.split_once("scope=\"").unwrap().1.split('"').next().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut state = OAuthState::new(url, Some(client.clone())).await.unwrap();
    let back = "http://127.0.0.1:1/callback";
    let request = AuthorizationRequest::new(back)
        .with_client_name("a test")
        .with_application_type("native")
        .with_scopes(scopes.split(' '))
        .with_challenge(challenge);
    state.start_authorization(request).await.unwrap();
    let page = state.get_authorization_url().await.unwrap();
    assert!(page.contains("resource="), "{page}");
    let page = Browser::new().open_until(&page, back).await;
    state.handle_callback_url(page.url.as_str()).await.unwrap();
    AuthClient::new(client, state.into_authorization_manager().unwrap())
}

#[tokio::test]
async fn the_sdk_finds_its_way_from_a_challenge_to_a_call() {
    let Some(site) = Site::start().await else { return };
    site.control(json!({ "format": "jwt" })).await;
    let proxy = callable().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let config = configured(&format!(
        "[auth]\nresource = '{url}'\n[[auth.issuers]]\nurl = '{}'\n\
         scopes = {{ 'tools:read' = 'search', 'tools:admin' = 'call' }}",
        site.issuer
    ));
    let door = Door::open(&config, None).unwrap();
    let rooms = Rooms { door, caller: proxy.caller(), ..Rooms::from(proxy.app.live.clone()) };
    let app = TestApp::on(listener, rooms, &config);

    let missing = app.post("/mcp", "{}").await;
    assert_eq!(missing.status, 401);
    let client = authorized(&url, challenge(&missing)).await;
    let token = client.get_access_token().await.unwrap();
    assert_eq!(token.split('.').count(), 3, "no JWT");
    let config = || StreamableHttpClientTransportConfig::with_uri(url.as_str());
    let client =
        ().serve(StreamableHttpClientTransport::with_client(client, config())).await.unwrap();
    let search = CallToolRequestParams::new("search_tools")
        .with_arguments(json!({ "query": "open" }).as_object().cloned().unwrap());
    let found = client.call_tool(search).await.unwrap();
    assert!(serde_json::to_string(&found).unwrap().contains("door/open"));
    let call = || {
        CallToolRequestParams::new("call_tool")
            .with_arguments(json!({ "id": "door/open" }).as_object().cloned().unwrap())
    };
    let refused = client.call_tool(call()).await.unwrap_err();
    assert!(format!("{refused:?}").contains("nsufficient"), "{refused:?}");

    // It asks for more, and may.
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "call_tool", "arguments": { "id": "door/open" } },
    });
    let request = app.request(Method::POST, "/mcp").bearer_auth(token).json(&body);
    let request = request.header(header::ACCEPT, "application/json, text/event-stream");
    let refused = app.send(request).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert!(challenge(&refused).contains("scope=\"tools:read tools:admin\""));
    let client = authorized(&url, challenge(&refused)).await;
    let client =
        ().serve(StreamableHttpClientTransport::with_client(client, config())).await.unwrap();
    let called = client.call_tool(call()).await.unwrap();
    assert_ne!(called.is_error, Some(true), "{called:?}");
    proxy.stop().await;
}
