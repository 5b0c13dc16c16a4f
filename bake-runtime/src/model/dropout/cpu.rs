//! Dropout on the processor, several counters at a time.

use crate::model::dropout::DropoutPlace;
use crate::tensor::elementary::{Real, vectorised};
use crate::tensor::slices::fill_rows;

/// The numbers that one counter gives.
const WORDS: usize = 4;

/// The counters that are computed together: two vectors of AVX-512.
const LANES: usize = 16;

/// Drops elements of `values`.
pub(crate) fn through<T: Real>(place: &DropoutPlace, values: &mut [T]) {
    let DropoutPlace { dropout, layer, projection } = *place;
    let kept = T::real(dropout.kept);
    fill_rows(values, WORDS * LANES, |first, values| {
        vectorised(
            #[inline(always)]
            || {
                for (i, values) in values.chunks_mut(WORDS * LANES).enumerate() {
                    let counter = ((first + i) * LANES) as u32;
                    let words = philox(counter, [layer, projection, 0], dropout.key);
                    for (lane, values) in values.chunks_mut(WORDS).enumerate() {
                        for (value, words) in values.iter_mut().zip(&words) {
                            let is_kept = words[lane] >= dropout.threshold;
                            *value = if is_kept { *value * kept } else { T::zero() };
                        }
                    }
                }
            },
        );
    });
}

/// Philox4x32-10 of the counters from `first` on, whose three upper words are `upper`.
#[inline(always)]
fn philox(first: u32, upper: [u32; 3], mut key: [u32; 2]) -> [[u32; LANES]; WORDS] {
    let counters = std::array::from_fn(|lane| first.wrapping_add(lane as u32));
    let [mut a, mut b, mut c, mut d] =
        [counters, [upper[0]; LANES], [upper[1]; LANES], [upper[2]; LANES]];
    for _ in 0..10 {
        for lane in 0..LANES {
            let (even, odd) = (u64::from(a[lane]) * 0xD251_1F53, u64::from(c[lane]) * 0xCD9E_8D57);
            a[lane] = (odd >> 32) as u32 ^ b[lane] ^ key[0];
            c[lane] = (even >> 32) as u32 ^ d[lane] ^ key[1];
            b[lane] = odd as u32;
            d[lane] = even as u32;
        }
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_its_authors_numbers() {
        // The known answers of Random123 1.14, `kat_vectors`.
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for ([first, upper @ ..], key, want) in cases {
            assert_eq!(philox(first, upper, key).map(|words| words[0]), want);
            let before = philox(first.wrapping_sub(7), upper, key);
            assert_eq!(before.map(|words| words[7]), want);
        }
    }
}
