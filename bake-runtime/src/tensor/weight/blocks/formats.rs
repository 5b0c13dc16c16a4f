//! The formats of GGML's blocks (`ggml-quants.c`), and what numbers they stand for.
//!
//! Each number is computed as GGML does, in the same order of operations, so that it has the same
//! bits. All is inlined into loops that are compiled with the processor's vector instructions.

/// A format in which `NUMBERS` numbers are `BYTES` bytes.
pub(super) trait BlockFormat<const BYTES: usize, const NUMBERS: usize> {
    fn widen(block: &[u8; BYTES], wide: &mut [f32; NUMBERS]);
}

/// 4 bits: `d (q − 8)`.
pub(super) struct Q4Zero;
/// 4 bits: `d q + m`.
pub(super) struct Q4One;
/// 5 bits: `d (q − 16)`.
pub(super) struct Q5Zero;
/// 5 bits: `d q + m`.
pub(super) struct Q5One;
/// 8 bits with a sign: `d q`.
pub(super) struct Q8Zero;
/// 4 bits in 8 groups of 32, each with 6 bits for scale and minimum: `d s q − m t`.
pub(super) struct Q4K;
/// 5 bits in such groups.
pub(super) struct Q5K;
/// 6 bits with a sign in 16 groups of 16, each with a scale of 8 bits: `d s q`.
pub(super) struct Q6K;

/// The number that two bytes are as IEEE half precision. Multiplying by 2¹¹² moves the exponent to
/// its place, also that of numbers that are subnormal.
#[inline(always)]
fn half(bytes: [u8; 2]) -> f32 {
    let bits = i32::from(i16::from_le_bytes(bytes));
    let placed = (bits << 13) as u32 & 0x8fff_e000;
    if bits & 0x7c00 == 0x7c00 { not_finite(placed) } else { f32::from_bits(placed) * EXPONENT }
}

/// 2¹¹².
const EXPONENT: f32 = f32::from_bits(0x7780_0000);

/// An infinity, or not a number. Scales are neither: so this is a jump that is never taken.
#[cold]
#[inline(never)]
fn not_finite(placed: u32) -> f32 {
    f32::from_bits(placed | 0x7f80_0000)
}

/// The parts of a block: so many bytes from a place on.
#[inline(always)]
fn part<const N: usize>(block: &[u8], first: usize) -> &[u8; N] {
    block[first..].first_chunk().expect("a block has all of its parts")
}

impl BlockFormat<18, 32> for Q4Zero {
    #[inline(always)]
    fn widen(block: &[u8; 18], wide: &mut [f32; 32]) {
        let (d, q) = (half(*part(block, 0)), part::<16>(block, 2));
        for j in 0..16 {
            wide[j] = (i32::from(q[j] & 15) - 8) as f32 * d;
            wide[j + 16] = (i32::from(q[j] >> 4) - 8) as f32 * d;
        }
    }
}

impl BlockFormat<20, 32> for Q4One {
    #[inline(always)]
    fn widen(block: &[u8; 20], wide: &mut [f32; 32]) {
        let (d, m) = (half(*part(block, 0)), half(*part(block, 2)));
        let q = part::<16>(block, 4);
        for j in 0..16 {
            wide[j] = i32::from(q[j] & 15) as f32 * d + m;
            wide[j + 16] = i32::from(q[j] >> 4) as f32 * d + m;
        }
    }
}

/// The fifth bits of numbers j and j + 16, in their place, from 32 of them.
#[inline(always)]
fn fifth_bits(bits: &[u8; 4], j: usize) -> [i32; 2] {
    let bits = u32::from_le_bytes(*bits);
    [bits << 4, bits >> 12].map(|bits| (bits >> j & 16) as i32)
}

impl BlockFormat<22, 32> for Q5Zero {
    #[inline(always)]
    fn widen(block: &[u8; 22], wide: &mut [f32; 32]) {
        let (d, bits) = (half(*part(block, 0)), part(block, 2));
        let q = part::<16>(block, 6);
        for j in 0..16 {
            let fifth = fifth_bits(bits, j);
            wide[j] = ((i32::from(q[j] & 15) | fifth[0]) - 16) as f32 * d;
            wide[j + 16] = ((i32::from(q[j] >> 4) | fifth[1]) - 16) as f32 * d;
        }
    }
}

impl BlockFormat<24, 32> for Q5One {
    #[inline(always)]
    fn widen(block: &[u8; 24], wide: &mut [f32; 32]) {
        let (d, m) = (half(*part(block, 0)), half(*part(block, 2)));
        let (bits, q) = (part(block, 4), part::<16>(block, 8));
        for j in 0..16 {
            let fifth = fifth_bits(bits, j);
            wide[j] = (i32::from(q[j] & 15) | fifth[0]) as f32 * d + m;
            wide[j + 16] = (i32::from(q[j] >> 4) | fifth[1]) as f32 * d + m;
        }
    }
}

impl BlockFormat<34, 32> for Q8Zero {
    #[inline(always)]
    fn widen(block: &[u8; 34], wide: &mut [f32; 32]) {
        let (d, q) = (half(*part(block, 0)), part::<32>(block, 2));
        for j in 0..32 {
            wide[j] = i32::from(q[j] as i8) as f32 * d;
        }
    }
}

/// Scales and minima of the eight groups, as they are, in pairs of neighbours: numbers of 6 bits,
/// of which the last four have their upper 2 above those of the first four, times the scale and the
/// minimum of the block, with which it begins.
#[inline(always)]
fn scales_and_minima(block: &[u8]) -> [[[f32; 2]; 4]; 2] {
    let (d, m) = (half(*part(block, 0)), half(*part(block, 2)));
    let [s, t, last] = [4, 8, 12].map(|at| u32::from_le_bytes(*part(block, at)));
    let eight = |first: u32, last: u32, of_block: f32| {
        let last = last & 0x0f0f_0f0f | first >> 2 & 0x3030_3030;
        let bytes = u64::from(first & 0x3f3f_3f3f) | u64::from(last) << 32;
        let mut pairs = [[0.0; 2]; 4];
        let numbers = pairs.as_flattened_mut().iter_mut().zip(bytes.to_le_bytes());
        numbers.for_each(|(number, byte)| *number = of_block * f32::from(byte));
        pairs
    };
    [eight(s, last, d), eight(t, last >> 4, m)]
}

impl BlockFormat<144, 256> for Q4K {
    #[inline(always)]
    fn widen(block: &[u8; 144], wide: &mut [f32; 256]) {
        let [scales, minima] = scales_and_minima(block);
        for (pair, wide) in wide.as_chunks_mut::<64>().0.iter_mut().enumerate() {
            let q = part::<32>(block, 16 + 32 * pair);
            let ([low, high], [low_minimum, high_minimum]) = (scales[pair], minima[pair]);
            for j in 0..32 {
                wide[j] = low * i32::from(q[j] & 15) as f32 - low_minimum;
                wide[j + 32] = high * i32::from(q[j] >> 4) as f32 - high_minimum;
            }
        }
    }
}

impl BlockFormat<176, 256> for Q5K {
    #[inline(always)]
    fn widen(block: &[u8; 176], wide: &mut [f32; 256]) {
        let fifth = part::<32>(block, 16);
        let [scales, minima] = scales_and_minima(block);
        for (pair, wide) in wide.as_chunks_mut::<64>().0.iter_mut().enumerate() {
            let q = part::<32>(block, 48 + 32 * pair);
            let ([low, high], [low_minimum, high_minimum]) = (scales[pair], minima[pair]);
            for j in 0..32 {
                let [one, two] = [fifth[j] >> (2 * pair) & 1, fifth[j] >> (2 * pair + 1) & 1];
                wide[j] = low * i32::from(q[j] & 15 | one << 4) as f32 - low_minimum;
                wide[j + 32] = high * i32::from(q[j] >> 4 | two << 4) as f32 - high_minimum;
            }
        }
    }
}

impl BlockFormat<210, 256> for Q6K {
    #[inline(always)]
    fn widen(block: &[u8; 210], wide: &mut [f32; 256]) {
        let d = half(*part(block, 208));
        for (part_of, wide) in wide.as_chunks_mut::<128>().0.iter_mut().enumerate() {
            let [low, more] = [0, 32].map(|at| part::<32>(block, 64 * part_of + at));
            let upper = part::<32>(block, 128 + 32 * part_of);
            let scales =
                part::<8>(block, 192 + 8 * part_of).map(|scale| d * f32::from(scale as i8));
            for j in 0..32 {
                let q = [
                    low[j] & 15 | (upper[j] & 3) << 4,
                    more[j] & 15 | (upper[j] >> 2 & 3) << 4,
                    low[j] >> 4 | (upper[j] >> 4 & 3) << 4,
                    more[j] >> 4 | (upper[j] >> 6) << 4,
                ];
                for i in 0..4 {
                    wide[32 * i + j] = scales[2 * i + j / 16] * (i32::from(q[i]) - 32) as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    #[test]
    fn halves_are_widened_exactly() {
        for bits in 0..=u16::MAX {
            let (got, want) = (super::half(bits.to_le_bytes()), f16::from_bits(bits).to_f32());
            assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{bits:x}");
        }
    }
}
