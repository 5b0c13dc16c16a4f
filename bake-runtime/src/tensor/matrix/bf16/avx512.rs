//! Products of bf16 in AVX-512, and how its instructions round and reorder.

use std::arch::x86_64::{
    __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_permutex2var_epi16, _mm512_set1_epi32, _mm512_setzero_ps, _mm512_setzero_si512,
    _mm512_shuffle_i32x4, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use half::bf16;

use super::pack::{LINE, Line, TILE, WIDTH};

/// Whether the processor has the instructions.
pub(super) fn is_available() -> bool {
    std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512bf16")
}

/// Whether a product of pairs takes no longer than one in f32: so it does on AMD's processors, but
/// on Intel's it takes three times as long, and more than two in f32.
pub(super) fn is_fast() -> bool {
    let vendor = std::arch::x86_64::__cpuid(0);
    let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
    is_available() && name.as_flattened() == b"AuthenticAMD"
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn round(numbers: &[f32; LINE]) -> Line {
    // SAFETY: both halves are there.
    let [low, high] = [0, TILE].map(|i| unsafe { _mm512_loadu_ps(numbers.as_ptr().add(i)) });
    // SAFETY: both types are 32 numbers in bf16.
    unsafe { std::mem::transmute::<__m512bh, Line>(_mm512_cvtne2ps_pbh(high, low)) }
}

/// A line from anywhere.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn load(numbers: &[bf16]) -> __m512i {
    let numbers: &[bf16; LINE] = numbers.first_chunk().expect("a line is whole");
    // SAFETY: there are 64 bytes.
    unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn store(line: &mut Line, numbers: __m512i) {
    // SAFETY: there are 64 bytes.
    unsafe { _mm512_storeu_si512(line.0.as_mut_ptr().cast(), numbers) }
}

/// See [`super::Bf16Unit::pack_transposed`]: pairs of neighbours are transposed.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn pack_transposed(w: &[bf16], stride: usize, tile: &mut [Line; TILE]) {
    let mut a = [_mm512_setzero_si512(); TILE];
    for (i, row) in a.iter_mut().enumerate() {
        *row = load(&w[i * stride..]);
    }
    let mut b = a;
    for i in 0..8 {
        b[2 * i] = _mm512_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm512_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
    for i in 0..4 {
        a[4 * i] = _mm512_unpacklo_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 1] = _mm512_unpackhi_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 2] = _mm512_unpacklo_epi64(b[4 * i + 1], b[4 * i + 3]);
        a[4 * i + 3] = _mm512_unpackhi_epi64(b[4 * i + 1], b[4 * i + 3]);
    }
    // Lane l of a[4 g + j] holds column 4 l + j of rows 4 g to 4 g + 3.
    for j in 0..4 {
        let even = [0, 8].map(|i| _mm512_shuffle_i32x4::<0x88>(a[i + j], a[i + 4 + j]));
        let odd = [0, 8].map(|i| _mm512_shuffle_i32x4::<0xdd>(a[i + j], a[i + 4 + j]));
        store(&mut tile[j], _mm512_shuffle_i32x4::<0x88>(even[0], even[1]));
        store(&mut tile[4 + j], _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]));
        store(&mut tile[8 + j], _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]));
        store(&mut tile[12 + j], _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]));
    }
}

/// Where the numbers of two rows go when they are put beside each other, column by column: those of
/// the second row are numbered from 32 on.
const fn interleaved(first: u16) -> [u16; LINE] {
    let mut order = [0; LINE];
    let mut i = 0;
    while i < LINE {
        order[i] = first + (i / 2) as u16 + (i % 2 * LINE) as u16;
        i += 1;
    }
    order
}

/// See [`super::Bf16Unit::pack_plain`]: two rows are put beside each other.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn pack_plain(w: &[bf16], stride: usize, [low, high]: [&mut [Line; TILE]; 2]) {
    const ORDERS: [[u16; LINE]; 2] = [interleaved(0), interleaved(TILE as u16)];
    // SAFETY: there are 64 bytes.
    let orders = ORDERS.map(|order| unsafe { _mm512_loadu_si512(order.as_ptr().cast()) });
    for (pair, (low, high)) in low.iter_mut().zip(high).enumerate() {
        let (a, b) = (load(&w[2 * pair * stride..]), load(&w[(2 * pair + 1) * stride..]));
        store(low, _mm512_permutex2var_epi16(a, orders[0], b));
        store(high, _mm512_permutex2var_epi16(a, orders[1], b));
    }
}

/// Rows whose sums are in registers together.
const ROWS: usize = 8;

/// See [`super::Bf16Unit::multiply`].
///
/// # Safety
/// As there.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn multiply(a: &[Line], b: &[Line], c: *mut f32, stride: usize, add: bool) {
    let steps = b.len() / WIDTH;
    let (left, right) = b.split_at(steps * TILE);
    for first in (0..a.len() / steps).step_by(ROWS) {
        let a = &a[first / TILE * TILE * steps..][..TILE * steps];
        let within = first % TILE;
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        // SAFETY: the rows are there, as the caller says.
        let c = unsafe { c.add(first * stride) };
        if add {
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                *sums = [0, TILE].map(|i| unsafe { _mm512_loadu_ps(c.add(r * stride + i)) });
            }
        }
        let tiles = a.as_chunks::<TILE>().0.iter().zip(left.as_chunks::<TILE>().0);
        for ((x, left), right) in tiles.zip(right.as_chunks::<TILE>().0) {
            for pair in 0..TILE {
                let w = [bf16s(load(&left[pair].0)), bf16s(load(&right[pair].0))];
                for r in 0..ROWS {
                    let [low, high] = [0, 1].map(|i| x[within + r].0[2 * pair + i].to_bits());
                    let both = u32::from(low) | u32::from(high) << 16;
                    let x = bf16s(_mm512_set1_epi32(both.cast_signed()));
                    sums[r] = [
                        _mm512_dpbf16_ps(sums[r][0], x, w[0]),
                        _mm512_dpbf16_ps(sums[r][1], x, w[1]),
                    ];
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (i, sums) in sums.into_iter().enumerate() {
                // SAFETY: as above, and nothing else uses them.
                unsafe { _mm512_storeu_ps(c.add(r * stride + i * TILE), sums) };
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn bf16s(bits: __m512i) -> __m512bh {
    // SAFETY: both types are 64 bytes of which all bits are valid.
    unsafe { std::mem::transmute(bits) }
}
