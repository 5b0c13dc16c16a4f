//! The decoder's parts on a GPU: launches of the kernels in `kernels/`, in f32. Products may have a
//! factor of 16 bits.

use candle_core::{DType, Device, Result, Tensor};

use crate::device::gpu::{
    Arg, Factor, Gpu, Grid, Lane, Launch, Product, address, each, fits, unwritten,
};
use crate::model::attention::Heads;
use crate::model::block::Attention;

/// As in `kernels/norm.cu`: the most threads of a block, and shared memory for two sums.
const NORM_THREADS: usize = 256;
const NORM_BYTES: usize = 2 * 33 * 8;

/// As in `kernels/attention.cu`.
const ATTENTION_THREADS: usize = 128;
const QUERIES: usize = 16;
const KEYS: usize = 32;
const WIDEST_HEAD: usize = 256;

/// `y = x / √(mean(x²) + ε) · weight`, rows of `[tokens, hidden]`.
pub(super) fn rms_norm(gpu: &Gpu, x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let y = unwritten((rows, width), DType::F32, x.device())?;
    let args =
        [address(x)?, address(weight)?, address(&y)?, fits(width)?.into(), (eps as f32).into()];
    gpu.launch(by_rows("norm_forward", rows, width), &args)?;
    Ok(y)
}

/// The gradient of [`rms_norm`] with respect to `x`, added to `onto`.
pub(super) fn rms_norm_backward(
    gpu: &Gpu,
    x: &Tensor,
    dy: &Tensor,
    weight: &Tensor,
    onto: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let dx = unwritten((rows, width), DType::F32, x.device())?;
    let inputs = [address(x)?, address(dy)?, address(weight)?, address(onto)?, address(&dx)?];
    let args: Vec<Arg> =
        inputs.into_iter().chain([fits(width)?.into(), (eps as f32).into()]).collect();
    gpu.launch(by_rows("norm_backward", rows, width), &args)?;
    Ok(dx)
}

fn by_rows(kernel: &str, rows: usize, width: usize) -> Launch<'_> {
    let block = width.next_multiple_of(32).clamp(32, NORM_THREADS);
    Launch { kernel, grid: Grid::Blocks(rows), block, shared_bytes: NORM_BYTES, lane: Lane::Main }
}

/// Turns the heads of `x`, `[tokens, heads · head_dim]`; `turns` are pairs of cosine and sine,
/// `[context, head_dim]`.
pub(super) fn rotate(
    gpu: &Gpu,
    x: &Tensor,
    turns: &Tensor,
    positions: &Tensor,
    direction: f32,
) -> Result<Tensor> {
    let ((rows, width), half) = (x.dims2()?, turns.dim(1)? / 2);
    let y = unwritten((rows, width), DType::F32, x.device())?;
    let heads = width / (2 * half);
    let addresses = [address(x)?, address(turns)?, address(positions)?, address(&y)?];
    let args: Vec<Arg> = addresses
        .into_iter()
        .chain([fits(rows)?.into(), heads.into(), half.into(), direction.into()])
        .collect();
    gpu.launch(each("rope_turn", rows * heads * half), &args)?;
    Ok(y)
}

/// `silu(gate) · up`.
pub(super) fn swiglu(gpu: &Gpu, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let (y, elements) =
        (unwritten(gate.shape(), DType::F32, gate.device())?, fits(gate.elem_count())?);
    gpu.launch(
        each("gate_forward", elements),
        &[address(gate)?, address(up)?, address(&y)?, elements.into()],
    )?;
    Ok(y)
}

/// The gradients of [`swiglu`] with respect to gate and up.
pub(super) fn swiglu_backward(
    gpu: &Gpu,
    gate: &Tensor,
    up: &Tensor,
    dy: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let result = || unwritten(gate.shape(), DType::F32, gate.device());
    let (d_gate, d_up, elements) = (result()?, result()?, fits(gate.elem_count())?);
    let args = [
        address(gate)?,
        address(up)?,
        address(dy)?,
        address(&d_gate)?,
        address(&d_up)?,
        elements.into(),
    ];
    gpu.launch(each("gate_backward", elements), &args)?;
    Ok((d_gate, d_up))
}

/// A matrix that may be transposed.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    tensor: &'a Tensor,
    transposed: bool,
}

impl<'a> Side<'a> {
    pub(super) fn plain(tensor: &'a Tensor) -> Self {
        Self { tensor, transposed: false }
    }

    pub(super) fn transposed(tensor: &'a Tensor) -> Self {
        Self { tensor, transposed: true }
    }

    fn dims(self) -> Result<(usize, usize)> {
        let (rows, columns) = self.tensor.dims2()?;
        Ok(if self.transposed { (columns, rows) } else { (rows, columns) })
    }
}

/// `a · b · scale` in f32, added to `onto` where it is given, which nobody else may hold. The left
/// side is rounded to the type of the right.
pub(super) fn product(
    gpu: &Gpu,
    a: Side<'_>,
    b: Side<'_>,
    scale: f64,
    onto: Option<Tensor>,
) -> Result<Tensor> {
    let ((rows, inner), (from, columns), dtype) = (a.dims()?, b.dims()?, b.tensor.dtype());
    if inner != from {
        candle_core::bail!("the inner sizes of a product differ: {inner} and {from}");
    }
    let (left, add) = (a.tensor.to_dtype(dtype)?, onto.is_some());
    let out = onto.map_or_else(|| unwritten((rows, columns), DType::F32, a.tensor.device()), Ok)?;
    let factor = |tensor: &Tensor, transposed| {
        let factor = Factor::new(address(tensor)?, dtype, tensor.dim(1)?);
        Ok::<_, candle_core::Error>(if transposed { factor.t() } else { factor })
    };
    let (a, b) = (factor(&left, a.transposed)?, factor(b.tensor, b.transposed)?);
    gpu.multiply(Product {
        a,
        b,
        out: address(&out)?,
        rows,
        inner,
        columns,
        scale: scale as f32,
        add,
    })?;
    Ok(out)
}

/// What a pass needs on a GPU: where its tokens stand, and which see which.
pub(crate) struct Layout {
    /// `[tokens]`.
    positions: Tensor,
    /// For each sequence its first query, how many there are, its first key, and how many.
    sequences: Tensor,
    /// The slots of all keys; none where keys are the tokens themselves.
    slots: Option<Tensor>,
    /// A sequence and the first of its rows, for every tile of queries.
    tiles: Tensor,
    tile_count: usize,
}

impl Layout {
    pub(crate) fn new(
        positions: &[u32],
        attention: &Attention<'_>,
        device: &Device,
    ) -> Result<Self> {
        let (counts, slots) = match attention {
            Attention::Whole(lengths) => (*lengths, None),
            Attention::Cached { counts, slots, .. } => (*counts, Some(*slots)),
        };
        let (mut sequences, mut tiles, mut query, mut key) = (Vec::new(), Vec::new(), 0, 0);
        for (i, &count) in counts.iter().enumerate() {
            let keys = slots.map_or(count, |slots| slots[i].len());
            sequences.extend([query, count, key, keys].map(|n| n as u32));
            tiles.extend((0..count).step_by(QUERIES).flat_map(|first| [i as u32, first as u32]));
            query += count;
            key += keys;
        }
        let tile_count = tiles.len() / 2;
        Ok(Self {
            positions: Tensor::new(positions, device)?,
            sequences: Tensor::new(sequences, device)?,
            slots: slots.map(|slots| Tensor::new(slots.concat(), device)).transpose()?,
            tiles: Tensor::new(tiles, device)?,
            tile_count,
        })
    }

    pub(crate) fn positions(&self) -> &Tensor {
        &self.positions
    }

    /// Causal attention; the result has the shape of `q`. See [`causal`](super::attention::causal)
    /// and [`cached`](super::attention::cached).
    pub(super) fn attend(
        &self,
        gpu: &Gpu,
        heads: Heads,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
    ) -> Result<Tensor> {
        let out = unwritten(q.shape(), DType::F32, q.device())?;
        let slots = self.slots.as_ref().map_or(Ok(Arg::NULL), address)?;
        let addresses = [
            address(q)?,
            address(k)?,
            address(v)?,
            slots,
            address(&self.sequences)?,
            address(&self.tiles)?,
            address(&out)?,
        ];
        let floats = (QUERIES + 2 * KEYS) * (heads.width + 1) + ATTENTION_THREADS;
        self.launch(gpu, heads, "attention_forward", heads.queries, floats, &addresses)?;
        Ok(out)
    }

    /// The gradients of [`attend`](Self::attend) for whole sequences, with respect to queries, keys
    /// and values.
    pub(super) fn attend_backward(
        &self,
        gpu: &Gpu,
        heads: Heads,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        dy: &Tensor,
    ) -> Result<[Tensor; 3]> {
        let [dq, dk, dv] = [q, k, v].map(|t| unwritten(t.shape(), DType::F32, t.device()));
        let (dq, dk, dv) = (dq?, dk?, dv?);
        let rows = unwritten((q.dim(0)?, heads.queries, 2), DType::F32, q.device())?;
        let inputs = [
            address(q)?,
            address(k)?,
            address(v)?,
            address(dy)?,
            address(&self.sequences)?,
            address(&self.tiles)?,
        ];
        let floats = 2 * (QUERIES + KEYS) * (heads.width + 1) + 2 * ATTENTION_THREADS;
        let args: Vec<Arg> = inputs.into_iter().chain([address(&dq)?, address(&rows)?]).collect();
        self.launch(gpu, heads, "attention_backward_queries", heads.queries, floats, &args)?;
        let args: Vec<Arg> =
            inputs.into_iter().chain([address(&rows)?, address(&dk)?, address(&dv)?]).collect();
        self.launch(gpu, heads, "attention_backward_keys", heads.keys, floats, &args)?;
        Ok([dq, dk, dv])
    }

    /// Launches a kernel with a block for each tile and each of `heads_at_once` heads, and `floats`
    /// of shared memory.
    fn launch(
        &self,
        gpu: &Gpu,
        heads: Heads,
        kernel: &str,
        heads_at_once: usize,
        floats: usize,
        addresses: &[Arg],
    ) -> Result<()> {
        if heads.width > WIDEST_HEAD {
            candle_core::bail!(
                "heads of width {} are too wide for a GPU; up to {WIDEST_HEAD} work",
                heads.width
            );
        }
        let sizes: [Arg; 4] = [
            heads.queries.into(),
            heads.keys.into(),
            heads.width.into(),
            (heads.scale() as f32).into(),
        ];
        let args: Vec<Arg> = addresses.iter().copied().chain(sizes).collect();
        let (grid, shared_bytes) =
            (Grid::Blocks(self.tile_count * heads_at_once), floats * size_of::<f32>());
        gpu.launch(
            Launch { kernel, grid, block: ATTENTION_THREADS, shared_bytes, lane: Lane::Main },
            &args,
        )
    }
}

#[cfg(test)]
mod tests {
    use bake_spec::model::config::{Rope, RopeScaling};
    use half::bf16;

    use super::*;
    use crate::device::gpu::testing::on_gpus;
    use crate::model::attention::{cached, causal, causal_backward};
    use crate::model::gate;
    use crate::model::norm::RmsNorm;
    use crate::model::rope::RopeTable;
    use crate::tensor::gradient_check::noise;

    fn floats(shape: &[usize], seed: u64) -> Tensor {
        noise(shape, seed).to_dtype(DType::F32).unwrap()
    }

    /// Compares with what the processor has computed.
    fn same(got: &Tensor, want: &Tensor, tolerance: f32, what: &str) {
        assert_eq!(got.dims(), want.dims(), "{what}");
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (got, want) = (flat(got), flat(want));
        let largest = want.iter().fold(1e-6f32, |m, x| m.max(x.abs()));
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!(
                (got - want).abs() <= tolerance * largest,
                "{what}, element {i}: {got} against {want}"
            );
        }
    }

    fn gpu(device: &Device) -> Gpu {
        Gpu::of_device(device).unwrap()
    }

    #[test]
    fn norms_are_those_of_the_processor() {
        for width in [1, 5, 40, 1000] {
            let (x, dy, onto, weight) = (
                floats(&[3, width], 1),
                floats(&[3, width], 2),
                floats(&[3, width], 3),
                floats(&[width], 4),
            );
            let norm = RmsNorm::new(weight.clone(), 1e-5);
            let (y, dx) = (norm.forward(&x).unwrap(), norm.backward(&x, &dy, &onto).unwrap());
            on_gpus(|device| {
                let to = |t: &Tensor| t.to_device(device).unwrap();
                let got = rms_norm(&gpu(device), &to(&x), &to(&weight), 1e-5).unwrap();
                same(&got, &y, 1e-6, "norm");
                let got = rms_norm_backward(
                    &gpu(device),
                    &to(&x),
                    &to(&dy),
                    &to(&weight),
                    &to(&onto),
                    1e-5,
                )
                .unwrap();
                same(&got, &dx, 1e-5, "its gradient");
            });
        }
    }

    #[test]
    fn rotations_are_those_of_the_processor() {
        let rope = Rope { theta: 100.0, scaling: RopeScaling::Unscaled };
        let (x, positions) = (floats(&[5, 24], 1), [0, 7, 3, 11, 11]);
        let table = RopeTable::new(&rope, 6, 12, &Device::Cpu).unwrap();
        let (there, back) = (
            table.rotate(&x, &positions, None).unwrap(),
            table.rotate_backward(&x, &positions, None).unwrap(),
        );
        on_gpus(|device| {
            let table = RopeTable::new(&rope, 6, 12, device).unwrap();
            let layout = Layout::new(&positions, &Attention::Whole(&[5]), device).unwrap();
            let x = x.to_device(device).unwrap();
            same(&table.rotate(&x, &positions, Some(&layout)).unwrap(), &there, 1e-6, "there");
            same(
                &table.rotate_backward(&x, &positions, Some(&layout)).unwrap(),
                &back,
                1e-6,
                "back",
            );
        });
    }

    #[test]
    fn gates_are_those_of_the_processor() {
        let (gate, up, dy) =
            ((floats(&[7, 50], 1) * 20.0).unwrap(), floats(&[7, 50], 2), floats(&[7, 50], 3));
        let (y, (d_gate, d_up)) =
            (gate::swiglu(&gate, &up).unwrap(), gate::swiglu_backward(&gate, &up, &dy).unwrap());
        on_gpus(|device| {
            let [gate, up, dy] = [&gate, &up, &dy].map(|t| t.to_device(device).unwrap());
            same(&swiglu(&gpu(device), &gate, &up).unwrap(), &y, 1e-6, "gate");
            let (got_gate, got_up) = swiglu_backward(&gpu(device), &gate, &up, &dy).unwrap();
            same(&got_gate, &d_gate, 1e-6, "its gradient");
            same(&got_up, &d_up, 1e-6, "that of what goes through");
        });
    }

    #[test]
    fn products_of_all_layouts_and_types() {
        let (a, b, onto) = (floats(&[5, 7], 1), floats(&[7, 6], 2), floats(&[5, 6], 3));
        let rounded = b.to_dtype(DType::BF16).unwrap();
        let want = |b: &Tensor, add: bool| {
            let product = (a.matmul(b).unwrap() * 0.5).unwrap();
            if add { (product + &onto).unwrap() } else { product }
        };
        let turned = |t: &Tensor| t.t().unwrap().contiguous().unwrap();
        let (at, bt) = (turned(&a), turned(&b));
        on_gpus(|device| {
            let [a, b, at, bt, onto, rounded] =
                [&a, &b, &at, &bt, &onto, &rounded].map(|t| t.to_device(device).unwrap());
            for a in [Side::plain(&a), Side::transposed(&at)] {
                for b in [Side::plain(&b), Side::transposed(&bt)] {
                    for add in [false, true] {
                        let onto = add.then(|| onto.copy().unwrap());
                        same(
                            &product(&gpu(device), a, b, 0.5, onto).unwrap(),
                            &want(&want_of(b), add),
                            1e-6,
                            "product",
                        );
                    }
                }
                // Both sides are rounded, and the sums are not.
                let got = product(&gpu(device), a, Side::plain(&rounded), 0.5, None).unwrap();
                same(
                    &got,
                    &want(
                        &rounded.to_dtype(DType::F32).unwrap().to_device(&Device::Cpu).unwrap(),
                        false,
                    ),
                    1e-2,
                    "bf16",
                );
            }
        });
        fn want_of(b: Side<'_>) -> Tensor {
            let b = if b.transposed {
                b.tensor.t().unwrap().contiguous().unwrap()
            } else {
                b.tensor.clone()
            };
            b.to_device(&Device::Cpu).unwrap()
        }
        let exact = bf16::from_f32(1.0 / 3.0).to_f32();
        on_gpus(|device| {
            let third = Tensor::new(&[[1f32 / 3.0]], device).unwrap();
            let one = Tensor::new(&[[bf16::ONE]], device).unwrap();
            let got =
                product(&gpu(device), Side::plain(&third), Side::plain(&one), 1.0, None).unwrap();
            assert_eq!(got.to_vec2::<f32>().unwrap(), [[exact]]);
        });
    }

    #[test]
    fn attention_is_that_of_the_processor() {
        for (heads, lengths) in [
            (Heads { queries: 4, keys: 2, width: 3 }, &[1, 40, 3][..]),
            (Heads { queries: 2, keys: 2, width: 40 }, &[17, 70]),
            (Heads { queries: 3, keys: 1, width: 129 }, &[33]),
        ] {
            let tokens: usize = lengths.iter().sum();
            let of = |heads: usize, width: usize, seed| {
                (floats(&[tokens, heads * width], seed) * 2.0).unwrap()
            };
            let (q, dy) = (of(heads.queries, heads.width, 1), of(heads.queries, heads.width, 2));
            let (k, v) = (of(heads.keys, heads.width, 3), of(heads.keys, heads.width, 4));
            let y = causal(heads, lengths, &q, &k, &v).unwrap();
            let gradients = causal_backward(heads, lengths, &q, &k, &v, &dy).unwrap();
            on_gpus(|device| {
                let layout =
                    Layout::new(&vec![0; tokens], &Attention::Whole(lengths), device).unwrap();
                let [q, k, v, dy] = [&q, &k, &v, &dy].map(|t| t.to_device(device).unwrap());
                same(
                    &layout.attend(&gpu(device), heads, &q, &k, &v).unwrap(),
                    &y,
                    1e-5,
                    "attention",
                );
                let got = layout.attend_backward(&gpu(device), heads, &q, &k, &v, &dy).unwrap();
                for ((got, want), what) in
                    got.iter().zip(&gradients).zip(["queries", "keys", "values"])
                {
                    same(got, want, 1e-5, what);
                }
            });
        }
    }

    #[test]
    fn attention_to_a_cache_is_that_of_the_processor() {
        let heads = Heads { queries: 4, keys: 2, width: 5 };
        // Two sequences share a prefix; one has three new tokens, the other 20.
        let prefix: Vec<u32> = (0..50).map(|i| i * 7 % 53).collect();
        let slots = [
            [&prefix[..], &[60, 61, 62]].concat(),
            [&prefix[..], &(63..83).collect::<Vec<u32>>()].concat(),
        ];
        let (counts, q) = ([3, 20], floats(&[23, 20], 1));
        let (k, v) = (floats(&[90, 10], 2), floats(&[90, 10], 3));
        let y = cached(heads, &counts, &slots, &q, &k, &v).unwrap();
        let cache = crate::model::cache::KvCache::new(0, 1, 1, DType::F32, &Device::Cpu).unwrap();
        on_gpus(|device| {
            let attention =
                Attention::Cached { cache: &cache, start: 60, counts: &counts, slots: &slots };
            let layout = Layout::new(&[0; 23], &attention, device).unwrap();
            let [q, k, v] = [&q, &k, &v].map(|t| t.to_device(device).unwrap());
            same(&layout.attend(&gpu(device), heads, &q, &k, &v).unwrap(), &y, 1e-5, "attention");
        });
    }

    #[test]
    fn heads_that_are_too_wide_are_refused() {
        let heads = Heads { queries: 1, keys: 1, width: WIDEST_HEAD + 1 };
        let x = floats(&[1, heads.width], 1);
        on_gpus(|device| {
            let layout = Layout::new(&[0], &Attention::Whole(&[1]), device).unwrap();
            let x = x.to_device(device).unwrap();
            let error = layout.attend(&gpu(device), heads, &x, &x, &x).unwrap_err();
            assert!(error.to_string().contains("too wide"), "{error}");
        });
    }
}
