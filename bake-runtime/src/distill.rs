//! The distillation loss: how far the student's distributions are from the teacher's, exactly, over the whole vocabulary.
//!
//! Teacher and student share the frozen output head W `[vocabulary, hidden]`, so both distributions follow from the final hidden
//! states h_t and h_s `[tokens, hidden]`. With `z = h_t Wᵀ`, `Δ = (h_s − h_t) Wᵀ` and a temperature T, teacher and student are
//! `p = softmax(z / T)` and `q = softmax((z + Δ) / T)`. Working with Δ instead of two sets of logits keeps the digits of a loss that is a
//! small difference of large numbers: two identical states give exactly 0, and no rounding makes a loss negative.
//!
//! Cost: three matrix products, 6 · tokens · vocabulary · hidden FLOPs (the head is frozen and has no gradient). Two buffers of
//! `[chunk, vocabulary]` are reused for chunk after chunk; nothing of the size `[tokens, vocabulary]` ever exists.

mod cpu;
mod divergence;

pub use bake_spec::recipe::Divergence;
use candle_core::{DType, Tensor};

use crate::error::{Error, ErrorKind, Result};

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct States<'a> {
    /// The teacher's final hidden states `[tokens, hidden]`.
    pub teacher: &'a Tensor,
    /// The student's final hidden states `[tokens, hidden]`.
    pub student: &'a Tensor,
    /// The frozen output head `[vocabulary, hidden]`.
    pub head: &'a Tensor,
    /// How much each token counts, `[tokens]`.
    pub weights: &'a Tensor,
}

/// How it is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// What is measured.
    pub divergence: Divergence,
    /// Divides the logits of both.
    pub temperature: f64,
    /// The most bytes of the two buffers of logits.
    pub scratch_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { divergence: Divergence::ForwardKl, temperature: 1.0, scratch_bytes: 64 << 20 }
    }
}

/// The loss and its gradient.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The divergence at each token in nats, `[tokens]`; without weights, and without a factor T².
    pub per_token: Tensor,
    /// The gradient of `Σ weight · loss` with respect to the student's states, `[tokens, hidden]`.
    pub gradient: Tensor,
}

/// Computes the loss of every token and the gradient of their weighted sum.
///
/// # Errors
/// When shapes do not fit, the tensors are not in f32, the temperature is not positive, or β is not between 0 and 1.
///
/// ```
/// use bake_runtime::distill::{Options, States, distill};
/// use candle_core::{Device, Tensor};
///
/// let states = Tensor::new(&[[1f32, -2.0], [0.5, 3.0]], &Device::Cpu)?;
/// let head = Tensor::new(&[[1f32, 0.0], [0.0, 1.0], [1.0, 1.0]], &Device::Cpu)?;
/// let weights = Tensor::new(&[1f32, 1.0], &Device::Cpu)?;
/// let same = States { teacher: &states, student: &states, head: &head, weights: &weights };
/// assert_eq!(distill(same, Options::default())?.per_token.to_vec1::<f32>()?, [0.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn distill(states: States<'_>, options: Options) -> Result<Loss> {
    check(states, options).map_err(|what| Error::new(ErrorKind::Training, format!("the distillation loss cannot be computed: {what}")))?;
    Ok(cpu::distill(states, options)?)
}

fn check(states: States<'_>, options: Options) -> Result<(), String> {
    let dims = |name: &str, t: &Tensor| t.dims2().map_err(|_| format!("{name} has shape {:?}, not [rows, hidden]", t.dims()));
    let (teacher, student, head) =
        (dims("the teacher", states.teacher)?, dims("the student", states.student)?, dims("the head", states.head)?);
    if teacher != student {
        return Err(format!("the teacher's states are {teacher:?} and the student's {student:?}"));
    }
    if head.1 != teacher.1 {
        return Err(format!("the head is for states of width {}, not {}", head.1, teacher.1));
    }
    if states.weights.dims() != [teacher.0] {
        return Err(format!("there are weights {:?} for {} tokens", states.weights.dims(), teacher.0));
    }
    if head.0 == 0 || head.1 == 0 {
        return Err("the head is empty".into());
    }
    for tensor in [states.teacher, states.student, states.head, states.weights] {
        if tensor.dtype() != DType::F32 || !tensor.device().is_cpu() {
            return Err(format!("it is computed in f32 on the processor, not in {:?} on {:?}", tensor.dtype(), tensor.device().location()));
        }
    }
    if !(options.temperature > 0.0 && options.temperature.is_finite()) {
        return Err(format!("the temperature {} is not positive", options.temperature));
    }
    match options.divergence {
        Divergence::Jsd(beta) if !(beta > 0.0 && beta < 1.0) => {
            Err(format!("β = {beta} is not between 0 and 1, where the divergence vanishes"))
        }
        _ => Ok(()),
    }
}
