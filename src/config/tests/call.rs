use super::*;

#[test]
fn calls_are_off_and_read_only_unless_the_file_says_more() {
    let config = try_toml("").unwrap_or_else(|errors| panic!("{errors}")).config;
    assert!(!config.call.enabled);
    assert_eq!(config.call.allow, Allow::ReadOnly);
    let text = "[call]\nenabled = true\nallow = 'all'\ntimeout = '20m'\n\
                [mcp]\naliases = ['toolhive', 'toolhive', 'fastmcp']\nlist_query = true\n\
                [servers.a]\ncommand = 'sh'\ncall = 'off'\n[servers.b]\ncommand = 'sh'";
    let loaded = try_toml(text).unwrap_or_else(|errors| panic!("{errors}"));
    let Config { call, mcp, .. } = &loaded.config;
    assert!(call.enabled);
    assert_eq!(call.allow, Allow::All);
    assert_eq!(call.servers, [("a".into(), Allow::Off)].into());
    assert_eq!(call.max_timeout, call.timeout, "no less than the wait for a word");
    assert_eq!(mcp.aliases, [Alias::ToolHive, Alias::FastMcp]);
    assert!(mcp.list_query);
    let shown = loaded.shown().unwrap();
    for part in ["allow = \"all\"", "call = \"off\"", "aliases = [\"toolhive\", \"fastmcp\"]"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn a_call_may_last_as_long_as_the_wait_for_a_word() {
    let errors = errors("[call]\ntimeout = '2m'\nmax_timeout = '1m'");
    assert!(errors.contains("call.max_timeout: is shorter than `timeout`"), "{errors}");
    for (said, timeout) in [("timeout = '2m'\nmax_timeout = '2m'", 120), ("max_timeout = '9s'", 9)]
    {
        let loaded = try_toml(&format!("[call]\n{said}"));
        let call = loaded.unwrap_or_else(|errors| panic!("{errors}")).config.call;
        assert_eq!((call.timeout.as_secs(), call.max_timeout), (timeout, call.timeout), "{said}");
    }
}

#[test]
fn what_is_wrong_with_calls_is_told() {
    let errors = errors(
        "[call]\nallow = 'some'\ntimeout = '5ms'\nmax_concurrent = 0\n[mcp]\naliases = ['x']\n\
         [servers.a]\ncommand = 'sh'\ncall = 'yes'\n[servers.b]\ncatalog = 'b.jsonl'\ncall = 'all'",
    );
    for part in [
        "call.allow",
        "call.timeout",
        "call.max_concurrent",
        "mcp.aliases",
        "servers.a.call",
        "servers.b.call",
    ] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
}
