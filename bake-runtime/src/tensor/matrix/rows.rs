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
    row_by_row_into(out, w.rows(), add, x, w, scale, threads);
}

/// The same into rows of `out` that begin `stride` elements apart.
pub(crate) fn row_by_row_into(
    out: &mut [f32],
    stride: usize,
    add: bool,
    x: Matrix<'_, f32>,
    w: impl Rows,
    scale: f32,
    threads: Threads,
) {
    let [m, n, k] = sizes(out, stride, [x.rows, x.cols], [w.cols(), w.rows()]);
    assert!(x.col_stride == 1, "rows are not contiguous");
    // However few rows there are, all of `w` is read, and widened where it is narrow.
    let threads = threads.for_work(m.max(READ_AS_ROWS) * n * k);
    for (part, out) in out.chunks_mut((AT_ONCE * stride).max(1)).enumerate() {
        let first = part * AT_ONCE;
        let rows = x.narrow(first..(first + AT_ONCE).min(m));
        dot_products(out, stride, add, rows, w, scale, threads);
    }
}

/// Reading `w` takes about as long as multiplying this many rows with it.
const READ_AS_ROWS: usize = 64;

/// Rows of `x` that are multiplied with all of `w` before the next are.
const AT_ONCE: usize = 64;

/// The numbers of `x` that stay in the first-level cache.
const X_NUMBERS: usize = 6 << 10;

/// The numbers of `w` that stay in the first-level cache, which is enough where no further rows of
/// `x` come, and in the second.
const W_NUMBERS: [usize; 2] = [4 << 10, 64 << 10];

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
        let w_numbers = W_NUMBERS[usize::from(m > rows_at_once)];
        let outputs_at_once = (w_numbers / k).max(4) / 4 * 4;
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

/// The weights of rows that each see some keys, `[rows, keys]`: the rows are those of the last
/// tokens, as many of each, and see its key and all before it.
#[derive(Clone, Copy)]
pub(crate) struct KeyWeights<'a> {
    pub(crate) weights: Matrix<'a, f32>,
    /// Rows of one token.
    pub(crate) per_token: usize,
}

impl KeyWeights<'_> {
    /// How many keys a row sees.
    #[inline(always)]
    fn seen(&self, row: usize) -> usize {
        let Matrix { rows, cols, .. } = self.weights;
        cols - rows / self.per_token + row / self.per_token + 1
    }
}

/// Sums of rows of `values`, `[some keys, width]`, each times its weight, from first to last. They
/// are those of the keys from `first` on; for later ones than the first, their sums are added to
/// `out`, `[rows, width]`.
pub(crate) fn weighted_sums(
    out: &mut [f32],
    weights: KeyWeights<'_>,
    values: Matrix<'_, f32>,
    first: usize,
) {
    let Matrix { rows, cols: keys, col_stride, .. } = weights.weights;
    assert!(rows.is_multiple_of(weights.per_token), "a token has fewer rows");
    assert!(rows / weights.per_token <= keys, "there are fewer keys than tokens");
    assert!(first + values.rows <= keys, "there are more values than keys");
    assert_eq!(out.len(), rows * values.cols, "the result has a different size");
    assert!(col_stride == 1 && values.col_stride == 1, "rows are not contiguous");
    pulp::Arch::new().dispatch(WeightedSums { out, weights, values, first });
}

struct WeightedSums<'a> {
    out: &'a mut [f32],
    weights: KeyWeights<'a>,
    values: Matrix<'a, f32>,
    first: usize,
}

impl pulp::WithSimd for WeightedSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(mut self, simd: S) {
        let rows = self.weights.weights.rows;
        for row in (0..rows).step_by(4) {
            match rows - row {
                1 => self.rows::<S, 1>(simd, row),
                2 => self.rows::<S, 2>(simd, row),
                3 => self.rows::<S, 3>(simd, row),
                _ => self.rows::<S, 4>(simd, row),
            }
        }
    }
}

impl WeightedSums<'_> {
    /// The sums of `R` rows from `row` on.
    #[inline(always)]
    fn rows<S: pulp::Simd, const R: usize>(&mut self, simd: S, row: usize) {
        let Self { ref mut out, weights, values, first } = *self;
        let width = values.cols;
        let out = &mut out[row * width..][..R * width];
        let (mut rows, mut seen) = ([&[][..]; R], [0; R]);
        for r in 0..R {
            seen[r] = weights.seen(row + r).saturating_sub(first).min(values.rows);
            rows[r] = &weights.weights.row(row + r)[first..][..seen[r]];
        }
        let vectors = S::as_simd_f32s(&values.data[..width.min(values.data.len())]).0.len();
        // What follows a number in memory is in the cache now, and may not be so when all keys have
        // been read; so as many vectors come together as there are registers for.
        let at_once = if R <= 2 { 4 } else { 2 };
        let whole = vectors / at_once * at_once;
        for v in (0..whole).step_by(at_once) {
            match R {
                ..=2 => vectors_of::<S, R, 4>(simd, out, rows, values, first, v),
                _ => vectors_of::<S, R, 2>(simd, out, rows, values, first, v),
            }
        }
        for v in whole..vectors {
            vectors_of::<S, R, 1>(simd, out, rows, values, first, v);
        }
        for c in vectors * S::F32_LANES..width {
            for r in 0..R {
                let mut sum = if first > 0 { out[r * width + c] } else { 0.0 };
                for (j, weight) in rows[r].iter().enumerate() {
                    sum += weight * values.data[j * values.row_stride + c];
                }
                out[r * width + c] = sum;
            }
        }
    }
}

/// `V` vectors of the sums of `R` rows, of which later ones see more keys: the common keys are read
/// once, and those that only later rows see follow.
#[inline(always)]
fn vectors_of<S: pulp::Simd, const R: usize, const V: usize>(
    simd: S,
    out: &mut [f32],
    rows: [&[f32]; R],
    values: Matrix<'_, f32>,
    first: usize,
    from: usize,
) {
    let width = values.cols;
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    if first > 0 {
        for r in 0..R {
            sums[r].copy_from_slice(&S::as_simd_f32s(&out[r * width..][..width]).0[from..][..V]);
        }
    }
    for j in 0..rows[R - 1].len() {
        let key = S::as_simd_f32s(&values.data[j * values.row_stride..][..width]).0;
        let key = &key[from..][..V];
        for r in 0..R {
            if let Some(&weight) = rows[r].get(j) {
                for v in 0..V {
                    sums[r][v] = simd.mul_add_f32s(key[v], simd.splat_f32s(weight), sums[r][v]);
                }
            }
        }
    }
    for r in 0..R {
        let out = &mut S::as_mut_simd_f32s(&mut out[r * width..][..width]).0[from..][..V];
        out.copy_from_slice(&sums[r]);
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
        for (m, per_token, seen, width) in [
            (1, 1, 1, 1),
            (4, 1, 4, 8),
            (6, 1, 9, 5),
            (6, 3, 9, 5),
            (64, 2, 130, 40),
            (7, 7, 7, 64),
        ] {
            let (weights, values) = (numbers(m * seen, 1), numbers(seen * width, 2));
            let matrix =
                |keys: Range<usize>| Matrix::new(&values[keys.start * width..], keys.len(), width);
            let all = KeyWeights { weights: Matrix::new(&weights, m, seen), per_token };
            let mut sums = vec![f32::NAN; m * width];
            weighted_sums(&mut sums, all, matrix(0..seen), 0);
            // In pieces, one after the other.
            let mut pieces = vec![f32::NAN; m * width];
            for first in (0..seen).step_by(3) {
                weighted_sums(&mut pieces, all, matrix(first..(first + 3).min(seen)), first);
            }
            assert_eq!(pieces, sums, "{m} {per_token} {seen} {width}");
            for i in 0..m {
                let visible = seen - m / per_token + i / per_token + 1;
                // The row by itself, with no later keys.
                let own = &weights[i * seen..][..visible];
                let mut alone = vec![f32::NAN; width];
                let own_weights =
                    KeyWeights { weights: Matrix::new(own, 1, visible), per_token: 1 };
                weighted_sums(&mut alone, own_weights, matrix(0..visible), 0);
                assert_eq!(alone, sums[i * width..][..width], "{m} {seen} {width}: {i}");
                for (c, &got) in alone.iter().enumerate() {
                    let term = |j: usize| f64::from(own[j]) * f64::from(values[j * width + c]);
                    let want: f64 = (0..visible).map(term).sum();
                    assert!((f64::from(got) - want).abs() < 1e-5);
                }
            }
        }
    }
}
