//! Products whose factors are rounded to bf16 and whose sums are in f32, on processors that have
//! instructions for them.
//!
//! `x` is rounded to the nearest bf16, and the weight, in bf16 or widened from blocks, is put into
//! the order that the instructions want, panel by panel, wherever it is multiplied. A training, in
//! which each weight is multiplied thousands of times, has a copy in that order where there is room
//! for it ([`Packed`]): 4 bytes a number, since `x Wᵀ` and `dy W` want different orders. The bits
//! of the result are the same.
//!
//! An element of the result is summed in an order that depends on the inner size only, so a row's
//! bits depend neither on the rows beside it nor on the number of threads.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(test)]
mod emulated;
mod pack;
mod right;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::OnceLock;

use half::bf16;
use rayon::prelude::*;

use crate::tensor::matrix::Matrix;
use pack::{LINE, Line, TILE, WIDTH};
pub(crate) use right::{Bf16Rows, Orientation, Packed, Unpacked};
use right::{RightSide, Scratch};

/// The instructions for products of bf16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bf16Unit {
    /// Tiles of Intel's AMX.
    #[cfg(target_arch = "x86_64")]
    Amx(OfProcessor),
    /// `vdpbf16ps` of AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512(OfProcessor),
    /// The arithmetic of [`Self::Amx`] without its instructions.
    #[cfg(test)]
    Emulated,
}

/// That this processor has a unit's instructions, and that the system allows them. Only this module
/// makes one, after it has asked: whatever is unsafe about the instructions follows from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OfProcessor(());

/// The calling thread's registers of a unit, where it has any that must be turned on. It is turned
/// off when this is dropped.
struct Ready {
    #[cfg(target_arch = "x86_64")]
    _tiles: Option<amx::TilesOn>,
}

impl Bf16Unit {
    /// AMX, if this processor has it.
    #[cfg(target_arch = "x86_64")]
    fn amx() -> Option<Self> {
        amx::is_available().then_some(Self::Amx(OfProcessor(())))
    }

    /// AVX-512 with products of bf16, if this processor has them.
    #[cfg(target_arch = "x86_64")]
    fn avx512() -> Option<Self> {
        avx512::is_available().then_some(Self::Avx512(OfProcessor(())))
    }

    /// The one that this processor has, if its products are faster than those in f32.
    pub(crate) fn of_processor() -> Option<Self> {
        static UNIT: OnceLock<Option<Bf16Unit>> = OnceLock::new();
        *UNIT.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            return Self::amx().or_else(|| Self::avx512().filter(|_| avx512::is_fast()));
            #[cfg(not(target_arch = "x86_64"))]
            None
        })
    }

    /// The unit's name, for the addresses of what was computed with it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(_) => "amx-bf16",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512-bf16",
            #[cfg(test)]
            Self::Emulated => "emulated-bf16",
        }
    }

    /// Prepares the calling thread.
    ///
    /// # Safety
    /// The thread is not prepared already.
    unsafe fn prepare(self) -> Ready {
        Ready {
            #[cfg(target_arch = "x86_64")]
            _tiles: match self {
                // SAFETY: the processor has this unit, and the caller vouches for the thread.
                Self::Amx(_) => Some(unsafe { amx::TilesOn::new() }),
                _ => None,
            },
        }
    }

    /// Rounds 32 neighbours.
    #[inline]
    fn round(self, numbers: &[f32; LINE]) -> Line {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has this unit.
            Self::Amx(_) | Self::Avx512(_) => unsafe { avx512::round(numbers) },
            #[cfg(test)]
            Self::Emulated => emulated::round(numbers),
        }
    }

    /// Puts a tile of `wᵀ` into order: of 32 columns of 16 rows of `w`, which begin `stride` apart.
    #[inline]
    fn pack_transposed(self, w: &[bf16], stride: usize, tile: &mut [Line; TILE]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has this unit.
            Self::Amx(_) | Self::Avx512(_) => unsafe { avx512::pack_transposed(w, stride, tile) },
            #[cfg(test)]
            Self::Emulated => emulated::pack_transposed(w, stride, tile),
        }
    }

    /// Puts two tiles of `w` into order, beside each other: of 32 columns of 32 rows.
    #[inline]
    fn pack_plain(self, w: &[bf16], stride: usize, tiles: [&mut [Line; TILE]; 2]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has this unit.
            Self::Amx(_) | Self::Avx512(_) => unsafe { avx512::pack_plain(w, stride, tiles) },
            #[cfg(test)]
            Self::Emulated => emulated::pack_plain(w, stride, tiles),
        }
    }

    /// `c (+)= a b` for 16 rows of `a` or twice as many, and a panel `b` of 32 columns.
    ///
    /// # Safety
    /// `c` has as many rows as `a`, of 32 elements, that begin `stride` apart, and nothing else
    /// uses them. The calling thread is [prepared](Self::prepare).
    #[inline]
    unsafe fn multiply(self, a: &[Line], b: &[Line], c: *mut f32, stride: usize, add: bool) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has this unit, and the caller vouches for `c` and the thread.
            Self::Amx(_) => unsafe { amx::multiply(a, b, c, stride, add) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has this unit, and `c` is what the caller says.
            Self::Avx512(_) => unsafe { avx512::multiply(a, b, c, stride, add) },
            #[cfg(test)]
            // SAFETY: `c` is what the caller says.
            Self::Emulated => unsafe { emulated::multiply(a, b, c, stride, add) },
        }
    }
}

/// The inner size that is summed before the next: its panels stay in the caches.
const INNER: usize = 2048;

/// The numbers of a group of panels, which stay in the second-level cache.
const GROUP: usize = 256 << 10;

/// Multiplications, counted as if there were at least 32 rows, that are worth a second thread.
const WORTH_WAKING: usize = 1 << 23;

/// `out (+)= x · right`, with factors rounded to bf16. `out` has rows one after the other.
pub(crate) fn multiply(
    unit: Bf16Unit,
    out: &mut [f32],
    add: bool,
    x: Matrix<'_, f32>,
    right: impl RightSide,
) {
    let [k, n] = right.dims();
    let m = x.rows();
    assert_eq!(x.cols(), k, "the inner sizes differ");
    assert_eq!(out.len(), m * n, "the result has a different size");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 && !add {
        out.fill(0.0);
    }
    let parallel = n * k * m.max(32) > WORTH_WAKING;
    for inner in parts(k) {
        let steps = inner.len().div_ceil(LINE);
        let mut rounded = vec![Line::ZERO; m.div_ceil(TILE) * TILE * steps];
        let round = |(block, lines): (usize, &mut [Line])| {
            round_rows(unit, x, block * TILE, inner.clone(), lines);
        };
        match parallel {
            true => rounded.par_chunks_mut(TILE * steps).enumerate().for_each(round),
            false => rounded.chunks_mut(TILE * steps).enumerate().for_each(round),
        }
        let columns = columns_together(n, inner.len(), right.together());
        let add = add || inner.start > 0;
        let part = Part { unit, m, n, x: &rounded, right: &right, inner, add };
        let out = Output(out.as_mut_ptr());
        let groups = n.div_ceil(columns);
        let group = |scratch: &mut Scratch, group: usize| {
            let first = group * columns;
            // SAFETY: `out` has `m` rows of `n` elements, and only this group writes these columns.
            unsafe { part.columns(first..(first + columns).min(n), out, scratch) };
        };
        match parallel {
            true => (0..groups).into_par_iter().for_each_init(Scratch::default, group),
            false => {
                let mut scratch = Scratch::default();
                (0..groups).for_each(|i| group(&mut scratch, i));
            }
        }
    }
}

/// The parts of an inner size.
fn parts(inner: usize) -> impl Iterator<Item = Range<usize>> {
    (0..inner).step_by(INNER).map(move |first| first..(first + INNER).min(inner))
}

/// How many columns a task takes: as many as the caches hold, but not so many that a thread waits.
fn columns_together(n: usize, inner: usize, together: usize) -> usize {
    let even = n.div_ceil(4 * rayon::current_num_threads());
    (GROUP / inner.max(1)).min(even).next_multiple_of(together)
}

/// The result, of which each task writes its own columns.
#[derive(Clone, Copy)]
struct Output(*mut f32);

// SAFETY: tasks write disjoint elements.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

/// Rounds some columns of up to 16 rows from `first` on, into tiles.
fn round_rows(
    unit: Bf16Unit,
    x: Matrix<'_, f32>,
    first: usize,
    columns: Range<usize>,
    lines: &mut [Line],
) {
    for r in 0..TILE.min(x.rows() - first) {
        let row = &x.row(first + r)[columns.clone()];
        let (whole, rest) = row.as_chunks::<LINE>();
        for (step, numbers) in whole.iter().enumerate() {
            lines[step * TILE + r] = unit.round(numbers);
        }
        if !rest.is_empty() {
            let mut numbers = [0.0; LINE];
            numbers[..rest.len()].copy_from_slice(rest);
            lines[whole.len() * TILE + r] = unit.round(&numbers);
        }
    }
}

/// The part of a product that belongs to a part of the inner size.
struct Part<'a, R> {
    unit: Bf16Unit,
    m: usize,
    n: usize,
    /// Tiles of 16 rows of the part, rounded.
    x: &'a [Line],
    right: &'a R,
    inner: Range<usize>,
    add: bool,
}

impl<R: RightSide> Part<'_, R> {
    /// Some columns of the result.
    ///
    /// # Safety
    /// `out` has `m` rows of `n` elements, and nothing else uses these columns.
    unsafe fn columns(&self, columns: Range<usize>, out: Output, scratch: &mut Scratch) {
        let steps = self.inner.len().div_ceil(LINE);
        let panels = self.right.panels(self.unit, self.inner.clone(), columns.clone(), scratch);
        // SAFETY: this is the only place where a thread is prepared, and nothing below comes here
        // again.
        let _ready = unsafe { self.unit.prepare() };
        for (block, x) in self.x.chunks(2 * TILE * steps).enumerate() {
            let first = block * 2 * TILE;
            let rows = (self.m - first).min(x.len() / steps);
            for (i, w) in panels.chunks_exact(2 * TILE * steps).enumerate() {
                let column = columns.start + i * WIDTH;
                let width = WIDTH.min(columns.end - column);
                // SAFETY: the element is one of `out`, whose rows are `n` apart.
                let c = unsafe { out.0.add(first * self.n + column) };
                if rows == x.len() / steps && width == WIDTH {
                    // SAFETY: all rows and columns are there, nothing else uses them, and the
                    // thread is prepared.
                    unsafe { self.unit.multiply(x, w, c, self.n, self.add) };
                } else {
                    // SAFETY: there are so many rows and columns, nothing else uses them, and the
                    // thread is prepared.
                    unsafe { self.at_the_edge(x, w, c, rows, width) };
                }
            }
        }
    }

    /// The same for a block that is not whole, through one that is.
    ///
    /// # Safety
    /// `c` has so many rows and columns, and nothing else uses them. The calling thread is prepared
    /// for the unit.
    unsafe fn at_the_edge(&self, x: &[Line], w: &[Line], c: *mut f32, rows: usize, width: usize) {
        let mut block = [0f32; 2 * TILE * WIDTH];
        for (r, row) in block.chunks_exact_mut(WIDTH).take(rows).enumerate() {
            if self.add {
                // SAFETY: the row is there.
                let before = unsafe { std::slice::from_raw_parts(c.add(r * self.n), width) };
                row[..width].copy_from_slice(before);
            }
        }
        // SAFETY: the block has room for all rows, and the thread is prepared.
        unsafe { self.unit.multiply(x, w, block.as_mut_ptr(), WIDTH, self.add) };
        for (r, row) in block.chunks_exact(WIDTH).take(rows).enumerate() {
            // SAFETY: the row is there, and nothing else uses it.
            let after = unsafe { std::slice::from_raw_parts_mut(c.add(r * self.n), width) };
            after.copy_from_slice(&row[..width]);
        }
    }
}
