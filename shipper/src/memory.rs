//! Memory that is needed at the start only goes back to the system.

/// Gives freed memory back. Parsing the kernel's types takes some 20 MiB for a moment, which the allocator would keep.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointers and may be called at any time, from any thread (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
