//! Memory that was freed, and that the allocator keeps for later.

/// Gives it back to the system. Stages need pieces of other sizes than those before them, so what
/// an allocator has kept of one does not serve the next, and the two would add up.
pub(super) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> i32;
        }
        // SAFETY: glibc's function takes a number, may be called by any thread at any time, and
        // gives back pages that nothing is in.
        unsafe { malloc_trim(0) };
    }
}
