//! Attention on the processor: a task for each segment and group of heads, queries in blocks.

#[cfg(test)]
mod tests;

use std::ops::Range;

use candle_core::{Result, Tensor};

use crate::model::attention::{Heads, Projected, Segment, Sequences};
use crate::tensor::elementary::{Real, dot, softmax, vectorised};
use crate::tensor::matrix::{
    KeyWeights, Matrix, Threads, multiply, row_by_row_into, weighted_sums,
};
use crate::tensor::slices::{fill_rows, in_real, run_tasks, tensor, with_slices};

/// Query rows whose scores are computed together; the scratch of a thread is this many rows of
/// keys.
const QUERY_BLOCK: usize = 64;

/// Attention within sequences: each token sees its own and earlier tokens of its sequence, as far
/// as the window reaches.
///
/// The result has the shape of the queries.
pub(super) fn causal(sequences: Sequences<'_>, projected: Projected<'_>) -> Result<Tensor> {
    let Projected { heads, q, k, v } = projected;
    let segments: Vec<Segment> = sequences.segments().collect();
    in_real!(q, T => {
        let y = with_slices([q, k, v], |[q, k, v]| causal_rows::<T>(heads, &segments, q, k, v))?;
        tensor(y, q.shape())
    })
}

/// The gradients of [`causal`] with respect to queries, keys and values.
pub(super) fn causal_backward(
    sequences: Sequences<'_>,
    projected: Projected<'_>,
    dy: &Tensor,
) -> Result<[Tensor; 3]> {
    let Projected { heads, q, k, v } = projected;
    let segments: Vec<Segment> = sequences.segments().collect();
    in_real!(q, T => {
        let [dq, dk, dv] = with_slices([q, k, v, dy], |[q, k, v, dy]| {
            causal_rows_backward::<T>(heads, &segments, q, k, v, dy)
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

fn causal_rows<T: Real>(heads: Heads, segments: &[Segment], q: &[T], k: &[T], v: &[T]) -> Vec<T> {
    let mut out = vec![T::zero(); q.len()];
    let counts: Vec<usize> = segments.iter().map(|segment| segment.count).collect();
    let tasks = tiles(&mut out, &counts, heads.keys, heads.group() * heads.width);
    let scratch = AttentionScratch::new;
    run_tasks(tasks, q.len(), scratch, |scratch, Tile { segment, first, count, head, out }| {
        let AttentionScratch { gathered, scores } = scratch;
        let [keys, values] = gathered.of(heads, segments[segment], first, head, [k, v]);
        for (member, out) in out.chunks_exact_mut(count * heads.width).enumerate() {
            let q =
                columns(q, first, count, head * heads.group() + member, heads.queries, heads.width);
            attend(q, keys, values, heads, scores, out);
        }
    });
    interleave(heads, &counts, out, heads.queries)
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
    let runs: Vec<Vec<SlotRun>> = slots.iter().map(|slots| runs(slots)).collect();
    run_tasks(tasks, read, Vec::new, |scores, Tile { segment, first, count, head, out }| {
        let cached = CachedHead { heads, head, runs: &runs[segment], k, v };
        let before = slots[segment].len() - count;
        // The queries of one token follow each other; those of several are read member by member.
        let group = heads.group() * heads.width;
        let (per_token, stride) = match count {
            1 => (heads.group(), heads.width),
            _ => (1, heads.queries * heads.width),
        };
        let rows = per_token * count;
        for (member, out) in out.chunks_exact_mut(rows * heads.width).enumerate() {
            let at = first * heads.queries * heads.width + head * group + member * heads.width;
            let q = Matrix::strided(&q[at..], rows, heads.width, stride);
            cached.attend(Queries { q, per_token, before }, scores, out);
        }
    });
    interleave(heads, counts, out, heads.queries)
}

/// Positions that follow each other, whose slots are some distance apart: so they are read where
/// they are.
struct SlotRun {
    positions: Range<usize>,
    slot: usize,
    step: usize,
}

/// The slots of a sequence, in as few such runs as there are from the first on.
fn runs(slots: &[u32]) -> Vec<SlotRun> {
    let mut runs: Vec<SlotRun> = Vec::new();
    for (position, &slot) in slots.iter().enumerate() {
        let slot = slot as usize;
        match runs.last_mut() {
            Some(SlotRun { positions, slot: first, step })
                if positions.len() == 1 && slot > *first =>
            {
                (positions.end, *step) = (position + 1, slot - *first);
            }
            Some(SlotRun { positions, slot: first, step })
                if positions.len() > 1 && slot == *first + positions.len() * *step =>
            {
                positions.end = position + 1;
            }
            _ => runs.push(SlotRun { positions: position..position + 1, slot, step: 1 }),
        }
    }
    runs
}

/// Rows of queries, as many of each token, of the positions from `before` on.
#[derive(Clone, Copy)]
struct Queries<'a> {
    q: Matrix<'a, f32>,
    per_token: usize,
    before: usize,
}

/// One head's keys and values in a cache, and where those of one sequence are.
struct CachedHead<'a> {
    heads: Heads,
    head: usize,
    runs: &'a [SlotRun],
    k: &'a [f32],
    v: &'a [f32],
}

impl CachedHead<'_> {
    /// As [`attend`], where no row's bits may depend on the other rows.
    fn attend(&self, queries: Queries<'_>, scores: &mut Vec<f32>, out: &mut [f32]) {
        let Queries { q, per_token, before } = queries;
        for block in blocks(q.rows() / per_token) {
            let seen = seen(&block, before, self.heads);
            let rows = block.start * per_token..block.end * per_token;
            let q = q.narrow(rows.clone());
            scores.clear();
            scores.resize(q.rows() * seen.len(), 0.0);
            for (first, run) in self.seen_runs(&seen) {
                let (out, scale) = (&mut scores[first..], self.heads.scale as f32);
                let keys = self.rows(self.k, &run);
                row_by_row_into(out, seen.len(), false, q, keys, scale, Threads::One);
            }
            softmax_visible(scores, per_token, seen.len(), self.heads);
            let weights = Matrix::new(scores, q.rows(), seen.len());
            let out = &mut out[rows.start * self.heads.width..rows.end * self.heads.width];
            for (first, run) in self.seen_runs(&seen) {
                let weights = KeyWeights { weights, per_token };
                weighted_sums(out, weights, self.rows(self.v, &run), first);
            }
        }
    }

    /// The runs of the positions that are seen, and which of these each begins with.
    fn seen_runs(&self, seen: &Range<usize>) -> impl Iterator<Item = (usize, SlotRun)> {
        self.runs.iter().filter_map(move |SlotRun { positions, slot, step }| {
            let first = positions.start.max(seen.start);
            let slot = slot + (first - positions.start) * step;
            let run = SlotRun { positions: first..positions.end.min(seen.end), slot, step: *step };
            (!run.positions.is_empty()).then_some((first - seen.start, run))
        })
    }

    /// The head's rows of a run.
    fn rows<'a>(&self, data: &'a [f32], run: &SlotRun) -> Matrix<'a, f32> {
        let (width, row) = (self.heads.width, self.heads.keys * self.heads.width);
        let first = run.slot * row + self.head * width;
        Matrix::strided(&data[first..], run.positions.len(), width, run.step * row)
    }
}

/// With P the probabilities, which are computed again, and O = P V:
/// `dV = Pᵀ dO`, `dP = dO Vᵀ`, `dS = P ∘ (dP − rowsum(P ∘ dP))`,
/// `dQ = scale · dS K`, `dK = scale · dSᵀ Q`.
fn causal_rows_backward<T: Real>(
    heads: Heads,
    segments: &[Segment],
    q: &[T],
    k: &[T],
    v: &[T],
    dy: &[T],
) -> [Vec<T>; 3] {
    let scale = T::real(heads.scale);
    let counts: Vec<usize> = segments.iter().map(|segment| segment.count).collect();
    // Each segment has gradients of its own for the shared tokens, which are added up in the end.
    let key_counts: Vec<usize> = segments.iter().map(|s| s.before + s.count).collect();
    let keys = key_counts.iter().sum::<usize>() * heads.keys * heads.width;
    let mut dq = vec![T::zero(); q.len()];
    let (mut dk, mut dv) = (vec![T::zero(); keys], vec![T::zero(); keys]);
    let tasks = tiles(&mut dq, &counts, heads.keys, heads.group() * heads.width)
        .into_iter()
        .zip(tiles(&mut dk, &key_counts, heads.keys, heads.width))
        .zip(tiles(&mut dv, &key_counts, heads.keys, heads.width))
        .collect::<Vec<_>>();
    let scratch = || (AttentionScratch::new(), Vec::new());
    run_tasks(
        tasks,
        q.len(),
        scratch,
        |(scratch, dp),
         (
            (Tile { segment, first, count, head, out: dq }, Tile { out: dk, .. }),
            Tile { out: dv, .. },
        )| {
            let AttentionScratch { gathered, scores: p } = scratch;
            let segment = segments[segment];
            let [keys, values] = gathered.of(heads, segment, first, head, [k, v]);
            for (member, dq) in dq.chunks_exact_mut(count * heads.width).enumerate() {
                let head = head * heads.group() + member;
                let q = columns(q, first, count, head, heads.queries, heads.width);
                let dy = columns(dy, first, count, head, heads.queries, heads.width);
                for block in blocks(count) {
                    let seen = seen(&block, segment.before, heads);
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
    [
        interleave(heads, &counts, dq, heads.queries),
        summed(heads, segments, &dk),
        summed(heads, segments, &dv),
    ]
}

struct AttentionScratch<T> {
    gathered: GatheredKeys<T>,
    scores: Vec<T>,
}

/// Room for one head's keys and values.
struct GatheredKeys<T> {
    keys: Vec<T>,
    values: Vec<T>,
}

impl<T> AttentionScratch<T> {
    const fn new() -> Self {
        let gathered = GatheredKeys { keys: Vec::new(), values: Vec::new() };
        Self { gathered, scores: Vec::new() }
    }
}

impl<T: Real> GatheredKeys<T> {
    /// One head's keys and values of the tokens that a segment sees, its own among them. They are
    /// gathered where others come before its own.
    fn of<'a>(
        &'a mut self,
        heads: Heads,
        segment: Segment,
        first: usize,
        head: usize,
        data: [&'a [T]; 2],
    ) -> [Matrix<'a, T>; 2] {
        let Segment { before, count } = segment;
        if before == 0 {
            return data.map(|data| columns(data, first, count, head, heads.keys, heads.width));
        }
        self.gather(heads, (0..before).chain(first..first + count), head, data)
    }

    /// Gathers one head's keys and values from these rows.
    fn gather(
        &mut self,
        heads: Heads,
        rows: impl Iterator<Item = usize> + Clone,
        head: usize,
        data: [&[T]; 2],
    ) -> [Matrix<'_, T>; 2] {
        let row = heads.keys * heads.width;
        for (out, from) in [&mut self.keys, &mut self.values].into_iter().zip(data) {
            out.clear();
            for number in rows.clone() {
                out.extend_from_slice(&from[number * row + head * heads.width..][..heads.width]);
            }
        }
        let of = |data| Matrix::new(data, self.keys.len() / heads.width, heads.width);
        [of(&self.keys), of(&self.values)]
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
    softmax_visible(scores, 1, seen, heads);
}

/// Turns scores into probabilities, row by row, of which each token has as many; what a row does
/// not see gets none.
fn softmax_visible<T: Real>(scores: &mut [T], per_token: usize, seen: usize, heads: Heads) {
    let before = seen - scores.len() / (per_token * seen);
    vectorised(
        #[inline(always)]
        || {
            for (i, row) in scores.chunks_exact_mut(seen).enumerate() {
                let own = before + i / per_token;
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

/// The gradients of keys or values, `[token][head][width]`, from tiles
/// `[segment][head][row][width]` that have rows for the shared tokens too.
fn summed<T: Real>(heads: Heads, segments: &[Segment], mut tiles: &[T]) -> Vec<T> {
    let row = heads.keys * heads.width;
    let tokens: usize = segments.iter().map(|segment| segment.count).sum();
    let (mut out, mut first) = (vec![T::zero(); tokens * row], 0);
    for &Segment { before, count } in segments {
        for head in 0..heads.keys {
            let (tile, rest) = tiles.split_at((before + count) * heads.width);
            let places = (0..before).chain(first..first + count);
            for (from, place) in tile.chunks_exact(heads.width).zip(places) {
                let to = &mut out[place * row + head * heads.width..][..heads.width];
                to.iter_mut().zip(from).for_each(|(to, &from)| *to += from);
            }
            tiles = rest;
        }
        first += count;
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

/// The part of a result that one task writes: some heads of one segment, or of the new tokens of a
/// sequence in a cache.
struct Tile<'a, T> {
    /// Its number.
    segment: usize,
    /// Its first token, and how many it has.
    first: usize,
    count: usize,
    /// The key head.
    head: usize,
    out: &'a mut [T],
}

/// Divides a buffer into a tile for each segment and key head, in this order.
fn tiles<'a, T>(
    mut buffer: &'a mut [T],
    counts: &[usize],
    keys: usize,
    per_token: usize,
) -> Vec<Tile<'a, T>> {
    let (mut tiles, mut first) = (Vec::with_capacity(counts.len() * keys), 0);
    for (segment, &count) in counts.iter().enumerate() {
        for head in 0..keys {
            let (out, rest) = std::mem::take(&mut buffer).split_at_mut(count * per_token);
            tiles.push(Tile { segment, first, count, head, out });
            buffer = rest;
        }
        first += count;
    }
    tiles
}
