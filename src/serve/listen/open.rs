//! The connections that are open: how many, whose, and which of them do nothing.
//!
//! Invariant: there are never more than the bounds allow, save for the moment in which one that was
//! told to give way is being closed; and one that works on a request is never told to.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use metrics::{counter, gauge};
use tokio_util::sync::CancellationToken;

use crate::serve::limits::metrics::{CONNECTIONS, REFUSED};

/// The bounds and what is open; cheap to clone.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    most: usize,
    most_each: usize,
    /// Many clients may come from each of these.
    proxies: Vec<IpNet>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: usize,
    each: HashMap<IpAddr, usize>,
    /// Those that do nothing, longest first.
    idle: BTreeMap<u64, CancellationToken>,
    next: u64,
}

impl Connections {
    /// Nothing is open yet.
    pub fn within(most: usize, most_each: usize, proxies: Vec<IpNet>) -> Self {
        Self(Arc::new(Inner { most, most_each, proxies, open: Mutex::default() }))
    }

    /// The same bounds, and nothing open yet.
    pub fn anew(&self) -> Self {
        Self::within(self.0.most, self.0.most_each, self.0.proxies.clone())
    }

    /// One more, idle at first; `None` where there is no place for it.
    pub fn admit(&self, from: IpAddr) -> Option<Arc<Connection>> {
        let from = network_of(from);
        let is_proxy = self.0.proxies.iter().any(|network| network.contains(&from));
        let mut open = self.0.lock();
        if !is_proxy && open.each.get(&from).copied().unwrap_or(0) >= self.0.most_each {
            counter!(REFUSED, "reason" => "address").increment(1);
            return None;
        }
        if open.all >= self.0.most {
            let Some((_, oldest)) = open.idle.pop_first() else {
                counter!(REFUSED, "reason" => "full").increment(1);
                return None;
            };
            counter!(REFUSED, "reason" => "gave_way").increment(1);
            oldest.cancel();
        }
        open.all += 1;
        *open.each.entry(from).or_default() += 1;
        gauge!(CONNECTIONS).increment(1.0);
        let cut = CancellationToken::new();
        let place = open.rest(cut.clone());
        Some(Arc::new(Connection {
            inner: Arc::clone(&self.0),
            from,
            cut,
            place: Mutex::new(Some(place)),
        }))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn rest(&mut self, cut: CancellationToken) -> u64 {
        self.next += 1;
        self.idle.insert(self.next, cut);
        self.next
    }
}

/// One of them, until it is dropped.
pub struct Connection {
    inner: Arc<Inner>,
    from: IpAddr,
    cut: CancellationToken,
    /// Where it stands among the idle ones.
    place: Mutex<Option<u64>>,
}

impl Connection {
    /// Cancelled when it has to give way.
    pub fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    /// It works on a request, until this is dropped.
    pub fn work(self: &Arc<Self>) -> Working {
        if let Some(place) = self.place().take() {
            self.inner.lock().idle.remove(&place);
        }
        Working(Arc::clone(self))
    }

    fn place(&self) -> MutexGuard<'_, Option<u64>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let place = self.place().take();
        let mut open = self.inner.lock();
        if let Some(place) = place {
            open.idle.remove(&place);
        }
        open.all -= 1;
        if let Some(each) = open.each.get_mut(&self.from) {
            *each -= 1;
            if *each == 0 {
                open.each.remove(&self.from);
            }
        }
        gauge!(CONNECTIONS).decrement(1.0);
    }
}

/// A connection at work: to the end of the answer's body.
pub struct Working(Arc<Connection>);

impl Drop for Working {
    fn drop(&mut self) {
        let place = self.0.inner.lock().rest(self.0.cut.clone());
        *self.0.place() = Some(place);
    }
}

/// The address that is counted: in IPv6 a /64, since whoever has one address has all of those.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_longest_idle_gives_way_and_who_works_does_not() {
        let open = Connections::within(3, 9, Vec::new());
        let all: Vec<_> =
            (1..=3).map(|n| open.admit(IpAddr::from([10, 0, 0, n])).unwrap()).collect();
        let working = all[0].work();
        let fourth = open.admit(address("10.0.0.4")).unwrap();
        assert!(!all[0].cut().is_cancelled() && all[1].cut().is_cancelled());
        assert!(!all[2].cut().is_cancelled());
        // It is idle again, and now the last in line.
        drop(working);
        let fifth = open.admit(address("10.0.0.5")).unwrap();
        assert!(all[2].cut().is_cancelled() && !all[0].cut().is_cancelled());
        let _busy = (all[0].work(), fourth.work(), fifth.work());
        assert!(open.admit(address("10.0.0.6")).is_none());
    }

    #[test]
    fn an_address_has_its_share_and_a_proxy_any() {
        let open = Connections::within(9, 1, vec!["192.0.2.0/24".parse().unwrap()]);
        let first = open.admit(address("2001:db8::1")).unwrap();
        assert!(open.admit(address("2001:db8::2")).is_none());
        assert!(open.admit(address("2001:db8:0:1::2")).is_some());
        let _mapped = open.admit(address("::ffff:10.0.0.1")).unwrap();
        assert!(open.admit(address("10.0.0.1")).is_none());
        drop(first);
        assert!(open.admit(address("2001:db8::2")).is_some());
        let proxied: Vec<_> = (0..3).map(|_| open.admit(address("192.0.2.1"))).collect();
        assert!(proxied.iter().all(Option::is_some));
    }
}
