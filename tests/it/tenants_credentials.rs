//! What a tenant shows to its servers, and what its children are given, is its own.

use serde_json::json;

use crate::support::crawling::page;
use crate::support::mock_http::{Answer, MockHttp, Speaks};
use crate::support::mock_stdio::MockStdio;
use crate::support::service::{Service, configure, serve};
use crate::support::tenants::{Asker, key};

fn reads(name: &str) -> String {
    let tool = json!({"name": name, "inputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": true}});
    json!({ "tools": [tool] }).to_string()
}

async fn mock(name: &'static str) -> MockHttp {
    MockHttp::start(Speaks::Stateless, false, move |request| match request.method.as_str() {
        "tools/list" => Answer::Result(reads(name)),
        _ => {
            let text = json!([{"type": "text", "text": name}]);
            Answer::Result(json!({"resultType": "complete", "content": text}).to_string())
        }
    })
    .await
}

/// Two tenants with a server of the same id at addresses and with tokens of their own.
#[tokio::test]
async fn each_servers_credentials_are_its_tenants() {
    let (acme, beta, main) = (mock("acme").await, mock("beta").await, mock("main").await);
    let folder = tempfile::tempdir().unwrap();
    let entry = |mock: &MockHttp, name: &str| {
        format!(
            "[servers.crm]\nurl = '{}'\nbearer_token = '${{{name}_TOKEN}}'\n[call]\nenabled = true\n",
            mock.url
        )
    };
    std::fs::write(folder.path().join("acme.toml"), entry(&acme, "ACME")).unwrap();
    std::fs::write(folder.path().join("beta.toml"), entry(&beta, "BETA")).unwrap();
    let tenants = "[auth]\nkeys = true\n[tenants.acme]\nconfig = 'acme.toml'\n\
                   variables = ['ACME_*']\n[tenants.beta]\nconfig = 'beta.toml'\n\
                   variables = ['BETA_*']\n";
    configure(folder.path(), &format!("{}{tenants}", entry(&main, "MAIN")));
    let mut command = serve(folder.path(), &[]);
    for name in ["ACME", "BETA", "MAIN"] {
        command.env(format!("{name}_TOKEN"), format!("secret-of-{name}"));
    }
    let scopes = ["search", "call"];
    let keys = [
        key(folder.path(), Some("acme"), &scopes).await,
        key(folder.path(), Some("beta"), &scopes).await,
        key(folder.path(), None, &scopes).await,
    ];
    let service = Service::of(command).await;
    for (key, (mock, name)) in keys.iter().zip([(&acme, "ACME"), (&beta, "BETA"), (&main, "MAIN")])
    {
        let asker = Asker::new(&service, Some(key));
        let id = format!("crm/{}", name.to_lowercase());
        service
            .until("listed", async || {
                let told = asker.get("/v1/tools").await;
                told.status == 200 && told.text.contains(&id)
            })
            .await;
        let told = asker.post("/v1/call", &json!({"id": id, "arguments": {}})).await;
        assert_eq!(told.status, 200, "{told:?}");
        assert!(told.text.contains(&name.to_lowercase()), "{told:?}");
        assert!(mock.count("tools/call") == 1, "{name}");
    }
    for (mock, name) in [(&acme, "ACME"), (&beta, "BETA"), (&main, "MAIN")] {
        for request in mock.seen() {
            let said = request.headers["authorization"].to_str().unwrap();
            assert_eq!(said, format!("Bearer secret-of-{name}"), "{}", request.method);
            let all = format!("{:?} {}", request.headers, request.params);
            for other in ["ACME", "BETA", "MAIN"].into_iter().filter(|other| *other != name) {
                assert!(!all.contains(&format!("secret-of-{other}")), "{all}");
            }
        }
    }
    assert!(!service.log().contains("secret-of-"), "{}", service.log());
    service.stop().await;
}

#[tokio::test]
async fn a_child_is_given_nothing_of_another_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let mock = MockStdio::pages(&[(None, &page(&["knock"], None))]);
    let seen = folder.path().join("seen");
    let toolscout::config::Transport::Stdio { command, args, .. } = mock.transport() else {
        panic!("not a child");
    };
    let quoted: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
    let script = format!("env > {}; exec {command} {}", seen.display(), quoted.join(" "));
    let script = script.replace('\\', "\\\\").replace('"', "\\\"");
    let acme = format!(
        "[servers.door]\ncommand = 'sh'\nargs = [\"-c\", \"{script}\"]\n\
         env = {{ OWN = '${{ACME_TOKEN}}' }}\n"
    );
    std::fs::write(folder.path().join("acme.toml"), acme).unwrap();
    let beta = "[servers.x]\nurl = 'http://127.0.0.1:9/mcp'\nbearer_token = '${BETA_TOKEN}'\n";
    std::fs::write(folder.path().join("beta.toml"), beta).unwrap();
    configure(
        folder.path(),
        "[auth]\nkeys = true\n[tenants.acme]\nconfig = 'acme.toml'\nvariables = ['ACME_*']\n\
         [tenants.beta]\nconfig = 'beta.toml'\nvariables = ['BETA_*']\n",
    );
    let mut command = serve(folder.path(), &[]);
    command.env("ACME_TOKEN", "secret-of-acme").env("BETA_TOKEN", "secret-of-beta");
    let key = key(folder.path(), Some("acme"), &["search"]).await;
    let service = Service::of(command).await;
    let asker = Asker::new(&service, Some(&key));
    service
        .until("listed", async || {
            let told = asker.get("/v1/tools").await;
            told.status == 200 && told.text.contains("door/knock")
        })
        .await;
    let given = std::fs::read_to_string(seen).unwrap();
    assert!(given.contains("OWN=secret-of-acme"), "{given}");
    assert!(!given.contains("beta") && !given.contains("BETA"), "{given}");
    assert!(!given.contains("ACME_TOKEN="), "only what the entry names: {given}");
}
