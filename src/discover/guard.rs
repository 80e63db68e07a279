//! Stand-in for the guard of `auth`.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Which addresses a URL of a remote document may lead to.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    /// Private ones too.
    pub allow_private: bool,
}

impl Guard {
    /// The URL's address, where it is written in it, is one that may be asked.
    pub fn check(self, url: &Url) -> Result<(), String> {
        let ip = match url.host() {
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err("it has no host".into()),
        };
        if self.admits(ip) { Ok(()) } else { Err(format!("{ip} is not a public address")) }
    }

    fn admits(self, ip: IpAddr) -> bool {
        self.allow_private
            || match ip {
                IpAddr::V4(ip) => {
                    !(ip.is_private()
                        || ip.is_loopback()
                        || ip.is_link_local()
                        || ip.is_unspecified()
                        || ip.is_multicast()
                        || ip.is_broadcast())
                }
                IpAddr::V6(ip) => {
                    !(ip.is_loopback()
                        || ip.is_unspecified()
                        || ip.is_unique_local()
                        || ip.is_unicast_link_local()
                        || ip.is_multicast()
                        || ip.to_ipv4_mapped().is_some())
                }
            }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = *self;
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let admitted: Vec<_> =
                found.into_iter().filter(|address| guard.admits(address.ip())).collect();
            if admitted.is_empty() {
                return Err("it has no public address".into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}
