//! What the allocator does with freed memory. A process of its own decides it; the library never
//! calls this by itself.

/// Has freed memory returned to the system at once: an index is made of ten times what stays of it,
/// by threads that have nothing to do afterwards and would keep it. For a process whose allocator
/// is mimalloc, before it starts a thread; for another it changes nothing.
pub fn return_at_once() {
    const PURGE_DELAY: i32 = 15;
    #[expect(unsafe_code, reason = "no safe way to set it but a variable of the environment")]
    // SAFETY: an option is an atomic number, and this one is that of `mi_option_purge_delay` in the
    // release that Cargo.toml names exactly.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 0);
    }
}
