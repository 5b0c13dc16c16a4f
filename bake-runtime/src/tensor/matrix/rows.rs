//! Products in which each row of the result has the bits that it would have alone.
//!
//! A general product chooses the order of its sums by the sizes of the matrices, so the rows of a
//! larger one differ in their last digits. An answer must not depend on what is answered along with
//! it, so generation uses these.

use std::ops::Range;

use rayon::prelude::*;

use crate::tensor::matrix::{Matrix, Threads, sizes};

/// Rows in f32, or in a narrower type that is widened where they are multiplied.
pub(crate) trait Rows: Copy + Sync {
    fn rows(&self) -> usize;

    fn cols(&self) -> usize;

    /// Some of the rows, one element after the other, for which the scratch may be used.
    fn some<'a>(&'a self, rows: Range<usize>, scratch: &'a mut Vec<f32>) -> Matrix<'a, f32>;
}

impl Rows for Matrix<'_, f32> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn some<'a>(&'a self, rows: Range<usize>, _: &'a mut Vec<f32>) -> Matrix<'a, f32> {
        self.narrow(rows)
    }
}

/// `out = x wᵀ · scale`, or `out += x wᵀ · scale` when `add` is set. `out` has rows one after the
/// other.
pub(crate) fn row_by_row(
    out: &mut [f32],
    add: bool,
    x: Matrix<'_, f32>,
    w: impl Rows,
    scale: f32,
    threads: Threads,
) {
    let [m, n, k] = sizes(out, w.rows(), [x.rows, x.cols], [w.cols(), w.rows()]);
    assert!(x.col_stride == 1, "rows are not contiguous");
    // However few rows there are, all of `w` is read, and widened where it is narrow.
    let threads = threads.for_work(m.max(READ_AS_ROWS) * n * k);
    for (part, out) in out.chunks_mut((AT_ONCE * n).max(1)).enumerate() {
        let first = part * AT_ONCE;
        let rows = x.narrow(first..(first + AT_ONCE).min(m));
        dot_products(out, n, add, rows, w, scale, threads);
    }
}

/// Reading `w` takes about as long as multiplying this many rows with it.
const READ_AS_ROWS: usize = 16;

/// Rows of `x` that are multiplied with all of `w` before the next are.
const AT_ONCE: usize = 64;

/// The numbers of `x` that stay in the first-level cache, and those of `w` that stay in the second.
const X_NUMBERS: usize = 6 << 10;
const W_NUMBERS: usize = 64 << 10;

/// As [`row_by_row`], for few rows: `w` is read once. Rows of `out` begin `stride` elements apart.
pub(super) fn dot_products(
    out: &mut [f32],
    stride: usize,
    add: bool,
    x: Matrix<'_, f32>,
    w: impl Rows,
    scale: f32,
    threads: Threads,
) {
    let (m, n, k) = (x.rows, w.rows(), x.cols);
    if m == 0 || n == 0 {
        return;
    }
    let rows: Vec<&[f32]> = (0..m).map(|i| &x.data[i * x.row_stride..][..k]).collect();
    // Transposed: an output makes a row.
    let mut products = vec![0.0; n * m];
    let outputs = match threads {
        Threads::One => n,
        Threads::All => n.div_ceil(4 * rayon::current_num_threads()).next_multiple_of(4),
    };
    let part = |(part, products)| {
        pulp::Arch::new().dispatch(Outputs { products, rows: &rows, w, first: part * outputs })
    };
    match threads {
        Threads::One => part((0, &mut products[..])),
        Threads::All => products.par_chunks_mut(outputs * m).enumerate().for_each(part),
    }
    for (i, out) in out.chunks_mut(stride).take(m).enumerate() {
        for (j, out) in out[..n].iter_mut().enumerate() {
            let before = if add { *out } else { 0.0 };
            *out = before + products[j * m + i] * scale;
        }
    }
}

/// Rows of `w` from `first` on, whose products with all rows of `x` are wanted: four rows of `x`
/// and two of `w` at a time, or one and four where fewer rows are left, from as many as stay in the
/// caches. So there are mostly sums enough that none waits for the one before it.
struct Outputs<'a, W> {
    products: &'a mut [f32],
    rows: &'a [&'a [f32]],
    w: W,
    first: usize,
}

impl<W: Rows> pulp::WithSimd for Outputs<'_, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        let Self { products, rows, w, first } = self;
        let (m, k) = (rows.len(), w.cols().max(1));
        let rows_at_once = (X_NUMBERS / k).max(4) / 4 * 4;
        let outputs_at_once = (W_NUMBERS / k).max(4) / 4 * 4;
        let mut scratch = Vec::new();
        for (panel, products) in products.chunks_mut(outputs_at_once * m).enumerate() {
            let first = first + panel * outputs_at_once;
            let w = w.some(first..first + products.len() / m, &mut scratch);
            for (block, rows) in rows.chunks(rows_at_once).enumerate() {
                for (four, products) in products.chunks_mut(4 * m).enumerate() {
                    let outputs = products.len() / m;
                    let output = |j: usize| &w.data[(4 * four + j) * w.row_stride..][..w.cols];
                    for (part, rows) in rows.chunks(4).enumerate() {
                        let at = block * rows_at_once + 4 * part;
                        if let (&[r0, r1, r2, r3], 2..) = (rows, outputs) {
                            for j in (0..outputs).step_by(2) {
                                // The last of three comes with the one before it.
                                let j = j.min(outputs - 2);
                                let sums = dots(simd, [output(j), output(j + 1)], [r0, r1, r2, r3]);
                                for (c, sums) in sums.iter().enumerate() {
                                    products[(j + c) * m + at..][..4].copy_from_slice(sums);
                                }
                            }
                            continue;
                        }
                        for (i, row) in (at..).zip(rows) {
                            if outputs == 4 {
                                let four = [output(0), output(1), output(2), output(3)];
                                for (c, [sum]) in dots(simd, four, [row]).into_iter().enumerate() {
                                    products[c * m + i] = sum;
                                }
                            } else {
                                for j in 0..outputs {
                                    [[products[j * m + i]]] = dots(simd, [output(j)], [row]);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The products of `C` columns with `R` rows. The order of the sums depends only on their length.
///
/// There is no closure here: one that is not inlined would be compiled without the vector
/// instructions.
#[inline(always)]
fn dots<S: pulp::Simd, const C: usize, const R: usize>(
    simd: S,
    columns: [&[f32]; C],
    rows: [&[f32]; R],
) -> [[f32; R]; C] {
    let length = columns[0].len();
    let mut column_vectors = [S::as_simd_f32s(columns[0]); C];
    for c in 0..C {
        column_vectors[c] = S::as_simd_f32s(&columns[c][..length]);
    }
    let mut row_vectors = [S::as_simd_f32s(columns[0]); R];
    for r in 0..R {
        row_vectors[r] = S::as_simd_f32s(&rows[r][..length]);
    }
    let mut sums = [[simd.splat_f32s(0.0); R]; C];
    for at in 0..column_vectors[0].0.len() {
        for c in 0..C {
            let column = column_vectors[c].0[at];
            for r in 0..R {
                sums[c][r] = simd.mul_add_f32s(column, row_vectors[r].0[at], sums[c][r]);
            }
        }
    }
    let mut products = [[0.0; R]; C];
    for c in 0..C {
        for r in 0..R {
            let mut tail = 0.0;
            for (x, y) in column_vectors[c].1.iter().zip(row_vectors[r].1) {
                tail += x * y;
            }
            products[c][r] = simd.reduce_sum_f32s(sums[c][r]) + tail;
        }
    }
    products
}

/// Sums of rows of `values`, `[keys, width]`, each times its weight: row i of `weights`,
/// `[rows, keys]`, adds the first `seen − rows + i + 1` of the `seen` keys, from first to last.
/// `out` is `[rows, width]`.
pub(crate) fn weighted_sums(out: &mut [f32], weights: Matrix<'_, f32>, values: Matrix<'_, f32>) {
    let (m, seen, width) = (weights.rows, weights.cols, values.cols);
    assert!(m <= seen && seen == values.rows, "there are fewer keys than weights");
    assert_eq!(out.len(), m * width, "the result has a different size");
    assert!(weights.col_stride == 1 && values.col_stride == 1, "rows are not contiguous");
    pulp::Arch::new().dispatch(WeightedSums { out, weights, values });
}

struct WeightedSums<'a> {
    out: &'a mut [f32],
    weights: Matrix<'a, f32>,
    values: Matrix<'a, f32>,
}

impl pulp::WithSimd for WeightedSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        let Self { out, weights, values } = self;
        let (m, width) = (weights.rows, values.cols);
        for first in (0..m).step_by(4) {
            let rows = first..(first + 4).min(m);
            let out = &mut out[first * width..rows.end * width];
            match rows.len() {
                4 => sums_of::<S, 4>(simd, out, weights, values, first),
                _ => {
                    for (row, out) in rows.zip(out.chunks_exact_mut(width.max(1))) {
                        sums_of::<S, 1>(simd, out, weights, values, row);
                    }
                }
            }
        }
    }
}

/// The sums of `R` rows from `first` on. Their common keys are read once; the keys that only later
/// rows see follow.
#[inline(always)]
fn sums_of<S: pulp::Simd, const R: usize>(
    simd: S,
    out: &mut [f32],
    weights: Matrix<'_, f32>,
    values: Matrix<'_, f32>,
    first: usize,
) {
    let (seen, width) = (weights.cols, values.cols);
    let common = seen - weights.rows + first + 1;
    let rows: [&[f32]; R] =
        std::array::from_fn(|r| &weights.data[(first + r) * weights.row_stride..][..seen]);
    let vectors = S::as_simd_f32s(&values.data[..width.min(values.data.len())]).0.len();
    let lanes = S::F32_LANES;
    for v in 0..vectors {
        let mut sums = [simd.splat_f32s(0.0); R];
        let keys = values.data.chunks(values.row_stride).take(common + R - 1);
        for (j, key) in keys.enumerate() {
            let value = S::as_simd_f32s(&key[..width]).0[v];
            for (r, sum) in sums.iter_mut().enumerate() {
                if j < common + r {
                    *sum = simd.mul_add_f32s(value, simd.splat_f32s(rows[r][j]), *sum);
                }
            }
        }
        for (r, sum) in sums.into_iter().enumerate() {
            S::as_mut_simd_f32s(&mut out[r * width..][..width]).0[v] = sum;
        }
    }
    for c in vectors * lanes..width {
        for (r, weights) in rows.iter().enumerate() {
            let mut sum = 0.0;
            for (j, weight) in weights[..common + r].iter().enumerate() {
                sum += weight * values.data[j * values.row_stride + c];
            }
            out[r * width + c] = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::gradient_check::noise;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let noise = noise(&[count], seed).to_vec1::<f64>().unwrap();
        noise.into_iter().map(|x| x as f32).collect()
    }

    #[test]
    fn rows_have_the_same_bits_alone_and_among_others() {
        for (m, n, k) in [(1, 1, 1), (5, 7, 3), (17, 40, 71), (70, 33, 256), (150, 9, 1100)] {
            let (a, b) = (numbers(m * k, 1), numbers(n * k, 2));
            let (a, b) = (Matrix::new(&a, m, k), Matrix::new(&b, n, k));
            let before = numbers(m * n, 3);
            for threads in [Threads::One, Threads::All] {
                let mut all = before.clone();
                row_by_row(&mut all, true, a, b, 0.7, threads);
                for i in 0..m {
                    for count in [1, 3, 20] {
                        let rows = i..(i + count).min(m);
                        let mut some = before[rows.start * n..rows.end * n].to_vec();
                        row_by_row(&mut some, true, a.narrow(rows.clone()), b, 0.7, threads);
                        assert_eq!(some, all[rows.start * n..rows.end * n], "{m} {n} {k} {rows:?}");
                    }
                    let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
                    for j in 0..n {
                        let (x, y) = (wide(&a.data[i * k..][..k]), wide(&b.data[j * k..][..k]));
                        let dot: f64 = x.iter().zip(y).map(|(x, y)| x * y).sum();
                        let want = f64::from(before[i * n + j]) + 0.7 * dot;
                        assert!((f64::from(all[i * n + j]) - want).abs() < 1e-4, "{m} {n} {k}");
                    }
                }
            }
        }
    }

    #[test]
    fn sums_of_values_do_not_depend_on_the_rows_beside_them() {
        for (m, seen, width) in [(1, 1, 1), (4, 4, 8), (6, 9, 5), (64, 130, 40), (7, 7, 64)] {
            let (weights, values) = (numbers(m * seen, 1), numbers(seen * width, 2));
            let (weights, values) =
                (Matrix::new(&weights, m, seen), Matrix::new(&values, seen, width));
            let mut all = vec![f32::NAN; m * width];
            weighted_sums(&mut all, weights, values);
            for i in 0..m {
                let visible = seen - m + i + 1;
                // The row by itself, with no later keys.
                let own = &weights.data[i * seen..][..visible];
                let mut alone = vec![f32::NAN; width];
                let earlier = Matrix::new(values.data, visible, width);
                weighted_sums(&mut alone, Matrix::new(own, 1, visible), earlier);
                assert_eq!(alone, all[i * width..][..width], "{m} {seen} {width}: {i}");
                for (c, &got) in alone.iter().enumerate() {
                    let term = |j: usize| f64::from(own[j]) * f64::from(values.data[j * width + c]);
                    let want: f64 = (0..visible).map(term).sum();
                    assert!((f64::from(got) - want).abs() < 1e-5);
                }
            }
        }
    }
}
