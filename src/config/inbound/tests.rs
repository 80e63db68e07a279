use super::super::file::keys_of;
use super::super::tests::try_toml;
use super::super::{EXAMPLE, Loaded};
use super::issuer::RawIntrospection;
use super::*;

fn errors(text: &str) -> String {
    match try_toml(text) {
        Ok(_) => panic!("it was taken"),
        Err(errors) => errors,
    }
}

fn taken(text: &str) -> Loaded {
    try_toml(text).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn nobody_is_asked_unless_something_is_configured() {
    assert!(!taken("").config.auth.asks());
    assert!(!taken("[auth]\nkeys = false").config.auth.asks());
    assert!(taken("[auth]\nkeys = true").config.auth.asks());
    assert!(taken("[[auth.certificates]]\nname = '*.agents.test'").config.auth.asks());
}

#[test]
fn whoever_asks_may_listen_beyond_loopback() {
    let open = errors("listen = '0.0.0.0:7420'");
    assert!(open.contains("nobody is asked") && open.contains("[auth]"), "{open}");
    let asked = taken("listen = '0.0.0.0:7420'\n[auth]\nkeys = true");
    assert!(asked.warnings.iter().all(|warning| warning.key != "allow_anonymous"));
    // What administers is not to be open either.
    let open = errors("[auth]\nadmin_listen = '0.0.0.0:7421'");
    assert!(open.contains("auth.admin_listen: 0.0.0.0:7421 is reachable"), "{open}");
    taken("[auth]\nkeys = true\nadmin_listen = '0.0.0.0:7421'");
    // Whoever is asked is asked: both together mean less than they seem to.
    let both = taken("allow_anonymous = true\n[auth]\nkeys = true");
    assert!(both.warnings.iter().any(|warning| warning.problem == Problem::Asked));
}

#[test]
fn an_issuer_has_what_it_needs_and_no_shared_secrets() {
    let loaded = taken(
        "[auth]\nresource = 'https://tools.test/mcp'\n[[auth.issuers]]\nurl = 'https://id.test'\n\
         scopes = { 'tools:read' = 'search' }\nprofile_claim = 'team'\n\
         profiles = { support = 'help' }\n\
         introspection = { url = 'https://id.test/i', client_id = 'us', client_secret_env = 'TOKEN' }\n\
         [profiles.help]",
    );
    let [issuer] = &loaded.config.auth.issuers[..] else { panic!("one was given") };
    assert_eq!(issuer.audience, "https://tools.test/mcp");
    assert_eq!(issuer.name_of(Scope::Search), Some("tools:read"));
    assert_eq!(issuer.name_of(Scope::Admin), None);
    let shown = loaded.shown().unwrap();
    assert!(shown.contains("client_id = \"us\"") && !shown.contains("s3cret"), "{shown}");
    assert!(!format!("{:?}", loaded.config.auth).contains("s3cret"));

    assert_eq!(issuer.console, None);

    let console = |more| {
        taken(&format!(
            "[auth]\nresource = 'https://tools.test/mcp'\n[[auth.issuers]]\nurl = 'https://id.test'\n\
             scopes = {{ 'tools:read' = 'search', 'tools:all' = 'admin' }}\n\
             console = {{ client_id = 'page'{more} }}"
        ))
    };
    let asks = |loaded: &Loaded| loaded.config.auth.issuers[0].console.clone().unwrap().scopes;
    assert_eq!(asks(&console("")), ["tools:read"]);
    let more = console(", scopes = ['tools:all', 'offline_access']");
    assert_eq!(asks(&more), ["tools:all", "offline_access"]);
    assert!(more.shown().unwrap().contains("client_id = \"page\""));

    let told = errors(
        "[auth]\n[[auth.issuers]]\nurl = 'ftp://id.test'\nalgorithms = ['HS256', 'none']\n\
         leeway = 'long'\nscopes = { a = 'everything' }\nprofiles = { a = 'b' }\n\
         introspection = { url = 'https://i.test' }\n[[auth.issuers]]\n[[auth.certificates]]\n\
         name = '['\nscopes = ['all']\n[[auth.certificates]]",
    );
    for problem in [
        "auth.resource: is missing",
        "auth.issuers.url: the URL scheme",
        "auth.issuers.algorithms: not one of",
        "auth.issuers.leeway: ",
        "auth.issuers.scopes: not one of",
        "auth.issuers.profile_claim: is missing",
        "auth.issuers.introspection.client_id: is missing",
        "auth.issuers.url: is missing",
        "auth.certificates.name: ",
        "auth.certificates.scopes: not one of",
    ] {
        assert!(told.contains(problem), "{problem}: {told}");
    }
    let twice = "[[auth.issuers]]\nurl = 'https://id.test'\n";
    let told = errors(&format!("[auth]\nresource = 'https://t.test'\n{twice}{twice}"));
    assert!(told.contains("is there twice"), "{told}");
}

#[test]
fn what_is_named_has_to_be_there() {
    let told = errors(
        "[[auth.certificates]]\nname = 'a'\nprofile = 'gone'\ntenant = 'nobody'\nscopes = ['search']",
    );
    assert!(
        told.contains("no profile \"gone\"") && told.contains("no tenant \"nobody\""),
        "{told}"
    );
}

#[test]
fn the_example_has_every_key_of_the_tables_within() {
    for key in [keys_of::<RawIssuer>(), keys_of::<RawCertificate>()].concat() {
        let line = format!("\n#{key} = ");
        assert!(EXAMPLE.contains(&line), "{key}");
    }
    for key in keys_of::<RawIntrospection>() {
        assert!(EXAMPLE.contains(&format!("{key} = ")), "{key}");
    }
}
