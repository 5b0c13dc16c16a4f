//! Attention on the processor: a task for each sequence and group of heads, queries in blocks.

use candle_core::{Result, Tensor};

use crate::model::attention::{Heads, Projected};
use crate::tensor::elementary::{Real, dot, softmax, vectorised};
use crate::tensor::matrix::{Matrix, Threads, multiply, row_by_row, weighted_sums};
use crate::tensor::slices::{fill_rows, in_real, run_tasks, tensor, with_slices};

/// Query rows whose scores are computed together; the scratch of a thread is this many rows of
/// keys.
const QUERY_BLOCK: usize = 64;

/// Attention within sequences of the given lengths: each token sees its own and earlier tokens of
/// its sequence.
///
/// The result has the shape of the queries.
pub(super) fn causal(lengths: &[usize], projected: Projected<'_>) -> Result<Tensor> {
    let Projected { heads, q, k, v } = projected;
    in_real!(q, T => {
        let y = with_slices([q, k, v], |[q, k, v]| causal_rows::<T>(heads, lengths, q, k, v))?;
        tensor(y, q.shape())
    })
}

/// The gradients of [`causal`] with respect to queries, keys and values.
pub(super) fn causal_backward(
    lengths: &[usize],
    projected: Projected<'_>,
    dy: &Tensor,
) -> Result<[Tensor; 3]> {
    let Projected { heads, q, k, v } = projected;
    in_real!(q, T => {
        let [dq, dk, dv] = with_slices([q, k, v, dy], |[q, k, v, dy]| {
            causal_rows_backward::<T>(heads, lengths, q, k, v, dy)
        })?;
        Ok([tensor(dq, q.shape())?, tensor(dk, k.shape())?, tensor(dv, v.shape())?])
    })
}

/// Attention of new tokens to the slots of a cache.
///
/// Sequence i has `counts[i]` rows of queries, which are the last of the positions whose slots are
/// `slots[i]`.
pub(super) fn cached(
    counts: &[usize],
    slots: &[Vec<u32>],
    projected: Projected<'_>,
) -> Result<Tensor> {
    let Projected { heads, q, k, v } = projected;
    tensor(
        with_slices([q, k, v], |[q, k, v]| cached_rows(heads, counts, slots, q, k, v))?,
        q.shape(),
    )
}

fn causal_rows<T: Real>(heads: Heads, lengths: &[usize], q: &[T], k: &[T], v: &[T]) -> Vec<T> {
    let mut out = vec![T::zero(); q.len()];
    let tasks = tiles(&mut out, lengths, heads.keys, heads.group() * heads.width);
    run_tasks(tasks, q.len(), Vec::new, |scores, Tile { first, count, head, out, .. }| {
        let keys = columns(k, first, count, head, heads.keys, heads.width);
        let values = columns(v, first, count, head, heads.keys, heads.width);
        for (member, out) in out.chunks_exact_mut(count * heads.width).enumerate() {
            let q =
                columns(q, first, count, head * heads.group() + member, heads.queries, heads.width);
            attend(q, keys, values, T::real(heads.scale()), scores, out);
        }
    });
    interleave(heads, lengths, out, heads.queries)
}

fn cached_rows(
    heads: Heads,
    counts: &[usize],
    slots: &[Vec<u32>],
    q: &[f32],
    k: &[f32],
    v: &[f32],
) -> Vec<f32> {
    let mut out = vec![0f32; q.len()];
    let tasks = tiles(&mut out, counts, heads.keys, heads.group() * heads.width);
    let read = slots.iter().map(Vec::len).sum::<usize>() * heads.keys * heads.width;
    run_tasks(
        tasks,
        read,
        Scratch::default,
        |scratch, Tile { sequence, first, count, head, out }| {
            let slots = &slots[sequence];
            scratch.gather(heads, slots, head, k, v);
            let keys = Matrix::new(&scratch.keys, slots.len(), heads.width);
            let values = Matrix::new(&scratch.values, slots.len(), heads.width);
            for (member, out) in out.chunks_exact_mut(count * heads.width).enumerate() {
                let member = head * heads.group() + member;
                let q = columns(q, first, count, member, heads.queries, heads.width);
                attend_row_by_row(q, keys, values, heads, &mut scratch.scores, out);
            }
        },
    );
    interleave(heads, counts, out, heads.queries)
}

/// With P the probabilities, which are computed again, and O = P V:
/// `dV = Pᵀ dO`, `dP = dO Vᵀ`, `dS = P ∘ (dP − rowsum(P ∘ dP))`,
/// `dQ = scale · dS K`, `dK = scale · dSᵀ Q`.
fn causal_rows_backward<T: Real>(
    heads: Heads,
    lengths: &[usize],
    q: &[T],
    k: &[T],
    v: &[T],
    dy: &[T],
) -> [Vec<T>; 3] {
    let scale = T::real(heads.scale());
    let (mut dq, mut dk, mut dv) =
        (vec![T::zero(); q.len()], vec![T::zero(); k.len()], vec![T::zero(); v.len()]);
    let tasks = tiles(&mut dq, lengths, heads.keys, heads.group() * heads.width)
        .into_iter()
        .zip(tiles(&mut dk, lengths, heads.keys, heads.width))
        .zip(tiles(&mut dv, lengths, heads.keys, heads.width))
        .collect::<Vec<_>>();
    let scratch = || (Vec::new(), Vec::new());
    run_tasks(
        tasks,
        q.len(),
        scratch,
        |(p, dp),
         (
            (Tile { first, count, head, out: dq, .. }, Tile { out: dk, .. }),
            Tile { out: dv, .. },
        )| {
            let keys = columns(k, first, count, head, heads.keys, heads.width);
            let values = columns(v, first, count, head, heads.keys, heads.width);
            for (member, dq) in dq.chunks_exact_mut(count * heads.width).enumerate() {
                let head = head * heads.group() + member;
                let q = columns(q, first, count, head, heads.queries, heads.width);
                let dy = columns(dy, first, count, head, heads.queries, heads.width);
                for block in blocks(count) {
                    let seen = block.end;
                    let (q, dy, keys) =
                        (q.narrow(block.clone()), dy.narrow(block.clone()), keys.narrow(0..seen));
                    probabilities(q, keys, scale, p);
                    dp.clear();
                    dp.resize(p.len(), T::zero());
                    multiply(dp, false, dy, values.narrow(0..seen).t(), T::one(), Threads::One);
                    let weights = Matrix::new(p, block.len(), seen);
                    multiply(
                        &mut dv[..seen * heads.width],
                        true,
                        weights.t(),
                        dy,
                        T::one(),
                        Threads::One,
                    );
                    vectorised(
                        #[inline(always)]
                        || {
                            for (p, dp) in p.chunks_exact(seen).zip(dp.chunks_exact_mut(seen)) {
                                let along = dot(p, dp);
                                for (&p, dp) in p.iter().zip(dp) {
                                    *dp = p * (*dp - along);
                                }
                            }
                        },
                    );
                    let ds = Matrix::new(dp, block.len(), seen);
                    let dq = &mut dq[block.start * heads.width..block.end * heads.width];
                    multiply(dq, false, ds, keys, scale, Threads::One);
                    multiply(&mut dk[..seen * heads.width], true, ds.t(), q, scale, Threads::One);
                }
            }
        },
    );
    [(dq, heads.queries), (dk, heads.keys), (dv, heads.keys)]
        .map(|(tiles, per_token)| interleave(heads, lengths, tiles, per_token))
}

#[derive(Default)]
struct Scratch<T> {
    keys: Vec<T>,
    values: Vec<T>,
    scores: Vec<T>,
}

impl<T: Real> Scratch<T> {
    /// Gathers one head's keys and values from the slots.
    fn gather(&mut self, heads: Heads, slots: &[u32], head: usize, k: &[T], v: &[T]) {
        let row = heads.keys * heads.width;
        for (out, from) in [(&mut self.keys, k), (&mut self.values, v)] {
            out.clear();
            for &slot in slots {
                out.extend_from_slice(
                    &from[slot as usize * row + head * heads.width..][..heads.width],
                );
            }
        }
    }
}

/// One head: `out = softmax(scale · q kᵀ, causal) v`, where the queries are the last of the keys'
/// positions.
fn attend<T: Real>(
    q: Matrix<'_, T>,
    k: Matrix<'_, T>,
    v: Matrix<'_, T>,
    scale: T,
    scores: &mut Vec<T>,
    out: &mut [T],
) {
    for block in blocks(q.rows()) {
        let seen = k.rows() - q.rows() + block.end;
        probabilities(q.narrow(block.clone()), k.narrow(0..seen), scale, scores);
        let p = Matrix::new(scores, block.len(), seen);
        let out = &mut out[block.start * v.cols()..block.end * v.cols()];
        multiply(out, false, p, v.narrow(0..seen), T::one(), Threads::One);
    }
}

/// As [`attend`], where no row's bits may depend on the other rows.
fn attend_row_by_row(
    q: Matrix<'_, f32>,
    k: Matrix<'_, f32>,
    v: Matrix<'_, f32>,
    heads: Heads,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    for block in blocks(q.rows()) {
        let seen = k.rows() - q.rows() + block.end;
        scores.clear();
        scores.resize(block.len() * seen, 0.0);
        let (q, k, scale) = (q.narrow(block.clone()), k.narrow(0..seen), heads.scale() as f32);
        row_by_row(scores, false, q, k, scale, Threads::One);
        softmax_visible(scores, block.len(), seen);
        let out = &mut out[block.start * v.cols()..block.end * v.cols()];
        weighted_sums(out, Matrix::new(scores, block.len(), seen), v.narrow(0..seen));
    }
}

/// Probabilities `[queries, keys]` of one head, where the queries are the last of the keys'
/// positions.
fn probabilities<T: Real>(q: Matrix<'_, T>, k: Matrix<'_, T>, scale: T, scores: &mut Vec<T>) {
    let (rows, seen) = (q.rows(), k.rows());
    scores.clear();
    scores.resize(rows * seen, T::zero());
    multiply(scores, false, q, k.t(), scale, Threads::One);
    softmax_visible(scores, rows, seen);
}

/// Turns scores into probabilities, row by row; what a row does not see gets none.
fn softmax_visible<T: Real>(scores: &mut [T], rows: usize, seen: usize) {
    vectorised(
        #[inline(always)]
        || {
            for (i, row) in scores.chunks_exact_mut(seen).enumerate() {
                let (visible, hidden) = row.split_at_mut(seen - rows + i + 1);
                softmax(visible);
                hidden.fill(T::zero());
            }
        },
    );
}

fn blocks(rows: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..rows).step_by(QUERY_BLOCK).map(move |start| start..(start + QUERY_BLOCK).min(rows))
}

/// From tiles `[sequence][key head][member][row][width]` to rows `[token][head][width]`, where a
/// key head has `heads / keys` members.
fn interleave<T: Real>(heads: Heads, counts: &[usize], tiles: Vec<T>, per_token: usize) -> Vec<T> {
    if counts.iter().all(|&count| count == 1) {
        return tiles;
    }
    let row = per_token * heads.width;
    let mut out = vec![T::zero(); tiles.len()];
    let mut start = 0;
    for &count in counts {
        let region = start * row..(start + count) * row;
        let tile = &tiles[region.clone()];
        fill_rows(&mut out[region], row, |first, rows| {
            for (i, out) in rows.chunks_exact_mut(row).enumerate() {
                for (head, out) in out.chunks_exact_mut(heads.width).enumerate() {
                    out.copy_from_slice(
                        &tile[(head * count + first + i) * heads.width..][..heads.width],
                    );
                }
            }
        });
        start += count;
    }
    out
}

/// One head's columns of the tokens of one sequence.
fn columns<T>(
    data: &[T],
    first: usize,
    count: usize,
    head: usize,
    heads: usize,
    width: usize,
) -> Matrix<'_, T> {
    Matrix::strided(&data[first * heads * width + head * width..], count, width, heads * width)
}

/// The part of a result that one task writes: some heads of one sequence.
struct Tile<'a, T> {
    sequence: usize,
    /// The sequence's first token, and how many it has.
    first: usize,
    count: usize,
    /// The key head.
    head: usize,
    out: &'a mut [T],
}

/// Divides a buffer into a tile for each sequence and key head, in this order.
fn tiles<'a, T>(
    mut buffer: &'a mut [T],
    counts: &[usize],
    keys: usize,
    per_token: usize,
) -> Vec<Tile<'a, T>> {
    let (mut tiles, mut first) = (Vec::with_capacity(counts.len() * keys), 0);
    for (sequence, &count) in counts.iter().enumerate() {
        for head in 0..keys {
            let (out, rest) = std::mem::take(&mut buffer).split_at_mut(count * per_token);
            tiles.push(Tile { sequence, first, count, head, out });
            buffer = rest;
        }
        first += count;
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::gradient_check::{check, noise};
    use candle_core::{DType, Device};

    const HEADS: Heads = Heads { queries: 4, keys: 2, width: 3 };

    fn inputs(tokens: usize) -> [Tensor; 3] {
        [noise(&[tokens, 12], 1), noise(&[tokens, 6], 2), noise(&[tokens, 6], 3)]
    }

    #[test]
    fn gradients_are_the_slopes() {
        check_gradients(HEADS, &[1, 4, 3], &inputs(8));
    }

    #[test]
    fn gradients_cross_blocks_of_queries() {
        // More rows than a block: the rows of a second block also reach the keys of the first.
        let heads = Heads { queries: 1, keys: 1, width: 2 };
        let inputs: Vec<Tensor> = (1..=3).map(|seed| noise(&[QUERY_BLOCK + 2, 2], seed)).collect();
        check_gradients(heads, &[QUERY_BLOCK + 2], &inputs);
    }

    fn check_gradients(heads: Heads, lengths: &[usize], inputs: &[Tensor]) {
        let backward = |x: &[Tensor], dy: &Tensor| {
            causal_backward(lengths, projected(heads, x), dy).map(Vec::from)
        };
        check(inputs, |x| causal(lengths, projected(heads, x)), backward);
    }

    fn projected(heads: Heads, inputs: &[Tensor]) -> Projected<'_> {
        Projected { heads, q: &inputs[0], k: &inputs[1], v: &inputs[2] }
    }

    /// The definition, one score at a time.
    fn reference(lengths: &[usize], [q, k, v]: &[Tensor; 3]) -> Vec<f64> {
        let [q, k, v] = [q, k, v].map(|t| t.to_vec2::<f64>().unwrap());
        let (mut out, mut first) = (Vec::new(), 0);
        for &length in lengths {
            for (i, q) in q.iter().enumerate().skip(first).take(length) {
                for head in 0..HEADS.queries {
                    let (at, kv) = (head * HEADS.width, head / HEADS.group() * HEADS.width);
                    let scores: Vec<f64> = (first..=i)
                        .map(|j| {
                            (0..HEADS.width).map(|c| q[at + c] * k[j][kv + c]).sum::<f64>()
                                * HEADS.scale()
                        })
                        .collect();
                    let sum: f64 = scores.iter().map(|s| s.exp()).sum();
                    for c in 0..HEADS.width {
                        out.push(
                            scores
                                .iter()
                                .zip(first..)
                                .map(|(s, j)| s.exp() / sum * v[j][kv + c])
                                .sum(),
                        );
                    }
                }
            }
            first += length;
        }
        out
    }

    #[test]
    fn sequences_see_themselves_and_the_past_only() {
        let lengths = [3, 1, 100, 7];
        let inputs = inputs(111);
        let got: Vec<f64> = causal(&lengths, projected(HEADS, &inputs))
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        for (got, want) in got.iter().zip(reference(&lengths, &inputs)) {
            assert!((got - want).abs() < 1e-12);
        }
    }

    #[test]
    fn a_cache_with_scattered_slots_gives_what_one_pass_gives() {
        let inputs = inputs(20);
        let whole = causal(&[20], projected(HEADS, &inputs)).unwrap();
        // Position i is in slot 7 i mod 23 of a cache of 23 slots.
        let slots: Vec<u32> = (0..20).map(|i| i * 7 % 23).collect();
        let scattered = |t: &Tensor| {
            let t = t.to_dtype(DType::F32).unwrap();
            let cache = Tensor::full(f32::NAN, (23, 6), &Device::Cpu).unwrap();
            for (i, &slot) in slots.iter().enumerate() {
                cache
                    .slice_set(&t.narrow(0, i, 1).unwrap().contiguous().unwrap(), 0, slot as usize)
                    .unwrap();
            }
            cache
        };
        let (k, v, q) =
            (scattered(&inputs[1]), scattered(&inputs[2]), inputs[0].to_dtype(DType::F32).unwrap());
        for count in [1, 5, 20] {
            let q = q.narrow(0, 20 - count, count).unwrap().contiguous().unwrap();
            let new = Projected { heads: HEADS, q: &q, k: &k, v: &v };
            let got = cached(&[count], std::slice::from_ref(&slots), new)
                .unwrap()
                .to_dtype(DType::F64)
                .unwrap();
            let want = whole.narrow(0, 20 - count, count).unwrap();
            let difference =
                (got - want).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(difference < 1e-6, "{count}: {difference}");
        }
    }
}
