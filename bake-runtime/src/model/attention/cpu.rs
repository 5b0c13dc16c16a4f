//! Attention on the processor: a task for each sequence and group of heads, queries in blocks.

#[cfg(test)]
mod tests;

use std::ops::Range;

use candle_core::{Result, Tensor};

use crate::model::attention::{Heads, Projected};
use crate::tensor::elementary::{Real, dot, softmax, vectorised};
use crate::tensor::matrix::{Matrix, Threads, multiply, row_by_row, weighted_sums};
use crate::tensor::slices::{fill_rows, in_real, run_tasks, tensor, with_slices};

/// Query rows whose scores are computed together; the scratch of a thread is this many rows of
/// keys.
const QUERY_BLOCK: usize = 64;

/// Attention within sequences of the given lengths: each token sees its own and earlier tokens of
/// its sequence, as far as the window reaches.
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
            attend(q, keys, values, heads, scores, out);
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
        AttentionScratch::default,
        |scratch, Tile { sequence, first, count, head, out }| {
            // What no new token sees is left where it is.
            let slots = &slots[sequence];
            let slots = &slots[heads.first_seen(slots.len() - count)..];
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
    let scale = T::real(heads.scale);
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
                    let seen = heads.first_seen(block.start)..block.end;
                    let (q, dy) = (q.narrow(block.clone()), dy.narrow(block.clone()));
                    let (keys, values) = (keys.narrow(seen.clone()), values.narrow(seen.clone()));
                    probabilities(q, keys, heads, p);
                    dp.clear();
                    dp.resize(p.len(), T::zero());
                    multiply(dp, false, dy, values.t(), T::one(), Threads::One);
                    let weights = Matrix::new(p, block.len(), seen.len());
                    let theirs = seen.start * heads.width..seen.end * heads.width;
                    multiply(
                        &mut dv[theirs.clone()],
                        true,
                        weights.t(),
                        dy,
                        T::one(),
                        Threads::One,
                    );
                    vectorised(
                        #[inline(always)]
                        || {
                            let rows = p.chunks_exact(seen.len());
                            for (p, dp) in rows.zip(dp.chunks_exact_mut(seen.len())) {
                                let along = dot(p, dp);
                                for (&p, dp) in p.iter().zip(dp) {
                                    *dp = p * (*dp - along);
                                }
                            }
                        },
                    );
                    let ds = Matrix::new(dp, block.len(), seen.len());
                    let dq = &mut dq[block.start * heads.width..block.end * heads.width];
                    multiply(dq, false, ds, keys, scale, Threads::One);
                    multiply(&mut dk[theirs], true, ds.t(), q, scale, Threads::One);
                }
            }
        },
    );
    [(dq, heads.queries), (dk, heads.keys), (dv, heads.keys)]
        .map(|(tiles, per_token)| interleave(heads, lengths, tiles, per_token))
}

#[derive(Default)]
struct AttentionScratch<T> {
    keys: Vec<T>,
    values: Vec<T>,
    scores: Vec<T>,
}

impl<T: Real> AttentionScratch<T> {
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
    heads: Heads,
    scores: &mut Vec<T>,
    out: &mut [T],
) {
    for block in blocks(q.rows()) {
        let seen = seen(&block, k.rows() - q.rows(), heads);
        probabilities(q.narrow(block.clone()), k.narrow(seen.clone()), heads, scores);
        let p = Matrix::new(scores, block.len(), seen.len());
        let out = &mut out[block.start * v.cols()..block.end * v.cols()];
        multiply(out, false, p, v.narrow(seen), T::one(), Threads::One);
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
        let seen = seen(&block, k.rows() - q.rows(), heads);
        let (q, k, v) = (q.narrow(block.clone()), k.narrow(seen.clone()), v.narrow(seen.clone()));
        scores.clear();
        scores.resize(block.len() * seen.len(), 0.0);
        row_by_row(scores, false, q, k, heads.scale as f32, Threads::One);
        softmax_visible(scores, block.len(), seen.len(), heads);
        let out = &mut out[block.start * v.cols()..block.end * v.cols()];
        // A key that a row does not see has the weight 0, which leaves the row's sum as it is.
        weighted_sums(out, Matrix::new(scores, block.len(), seen.len()), v);
    }
}

/// The keys that some query of a block sees; `before` is how many keys there are before the first
/// query's own.
fn seen(block: &Range<usize>, before: usize, heads: Heads) -> Range<usize> {
    heads.first_seen(before + block.start)..before + block.end
}

/// Probabilities `[queries, keys]` of one head, where the queries are the last of the keys'
/// positions.
fn probabilities<T: Real>(q: Matrix<'_, T>, k: Matrix<'_, T>, heads: Heads, scores: &mut Vec<T>) {
    let (rows, seen) = (q.rows(), k.rows());
    scores.clear();
    scores.resize(rows * seen, T::zero());
    multiply(scores, false, q, k.t(), T::real(heads.scale), Threads::One);
    softmax_visible(scores, rows, seen, heads);
}

/// Turns scores into probabilities, row by row; what a row does not see gets none.
fn softmax_visible<T: Real>(scores: &mut [T], rows: usize, seen: usize, heads: Heads) {
    vectorised(
        #[inline(always)]
        || {
            for (i, row) in scores.chunks_exact_mut(seen).enumerate() {
                let own = seen - rows + i;
                let (visible, later) = row.split_at_mut(own + 1);
                let (earlier, visible) = visible.split_at_mut(heads.first_seen(own));
                softmax(visible);
                earlier.fill(T::zero());
                later.fill(T::zero());
            }
        },
    );
}

fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
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
