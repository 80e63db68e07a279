use super::{errors, try_toml};
use crate::access::profile::{HostDefaults, Limits};
use crate::tool::Tool;
use crate::tool::hints::Hints;

#[test]
fn a_profile_is_read_whole_and_shown_as_it_can_be_written() {
    let text = r#"
        [profiles.sales]
        servers = ["crm", "mail*"]
        allow = ["crm/*", "send_*"]
        deny = ["*delete*"]
        destructive = false
        pinned = ["crm/find", "crm/find"]
        boost = { "crm/*" = 1.2 }
        limit = 5
        format = "anthropic"
        token_budget = 4000
        family = "openai"
        max_servers = 3
        max_tools = 50
        max_concurrent_calls = 2
        [profiles.sales.describe]
        "crm/find" = "Find a customer"
        [profiles.sales.rename]
        "crm/find" = "customer_search"
        [profiles.sales.toolsets.crm]
        enabled = false
        configs = { find = { enabled = true }, list = {} }
        [profiles.all]
    "#;
    let loaded = try_toml(text).unwrap();
    let profile = &loaded.config.profiles["sales"];
    assert_eq!(profile.pinned, ["crm/find".into()]);
    assert_eq!(profile.renames["crm/find"], "customer_search");
    let limits = Limits { servers: Some(3), tools: Some(50), concurrent_calls: Some(2) };
    assert_eq!(profile.limits, limits);
    let defaults = HostDefaults {
        limit: Some(5),
        format: Some("anthropic".into()),
        token_budget: Some(4000),
        family: Some("openai".into()),
    };
    assert_eq!(profile.defaults, defaults);
    let harmless = Hints { destructive: false, ..Hints::default() };
    let admits = |server: &str, name: &str, hints| {
        let tool = Tool::parse(&server.into(), &format!(r#"{{"name":"{name}"}}"#)).unwrap();
        profile.admits(&tool, hints)
    };
    assert!(admits("crm", "find", harmless) && admits("mailer", "send_mail", harmless));
    assert!(!admits("crm", "find", Hints::default()));
    assert!(!admits("crm", "list", harmless), "it is not switched on");
    assert!(!admits("files", "send_file", harmless));
    assert!(!admits("mailer", "send_deleted", harmless));

    let again = try_toml(&loaded.shown().unwrap()).unwrap();
    assert_eq!(again.config.profiles, loaded.config.profiles);
}

#[test]
fn what_is_wrong_is_told_by_its_key() {
    insta::assert_snapshot!(errors(
        r#"[profiles.Sales]
[profiles.a]
servers = ["["]
limit = 51
format = "xml"
max_tools = 0
color = "red"
boost = { "x" = 3.0 }
[profiles.a.rename]
"s/t" = "two words"
[profiles.a.toolsets.s]
configs = { t = { defer_loading = true } }
"#
    ), @"");
}
