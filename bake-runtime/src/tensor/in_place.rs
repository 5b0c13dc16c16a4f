//! Tensors on the processor whose numbers change where they are, on the calling thread.

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor};

use crate::tensor::elementary::vectorised;

/// `x ← f(x, y)`, element by element. Both are in f32, contiguous and of one shape.
pub(crate) fn update(x: &Tensor, y: &Tensor, f: impl Fn(f32, f32) -> f32) -> Result<()> {
    x.inplace_op2(
        y,
        &Elementwise(
            #[inline(always)]
            |x, [y]: [f32; 1]| f(x, y),
        ),
    )
}

/// `x ← x + y`.
pub(crate) fn add(x: &Tensor, y: &Tensor) -> Result<()> {
    update(
        x,
        y,
        #[inline(always)]
        |x, y| x + y,
    )
}

/// `x ← f(x, y, z)`, in the same way.
pub(crate) fn update2(
    x: &Tensor,
    [y, z]: [&Tensor; 2],
    f: impl Fn(f32, f32, f32) -> f32,
) -> Result<()> {
    x.inplace_op3(
        y,
        z,
        &Elementwise(
            #[inline(always)]
            |x, [y, z]: [f32; 2]| f(x, y, z),
        ),
    )
}

struct Elementwise<F>(F);

/// A tensor on the processor, as candle gives it to an operation.
type Operand<'a> = (&'a CpuStorage, &'a Layout);

impl<F: Fn(f32, [f32; 1]) -> f32> InplaceOp2 for Elementwise<F> {
    fn name(&self) -> &'static str {
        "elementwise"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        layout: &Layout,
        y: &CpuStorage,
        of_y: &Layout,
    ) -> Result<()> {
        elementwise(x, layout, [(y, of_y)], &self.0)
    }
}

impl<F: Fn(f32, [f32; 2]) -> f32> InplaceOp3 for Elementwise<F> {
    fn name(&self) -> &'static str {
        "elementwise"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        layout: &Layout,
        y: &CpuStorage,
        of_y: &Layout,
        z: &CpuStorage,
        of_z: &Layout,
    ) -> Result<()> {
        elementwise(x, layout, [(y, of_y), (z, of_z)], &self.0)
    }
}

fn elementwise<const N: usize>(
    x: &mut CpuStorage,
    layout: &Layout,
    sources: [Operand<'_>; N],
    f: &impl Fn(f32, [f32; N]) -> f32,
) -> Result<()> {
    let CpuStorage::F32(x) = x else { candle_core::bail!("only numbers in f32 are changed") };
    let x = &mut x[whole(layout)?];
    let mut from: [&[f32]; N] = [&[]; N];
    for (from, (source, layout)) in from.iter_mut().zip(sources) {
        *from = &source.as_slice::<f32>()?[whole(layout)?];
        if from.len() != x.len() {
            candle_core::bail!("{} numbers for the change of {}", from.len(), x.len());
        }
    }
    vectorised(
        #[inline(always)]
        || {
            for (i, x) in x.iter_mut().enumerate() {
                *x = f(
                    *x,
                    std::array::from_fn(
                        #[inline(always)]
                        |n| from[n][i],
                    ),
                );
            }
        },
    );
    Ok(())
}

fn whole(layout: &Layout) -> Result<std::ops::Range<usize>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(start..end),
        None => candle_core::bail!("expected a contiguous tensor"),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn numbers_change_where_they_are() {
        let count = 71;
        let numbers = |by: usize| (0..count).map(|i| (i * by % 101) as f32).collect::<Vec<_>>();
        let [x, y, z] = [3, 5, 7].map(|by| Tensor::new(numbers(by), &Device::Cpu).unwrap());
        let place = x.id();
        update(&x, &y, |x, y| 2.0 * x - y).unwrap();
        update2(&x, [&y, &z], |x, y, z| x + y * z).unwrap();
        let got = x.to_vec1::<f32>().unwrap();
        for (i, got) in got.into_iter().enumerate() {
            let [x, y, z] = [3, 5, 7].map(|by| (i * by % 101) as f32);
            assert_eq!(got, 2.0 * x - y + y * z);
        }
        assert_eq!(x.id(), place);
        let short = Tensor::new(&[1f32], &Device::Cpu).unwrap();
        assert!(update(&x, &short, |x, y| x + y).is_err());
        assert!(update(&x, &x, |x, y| x + y).is_err());
    }
}
