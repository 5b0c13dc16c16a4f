//! The rotation on the processor, token by token.

use crate::tensor::elementary::Real;
use crate::tensor::slices::fill_rows;

/// Turns the heads of `x`, `[tokens, heads · 2 half]`; `turns` are pairs of cosine and sine,
/// `[context, half]`.
pub(super) fn rotate<T: Real>(
    x: &[T],
    turns: &[f32],
    positions: &[u32],
    half: usize,
    direction: f32,
) -> Vec<T> {
    let width = x.len() / positions.len().max(1);
    let mut y = vec![T::zero(); x.len()];
    fill_rows(&mut y, width, |first, y| {
        let inputs = x[first * width..].chunks_exact(width).zip(&positions[first..]);
        for (y, (x, &position)) in y.chunks_exact_mut(width).zip(inputs) {
            let turns = turns[position as usize * 2 * half..][..2 * half].as_chunks::<2>().0;
            for (y, x) in y.chunks_exact_mut(2 * half).zip(x.chunks_exact(2 * half)) {
                let ((y_low, y_high), (x_low, x_high)) = (y.split_at_mut(half), x.split_at(half));
                for (((y_low, y_high), (&a, &b)), &[cos, sin]) in
                    y_low.iter_mut().zip(y_high).zip(x_low.iter().zip(x_high)).zip(turns)
                {
                    let (cos, sin) = (T::real(cos.into()), T::real((direction * sin).into()));
                    *y_low = a * cos - b * sin;
                    *y_high = b * cos + a * sin;
                }
            }
        }
    });
    y
}
