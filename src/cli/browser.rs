//! The browser of whoever sits at this machine.

use std::process::{Command, Stdio};

use url::Url;

/// Opens the browser of `$BROWSER`, or the desktop's; false where there is none.
pub(super) fn open(url: &Url) -> bool {
    let named = std::env::var("BROWSER").ok().filter(|name| !name.is_empty());
    let desktop = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let has_desktop = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let program = named.or_else(|| has_desktop.then(|| desktop.to_owned()));
    let Some(program) = program.and_then(|name| which::which(name).ok()) else {
        return false;
    };
    let mut command = Command::new(program);
    command.arg(url.as_str()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}
