//! What is checked on arrival.

use super::*;

#[test]
fn trust_is_general_and_by_server() {
    use crate::trust::policy::{Action, Rule};

    let loaded = try_toml(
        "[trust]\npin = true\nstuffing = 'off'\n[servers.a]\nurl = 'http://localhost:1/mcp'\n\
         [servers.b]\nurl = 'http://localhost:2/mcp'\npin = false\n\
         trust = { injection = 'quarantine' }",
    )
    .unwrap();
    let rules = |id: &str| {
        let rules = loaded.config.trust.of(&id.into());
        (rules.pin, Rule::ALL.map(|rule| rules.action(rule)))
    };
    let (off, warn) = (Action::Off, Action::Warn);
    assert_eq!(rules("a"), (true, [warn, warn, off, warn, warn]));
    assert_eq!(rules("b"), (false, [Action::Quarantine, warn, off, warn, warn]));
    let shown = loaded.shown().unwrap();
    assert!(
        shown.contains("[trust]\npin = true") && shown.contains("stuffing = \"off\""),
        "{shown}"
    );
    assert!(shown.contains("[servers.b.trust]") && !shown.contains("[servers.a.trust]"), "{shown}");
}

#[test]
fn what_cant_follow_from_a_finding_is_refused() {
    let told = errors(
        "[trust]\ninjection = 'ban'\n[servers.a]\nurl = 'http://localhost:1/mcp'\n\
         trust = { shadow = '', pin = true }\n[servers.f]\ncatalog = 'toolscout.toml'\npin = true",
    );
    for wanted in [
        "toolscout.toml:2: trust.injection: \"ban\" is nothing that can follow",
        "use \"off\", \"warn\" or \"quarantine\"",
        "servers.a.trust.pin: unknown key",
        "servers.a.trust.shadow: \"\" is nothing",
        "servers.f.pin: a catalog file may hold many servers",
    ] {
        assert!(told.contains(wanted), "{told}");
    }
}
