use super::{errors, try_toml};
use crate::access::profile::{HostDefaults, Limits};
use crate::format::{Family, Format};
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
        format: Some(Format::Anthropic),
        token_budget: Some(4000),
        family: Some(Family::Openai),
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

    let mut shown: toml::Table = toml::from_str(&loaded.shown().unwrap()).unwrap();
    shown.retain(|key, _| key == "profiles");
    let again = try_toml(&shown.to_string()).unwrap();
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
    ), @r#"
    toolscout.toml:1: profiles.Sales: not a name for a profile
      remedy: use lower-case letters, digits, dashes and underscores, at most 64
    error: toolscout.toml:3: profiles.a.servers: error parsing glob '[': unclosed character class; missing ']'
      remedy: write `*`, `?`, `[a-z]` or `{a,b}`, and a backslash before them to mean themselves
    error: toolscout.toml:4: profiles.a.limit: too many
      remedy: use 50 or fewer
    error: toolscout.toml:5: profiles.a.format: not one of the values that there are
      remedy: use "mcp", "anthropic", "openai", "tool_reference", "tool_search_output", "names" or "signatures"
    error: toolscout.toml:6: profiles.a.max_tools: too small
      remedy: use 1 or more
    error: toolscout.toml:7: profiles.a.color: unknown key
      remedy: remove it; known here: servers, allow, deny, read_only, destructive, open_world, pinned, boost, describe, rename, limit, format, token_budget, family, max_servers, max_tools, max_concurrent_calls, toolsets
    error: toolscout.toml:8: profiles.a.boost.x: not one of the values that there are
      remedy: use a number from 0.5 to 2
    error: toolscout.toml:10: profiles.a.rename."s/t": not a name for a tool
      remedy: use letters, digits, dashes, underscores and dots, at most 128
    error: toolscout.toml:12: profiles.a.toolsets.s.configs.t.defer_loading: unknown key
      remedy: remove it; known here: enabled
    "#);
}
