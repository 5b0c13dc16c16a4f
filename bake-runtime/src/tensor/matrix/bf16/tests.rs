//! Products of bf16 by every unit that this processor has, and by the emulated one.

use super::*;
use crate::tensor::gradient_check::noise;

fn units() -> Vec<Bf16Unit> {
    let mut units = vec![Bf16Unit::Emulated];
    #[cfg(target_arch = "x86_64")]
    {
        units.extend(Bf16Unit::amx());
        units.extend(Bf16Unit::avx512());
    }
    units
}

impl Bf16Rows for Matrix<'_, bf16> {
    fn dims(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    fn together(&self) -> usize {
        1
    }

    fn part<'a>(
        &'a self,
        rows: Range<usize>,
        columns: Range<usize>,
        _: &'a mut Vec<bf16>,
    ) -> (&'a [bf16], usize) {
        let part = self.narrow(rows).data;
        (&part[columns.start.min(part.len())..], self.row_stride)
    }
}

fn floats(count: usize, seed: u64) -> Vec<f32> {
    let noise = noise(&[count], seed).to_vec1::<f64>().unwrap();
    noise.into_iter().map(|x| x as f32).collect()
}

fn rounded(numbers: &[f32]) -> Vec<bf16> {
    numbers.iter().map(|&x| bf16::from_f32(x)).collect()
}

struct Product {
    m: usize,
    n: usize,
    k: usize,
    orientation: Orientation,
    x: Vec<f32>,
    w: Vec<bf16>,
}

impl Product {
    fn new([m, n, k]: [usize; 3], orientation: Orientation) -> Self {
        let w = rounded(&floats(n * k, 2));
        Self { m, n, k, orientation, x: floats(m * k, 1), w }
    }

    /// Element `l` of what the column `j` of the result is multiplied with.
    fn w(&self, j: usize, l: usize) -> f32 {
        let at = match self.orientation {
            Orientation::Transposed => j * self.k + l,
            Orientation::Plain => l * self.n + j,
        };
        self.w[at].to_f32()
    }

    fn run(&self, unit: Bf16Unit, rows: Range<usize>, before: Option<&[f32]>) -> Vec<f32> {
        let x = Matrix::new(&self.x, self.m, self.k).narrow(rows.clone());
        let w = match self.orientation {
            Orientation::Transposed => Matrix::new(&self.w, self.n, self.k),
            Orientation::Plain => Matrix::new(&self.w, self.k, self.n),
        };
        let mut out = before.map_or(vec![f32::NAN; rows.len() * self.n], <[f32]>::to_vec);
        let mut packed = out.clone();
        multiply(unit, &mut out, before.is_some(), x, Unpacked::new(w, self.orientation));
        multiply(unit, &mut packed, before.is_some(), x, &Packed::new(unit, w, self.orientation));
        let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert!(bits(&out) == bits(&packed), "a packed weight gives other bits");
        out
    }
}

const ORIENTATIONS: [Orientation; 2] = [Orientation::Transposed, Orientation::Plain];

#[test]
fn products_are_those_of_the_rounded_factors() {
    for sizes in [
        [1, 1, 1],
        [3, 5, 7],
        [16, 32, 32],
        [17, 33, 31],
        [40, 100, 64],
        [2, 35, 4100],
        [5, 300, 96],
        [0, 4, 4],
        [4, 0, 4],
        [4, 4, 0],
    ] {
        for product in ORIENTATIONS.map(|orientation| Product::new(sizes, orientation)) {
            let [m, n, k] = sizes;
            let before = floats(m * n, 3);
            for unit in units() {
                for before in [None, Some(&before[..])] {
                    let got = product.run(unit, 0..m, before);
                    for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                        let start = before.map_or(0.0, |before| f64::from(before[i * n + j]));
                        let (mut rounded, mut exact, mut size) = (start, start, start.abs());
                        for l in 0..k {
                            let (x, w) = (product.x[i * k + l], f64::from(product.w(j, l)));
                            rounded += f64::from(bf16::from_f32(x).to_f32()) * w;
                            exact += f64::from(x) * w;
                            size += (f64::from(x) * w).abs();
                        }
                        let got = f64::from(got[i * n + j]);
                        let what = format!("{unit:?} {sizes:?} {i} {j}: {got} {rounded}");
                        assert!((got - rounded).abs() <= 1e-5 * size, "{what}");
                        // Half a unit in the last of the 8 digits of a bf16.
                        assert!((got - exact).abs() <= size / 256.0, "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn rows_have_the_same_bits_alone_and_among_others() {
    for product in ORIENTATIONS.map(|orientation| Product::new([50, 70, 200], orientation)) {
        for unit in units() {
            let all = product.run(unit, 0..50, None);
            for count in [1, 3, 17, 33] {
                for first in [0, 1, 15, 17] {
                    let some = product.run(unit, first..first + count, None);
                    assert_eq!(some, all[first * 70..(first + count) * 70], "{unit:?}");
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_emulated_unit_gives_the_bits_of_the_real_one() {
    let Some(amx) = Bf16Unit::amx() else {
        eprintln!("skipped: this processor has no AMX");
        return;
    };
    for mut product in ORIENTATIONS.map(|orientation| Product::new([18, 35, 4200], orientation)) {
        // Numbers, products and sums that are too small to be normal.
        for (i, x) in product.x.iter_mut().enumerate() {
            *x *= [1.0, 1e-30, 1e-38, 1e-42][i / 4200 % 4];
        }
        for (i, w) in product.w.iter_mut().enumerate() {
            *w = [*w, bf16::from_f32(1e-20), bf16::from_bits(3), bf16::MAX][i % 97 % 4];
        }
        let [got, want] = [amx, Bf16Unit::Emulated].map(|unit| product.run(unit, 0..18, None));
        let bits = |x: f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
        assert!(got.iter().zip(&want).all(|(&got, &want)| bits(got) == bits(want)));
    }
}

#[test]
fn values_that_are_not_numbers_stay_in_their_row_and_column() {
    for mut product in ORIENTATIONS.map(|orientation| Product::new([20, 40, 50], orientation)) {
        product.x[3 * 50 + 7] = f32::NAN;
        product.x[5 * 50 + 49] = f32::INFINITY;
        let infinite = match product.orientation {
            Orientation::Transposed => 39 * 50 + 49,
            Orientation::Plain => 49 * 40 + 39,
        };
        product.w[infinite] = bf16::NEG_INFINITY;
        for unit in units() {
            let got = product.run(unit, 0..20, None);
            for (i, j) in (0..20).flat_map(|i| (0..40).map(move |j| (i, j))) {
                let x = got[i * 40 + j];
                let what = format!("{unit:?} {i} {j}: {x}");
                match (i, j) {
                    (3, _) => assert!(x.is_nan(), "{what}"),
                    (5, _) | (_, 39) => assert!(x.is_infinite(), "{what}"),
                    _ => assert!(x.is_finite(), "{what}"),
                }
            }
        }
    }
}

#[test]
fn all_units_round_to_the_nearest_even() {
    for unit in units() {
        for bits in [0x3f80_8000_u32, 0x3f81_8000, 0x3f80_8001, 0x3f80_7fff, 0x7f7f_ffff] {
            let x = f32::from_bits(bits);
            assert_eq!(unit.round(&[x; LINE]).0, [bf16::from_f32(x); LINE], "{unit:?} {x}");
        }
        assert!(unit.round(&[f32::NAN; LINE]).0.iter().all(|x| x.is_nan()));
    }
}
