//! The distillation loss: how far the student's distributions are from the teacher's, exactly, over
//! the whole vocabulary.
//!
//! Teacher and student share the frozen output head W `[vocabulary, hidden]`, so both distributions
//! follow from the final hidden states h_t and h_s `[tokens, hidden]`. With `z = h_t Wᵀ`,
//! `Δ = (h_s − h_t) Wᵀ` and a temperature T, teacher and student are `p = softmax(z / T)` and
//! `q = softmax((z + Δ) / T)`. Working with Δ instead of two sets of logits stays precise where the
//! loss is a small difference of large numbers: two identical states give exactly 0, and no
//! rounding makes a loss negative.
//!
//! # Cost
//!
//! Three matrix products, 6 · tokens · vocabulary · hidden FLOPs (the head is frozen and has no
//! gradient), and one pass over each row of logits. On a GPU z and Δ are written, read once and
//! replaced by the gradient in 16 bits, which the last product reads: 20 bytes a logit where the
//! row fits the shared memory of a cluster of blocks. Buffers of `[chunk, vocabulary]` are reused
//! for chunk after chunk; nothing of the size `[tokens, vocabulary]` ever exists.
//!
//! # Types
//!
//! The device is that of the tensors. States and head, and therefore the gradient, may be in f32,
//! bf16 or f16. On the processor everything is computed in f32. On a GPU the products multiply
//! numbers of the head's type and sum in f32; differences are taken before they are rounded.

mod cpu;
mod divergence;
mod gpu;
#[cfg(test)]
mod tests;

pub use bake_spec::recipe::Divergence;
use candle_core::{D, DType, Tensor};

use crate::device::gpu::Gpu;
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::weight::Weight;

/// What is compared. All tensors are on one device; they may have any strides.
#[derive(Clone, Copy, Debug)]
pub struct States<'a> {
    /// The teacher's final hidden states `[tokens, hidden]`.
    pub teacher: &'a Tensor,
    /// The student's final hidden states `[tokens, hidden]`, of the same type as the teacher's.
    pub student: &'a Tensor,
    /// The frozen output head `[vocabulary, hidden]`.
    pub head: &'a Tensor,
    /// How much each token counts, `[tokens]` in f32.
    pub weights: &'a Tensor,
    /// Rows of the head that do not stand for tokens, `[vocabulary]` in u8: rows whose entry is not
    /// 0 get no probability, in teacher and student; their weights must be finite. Heads are often
    /// padded to a round number of rows.
    pub masked: Option<&'a Tensor>,
}

/// How it is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Which divergence is measured.
    pub divergence: Divergence,
    /// Divides the logits of both.
    pub temperature: f64,
    /// The most bytes of the buffers of logits (there is always room for one token); if it is not
    /// given, 64 MiB on the processor and 1 GiB on a GPU.
    pub scratch_bytes: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { divergence: Divergence::ForwardKl, temperature: 1.0, scratch_bytes: None }
    }
}

/// The loss and its gradient.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The divergence at each token in nats, `[tokens]` in f32; without weights, and without a
    /// factor T².
    pub per_token: Tensor,
    /// The gradient of `Σ weight · loss` with respect to the student's states, `[tokens, hidden]`
    /// in their type.
    pub gradient: Tensor,
}

/// Computes the loss of every token and the gradient of their weighted sum.
///
/// # Errors
/// When shapes, types or devices do not match, the temperature is not positive, β is not
/// between 0.001 and 0.999, all words are masked, or the device runs out of memory.
///
/// ```
/// # extern crate bake_runtime as bake;
/// use bake::candle::{Device, Tensor};
/// use bake::distill::{Options, States, distill};
///
/// let states = Tensor::new(&[[1f32, -2.0], [0.5, 3.0]], &Device::Cpu)?;
/// let head = Tensor::new(&[[1f32, 0.0], [0.0, 1.0], [1.0, 1.0]], &Device::Cpu)?;
/// let weights = Tensor::new(&[1f32, 1.0], &Device::Cpu)?;
/// let same = States {
///     teacher: &states,
///     student: &states,
///     head: &head,
///     weights: &weights,
///     masked: None,
/// };
/// assert_eq!(distill(same, Options::default())?.per_token.to_vec1::<f32>()?, [0.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn distill(states: States<'_>, options: Options) -> Result<Loss> {
    let States { teacher, student, head, weights, masked } = states;
    dims("the head", head).and_then(|_| check_type("the head", head)).map_err(impossible)?;
    let head = Weight::new(head.contiguous()?)?;
    compare(Compared { teacher, student, head: &head, weights, masked }, options)
}

/// As [`States`], under a head that may be quantised.
#[derive(Clone, Copy)]
pub(crate) struct Compared<'a> {
    pub(crate) teacher: &'a Tensor,
    pub(crate) student: &'a Tensor,
    pub(crate) head: &'a Weight,
    pub(crate) weights: &'a Tensor,
    pub(crate) masked: Option<&'a Tensor>,
}

/// The memory that [`compare`] takes for this many tokens, on the device of the head.
pub(crate) fn bytes(options: Options, tokens: usize, head: &Weight) -> usize {
    match Gpu::of_device(head.device()) {
        Some(_) => gpu::bytes(options, tokens, head.dims()),
        None => cpu::bytes(options, tokens, head.dims()),
    }
}

/// As [`distill`].
pub(crate) fn compare(states: Compared<'_>, options: Options) -> Result<Loss> {
    check(states, options).map_err(impossible)?;
    Ok(match Gpu::of(states.student) {
        Some(gpu) => gpu::distill(&gpu, states, options)?,
        None => cpu::distill(states, options)?,
    })
}

fn impossible(what: String) -> Error {
    Error::new(ErrorKind::Training, format!("the distillation loss cannot be computed: {what}"))
}

/// The loss of every token, weighted, as part of candle's graph: `[tokens]` in f32. Its gradient
/// reaches the student's states.
///
/// # Errors
/// Those of [`distill`].
///
/// ```
/// # extern crate bake_runtime as bake;
/// use bake::candle::{DType, Device, Tensor, Var};
/// use bake::distill::{Options, States, distill, distill_in_graph};
///
/// let teacher = Tensor::new(&[[1f32, -2.0], [0.5, 3.0]], &Device::Cpu)?;
/// let student = Var::zeros((2, 2), DType::F32, &Device::Cpu)?;
/// let head = Tensor::new(&[[1f32, 0.0], [0.0, 1.0], [1.0, 1.0]], &Device::Cpu)?;
/// let weights = Tensor::new(&[0.5f32, 0.5], &Device::Cpu)?;
/// let states = States {
///     teacher: &teacher,
///     student: &student,
///     head: &head,
///     weights: &weights,
///     masked: None,
/// };
/// let gradients = distill_in_graph(states, Options::default())?.sum_all()?.backward()?;
/// let expected = distill(states, Options::default())?.gradient;
/// assert_eq!(
///     gradients.get(&student).map(Tensor::to_vec2::<f32>).transpose()?,
///     Some(expected.to_vec2()?)
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn distill_in_graph(states: States<'_>, options: Options) -> Result<Tensor> {
    let Loss { per_token, gradient } = distill(states, options)?;
    // A linear function of the states with this gradient, shifted to the value of the loss.
    let moved = (states.student - states.student.detach())?;
    let slope = (moved * gradient.detach())?.sum(D::Minus1)?.to_dtype(DType::F32)?;
    Ok((slope + (per_token * states.weights)?.detach())?)
}

fn dims(name: &str, t: &Tensor) -> Result<(usize, usize), String> {
    t.dims2().map_err(|_| format!("{name} has shape {:?}, not [rows, hidden]", t.dims()))
}

fn check_type(name: &str, t: &Tensor) -> Result<(), String> {
    match t.dtype() {
        DType::F32 | DType::BF16 | DType::F16 => Ok(()),
        other => Err(format!("{name} may be in f32, bf16 or f16, not in {other:?}")),
    }
}

fn check(states: Compared<'_>, options: Options) -> Result<(), String> {
    let teacher = dims("the teacher", states.teacher)?;
    let student = dims("the student", states.student)?;
    let head = states.head.dims();
    if teacher != student {
        return Err(format!("the teacher's states are {teacher:?} and the student's {student:?}"));
    }
    if head.1 != teacher.1 {
        return Err(format!("the head is for states of width {}, not {}", head.1, teacher.1));
    }
    if states.weights.dims() != [teacher.0] {
        return Err(format!(
            "there are weights {:?} for {} tokens",
            states.weights.dims(),
            teacher.0
        ));
    }
    if head.0 == 0 || head.1 == 0 {
        return Err("the head is empty".into());
    }
    if i32::try_from(head.0).is_err() || i32::try_from(head.1).is_err() {
        return Err(format!("a head of {head:?} is too large"));
    }
    check_type("states", states.teacher)?;
    check_type("states", states.student)?;
    if states.teacher.dtype() != states.student.dtype() {
        return Err(format!(
            "the teacher's states are in {:?} and the student's in {:?}",
            states.teacher.dtype(),
            states.student.dtype()
        ));
    }
    if states.weights.dtype() != DType::F32 {
        return Err(format!("the weights are in {:?}, not in f32", states.weights.dtype()));
    }
    let device = states.student.device();
    if !(device.is_cpu() || device.is_cuda()) {
        return Err(format!(
            "it is computed on the processor or on CUDA, not on {:?}",
            device.location()
        ));
    }
    let others = [Some(states.teacher), Some(states.weights), states.masked];
    let others = others.into_iter().flatten().map(Tensor::device).chain([states.head.device()]);
    if let Some(other) = others.into_iter().find(|other| !other.same_device(device)) {
        return Err(format!(
            "one tensor is on {:?}, another on {:?}",
            device.location(),
            other.location()
        ));
    }
    if let Some(masked) = states.masked {
        if masked.dims() != [head.0] || masked.dtype() != DType::U8 {
            return Err(format!(
                "the mask is {:?} in {:?}, not [{}] in u8",
                masked.dims(),
                masked.dtype(),
                head.0
            ));
        }
        let words = masked
            .eq(0u8)
            .and_then(|words| words.to_dtype(DType::U32)?.sum_all()?.to_scalar::<u32>());
        if words.map_err(|e| e.to_string())? == 0 {
            return Err("the mask leaves no words".into());
        }
    }
    if !(options.temperature > 0.0 && options.temperature.is_finite()) {
        return Err(format!("the temperature {} is not positive", options.temperature));
    }
    // Everything is computed in f32.
    if !((options.temperature as f32).is_normal()
        && ((1.0 / options.temperature) as f32).is_normal())
    {
        return Err(format!("the temperature {} is out of the range of f32", options.temperature));
    }
    let (least, most) = Divergence::BETAS;
    match options.divergence {
        Divergence::Jsd(beta) if !(least..=most).contains(&beta) => Err(format!(
            "β = {beta} is not from {least} to {most}; at 0 and 1 the divergence vanishes"
        )),
        _ => Ok(()),
    }
}
