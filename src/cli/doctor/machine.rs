//! What this machine gives: open files, the address to listen on.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::Value;

use super::Check;

/// Fewer open files than this are soon used up: a client takes one, a child three.
const FILES: u64 = 4_096;
/// How long whoever listens already may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(3);

/// `serve` raises the limit as far as it is let.
pub(super) fn open_files() -> Check {
    let what = "open files";
    match rlimit::Resource::NOFILE.get() {
        Ok((_, most)) if most >= FILES => Check::ok(what, format!("up to {most}")),
        Ok((_, most)) => Check::warn(
            what,
            format!("no more than {most}: a client takes one, a server's child three"),
            format!(
                "raise the hard limit to {FILES} or more: LimitNOFILE= of a systemd unit, \
                 `ulimit -Hn` of a shell"
            ),
        ),
        Err(error) => Check::warn(
            what,
            format!("the limit can't be read: {error}"),
            "look at it with `ulimit -n`",
        ),
    }
}

/// Whether the address is free, or a toolscout serves there already.
pub(super) async fn listen(what: &str, address: SocketAddr, scheme: &str) -> Check {
    let Err(error) = TcpListener::bind(address) else {
        return Check::ok(what, format!("{address} is free"));
    };
    let another = "choose another address with --listen or `listen`";
    match error.kind() {
        ErrorKind::AddrInUse => match who_serves(address, scheme).await {
            Some((version, true)) => {
                Check::ok(what, format!("a toolscout {version} serves on {address}, healthy"))
            }
            Some((version, false)) => Check::warn(
                what,
                format!("a toolscout {version} serves on {address}, and is not ready"),
                format!("ask it why: GET {scheme}://{address}/readyz"),
            ),
            None => Check::fail(
                what,
                format!("something else than a toolscout listens on {address}"),
                format!("end it, or {another}"),
            ),
        },
        ErrorKind::PermissionDenied => Check::fail(
            what,
            format!("this user may not listen on {address}"),
            format!("{another} whose port is 1024 or more, or give it CAP_NET_BIND_SERVICE"),
        ),
        _ => Check::fail(what, format!("can't listen on {address}: {error}"), another),
    }
}

/// The version of the toolscout at this address, and whether it is well.
async fn who_serves(mut address: SocketAddr, scheme: &str) -> Option<(String, bool)> {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    // Its certificate names a host, not this address; and it is told nothing.
    let client = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
    let client = client.timeout(PATIENCE).build().ok()?;
    let asked = client.get(format!("{scheme}://{address}/health"));
    let text = asked.send().await.ok()?.text().await.ok()?;
    let health: Value = serde_json::from_str(&text).ok()?;
    let well = match health["status"].as_str()? {
        "healthy" => true,
        "unhealthy" => false,
        _ => return None,
    };
    Some((health["version"].as_str()?.to_owned(), well))
}
