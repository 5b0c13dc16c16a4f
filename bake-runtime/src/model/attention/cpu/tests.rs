use super::*;
use crate::tensor::gradient_check::{check, noise};
use candle_core::{DType, Device};

const HEADS: Heads = Heads { queries: 4, keys: 2, width: 3, scale: 0.6, window: None };

fn inputs(tokens: usize) -> [Tensor; 3] {
    [noise(&[tokens, 12], 1), noise(&[tokens, 6], 2), noise(&[tokens, 6], 3)]
}

fn windowed(window: usize) -> Heads {
    Heads { window: Some(window), ..HEADS }
}

#[test]
fn gradients_are_the_slopes() {
    for heads in [HEADS, windowed(1), windowed(2), windowed(9)] {
        check_gradients(heads, Sequences::apart(&[1, 4, 3]), &inputs(8));
        check_gradients(heads, Sequences { shared: 2, lengths: &[1, 3, 2] }, &inputs(8));
    }
}

/// The rows of sequences that share their first ones, each with those before its own.
fn apart(sequences: Sequences<'_>) -> (Vec<u32>, Vec<usize>) {
    let Sequences { shared, lengths } = sequences;
    let (mut rows, mut first) = (Vec::new(), shared);
    for &length in lengths {
        rows.extend((0..shared).chain(first..first + length).map(|row| row as u32));
        first += length;
    }
    (rows, lengths.iter().map(|length| shared + length).collect())
}

#[test]
fn what_sequences_share_is_computed_once_with_the_gradients_of_all() {
    let sequences = Sequences { shared: 70, lengths: &[3, 67, 1] };
    let (rows, lengths) = apart(sequences);
    let rows = Tensor::new(rows, &Device::Cpu).unwrap();
    let (together, dy) = (inputs(141), noise(&[141, 12], 4));
    let each = together.each_ref().map(|t| t.index_select(&rows, 0).unwrap());
    for heads in [HEADS, windowed(5), windowed(69), windowed(100)] {
        let one = causal(sequences, projected(heads, &together)).unwrap();
        let want = causal(Sequences::apart(&lengths), projected(heads, &each)).unwrap();
        same(&one.index_select(&rows, 0).unwrap(), &want, heads);

        // What the shared rows are asked for is asked of the first sequence alone.
        let asked = dy.index_select(&rows, 0).unwrap().to_vec2::<f64>().unwrap();
        let is_again = |row: usize| [73..143, 210..280].iter().any(|again| again.contains(&row));
        let asked: Vec<Vec<f64>> = asked
            .into_iter()
            .enumerate()
            .map(|(row, dy)| if is_again(row) { vec![0.0; 12] } else { dy })
            .collect();
        let asked = Tensor::new(asked, &Device::Cpu).unwrap();
        let got = causal_backward(sequences, projected(heads, &together), &dy).unwrap();
        let want = causal_backward(Sequences::apart(&lengths), projected(heads, &each), &asked);
        for (got, want) in got.iter().zip(want.unwrap()) {
            let sums = got.zeros_like().unwrap().index_add(&rows, &want, 0).unwrap();
            same(got, &sums, heads);
        }
    }
}

fn same(got: &Tensor, want: &Tensor, heads: Heads) {
    let difference = (got - want).unwrap().abs().unwrap().max_all().unwrap();
    let difference = difference.to_scalar::<f64>().unwrap();
    assert!(difference < 1e-12, "{heads:?}: {difference}");
}

#[test]
fn gradients_cross_blocks_of_queries() {
    // More rows than a block: the rows of a second block also reach the keys of the first.
    let inputs: Vec<Tensor> = (1..=3).map(|seed| noise(&[QUERY_BLOCK + 2, 2], seed)).collect();
    for window in [None, Some(7)] {
        let heads = Heads { queries: 1, keys: 1, width: 2, scale: 0.8, window };
        check_gradients(heads, Sequences::apart(&[QUERY_BLOCK + 2]), &inputs);
    }
}

fn check_gradients(heads: Heads, sequences: Sequences<'_>, inputs: &[Tensor]) {
    let backward = |x: &[Tensor], dy: &Tensor| {
        causal_backward(sequences, projected(heads, x), dy).map(Vec::from)
    };
    check(inputs, |x| causal(sequences, projected(heads, x)), backward);
}

fn projected(heads: Heads, inputs: &[Tensor]) -> Projected<'_> {
    Projected { heads, q: &inputs[0], k: &inputs[1], v: &inputs[2] }
}

/// The definition, one score at a time.
fn reference(heads: Heads, lengths: &[usize], [q, k, v]: &[Tensor; 3]) -> Vec<f64> {
    let [q, k, v] = [q, k, v].map(|t| t.to_vec2::<f64>().unwrap());
    let (mut out, mut first) = (Vec::new(), 0);
    for &length in lengths {
        for (i, q) in q.iter().enumerate().skip(first).take(length) {
            let from = heads.window.map_or(first, |window| first.max((i + 1).max(window) - window));
            for head in 0..heads.queries {
                let (at, kv) = (head * heads.width, head / heads.group() * heads.width);
                let scores: Vec<f64> = (from..=i)
                    .map(|j| {
                        (0..heads.width).map(|c| q[at + c] * k[j][kv + c]).sum::<f64>()
                            * heads.scale
                    })
                    .collect();
                let sum: f64 = scores.iter().map(|s| s.exp()).sum();
                for c in 0..heads.width {
                    out.push(
                        scores.iter().zip(from..).map(|(s, j)| s.exp() / sum * v[j][kv + c]).sum(),
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
    for heads in [HEADS, windowed(1), windowed(5), windowed(64), windowed(90), windowed(100)] {
        let got = causal(Sequences::apart(&lengths), projected(heads, &inputs)).unwrap();
        let got: Vec<f64> = got.flatten_all().unwrap().to_vec1().unwrap();
        for (got, want) in got.iter().zip(reference(heads, &lengths, &inputs)) {
            assert!((got - want).abs() < 1e-12, "{heads:?}");
        }
    }
}

#[test]
fn a_cache_gives_what_one_pass_gives_wherever_its_slots_are() {
    let inputs = inputs(20);
    let q = inputs[0].to_dtype(DType::F32).unwrap();
    let scattered = (0..20).map(|i| i * 7 % 23);
    let backwards = (0..20).rev();
    // Others have written after the first positions, and between the last ones.
    let shared = (0..9).chain([12]).chain((13..24).step_by(2)).chain(30..34);
    let layouts: [Vec<u32>; 4] =
        [(3..23).collect(), scattered.collect(), backwards.collect(), shared.collect()];
    for heads in [HEADS, windowed(1), windowed(4), windowed(19)] {
        let whole = causal(Sequences::apart(&[20]), projected(heads, &inputs)).unwrap();
        let mut last = Vec::new();
        for slots in &layouts {
            let [k, v] = [1, 2].map(|input| in_slots(&inputs[input], slots));
            for count in [1, 5, 20] {
                let q = q.narrow(0, 20 - count, count).unwrap().contiguous().unwrap();
                let new = Projected { heads, q: &q, k: &k, v: &v };
                let got = cached(&[count], std::slice::from_ref(slots), new).unwrap();
                last.push(got.to_vec2::<f32>().unwrap().pop().unwrap());
                let want = whole.narrow(0, 20 - count, count).unwrap();
                let difference = (got.to_dtype(DType::F64).unwrap() - want).unwrap().abs().unwrap();
                let difference = difference.max_all().unwrap().to_scalar::<f64>().unwrap();
                assert!(difference < 1e-6, "{heads:?} {slots:?} {count}: {difference}");
            }
        }
        // A row's bits depend neither on how many others there are nor on the slots.
        assert!(last.iter().all(|row| row == &last[0]), "{heads:?}");
    }
}

/// A cache in which position i has the slot `slots[i]`, and no other holds numbers.
fn in_slots(rows: &Tensor, slots: &[u32]) -> Tensor {
    let rows = rows.to_dtype(DType::F32).unwrap();
    let cache = Tensor::full(f32::NAN, (34, 6), &Device::Cpu).unwrap();
    for (i, &slot) in slots.iter().enumerate() {
        let row = rows.narrow(0, i, 1).unwrap().contiguous().unwrap();
        cache.slice_set(&row, 0, slot as usize).unwrap();
    }
    cache
}

#[test]
fn slots_are_read_in_few_runs() {
    let of = |slots: &[u32]| {
        let runs = runs(slots).into_iter();
        runs.map(|SlotRun { positions, slot, step }| (positions, slot, step)).collect::<Vec<_>>()
    };
    assert_eq!(of(&[]), []);
    assert_eq!(of(&[5]), [(0..1, 5, 1)]);
    assert_eq!(of(&[4, 5, 6, 9, 12, 15, 16]), [(0..3, 4, 1), (3..6, 9, 3), (6..7, 16, 1)]);
    assert_eq!(of(&[3, 2, 2, 4]), [(0..1, 3, 1), (1..2, 2, 1), (2..4, 2, 2)]);
}
