//! Tensors on the processor whose numbers change where they are, on the calling thread.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor};

use crate::tensor::elementary::vectorised;

/// `x ← f(x, y)`, element by element. Both are in f32, contiguous and of one shape.
pub(crate) fn update(x: &Tensor, y: &Tensor, f: impl Fn(f32, f32) -> f32) -> Result<()> {
    x.inplace_op2(y, &Elementwise(f))
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

struct Elementwise<F>(F);

impl<F: Fn(f32, f32) -> f32> InplaceOp2 for Elementwise<F> {
    fn name(&self) -> &'static str {
        "elementwise"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        of_x: &Layout,
        y: &CpuStorage,
        of_y: &Layout,
    ) -> Result<()> {
        let CpuStorage::F32(x) = x else { candle_core::bail!("only numbers in f32 are changed") };
        let (x, y) = (&mut x[whole(of_x)?], &y.as_slice::<f32>()?[whole(of_y)?]);
        if y.len() != x.len() {
            candle_core::bail!("{} numbers for the change of {}", y.len(), x.len());
        }
        vectorised(
            #[inline(always)]
            || x.iter_mut().zip(y).for_each(|(x, &y)| *x = self.0(*x, y)),
        );
        Ok(())
    }
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
        let [x, y] = [3, 5].map(|by| Tensor::new(numbers(by), &Device::Cpu).unwrap());
        let place = x.id();
        update(&x, &y, |x, y| 2.0 * x - y).unwrap();
        let got = x.to_vec1::<f32>().unwrap();
        for (i, got) in got.into_iter().enumerate() {
            let [x, y] = [3, 5].map(|by| (i * by % 101) as f32);
            assert_eq!(got, 2.0 * x - y);
        }
        assert_eq!(x.id(), place);
        let short = Tensor::new(&[1f32], &Device::Cpu).unwrap();
        assert!(update(&x, &short, |x, y| x + y).is_err());
        assert!(update(&x, &x, |x, y| x + y).is_err());
    }
}
