//! Frozen matrices in the type in which they are stored, for products in f32.
//!
//! A weight of 16 bits or of quantised blocks is widened where it is multiplied, some rows at a
//! time, into scratch of a bounded size; it is never there as a whole in f32. So a model in bf16
//! takes 2 bytes a number, and one of 4-bit blocks 0.6, in training too, unless there is room for
//! copies in the orders that products in bf16 want ([`Weight::packed`]).

mod blocks;
mod narrow;

use std::ops::Range;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

use crate::tensor::elementary::Real;
use crate::tensor::matrix::bf16::{self, Bf16Unit, Orientation, Packed, Unpacked};
use crate::tensor::matrix::{
    FEW_ROWS, Matrix, Rows as _, Sums, Threads, multiply, multiply_into, row_by_row, times,
};
use crate::tensor::slices::{tensor, with_slice};
use blocks::Blocks;
use narrow::Narrow;

/// A frozen matrix `[outputs, inputs]`. Clones share its numbers.
#[derive(Clone, Debug)]
pub(crate) struct Weight {
    numbers: Numbers,
    /// What multiplies them in bf16.
    unit: Option<Bf16Unit>,
    /// Copies in the orders that the unit wants, for `x Wᵀ` and for `dy W`.
    packed: Option<Arc<[Packed; 2]>>,
}

#[derive(Clone, Debug)]
enum Numbers {
    /// In f32, bf16 or f16, on any device; in f64 where tests compare with finite differences.
    Plain(Tensor),
    /// On the processor.
    Quantised(Arc<Blocks>),
}

/// How a model's matrices are kept and multiplied on the processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Precision {
    /// In what form they are kept; where it is not given, the model's size decides.
    pub(crate) form: Option<Form>,
    /// What multiplies those in bf16 and of blocks; none where all products are in f32.
    pub(crate) unit: Option<Bf16Unit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// In the type in which they are stored.
    Stored,
    /// In f32: small models, for which nothing need be widened then.
    Wide,
}

/// Models whose matrices take no more bytes than this in f32 are kept in f32.
pub(crate) const WIDE_BYTES: usize = 64 << 20;

impl Precision {
    /// Whatever is fastest on this processor.
    pub(crate) fn fastest() -> Self {
        Self { form: None, unit: Bf16Unit::of_processor() }
    }

    /// Products in f32 only.
    pub(crate) fn f32() -> Self {
        Self { form: None, unit: None }
    }

    /// The same for a model with this many numbers in its matrices.
    pub(crate) fn for_size(self, numbers: usize) -> Self {
        let small = numbers * size_of::<f32>() <= WIDE_BYTES;
        let form = if small { Form::Wide } else { Form::Stored };
        Self { form: self.form.or(Some(form)), ..self }
    }

    /// Whether a matrix that is stored in another type is kept in f32.
    pub(crate) fn widens(self) -> bool {
        self.form == Some(Form::Wide)
    }
}

/// Numbers that are widened together: few enough for the caches.
const WIDENED_TOGETHER: usize = 1 << 20;

/// The fewest rows that are widened together, so that a product has enough to do.
const FEWEST_ROWS: usize = 256;

impl Weight {
    /// A weight of numbers in f32, bf16 or f16.
    pub(crate) fn new(matrix: Tensor) -> Result<Self> {
        matrix.dims2()?;
        if !matches!(matrix.dtype(), DType::F32 | DType::BF16 | DType::F16 | DType::F64) {
            candle_core::bail!("a weight may be in f32, bf16 or f16, not in {:?}", matrix.dtype());
        }
        Ok(Self { numbers: Numbers::Plain(matrix.contiguous()?), unit: None, packed: None })
    }

    /// A weight of quantised blocks, from their bytes; it stays on the processor. Rows are whole
    /// blocks.
    pub(crate) fn quantised(dtype: GgmlDType, bytes: &[u8], dims: [usize; 2]) -> Result<Self> {
        let numbers = Numbers::Quantised(Arc::new(Blocks::new(dtype, bytes, dims)?));
        Ok(Self { numbers, unit: None, packed: None })
    }

    /// The weight with products in bf16, where it is in bf16 or quantised: others would be rounded.
    pub(crate) fn multiplied_by(self, unit: Option<Bf16Unit>) -> Self {
        let rounded = match &self.numbers {
            Numbers::Plain(matrix) => matrix.dtype() == DType::BF16,
            Numbers::Quantised(_) => true,
        };
        Self { unit: unit.filter(|_| rounded), ..self }
    }

    /// The weight with products in bf16 from copies in the orders that the unit wants, which take
    /// [`Self::packed_bytes`] more. It is rounded to bf16 for that.
    pub(crate) fn packed(&self, unit: Bf16Unit) -> Result<Self> {
        let pack = |w: Narrow<'_>| {
            [Orientation::Transposed, Orientation::Plain].map(|order| Packed::new(unit, w, order))
        };
        let packed = match &self.numbers {
            Numbers::Plain(matrix) if matrix.dtype() == DType::F32 => {
                let inputs = self.dims().1;
                with_slice(&matrix.to_dtype(DType::BF16)?, |w| pack(Narrow::Bf16(w, inputs)))?
            }
            _ => self.with_narrow(pack)?,
        };
        Ok(Self { unit: Some(unit), packed: Some(Arc::new(packed)), ..self.clone() })
    }

    /// The memory that the copies of [`Self::packed`] take.
    pub(crate) fn packed_bytes(&self) -> usize {
        let (outputs, inputs) = self.dims();
        2 * Packed::bytes([outputs, inputs])
    }

    /// What multiplies it in bf16; none where its products are in f32.
    pub(crate) fn unit(&self) -> Option<Bf16Unit> {
        self.unit
    }

    /// The numbers of outputs and inputs.
    pub(crate) fn dims(&self) -> (usize, usize) {
        match &self.numbers {
            Numbers::Plain(matrix) => (matrix.dims()[0], matrix.dims()[1]),
            Numbers::Quantised(blocks) => blocks.dims(),
        }
    }

    pub(crate) fn device(&self) -> &Device {
        match &self.numbers {
            Numbers::Plain(matrix) => matrix.device(),
            Numbers::Quantised(_) => &Device::Cpu,
        }
    }

    /// The memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        match &self.numbers {
            Numbers::Plain(matrix) => matrix.elem_count() * matrix.dtype().size_in_bytes(),
            Numbers::Quantised(blocks) => blocks.bytes(),
        }
    }

    /// Whether its numbers are in f32, so that a change can be added without being rounded away.
    pub(crate) fn is_f32(&self) -> bool {
        matches!(&self.numbers, Numbers::Plain(matrix) if matrix.dtype() == DType::F32)
    }

    /// Whether two weights are one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (&self.numbers, &other.numbers) {
            (Numbers::Plain(a), Numbers::Plain(b)) => a.id() == b.id(),
            (Numbers::Quantised(a), Numbers::Quantised(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// The tensor that it is, for kernels of a GPU, where no weight is quantised.
    pub(crate) fn plain(&self) -> Result<&Tensor> {
        match &self.numbers {
            Numbers::Plain(matrix) => Ok(matrix),
            Numbers::Quantised(blocks) => {
                candle_core::bail!("{blocks:?} are multiplied on the processor only")
            }
        }
    }

    /// All of it, in f32 (or in f64 in tests).
    pub(crate) fn wide(&self) -> Result<Tensor> {
        match &self.numbers {
            Numbers::Plain(matrix) if matrix.dtype() == DType::F64 => Ok(matrix.clone()),
            Numbers::Plain(matrix) => matrix.to_dtype(DType::F32),
            Numbers::Quantised(_) => {
                let (outputs, inputs) = self.dims();
                let mut wide = vec![0f32; outputs * inputs];
                self.with_narrow(|narrow| widen_all(narrow, 0..outputs, &mut wide))?;
                tensor(wide, (outputs, inputs))
            }
        }
    }

    /// Some of its rows in f32, `[ids, inputs]`, on its device.
    pub(crate) fn gather(&self, ids: &[u32]) -> Result<Tensor> {
        let (outputs, inputs) = self.dims();
        match &self.numbers {
            Numbers::Plain(matrix) => {
                matrix.index_select(&Tensor::new(ids, matrix.device())?, 0)?.to_dtype(DType::F32)
            }
            Numbers::Quantised(_) => {
                if let Some(id) = ids.iter().find(|&&id| id as usize >= outputs) {
                    candle_core::bail!("there is no row {id} in a weight of {outputs} rows");
                }
                let mut rows = vec![0.0; ids.len() * inputs];
                self.with_narrow(|narrow| {
                    for (&id, row) in ids.iter().zip(rows.chunks_exact_mut(inputs)) {
                        narrow.widen(id as usize..id as usize + 1, row);
                    }
                })?;
                tensor(rows, (ids.len(), inputs))
            }
        }
    }

    /// `out (+)= x Wᵀ`, for `x` of `[rows, inputs]`.
    pub(crate) fn forward<T: Real>(
        &self,
        sums: Sums,
        out: &mut [T],
        add: bool,
        x: Matrix<'_, T>,
    ) -> Result<()> {
        let (outputs, inputs) = self.dims();
        if self.in_bf16(out, add, x, Orientation::Transposed)? {
            return Ok(());
        }
        if let Some(matrix) = self.in_type::<T>() {
            return with_slice(matrix, |w| {
                times(sums, out, add, x, Matrix::new(w, outputs, inputs), T::one());
            });
        }
        if x.rows() == 0 {
            return Ok(());
        }
        let few = sums == Sums::RowByRow || x.rows() <= FEW_ROWS;
        if few && let (Some(out), Some(x)) = (T::f32s_mut(out), x.f32s()) {
            return self.with_narrow(|w| row_by_row(out, add, x, w, 1.0, Threads::All));
        }
        self.panels(|first, panel| {
            let out = &mut out[first..];
            multiply_into(out, outputs, add, x, panel.t(), T::one(), Threads::All);
        })
    }

    /// `out (+)= dy W`, for `dy` of `[rows, outputs]`.
    pub(crate) fn backward<T: Real>(
        &self,
        out: &mut [T],
        add: bool,
        dy: Matrix<'_, T>,
    ) -> Result<()> {
        let (outputs, inputs) = self.dims();
        if self.in_bf16(out, add, dy, Orientation::Plain)? {
            return Ok(());
        }
        if let Some(matrix) = self.in_type::<T>() {
            return with_slice(matrix, |w| {
                multiply(out, add, dy, Matrix::new(w, outputs, inputs), T::one(), Threads::All);
            });
        }
        self.panels(|first, panel| {
            let dy = dy.columns(first..first + panel.rows());
            multiply(out, add || first > 0, dy, panel, T::one(), Threads::All);
        })
    }

    /// Whether the product was made in bf16, as it is where the weight has a unit for it and the
    /// states are in f32.
    fn in_bf16<T: Real>(
        &self,
        out: &mut [T],
        add: bool,
        x: Matrix<'_, T>,
        orientation: Orientation,
    ) -> Result<bool> {
        let (Some(unit), Some(out), Some(x)) = (self.unit, T::f32s_mut(out), x.f32s()) else {
            return Ok(false);
        };
        match &self.packed {
            Some(packed) => bf16::multiply(unit, out, add, x, &packed[orientation as usize]),
            None => self.with_narrow(|w| {
                bf16::multiply(unit, out, add, x, Unpacked::new(w, orientation));
            })?,
        }
        Ok(true)
    }

    /// The tensor, where its numbers have this type.
    fn in_type<T: Real>(&self) -> Option<&Tensor> {
        match &self.numbers {
            Numbers::Plain(matrix) if matrix.dtype() == T::DTYPE => Some(matrix),
            _ => None,
        }
    }

    /// Runs `f` on the numbers of a weight that is not in f32.
    fn with_narrow<R>(&self, f: impl FnOnce(Narrow<'_>) -> R) -> Result<R> {
        let inputs = self.dims().1;
        match &self.numbers {
            Numbers::Quantised(blocks) => Ok(f(Narrow::Blocks(blocks))),
            Numbers::Plain(matrix) => match matrix.dtype() {
                DType::BF16 => with_slice(matrix, |w| f(Narrow::Bf16(w, inputs))),
                DType::F16 => with_slice(matrix, |w| f(Narrow::F16(w, inputs))),
                other => candle_core::bail!("a weight in {other:?} under states of another type"),
            },
        }
    }

    /// Calls `f` with the number of its first row and some rows `[rows, inputs]`, until all rows
    /// have come. How many come together does not depend on the number of threads.
    fn panels<T: Real>(&self, mut f: impl FnMut(usize, Matrix<'_, T>)) -> Result<()> {
        let (outputs, inputs) = self.dims();
        let together = (WIDENED_TOGETHER / inputs.max(1)).max(FEWEST_ROWS).min(outputs);
        let mut wide = vec![T::zero(); together * inputs];
        self.with_narrow(|narrow| {
            for first in (0..outputs).step_by(together.max(1)) {
                let rows = first..(first + together).min(outputs);
                let (count, wide) = (rows.len(), &mut wide[..rows.len() * inputs]);
                widen_all(narrow, rows, wide);
                f(first, Matrix::new(wide, count, inputs));
            }
        })
    }
}

/// Widens rows on all threads.
fn widen_all<T: Real>(narrow: Narrow<'_>, rows: Range<usize>, wide: &mut [T]) {
    let inputs = narrow.cols().max(1);
    let at_once = ((1 << 14) / inputs).max(1);
    let part = |(part, wide): (usize, &mut [T])| {
        let first = rows.start + part * at_once;
        let rows = first..first + wide.len() / inputs;
        if let Some(wide) = T::f32s_mut(wide) {
            return narrow.widen(rows, wide);
        }
        let mut numbers = vec![0f32; wide.len()];
        narrow.widen(rows, &mut numbers);
        wide.iter_mut().zip(numbers).for_each(|(wide, x)| *wide = T::real(x.into()));
    };
    wide.par_chunks_mut(at_once * inputs).enumerate().for_each(part);
}

#[cfg(test)]
pub(crate) mod tests;
