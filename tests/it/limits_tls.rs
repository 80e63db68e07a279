//! TLS on the listener: who is let in, what is renewed, and what of it the command line needs.

use std::path::Path;

use reqwest::{Certificate, Client, ClientBuilder, Identity};

use crate::support::crawling::PATIENCE;
use crate::support::front::{Authority, Flaw, Issued};
use crate::support::service::{Service, catalog, configure, run};

/// Writes a certificate for this name, and its key.
fn certify(folder: &Path, authority: &Authority, host: &str) {
    let Issued { certificate, key } = authority.issue(host, Flaw::None);
    for (name, text) in [("server.pem", certificate), ("server.key", key)] {
        // As renewals do it: as a whole.
        std::fs::write(folder.join("fresh"), text).unwrap();
        std::fs::rename(folder.join("fresh"), folder.join(name)).unwrap();
    }
}

/// A service over TLS, with one tool.
async fn start(folder: &Path, more: &str) -> Service {
    catalog(folder, &[("files", "read_file", "Read a file from disk")]);
    let tls = "[tls]\ncert_file = 'server.pem'\nkey_file = 'server.key'";
    let hosts = "allowed_hosts = ['tools.example']";
    let servers = "[servers.files]\ncatalog = 'catalog.jsonl'";
    configure(folder, &format!("{hosts}\n{tls}\n{more}\n{servers}"));
    let service = Service::start(folder, &[]).await;
    assert!(service.url.starts_with("https://"), "{}", service.url);
    service
}

fn client(authority: &Authority) -> ClientBuilder {
    let authority = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    Client::builder().no_proxy().tls_certs_only([authority])
}

/// Where it is under this name.
fn at(service: &Service, host: &str, client: ClientBuilder) -> (ClientBuilder, String) {
    let address = service.url.strip_prefix("https://").unwrap().parse().unwrap();
    (client.resolve(host, address), format!("https://{host}:{}", address.port()))
}

async fn status(client: ClientBuilder, url: &str, path: &str) -> Result<u16, reqwest::Error> {
    let response = client.build().unwrap().get(format!("{url}{path}")).send().await?;
    Ok(response.status().as_u16())
}

#[tokio::test]
async fn certificates_are_renewed_while_it_serves_and_bad_ones_change_nothing() {
    let (first, second) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), &first, "tools.example");
    let service = start(folder.path(), "").await;
    let ask = async |authority: &Authority, path: &str| {
        let (client, url) = at(&service, "localhost", client(authority));
        status(client, &url, path).await
    };
    // The name in the certificate is another: this is no man in the middle's either.
    assert!(ask(&first, "/livez").await.is_err());
    certify(folder.path(), &first, "localhost");
    service.until("renewed", async || ask(&first, "/livez").await.is_ok()).await;
    assert!(ask(&second, "/livez").await.is_err());

    // A connection that is open goes on over what it began with.
    let (kept, url) = at(&service, "localhost", client(&first));
    let kept = kept.build().unwrap();
    assert_eq!(kept.get(format!("{url}/livez")).send().await.unwrap().status(), 200);
    std::fs::write(folder.path().join("server.pem"), "no certificate").unwrap();
    service.until_logged("stay in use").await;
    assert_eq!(ask(&first, "/livez").await.unwrap(), 200);
    certify(folder.path(), &second, "localhost");
    service.until("renewed", async || ask(&second, "/livez").await.is_ok()).await;
    assert!(ask(&first, "/livez").await.is_err());
    assert_eq!(kept.get(format!("{url}/livez")).send().await.unwrap().status(), 200);
    let metrics = kept.get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("toolscout_tls_reloads_total{outcome=\"failed\"}"), "{metrics}");
    assert!(metrics.contains("toolscout_tls_reloads_total{outcome=\"ok\"}"), "{metrics}");
    service.stop().await;
}

#[tokio::test]
async fn clients_need_a_certificate_where_one_is_asked_for() {
    let (ours, theirs, foreign) = (Authority::new(), Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), &ours, "localhost");
    std::fs::write(folder.path().join("clients.pem"), theirs.pem()).unwrap();
    let required = start(folder.path(), "client_ca_file = 'clients.pem'").await;
    let optional = tempfile::tempdir().unwrap();
    certify(optional.path(), &ours, "localhost");
    std::fs::write(optional.path().join("clients.pem"), theirs.pem()).unwrap();
    let more = "client_ca_file = 'clients.pem'\nclient = 'optional'";
    let optional_service = start(optional.path(), more).await;
    let with = |issuer: Option<&Authority>, flaw| {
        let client = client(&ours);
        let Some(issuer) = issuer else { return client };
        let Issued { certificate, key } = issuer.issue("agent.example", flaw);
        client.identity(Identity::from_pem(format!("{key}{certificate}").as_bytes()).unwrap())
    };
    for (issuer, flaw, where_required, where_optional) in [
        (Some(&theirs), Flaw::None, true, true),
        (None, Flaw::None, false, true),
        (Some(&foreign), Flaw::None, false, false),
        (Some(&theirs), Flaw::Expired, false, false),
        (Some(&theirs), Flaw::NotYetValid, false, false),
    ] {
        for (service, lets_in) in [(&required, where_required), (&optional_service, where_optional)]
        {
            let (client, url) = at(service, "localhost", with(issuer, flaw));
            let status = status(client, &url, "/v1/status").await;
            assert_eq!(status.is_ok_and(|status| status == 200), lets_in);
        }
    }
    required.stop().await;
    optional_service.stop().await;
}

#[tokio::test]
async fn in_the_clear_only_health_is_told_and_nothing_else() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), &authority, "localhost");
    let service = start(folder.path(), "").await;
    let plain = service.url.replace("https://", "http://");
    let clear = || Client::builder().no_proxy();
    let live = async || status(clear(), &plain, "/readyz").await.unwrap() == 200;
    service.until("ready", live).await;
    for path in ["/v1/search?q=file", "/mcp", "/metrics", "/v1/admin/config", "/"] {
        let response = clear().build().unwrap().get(format!("{plain}{path}")).send().await.unwrap();
        assert_eq!(response.status(), 400, "{path}");
        assert!(response.text().await.unwrap().contains("https-needed"), "{path}");
    }
    // The script of the container, which has no TLS.
    let port = plain.rsplit(':').next().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/healthy.sh");
    let ran = tokio::process::Command::new("bash").arg(script).arg(port).status();
    assert!(tokio::time::timeout(PATIENCE, ran).await.unwrap().unwrap().success());
    service.stop().await;
}

#[tokio::test]
async fn browsers_are_told_to_come_back_over_tls() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), &authority, "tools.example");
    let service = start(folder.path(), "").await;
    let (client, url) = at(&service, "tools.example", client(&authority));
    let client = client.build().unwrap();
    let hsts = async |host: &str| {
        let request = client.get(format!("{url}/livez")).header("host", host);
        let response = request.send().await.unwrap();
        response.headers().contains_key("strict-transport-security")
    };
    assert!(hsts("tools.example").await);
    // What a browser remembers of this machine holds for all that runs on it.
    assert!(!hsts("localhost").await);
    service.stop().await;
}

#[tokio::test]
async fn the_command_line_finds_its_service_over_tls() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), &authority, "localhost");
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let service = start(folder.path(), "").await;
    service
        .until("ready", async || {
            let (client, url) = at(&service, "localhost", client(&authority));
            status(client, &url, "/readyz").await.unwrap() == 200
        })
        .await;
    let port = service.url.rsplit(':').next().unwrap();
    let url = format!("https://localhost:{port}");
    let list = ["server", "list", "--data", "data", "--url", &url];
    // Nobody vouches for that certificate: the token does not go there.
    let ran = run(folder.path(), &list).await;
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    let trusting = ["--ca-file", "ca.pem"];
    let ran = run(folder.path(), &[&list[..], &trusting].concat()).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("files"), "{}", ran.stdout);
    let search = ["search", "read a file", "--url", &url, "--ca-file", "ca.pem"];
    let ran = run(folder.path(), &search).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("files/read_file"), "{}", ran.stdout);
    // Whose configuration it is need not say where, nor under which name.
    let text = std::fs::read_to_string(folder.path().join("toolscout.toml")).unwrap();
    configure(folder.path(), &format!("listen = '127.0.0.1:{port}'\n{text}"));
    let ran =
        run(folder.path(), &["server", "list", "--data", "data", "--ca-file", "ca.pem"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    service.stop().await;
}

#[tokio::test]
async fn the_command_line_takes_a_certificate_that_nobody_vouches_for_where_it_is_named() {
    // As `openssl req -x509` makes them: it calls itself an authority, too.
    let names = ["tools.test", "localhost"].map(str::to_owned);
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let own_key = rcgen::KeyPair::generate().unwrap();
    let own = params.self_signed(&own_key).unwrap();
    let of_company = Authority::new().issue("localhost", Flaw::None);
    let ended = Authority::new().issue("localhost", Flaw::Expired);
    for (certificate, key, good) in [
        (own.pem(), own_key.serialize_pem(), true),
        (of_company.certificate, of_company.key, true),
        (ended.certificate, ended.key, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("server.pem", &certificate), ("server.key", &key)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let service = start(folder.path(), "").await;
        let port = service.url.rsplit(':').next().unwrap();
        let search = async |host: &str, more: &[&str]| {
            let url = format!("https://{host}:{port}");
            let args = [&["search", "read a file", "--url", &url][..], more].concat();
            run(folder.path(), &args).await
        };
        service.until_logged("published").await;
        let ran = search("localhost", &[]).await;
        let told = if good { "--ca-file" } else { "has ended" };
        assert!(ran.code == 1 && ran.stderr.contains(told), "{}", ran.stderr);
        let ran = search("localhost", &["--ca-file", "server.pem"]).await;
        assert_eq!(ran.code == 0 && ran.stdout.contains("files/read_file"), good, "{}", ran.stderr);
        // The certificate of another, or of this one under another name, is not enough.
        let ran = search("127.0.0.1", &["--ca-file", "server.pem"]).await;
        assert_ne!(ran.code, 0, "{}", ran.stdout);
        std::fs::write(folder.path().join("other.pem"), Authority::new().pem()).unwrap();
        assert_ne!(search("localhost", &["--ca-file", "other.pem"]).await.code, 0);
        let ran = search("localhost", &["--ca-file", "catalog.jsonl"]).await;
        assert!(ran.code == 1 && ran.stderr.contains("no certificates"), "{}", ran.stderr);
        // Whose configuration it is knows it.
        let text = std::fs::read_to_string(folder.path().join("toolscout.toml")).unwrap();
        configure(folder.path(), &format!("listen = '127.0.0.1:{port}'\n{text}"));
        let list = ["server", "list", "--data", "data"];
        let ran = run(folder.path(), &list).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        // Nobody else's certificate stands in for it.
        certify(folder.path(), &Authority::new(), "localhost");
        std::fs::write(folder.path().join("server.key"), "none").unwrap();
        let ran = run(folder.path(), &list).await;
        assert!(ran.code == 1 && ran.stderr.contains(told), "{}", ran.stderr);
        service.stop().await;
    }
}

#[tokio::test]
async fn the_name_in_a_clients_certificate_says_what_it_may_do() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), &ours, "localhost");
    std::fs::write(folder.path().join("clients.pem"), theirs.pem()).unwrap();
    let more = "client_ca_file = 'clients.pem'\nclient = 'optional'\n\
                [[auth.certificates]]\nname = '*.agents.example'";
    let service = start(folder.path(), more).await;
    for (name, search, metrics) in [
        (Some("one.agents.example"), 200, 403),
        (Some("one.agents.example.evil.example"), 401, 401),
        (None, 401, 401),
    ] {
        for (path, wanted) in [("/v1/status", search), ("/metrics", metrics), ("/livez", 200)] {
            let mut client = client(&ours);
            if let Some(name) = name {
                let Issued { certificate, key } = theirs.issue(name, Flaw::None);
                let identity = Identity::from_pem(format!("{key}{certificate}").as_bytes());
                client = client.identity(identity.unwrap());
            }
            let (client, url) = at(&service, "localhost", client);
            assert_eq!(status(client, &url, path).await.unwrap(), wanted, "{name:?} {path}");
        }
    }
    service.stop().await;
}
