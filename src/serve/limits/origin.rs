//! Where a request comes from, behind proxies.
//!
//! Invariant: a header is believed only of a proxy that is trusted, and of it only what it added
//! itself: the list is read from its end, as long as those named there are trusted, too.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Proxies in a row, of which more is nobody's.
const MOST_HOPS: usize = 32;

/// The address that a request came from, where `peer` is the other end of its connection.
pub fn origin(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let peer = peer.to_canonical();
    if !is_trusted(&peer) {
        return peer;
    }
    let walk = |hops: Vec<&str>| {
        let mut at = peer;
        for hop in hops.into_iter().rev().take(MOST_HOPS) {
            if !is_trusted(&at) {
                break;
            }
            let Some(address) = address(hop) else { break };
            at = address;
        }
        at
    };
    let list = |name: &str| -> Vec<&str> {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(str::trim).collect()
    };
    let old = list(FORWARDED_FOR);
    let new: Vec<_> = list(header::FORWARDED.as_str()).into_iter().map(named).collect();
    match (old.is_empty(), new.is_empty()) {
        (_, true) => walk(old),
        (true, false) => walk(new),
        // The proxy wrote one of them and passed on the other, which anybody may have written.
        (false, false) => {
            let (old, new) = (walk(old), walk(new));
            if old == new { old } else { peer }
        }
    }
}

/// A trusted proxy passed it on, whomever it names.
pub fn is_passed_on(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|network| network.contains(&peer))
        && (headers.contains_key(FORWARDED_FOR) || headers.contains_key(header::FORWARDED))
}

/// What an element of `Forwarded` says of who was before.
fn named(element: &str) -> &str {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut before = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    before.next().map_or("", |(_, value)| value.trim().trim_matches('"'))
}

/// An address, perhaps with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let bare = bare.map_or(text, |(bare, _)| bare);
    let parsed = bare.parse().ok().or_else(|| {
        let with_port: std::net::SocketAddr = text.parse().ok()?;
        Some(with_port.ip())
    });
    parsed.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        origin(peer.parse().unwrap(), &map, &trusted).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_added_counts() {
        let old = |peer, value| of(peer, &[("x-forwarded-for", value)]);
        assert_eq!(old("192.0.2.1", "203.0.113.9"), "192.0.2.1");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(old("10.0.0.1", "203.0.113.9"), "203.0.113.9");
        assert_eq!(old("::ffff:10.0.0.1", "203.0.113.9"), "203.0.113.9");
        // What the client wrote itself stands before what the proxy saw.
        assert_eq!(old("10.0.0.1", "198.51.100.1, 203.0.113.9"), "203.0.113.9");
        assert_eq!(old("10.0.0.1", "198.51.100.1, 203.0.113.9, 10.0.0.2"), "203.0.113.9");
        assert_eq!(old("10.0.0.1", "203.0.113.9:4711"), "203.0.113.9");
        assert_eq!(old("10.0.0.1", "203.0.113.9, unknown"), "10.0.0.1");
        assert_eq!(old("10.0.0.1", "203.0.113.9, nobody, 10.0.0.2"), "10.0.0.2");
        let twice = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(of("10.0.0.1", &twice), "203.0.113.9");
    }

    #[test]
    fn the_standard_header_is_read_as_well_and_a_contradiction_believes_nobody() {
        let new = |value| of("fd00::1", &[("forwarded", value)]);
        assert_eq!(new("for=203.0.113.9;proto=https"), "203.0.113.9");
        assert_eq!(new("for=\"[2001:db8::7]:4711\", for=10.1.1.1"), "2001:db8::7");
        assert_eq!(new("by=203.0.113.9"), "fd00::1");
        let both = |old, new| of("10.0.0.1", &[("x-forwarded-for", old), ("forwarded", new)]);
        assert_eq!(both("203.0.113.9", "for=203.0.113.9"), "203.0.113.9");
        assert_eq!(both("198.51.100.1", "for=203.0.113.9"), "10.0.0.1");
    }
}
