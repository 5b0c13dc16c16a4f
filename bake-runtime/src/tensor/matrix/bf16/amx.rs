//! Products of bf16 in the tiles of Intel's AMX. The instructions are written as assembly, since
//! the functions for them are not stable yet.

use std::arch::asm;
use std::marker::PhantomData;

use super::pack::{Line, TILE, WIDTH};

/// Whether the processor has the instructions and the system lets this program use them.
pub(super) fn is_available() -> bool {
    super::avx512::is_available() && has_tiles() && may_use_tiles()
}

fn has_tiles() -> bool {
    const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
    let features = std::arch::x86_64::__cpuid_count(7, 0);
    std::is_x86_feature_detected!("xsave") && features.edx & BF16_AND_TILES == BF16_AND_TILES
}

/// Asks Linux for the permission that a program needs before it touches a tile. It holds for all of
/// its threads.
#[cfg(target_os = "linux")]
fn may_use_tiles() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let result: i64;
    // SAFETY: the call takes two numbers, and changes nothing but what the program may use.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn may_use_tiles() -> bool {
    false
}

#[repr(C, align(64))]
struct TileShapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_a_row: [u16; 16],
    rows: [u8; 16],
}

/// Eight tiles of 16 rows of 64 bytes.
static SHAPES: TileShapes = TileShapes {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes_a_row: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// The tiles of the calling thread, which are on while this is there. Turned off, the system need
/// not save them.
pub(super) struct TilesOn {
    /// They are the thread's own, so this must not move to another.
    _of_this_thread: PhantomData<*const ()>,
}

impl TilesOn {
    /// Turns the calling thread's tiles on.
    ///
    /// # Safety
    /// [`is_available`] has said yes, and the thread has no other `TilesOn`.
    pub(super) unsafe fn new() -> Self {
        // SAFETY: the processor has the instruction, the system has given its permission, and the
        // shapes are valid.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &SHAPES, options(nostack, readonly)) }
        Self { _of_this_thread: PhantomData }
    }
}

impl Drop for TilesOn {
    fn drop(&mut self) {
        // SAFETY: the tiles are on, and nothing in them is needed any more.
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }
}

/// See [`super::Bf16Unit::multiply`].
///
/// # Safety
/// As there, while the calling thread has its tiles [on](TilesOn).
pub(super) unsafe fn multiply(a: &[Line], b: &[Line], c: *mut f32, stride: usize, add: bool) {
    let steps = b.len() / WIDTH;
    assert!(steps > 0 && b.len() == steps * WIDTH, "the panel has another size");
    match a.len() / (steps * TILE) {
        // SAFETY: as the caller says.
        1 => unsafe { sixteen_rows(a, b, c, stride, add, steps) },
        _ => {
            assert_eq!(a.len(), 2 * steps * TILE, "the rows have another size");
            // SAFETY: as the caller says.
            unsafe { thirty_two_rows(a, b, c, stride, add, steps) };
        }
    }
}

/// Sums in tiles 0 and 1.
unsafe fn sixteen_rows(
    a: &[Line],
    b: &[Line],
    c: *mut f32,
    stride: usize,
    add: bool,
    steps: usize,
) {
    // SAFETY: there are `steps` tiles of `a` and of each half of `b`, and the caller vouches for
    // `c`, and for tiles that are on.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "test {add}, {add}",
            "jz 2f",
            "tileloadd tmm0, [{c} + {s} * 1]",
            "tileloadd tmm1, [{c} + {s} * 1 + 64]",
            "2:",
            "tileloadd tmm4, [{a} + {line} * 1]",
            "tileloadd tmm6, [{b0} + {line} * 1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b1} + {line} * 1]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "add {a}, 1024",
            "add {b0}, 1024",
            "add {b1}, 1024",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{c} + {s} * 1], tmm0",
            "tilestored [{c} + {s} * 1 + 64], tmm1",
            add = in(reg) usize::from(add),
            c = in(reg) c,
            s = in(reg) stride * size_of::<f32>(),
            a = inout(reg) a.as_ptr() => _,
            b0 = inout(reg) b.as_ptr() => _,
            b1 = inout(reg) b.as_ptr().add(steps * TILE) => _,
            line = in(reg) size_of::<Line>(),
            steps = inout(reg) steps => _,
            out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Sums in tiles 0 to 3: those of the upper rows, and those of the lower ones.
unsafe fn thirty_two_rows(
    a: &[Line],
    b: &[Line],
    c: *mut f32,
    stride: usize,
    add: bool,
    steps: usize,
) {
    let half = steps * TILE;
    // SAFETY: as in `sixteen_rows`, with two tiles of `a`.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "test {add}, {add}",
            "jz 2f",
            "tileloadd tmm0, [{c} + {s} * 1]",
            "tileloadd tmm1, [{c} + {s} * 1 + 64]",
            "tileloadd tmm2, [{d} + {s} * 1]",
            "tileloadd tmm3, [{d} + {s} * 1 + 64]",
            "2:",
            "tileloadd tmm4, [{a0} + {line} * 1]",
            "tileloadd tmm6, [{b0} + {line} * 1]",
            "tileloadd tmm7, [{b1} + {line} * 1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{a1} + {line} * 1]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a0}, 1024",
            "add {a1}, 1024",
            "add {b0}, 1024",
            "add {b1}, 1024",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{c} + {s} * 1], tmm0",
            "tilestored [{c} + {s} * 1 + 64], tmm1",
            "tilestored [{d} + {s} * 1], tmm2",
            "tilestored [{d} + {s} * 1 + 64], tmm3",
            add = in(reg) usize::from(add),
            c = in(reg) c,
            d = in(reg) c.add(TILE * stride),
            s = in(reg) stride * size_of::<f32>(),
            a0 = inout(reg) a.as_ptr() => _,
            a1 = inout(reg) a.as_ptr().add(half) => _,
            b0 = inout(reg) b.as_ptr() => _,
            b1 = inout(reg) b.as_ptr().add(half) => _,
            line = in(reg) size_of::<Line>(),
            steps = inout(reg) steps => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
