//! Matrix products on slices: checked access to the `gemm` crate, and our own kernels besides.

#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, unused_variables, reason = "there is no unit on other processors")
)]
pub(crate) mod bf16;
mod rows;

use gemm::Parallelism;

use crate::tensor::elementary::Real;
pub(crate) use rows::{KeyWeights, Rows, row_by_row, row_by_row_into, weighted_sums};

/// A matrix in a slice, with any distance between its rows and between its columns.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Rows one after the other.
    pub(crate) fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows that begin `row_stride` apart.
    pub(crate) fn strided(data: &'a [T], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(
            rows == 0 || cols == 0 || (rows - 1) * row_stride + cols <= data.len(),
            "the slice is too short for the matrix"
        );
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    pub(crate) fn rows(self) -> usize {
        self.rows
    }

    pub(crate) fn cols(self) -> usize {
        self.cols
    }

    /// A row of a matrix that is not transposed.
    pub(crate) fn row(self, row: usize) -> &'a [T] {
        assert!(self.col_stride == 1 && row < self.rows, "there is no such row");
        &self.data[row * self.row_stride..][..self.cols]
    }

    /// Some of the rows of a matrix that is not transposed.
    pub(crate) fn narrow(self, rows: std::ops::Range<usize>) -> Self {
        assert!(self.col_stride == 1 && rows.end <= self.rows, "the rows are not all there");
        Self::strided(
            &self.data[(rows.start * self.row_stride).min(self.data.len())..],
            rows.len(),
            self.cols,
            self.row_stride,
        )
    }

    /// Some of the columns of a matrix that is not transposed.
    pub(crate) fn columns(self, columns: std::ops::Range<usize>) -> Self {
        assert!(self.col_stride == 1 && columns.end <= self.cols, "the columns are not all there");
        Self::strided(
            &self.data[columns.start.min(self.data.len())..],
            self.rows,
            columns.len(),
            self.row_stride,
        )
    }

    /// The same shape over another slice of the same length.
    fn over<U>(self, data: &[U]) -> Matrix<'_, U> {
        let Self { rows, cols, row_stride, col_stride, .. } = self;
        Matrix { data, rows, cols, row_stride, col_stride }
    }

    /// The matrix itself where its numbers are `f32`.
    pub(crate) fn f32s(self) -> Option<Matrix<'a, f32>>
    where
        T: Real,
    {
        T::f32s(self.data).map(|data| self.over(data))
    }

    /// The transposed matrix, over the same slice.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// Which threads a product uses.
#[derive(Clone, Copy)]
pub(crate) enum Threads {
    /// The calling thread, where work is already divided.
    One,
    /// All of rayon's, where the product is large enough to be worth waking them.
    All,
}

impl Threads {
    /// Those that are worth waking for this many multiplications.
    fn for_work(self, multiplications: usize) -> Self {
        if multiplications > WORTH_WAKING { self } else { Self::One }
    }
}

/// How the sums of a product are made, on the processor. On a GPU, cuBLAS decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sums {
    /// Whichever way is fastest for the number of rows.
    Fastest,
    /// So that a row's bits do not depend on the other rows.
    RowByRow,
}

/// `out (+)= x wᵀ · scale`. Sums in f64 are for tests of gradients, and made in one way only.
pub(crate) fn times<T: Real>(
    sums: Sums,
    out: &mut [T],
    add: bool,
    x: Matrix<'_, T>,
    w: Matrix<'_, T>,
    scale: T,
) {
    if sums == Sums::RowByRow
        && let (Some(x), Some(w), Some(scale)) = (x.f32s(), w.f32s(), T::f32s(&[scale]))
        && let Some(out) = T::f32s_mut(out)
    {
        return row_by_row(out, add, x, w, scale[0], Threads::All);
    }
    multiply(out, add, x, w.t(), scale, Threads::All);
}

/// The most rows of `a` for which [`row_by_row`] beats a product that first copies `b` into the
/// order it needs.
pub(crate) const FEW_ROWS: usize = 16;

/// The multiplications that one thread does in about the time it takes to wake another.
const WORTH_WAKING: usize = 1 << 22;

/// The rows, the columns and the inner size of `a · b`, which fit each other and rows of `out` that
/// begin `stride` elements apart.
fn sizes<T>(out: &[T], stride: usize, [m, k]: [usize; 2], b: [usize; 2]) -> [usize; 3] {
    let [inner, n] = b;
    assert_eq!(k, inner, "the inner sizes differ");
    let shortest = if m == 0 { 0 } else { (m - 1) * stride + n };
    let fits = stride >= n && (shortest..=m * stride).contains(&out.len());
    assert!(fits, "the result has a different size");
    [m, n, k]
}

/// `out = a · b · scale`, or `out += a · b · scale` when `add` is set. `out` has rows one after the
/// other.
///
/// The result does not depend on the number of threads: they divide rows and columns, never the
/// sums. It may depend in its last digits on how many rows `a` has, see [`row_by_row`].
pub(crate) fn multiply<T: Real>(
    out: &mut [T],
    add: bool,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    scale: T,
    threads: Threads,
) {
    multiply_into(out, b.cols, add, a, b, scale, threads);
}

/// The same into rows of `out` that begin `stride` elements apart.
pub(crate) fn multiply_into<T: Real>(
    out: &mut [T],
    stride: usize,
    add: bool,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    scale: T,
    threads: Threads,
) {
    let [m, n, k] = sizes(out, stride, [a.rows, a.cols], [b.rows, b.cols]);
    let threads = threads.for_work(m * n * k);
    if m <= FEW_ROWS
        && a.col_stride == 1
        && b.row_stride == 1
        && let (Some(out), Some(a), Some(b), Some(scale)) =
            (T::f32s_mut(out), a.f32s(), b.f32s(), T::f32s(&[scale]))
    {
        return rows::dot_products(out, stride, add, a, b.t(), scale[0], threads);
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(0),
    };
    // SAFETY: `out` holds m rows of n elements, `stride` apart, and is borrowed exclusively;
    // `Matrix` has checked when it was made that its slice holds the last element of its last row,
    // and transposing keeps the set of elements. `T` is f32 or f64, which gemm supports.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            add,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            T::real(1.0),
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize) -> Vec<f64> {
        (0..n).map(|i| ((i * 7919) % 23) as f64 - 11.0).collect()
    }

    #[test]
    fn a_result_of_another_size_is_refused_by_every_product() {
        let (a, b) = (vec![1f32; 6], vec![1f32; 12]);
        let (a, b) = (Matrix::new(&a, 2, 3), Matrix::new(&b, 4, 3).t());
        let fails = |product: &dyn Fn(&mut [f32]), length: usize| {
            let product = || product(&mut vec![0.0; length]);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(product)).is_err()
        };
        for length in [0, 4, 7, 8, 9] {
            let wrong = length != 8;
            assert_eq!(fails(&|out| multiply(out, false, a, b, 1.0, Threads::One), length), wrong);
            assert_eq!(
                fails(&|out| row_by_row(out, false, a, b.t(), 1.0, Threads::One), length),
                wrong
            );
        }
        for length in [8, 9, 10, 11] {
            let wrong = ![9, 10].contains(&length);
            let into = |out: &mut [f32]| multiply_into(out, 5, false, a, b, 1.0, Threads::One);
            assert_eq!(fails(&into, length), wrong, "{length}");
            let into =
                |out: &mut [f32]| row_by_row_into(out, 5, false, a, b.t(), 1.0, Threads::One);
            assert_eq!(fails(&into, length), wrong, "{length}");
        }
    }

    #[test]
    fn products_of_all_layouts_are_the_sums_they_should_be() {
        for (m, n, k) in [
            (1, 1, 1),
            (3, 5, 7),
            (1, 40, 32),
            (6, 9, 71),
            (33, 17, 64),
            (7, 1024, 600),
            (0, 3, 2),
            (3, 2, 0),
            (2, 0, 3),
        ] {
            let (a, b) = (numbers(m * (k + 2)), numbers(k * n));
            let want =
                |i: usize, j: usize| (0..k).map(|l| a[i * (k + 2) + l] * b[l * n + j]).sum::<f64>();
            let bt: Vec<f64> = (0..n)
                .flat_map(|j| (0..k).map(move |l| (l, j)))
                .map(|(l, j)| b[l * n + j])
                .collect();
            let a = Matrix::strided(&a, m, k, k + 2);
            for b in [Matrix::new(&b, k, n), Matrix::new(&bt, n, k).t()] {
                for threads in [Threads::One, Threads::All] {
                    let mut out = vec![1.0; m * n];
                    multiply(&mut out, true, a, b, 2.0, threads);
                    for (x, (i, j)) in
                        out.iter().zip((0..m).flat_map(|i| (0..n).map(move |j| (i, j))))
                    {
                        assert_eq!(*x, 1.0 + 2.0 * want(i, j));
                    }
                    multiply(&mut out, false, a, b, 1.0, threads);
                    assert!(m * n == 0 || out[0] == want(0, 0));
                    let mut apart = vec![7.0; m * (n + 3)];
                    multiply_into(&mut apart, n + 3, false, a, b, 1.0, threads);
                    for (row, apart) in out.chunks(n.max(1)).zip(apart.chunks(n + 3)) {
                        assert_eq!((row, [7.0; 3].as_slice()), apart.split_at(n));
                    }
                }
            }
        }
    }
}
