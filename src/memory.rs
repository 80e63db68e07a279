//! What the allocator does with freed memory.
//!
//! Invariant: memory goes back to the system at once while an index is made, and only then: an
//! index is made of ten times what stays of it, by threads that have nothing to do afterwards and
//! would keep it, while a search would only ask for the same pages again.

use std::os::raw::c_long;
use std::sync::{Mutex, PoisonError};

/// `mi_option_purge_delay` in the release that Cargo.toml names exactly.
const PURGE_DELAY: i32 = 15;

static MAKERS: Mutex<Makers> = Mutex::new(Makers { live: 0, before: 0 });

/// While one lives, freed memory returns to the system at once. Where the allocator is not mimalloc,
/// nothing comes of it.
pub struct Making(());

impl Making {
    /// From now on.
    pub fn begin() -> Self {
        MAKERS.lock().unwrap_or_else(PoisonError::into_inner).come(swap);
        Self(())
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        MAKERS.lock().unwrap_or_else(PoisonError::into_inner).go(swap);
    }
}

/// How many live, and the delay before there was one.
struct Makers {
    live: usize,
    before: c_long,
}

impl Makers {
    fn come(&mut self, swap: impl FnOnce(c_long) -> c_long) {
        if self.live == 0 {
            self.before = swap(0);
        }
        self.live += 1;
    }

    fn go(&mut self, swap: impl FnOnce(c_long) -> c_long) {
        self.live -= 1;
        if self.live == 0 {
            swap(self.before);
        }
    }
}

/// Sets the milliseconds that freed memory is kept; what they were before.
fn swap(delay: c_long) -> c_long {
    #[expect(unsafe_code, reason = "no safe way to set it but a variable of the environment")]
    // SAFETY: an option is an atomic number that may be read and set at any time.
    unsafe {
        let before = libmimalloc_sys::mi_option_get(PURGE_DELAY);
        libmimalloc_sys::mi_option_set(PURGE_DELAY, delay);
        before
    }
}

/// What the process has used, as the allocator tells it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Milliseconds of CPU.
    pub cpu_ms: usize,
    /// Bytes that the allocator has from the system.
    pub committed: usize,
    /// The most bytes that were ever resident.
    pub peak: usize,
}

/// What it has used until now.
pub fn usage() -> Usage {
    let (mut elapsed, mut user, mut system, mut resident) = (0, 0, 0, 0);
    let (mut peak, mut committed, mut most, mut faults) = (0, 0, 0, 0);
    #[expect(unsafe_code, reason = "no safe way to ask")]
    // SAFETY: it writes a number behind each pointer, and keeps none.
    unsafe {
        libmimalloc_sys::mi_process_info(
            &raw mut elapsed,
            &raw mut user,
            &raw mut system,
            &raw mut resident,
            &raw mut peak,
            &raw mut committed,
            &raw mut most,
            &raw mut faults,
        );
    }
    Usage { cpu_ms: user + system, committed, peak }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_process_used_is_told() {
        let used = usage();
        assert!(used.peak > 0, "{used:?}");
        assert!(usage().cpu_ms >= used.cpu_ms);
    }

    #[test]
    fn the_last_one_sets_the_delay_back() {
        let mut delay = 1_000;
        let mut makers = Makers { live: 0, before: 0 };
        makers.come(|new| std::mem::replace(&mut delay, new));
        makers.come(|_| panic!("it is set already"));
        makers.go(|_| panic!("there is another one"));
        assert_eq!(delay, 0);
        makers.go(|new| std::mem::replace(&mut delay, new));
        assert_eq!(delay, 1_000);
    }
}
