//! `[tenants.NAME]`, and the files that it names.

use super::*;

/// A configuration with tenants, in a folder with these files.
fn with(main: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Result<Loaded, String>) {
    let folder = folder(&[&[("toolscout.toml", main)], files].concat());
    let loaded = load(&sources(folder.path()), &environment).map_err(|errors| errors.to_string());
    (folder, loaded)
}

fn of_tenant(main: &str, files: &[(&str, &str)], name: &str) -> Result<Loaded, String> {
    let (folder, loaded) = with(main, files);
    let main = loaded.unwrap().config;
    let tenant = load_tenant(&main.tenants[name], &main, &sources(folder.path()), &environment);
    tenant.map_err(|errors| errors.to_string())
}

#[test]
fn what_is_wrong_with_a_tenant_is_told_with_its_line() {
    let errors = errors(
        "data = 'd'\n[tenants.Acme]\nconfig = 'a.toml'\n[tenants.none]\nenabled = true\n\
         [tenants.here]\nconfig = 'a.toml'\ndata = 'd'\n[tenants.twice]\nconfig = 'a.toml'\n\
         data = 'd/tenants/x'\n[tenants.x]\nconfig = 'a.toml'\nvariables = ['[A']",
    );
    insta::assert_snapshot!(errors, @r#"
    toolscout.toml:2: tenants.Acme: not a name for a tenant
      remedy: use lower-case letters, digits and dashes, at most 63
    error: toolscout.toml:4: tenants.none.config: is missing
      remedy: give it a value; see `toolscout config example`
    error: toolscout.toml:8: tenants.here.data: another tenant, or toolscout itself, has this folder
      remedy: give each tenant a folder of its own
    error: toolscout.toml:12: tenants.x.data: another tenant, or toolscout itself, has this folder
      remedy: give each tenant a folder of its own
    error: toolscout.toml:14: tenants.x.variables: error parsing glob '[A': unclosed character class; missing ']'
      remedy: write `*`, `?`, `[a-z]` or `{a,b}`, and a backslash before them to mean themselves
    "#);
}

#[test]
fn a_tenants_file_says_nothing_of_the_process() {
    let files = [(
        "acme.toml",
        "listen = '127.0.0.1:1'\ndata = 'd'\n[crawl]\nconcurrency = 1\nmax_pages = 3\n[embed]\n\
         enabled = false\n[tenants.x]\nconfig = 'x.toml'\n[servers.a]\ncomand = 'sh'",
    )];
    let errors = of_tenant("[tenants.acme]\nconfig = 'acme.toml'", &files, "acme").err().unwrap();
    for (line, key) in
        [(1, "listen"), (2, "data"), (4, "crawl.concurrency"), (6, "embed"), (8, "tenants")]
    {
        let told = format!("acme.toml:{line}: {key}: belongs to the process");
        assert!(errors.contains(&told), "{told}: {errors}");
    }
    assert!(errors.contains("acme.toml:11: servers.a.comand: unknown key"), "{errors}");
    assert!(!errors.contains("max_pages"), "{errors}");
}

#[test]
fn a_tenant_has_the_encoder_of_all_and_a_folder_of_its_own() {
    let main = "data = 'main'\n[crawl]\nconcurrency = 3\n[embed]\nenabled = false\n\
                [tenants.acme]\nconfig = 'acme.toml'\n[tenants.off]\nconfig = 'none.toml'\n\
                enabled = false";
    let files = [("acme.toml", "[crawl]\nmax_pages = 7\n[call]\nenabled = true")];
    let config = of_tenant(main, &files, "acme").unwrap().config;
    assert!(config.data.ends_with("main/tenants/acme"), "{}", config.data.display());
    assert!(!config.embed.enabled && config.call.enabled);
    assert_eq!((config.crawl.concurrency, config.crawl.max_pages), (3, 7));
    // The main configuration has nothing of it.
    let (_folder, loaded) = with(main, &files);
    let main = loaded.unwrap().config;
    assert!(!main.call.enabled && !main.tenants["off"].enabled);
}

#[test]
fn only_variables_that_are_for_a_tenant_are_filled_in() {
    let file = "[servers.a]\nurl = 'https://x.test/mcp'\nbearer_token = '${TOKEN}'";
    let main = |variables: &str| format!("[tenants.acme]\nconfig = 'acme.toml'\n{variables}");
    let refused = of_tenant(&main(""), &[("acme.toml", file)], "acme").err().unwrap();
    insta::assert_snapshot!(refused, @r#"
    acme.toml:3: servers.a.bearer_token: the variable TOKEN is not for this tenant
      remedy: if it is, add TOKEN to `variables` of its [tenants.NAME]
    "#);
    let named = "[servers.a]\nurl = 'https://x.test/mcp'\nbearer_token_env = 'TOKEN'";
    let refused = of_tenant(&main("variables = ['ACME_*']"), &[("acme.toml", named)], "acme");
    assert!(refused.err().unwrap().contains("is not for this tenant"));
    let taken = of_tenant(&main("variables = ['TOK*']"), &[("acme.toml", file)], "acme");
    let taken = taken.unwrap().config;
    let Transport::Http { headers, .. } = &taken.servers[0].transport else { panic!("not HTTP") };
    assert_eq!(secrecy::ExposeSecret::expose_secret(&headers[0].1), "Bearer s3cret");
    // What is not set at all is told as that.
    let unset = of_tenant(&main(""), &[("acme.toml", &file.replace("TOKEN", "NO"))], "acme");
    assert!(unset.err().unwrap().contains("the variable NO is not set"));
}
