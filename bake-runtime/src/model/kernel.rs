//! Differentiable kernels: how a function on slices, with a backward pass of its own, becomes an operation of a candle graph.
//!
//! Candle's own fused operations cut the gradient without a word, and its products compute gradients of frozen weights; so every
//! operation of the decoder is one of these.

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Storage, Tensor, WithDType};

use crate::elementary::Real;

/// A function of `N` tensors that change in training. What is frozen is a field of the kernel.
pub(crate) trait Kernel<const N: usize>: Send + Sync + 'static {
    const NAME: &'static str;

    /// The result's elements, row by row, and its shape.
    fn forward<T: Real>(&self, inputs: [View<'_, T>; N]) -> Result<(Vec<T>, Shape)>;

    /// The gradients of the inputs that are `wanted`, from the gradient of the result.
    fn backward<T: Real>(&self, inputs: [View<'_, T>; N], dy: &[T], wanted: [bool; N]) -> Result<[Option<Vec<T>>; N]>;
}

/// The elements of a contiguous tensor and its shape.
#[derive(Clone, Copy)]
pub(crate) struct View<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) shape: &'a Shape,
}

impl<'a, T> View<'a, T> {
    fn new(data: &'a [T], layout: &'a Layout) -> Result<Self> {
        Ok(Self { data: contiguous(data, layout)?, shape: layout.shape() })
    }

    /// The product of all sizes but the last, and the last.
    pub(crate) fn rows(&self) -> (usize, usize) {
        let width = self.shape.dims().last().copied().unwrap_or(1);
        (self.data.len() / width.max(1), width)
    }
}

/// Puts a kernel of one input into the graph.
pub(crate) fn apply1(kernel: impl Kernel<1>, x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Op(kernel))
}

/// Puts a kernel of two inputs into the graph.
pub(crate) fn apply2(kernel: impl Kernel<2>, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&y.contiguous()?, Op(kernel))
}

/// Puts a kernel of three inputs into the graph.
pub(crate) fn apply3(kernel: impl Kernel<3>, x: &Tensor, y: &Tensor, z: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3(&y.contiguous()?, &z.contiguous()?, Op(kernel))
}

struct Op<K>(K);

impl<K> Op<K> {
    fn forward<const N: usize>(&self, inputs: [(&CpuStorage, &Layout); N]) -> Result<(CpuStorage, Shape)>
    where
        K: Kernel<N>,
    {
        match inputs[0].0.dtype() {
            DType::F32 => self.forward_in::<f32, N>(inputs),
            DType::F64 => self.forward_in::<f64, N>(inputs),
            other => candle_core::bail!("{} computes in f32 on the processor, not in {other:?}", K::NAME),
        }
    }

    fn forward_in<T: Real, const N: usize>(&self, inputs: [(&CpuStorage, &Layout); N]) -> Result<(CpuStorage, Shape)>
    where
        K: Kernel<N>,
    {
        let views = all(inputs.map(|(storage, layout)| View::new(storage.as_slice::<T>()?, layout)))?;
        let (result, shape) = self.0.forward(views)?;
        Ok((T::to_cpu_storage_owned(result), shape))
    }

    fn backward<const N: usize>(&self, inputs: [&Tensor; N], dy: &Tensor) -> Result<[Option<Tensor>; N]>
    where
        K: Kernel<N>,
    {
        let dy = dy.contiguous()?;
        match dy.dtype() {
            DType::F64 => self.backward_in::<f64, N>(inputs, &dy),
            _ => self.backward_in::<f32, N>(inputs, &dy),
        }
    }

    fn backward_in<T: Real, const N: usize>(&self, inputs: [&Tensor; N], dy: &Tensor) -> Result<[Option<Tensor>; N]>
    where
        K: Kernel<N>,
    {
        let storages = inputs.map(|t| t.storage_and_layout());
        let views = all(std::array::from_fn(|i| {
            let (storage, layout) = &storages[i];
            Ok(View { data: slice(storage, layout)?, shape: layout.shape() })
        }))?;
        let wanted = inputs.map(Tensor::track_op);
        let gradients = with_slice::<T, _>(dy, |dy| self.0.backward(views, dy, wanted))??;
        let mut tensors = [const { None }; N];
        for ((tensor, gradient), input) in tensors.iter_mut().zip(gradients).zip(inputs) {
            *tensor = gradient.map(|g| Tensor::from_vec(g, input.shape(), input.device())).transpose()?;
        }
        Ok(tensors)
    }
}

fn all<T, const N: usize>(results: [Result<T>; N]) -> Result<[T; N]> {
    let values = results.into_iter().collect::<Result<Vec<T>>>()?;
    match values.try_into() {
        Ok(values) => Ok(values),
        Err(_) => unreachable!("there are as many values as results"),
    }
}

impl<K: Kernel<1>> CustomOp1 for Op<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward([(s, l)])
    }

    fn bwd(&self, x: &Tensor, _result: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let [dx] = self.backward([x], dy)?;
        Ok(dx)
    }
}

impl<K: Kernel<2>> CustomOp2 for Op<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward([(s1, l1), (s2, l2)])
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, _result: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [dx, dy] = self.backward([x, y], dy)?;
        Ok((dx, dy))
    }
}

impl<K: Kernel<3>> CustomOp3 for Op<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward([(s1, l1), (s2, l2), (s3, l3)])
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        z: &Tensor,
        _result: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, dy, dz] = self.backward([x, y, z], dy)?;
        Ok((dx, dy, dz))
    }
}

/// The elements of a contiguous tensor's storage.
pub(crate) fn slice<'a, T: WithDType>(storage: &'a Storage, layout: &Layout) -> Result<&'a [T]> {
    match storage {
        Storage::Cpu(storage) => contiguous(storage.as_slice::<T>()?, layout),
        _ => candle_core::bail!("expected a tensor on the processor"),
    }
}

/// Runs `f` on the elements of a contiguous tensor on the processor.
pub(crate) fn with_slice<T: WithDType, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    Ok(f(slice(&storage, layout)?))
}

fn contiguous<'a, T>(data: &'a [T], layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&data[start..end]),
        None => candle_core::bail!("expected a contiguous tensor, got strides {:?}", layout.stride()),
    }
}

/// Elements that one thread takes at once, as whole rows: some tens of thousands, enough to be worth handing over.
pub(crate) fn chunk_of_rows(width: usize) -> usize {
    (32_768 / width.max(1)).max(1) * width.max(1)
}

/// Finite differences, for the tests of kernels.
#[cfg(test)]
pub(crate) mod gradient_check {
    use candle_core::{Device, Result, Tensor, Var};

    /// Numbers without a pattern, from −1 to 1.
    pub(crate) fn noise(shape: &[usize], seed: u64) -> Tensor {
        use rand::RngExt as _;
        let mut rng = <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(seed);
        let data: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
        Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
    }

    /// Compares every gradient of `Σ f(inputs) · g`, for a fixed random g, with central differences in f64.
    pub(crate) fn check(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
        let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let y = f(&tensors).unwrap();
        let g = noise(y.dims(), 99);
        let value = |inputs: &[Tensor]| -> f64 { (f(inputs).unwrap() * &g).unwrap().sum_all().unwrap().to_scalar().unwrap() };
        let gradients = (&y * &g).unwrap().sum_all().unwrap().backward().unwrap();
        for (which, var) in vars.iter().enumerate() {
            let got: Vec<f64> = gradients.get(var).expect("every input has a gradient").flatten_all().unwrap().to_vec1().unwrap();
            let data: Vec<f64> = inputs[which].flatten_all().unwrap().to_vec1().unwrap();
            let scale = got.iter().fold(1e-3, |m: f64, x| m.max(x.abs()));
            for (i, got) in got.into_iter().enumerate() {
                let at = |by: f64| {
                    let mut moved = data.clone();
                    moved[i] += by;
                    let mut inputs = inputs.to_vec();
                    inputs[which] = Tensor::from_vec(moved, inputs[which].shape(), &Device::Cpu).unwrap();
                    value(&inputs)
                };
                let want = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((got - want).abs() <= 1e-6 * scale, "input {which}, element {i}: {got} against {want}");
            }
        }
    }
}
