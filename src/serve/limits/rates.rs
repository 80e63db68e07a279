//! How often somebody may come: per address, per caller, and after failures.
//!
//! Invariant: memory is bounded whoever comes. Keys that have all of their rate again are
//! forgotten; should there be too many others all are, since to count anew does less harm than to
//! turn away those who come for the first time.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Who;
use crate::access::caller::Allowance;
use crate::config::Rate;

/// The most keys that are counted.
const MOST: usize = 65_536;
/// Keys are looked through once in so many requests.
const SWEEP: usize = 4_096;
/// The most different rates, of which callers have theirs.
const MOST_RATES: usize = 256;

/// One rate, for each of many keys.
pub struct Rates<K: Hash + Eq + Clone> {
    quota: Quota,
    clock: DefaultClock,
    counted: ArcSwap<DefaultKeyedRateLimiter<K>>,
    asked: AtomicUsize,
}

impl<K: Hash + Eq + Clone> Rates<K> {
    /// Nobody has come yet.
    pub fn of(rate: Rate) -> Self {
        // Less than once in a day is never; more than a billion a second is always.
        let period = Duration::from_secs_f64((1.0 / rate.per_second).clamp(1e-9, 86_400.0));
        let quota = Quota::with_period(period);
        let quota = quota.unwrap_or(Quota::per_second(rate.burst)).allow_burst(rate.burst);
        let counted = ArcSwap::from_pointee(RateLimiter::keyed(quota));
        Self { quota, clock: DefaultClock::default(), counted, asked: AtomicUsize::new(0) }
    }

    /// Counts one; else says how long to wait.
    pub fn count(&self, key: &K) -> Result<(), Duration> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.sweep(MOST);
        }
        let counted = self.counted.load();
        counted.check_key(key).map_err(|until| until.wait_time_from(self.clock.now()))
    }

    fn sweep(&self, most: usize) {
        let counted = self.counted.load();
        counted.retain_recent();
        if counted.len() > most {
            tracing::warn!(keys = counted.len(), "too many come at once: rates are counted anew");
            self.counted.store(Arc::new(RateLimiter::keyed(self.quota)));
        }
    }
}

/// The rates of callers, of whom some have their own.
pub struct CallerRates {
    usual: Option<Rate>,
    each: Mutex<ByRate>,
}

/// Those who share a rate are counted side by side: by its bits, and its burst.
type ByRate = HashMap<(u64, u32), Arc<Rates<Who>>>;

impl CallerRates {
    /// `usual` is that of those who have none of their own.
    pub fn new(usual: Option<Rate>) -> Self {
        Self { usual, each: Mutex::default() }
    }

    /// Counts a request; else says how long to wait.
    pub fn count(&self, who: &Who, allowance: &Allowance) -> Result<(), Duration> {
        let own = allowance.rate.and_then(|rate| Rate::new(rate, allowance.burst.unwrap_or(0)));
        let Some(rate) = own.or(self.usual) else { return Ok(()) };
        let rates = {
            let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
            if each.len() > MOST_RATES {
                each.clear();
            }
            let rates = each.entry((rate.per_second.to_bits(), rate.burst.get()));
            Arc::clone(rates.or_insert_with(|| Arc::new(Rates::of(rate))))
        };
        rates.count(who)
    }
}

/// Refused credentials, by address: who shows too many waits, whatever it shows next.
pub struct Failures {
    rates: Rates<IpAddr>,
    until: Mutex<HashMap<IpAddr, Instant>>,
}

impl Failures {
    /// Nobody has failed yet.
    pub fn of(rate: Rate) -> Self {
        Self { rates: Rates::of(rate), until: Mutex::default() }
    }

    /// Whether somebody may try; else how long to wait.
    pub fn admits(&self, address: &IpAddr) -> Result<(), Duration> {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(end) = until.get(address) else { return Ok(()) };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            until.remove(address);
            return Ok(());
        }
        Err(left)
    }

    /// Somebody failed.
    pub fn note(&self, address: IpAddr) {
        if let Err(wait) = self.rates.count(&address) {
            let now = Instant::now();
            let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
            if until.len() >= MOST {
                until.retain(|_, end| *end > now);
            }
            if until.len() < MOST {
                until.insert(address, now + wait);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        number.to_be_bytes().into()
    }

    #[test]
    fn a_burst_is_let_in_and_each_key_has_its_own() {
        let rates = Rates::of(Rate::new(0.001, 3).unwrap());
        for _ in 0..3 {
            rates.count(&"a").unwrap();
        }
        let wait = rates.count(&"a").unwrap_err();
        assert!((900..=1_000).contains(&wait.as_secs()), "{wait:?}");
        rates.count(&"b").unwrap();
    }

    #[test]
    fn too_many_keys_are_forgotten() {
        let rates = Rates::of(Rate::new(0.001, 1).unwrap());
        for number in 0..100 {
            rates.count(&number).unwrap();
        }
        assert!(rates.count(&7).is_err());
        rates.sweep(100);
        assert!(rates.count(&7).is_err());
        rates.sweep(99);
        assert_eq!(rates.counted.load().len(), 0);
        rates.count(&7).unwrap();
    }

    #[test]
    fn a_caller_has_its_own_rate_or_the_usual_one() {
        let who = |number| Who::Address(address(number));
        let own = Allowance { rate: Some(0.001), burst: Some(2), calls_per_day: None };
        let rates = CallerRates::new(None);
        for _ in 0..100 {
            rates.count(&who(1), &Allowance::default()).unwrap();
        }
        rates.count(&who(1), &own).unwrap();
        rates.count(&who(1), &own).unwrap();
        assert!(rates.count(&who(1), &own).is_err());
        rates.count(&who(2), &own).unwrap();
        let rates = CallerRates::new(Rate::new(0.001, 1));
        rates.count(&who(1), &Allowance::default()).unwrap();
        assert!(rates.count(&who(1), &Allowance::default()).is_err());
        rates.count(&who(1), &own).unwrap();
    }

    #[test]
    fn who_fails_too_often_waits_and_nobody_else() {
        let failures = Failures::of(Rate::new(0.001, 2).unwrap());
        for _ in 0..2 {
            failures.note(address(1));
            assert!(failures.admits(&address(1)).is_ok());
        }
        failures.note(address(1));
        assert!(failures.admits(&address(1)).is_err());
        assert!(failures.admits(&address(2)).is_ok());
    }
}
